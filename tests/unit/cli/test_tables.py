"""Tables on pipes: one row is one line, however narrow a terminal would be."""

import io

import pytest

from scorer.cli.tables import fit_line
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


class Terminal(io.StringIO):
    """A terminal, as programs see it."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_a_long_line_is_broken_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns the terminal once broke `scorer status` within a bundle's name; a pipe still gets whole lines."""
    monkeypatch.setenv("COLUMNS", "40")
    line = "worker      up-host-1 at 127.0.0.1: partitions 0, 1; credit-risk:1.1.1@71719e81ec9b"
    assert fit_line(line, 12, io.StringIO()) == line
    assert fit_line(line, 12, Terminal()).splitlines() == [
        "worker      up-host-1 at 127.0.0.1:",
        "            partitions 0, 1;",
        "            credit-risk:1.1.1@71719e81ec9b",
    ]
