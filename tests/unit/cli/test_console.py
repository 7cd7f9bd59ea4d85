"""`scorer console`: what is refused before anything is served."""

import sys

import pytest

from tests.unit.cli.conftest import Run


def test_without_its_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which package is missing and how to get it."""
    monkeypatch.setitem(sys.modules, "starlette", None)
    for module in [name for name in sys.modules if name.startswith("scorer.console.")]:
        monkeypatch.delitem(sys.modules, module)
    ended = run("console")
    assert ended.code == 2
    assert "requires the package starlette" in ended.err
    assert "pip install '.[console]'" in ended.err


def test_others_may_come_only_with_a_token(run: Run) -> None:
    """An address that other machines reach is refused without a token."""
    ended = run("console", "--host", "192.0.2.1")
    assert ended.code == 2
    assert "needs a token" in ended.err
