"""SECURITY.md: what it says holds, as far as it names a test for it."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED, ids=[test for _, test in NAMED])
def test_each_test_that_is_named_exists(file: str, test: str) -> None:
    """A defence whose test was renamed or deleted is noticed."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_is_named_with_its_file() -> None:
    """No name of a test stands alone, where nobody would find out that it is gone."""
    assert len(NAMED) > 50
    assert len(re.findall(r"\btest_\w+", PAGE)) == 2 * len(re.findall(r"`tests/[\w/]+/test_\w+\.py::test_\w+`", PAGE))
