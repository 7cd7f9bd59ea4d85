"""Tables: on pipes one row is one line, however narrow a terminal would be; on a terminal they fit into 80 columns."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console
from rich.table import Table

from schemas.decision import BundleReference
from schemas.deployment import DeploymentEvent
from scorer.cli.tables import fit_line, print_tables
from scorer.stream.history_record import Line
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


def test_a_title_is_a_line(run: Run) -> None:
    """It used to be folded to the width of its table."""
    printed = run("bundle", "show").out.splitlines()
    assert "Calibration on the held-out rows" in printed
    print_tables(Table("a", title="Longer than its one column", title_justify="left"))
    assert run("bundle", "list").out.splitlines()[0] == "Longer than its one column"


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment and a rollback, with names and reasons of the usual length."""
    old, new = (BundleReference(name="credit-risk", version=f"1.{n}.1", digest=str(n) * 64) for n in (1, 2))
    deployed = DeploymentEvent(
        event_id="e-1",
        slot="champion",
        action="deploy",
        bundle=new,
        previous=old,
        actor="ana.of.the.night.shift@operations-desk-3",
        reason="quarterly retraining",
        at=datetime(2026, 11, 29, 19, 47, 11, tzinfo=UTC),
    )
    reason = "declines everybody who rents a flat"
    reverted = deployed.model_copy(
        update={"action": "rollback", "bundle": old, "previous": new, "reason": reason, "event_id": "e-2"}
    )
    lines = [Line(0, deployed), Line(1, reverted)]
    monkeypatch.setattr("scorer.operate.listening.require_listening", lambda _: None)
    monkeypatch.setattr("scorer.operate.deployments.read_history", lambda _: lines)


@pytest.mark.usefixtures("history")
def test_history_on_a_terminal_of_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is folded: a reference can be copied, an operator and a reason are whole lines."""
    for module in ("tables", "history"):
        monkeypatch.setattr(
            f"scorer.cli.{module}.output_console",
            lambda: Console(force_terminal=True, width=80, color_system=None),
        )
    lines = [line.rstrip() for line in run("history").out.splitlines()]
    assert max(map(len, lines)) <= 80
    for whole in (
        f"credit-risk:1.2.1@{'2' * 12}",
        f"replaced credit-risk:1.1.1@{'1' * 12}",
        "ana.of.the.night.shift@operations-desk-3",
        "declines everybody who rents a flat",
    ):
        assert any(line.endswith(f" {whole}") for line in lines), lines


@pytest.mark.usefixtures("history")
def test_history_on_a_pipe(run: Run) -> None:
    """An event is a line, with whole references."""
    title, *lines = run("history").out.splitlines()
    assert title.split("  ")[0] == "time (UTC)"
    assert len(lines) == 2
    assert f"champion rollback  credit-risk:1.1.1@{'1' * 12}" in lines[1]
    assert lines[1].rstrip().endswith("  declines everybody who rents a flat")


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
