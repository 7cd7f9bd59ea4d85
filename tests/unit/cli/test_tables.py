"""Tables on pipes: one row is one line, however narrow a terminal would be."""

import pytest

from tests.unit.cli.conftest import Run


def test_a_row_is_a_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`scorer config | grep store` once found half of a folded path, between rules of dashes."""
    monkeypatch.setenv("COLUMNS", "40")
    store = "/var/lib/" + "long/" * 20
    monkeypatch.setenv("SCORER_STORE", store)
    printed = run("config").out
    assert printed.isascii()
    (line,) = (line for line in printed.splitlines() if line.startswith("store "))
    assert line.split() == ["store", store, "SCORER_STORE"]
