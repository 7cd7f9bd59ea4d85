"""The dashboards' JSON is what Grafana's own types say that a dashboard is."""

import copy
import json
import subprocess
from collections.abc import Callable
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


def complaints(board: Board, folder: Path) -> str:
    """What TypeScript says of a dashboard as a literal of Grafana's type; a literal may have no field too many."""
    schema, typescript = npm_package("@grafana/schema"), npm_package("typescript")
    scope = folder / "node_modules" / "@grafana"
    scope.mkdir(parents=True)
    (scope / "schema").symlink_to(schema)
    # A text is never a member of an enum to TypeScript, though it is to whoever reads JSON.
    literal = json.dumps(board, indent=1).replace('"mode": "absolute"', '"mode": ThresholdsMode.Absolute')
    (folder / "board.ts").write_text(TYPES + literal, encoding="utf-8")
    options = ["--strict", "--noEmit", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]
    ran = subprocess.run(
        ["node", typescript / "bin" / "tsc", *options, "board.ts"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (ran.returncode == 0) == (not ran.stdout), ran
    return ran.stdout


@pytest.mark.parametrize("path", queries.BOARDS, ids=lambda path: path.stem)
def test_types(path: Path, tmp_path: Path) -> None:
    """Every field of a dashboard is one that Grafana knows, and holds what Grafana says that it holds."""
    assert complaints(dict(queries.boards())[path], tmp_path) == ""


SLIPS: dict[str, Callable[[Board], object]] = {
    "titel": lambda board: board["panels"][0].update(titel="x"),
    "'number'": lambda board: board["panels"][1]["gridPos"].update(w="12"),
    "'schemaVersion'": lambda board: board.pop("schemaVersion"),
    "VariableType": lambda board: board["templating"]["list"][0].update(type="sometimes"),
}


@pytest.mark.parametrize("named", SLIPS)
def test_slips_are_found(named: str, tmp_path: Path) -> None:
    """A field that is misspelt, missing, or holds something else is named: the types above are no mere wish."""
    board = copy.deepcopy(next(queries.boards())[1])
    SLIPS[named](board)
    assert named in complaints(board, tmp_path)
