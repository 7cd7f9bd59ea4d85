"""The dashboards' JSON is what Grafana's own types say that a dashboard is."""

import copy
import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.tools import npm_package
from tests.unit.monitoring import queries

Board = dict[str, Any]

# What Prometheus' plugin reads of an annotation is its own affair and in no schema.
TYPES = """
import { ThresholdsMode } from '@grafana/schema';
import type { AnnotationQuery, Dashboard } from '@grafana/schema';
type Marked = AnnotationQuery & { expr: string; step: string; titleFormat: string };
export const board: Omit<Dashboard, 'annotations'> & { annotations: { list: Marked[] } } =
"""


SLIPS: dict[str, Callable[[Board], object]] = {
    "titel": lambda board: board["panels"][0].update(titel="x"),
    "'number'": lambda board: board["panels"][1]["gridPos"].update(w="12"),
    "'schemaVersion'": lambda board: board.pop("schemaVersion"),
    "VariableType": lambda board: board["templating"]["list"][0].update(type="sometimes"),
}


def complaints(boards: Mapping[str, Board], folder: Path) -> dict[str, str]:
    """What TypeScript says of each dashboard as a literal of Grafana's type; a literal may have no field too many.

    All are compiled in one run, since reading Grafana's types takes much longer than a dashboard; each is a module of
    its own, which knows nothing of the others.
    """
    schema, typescript = npm_package("@grafana/schema"), npm_package("typescript")
    scope = folder / "node_modules" / "@grafana"
    scope.mkdir(parents=True)
    (scope / "schema").symlink_to(schema)
    for name, board in boards.items():
        # TypeScript does not accept a string as an enum member, although JSON contains only strings.
        literal = json.dumps(board, indent=1).replace('"mode": "absolute"', '"mode": ThresholdsMode.Absolute')
        (folder / f"{name}.ts").write_text(TYPES + literal, encoding="utf-8")
    options = ["--strict", "--noEmit", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]
    ran = subprocess.run(
        ["node", typescript / "bin" / "tsc", *options, *(f"{name}.ts" for name in boards)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (ran.returncode == 0) == (not ran.stdout), ran
    complaints_by_name, name = dict.fromkeys(boards, ""), ""
    for line in ran.stdout.splitlines(keepends=True):
        begins = re.match(r"(.+)\.ts\(\d+,\d+\): ", line)  # lines that go on are indented
        name = begins[1] if begins else name
        complaints_by_name[name] += line
    return complaints_by_name


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What TypeScript says of every dashboard, by its name, and of the first one with each slip, by the slip's."""
    boards = {path.stem: board for path, board in queries.boards()}
    for slip, make in SLIPS.items():
        boards[_slip(slip)] = copy.deepcopy(next(queries.boards())[1])
        make(boards[_slip(slip)])
    return complaints(boards, tmp_path_factory.mktemp("boards"))


def _slip(named: str) -> str:
    return f"slip-{list(SLIPS).index(named)}"


@pytest.mark.parametrize("path", queries.BOARDS, ids=lambda path: path.stem)
def test_types(path: Path, said: dict[str, str]) -> None:
    """Every field of a dashboard is one that Grafana knows, and holds what Grafana says that it holds."""
    assert said[path.stem] == ""


@pytest.mark.parametrize("named", SLIPS)
def test_slips_are_found(named: str, said: dict[str, str]) -> None:
    """A field that is misspelt, missing, or holds something else is named: the types above are no mere wish."""
    assert named in said[_slip(named)]
