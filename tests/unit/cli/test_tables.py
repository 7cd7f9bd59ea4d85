"""Tables: on pipes one row is one line, however narrow a terminal would be; on a terminal they fit into 80 columns."""

import io
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import Final

import pytest
from rich.console import Console
from rich.table import Table

from schemas.decision import BundleReference
from schemas.deployment import DeploymentEvent
from schemas.records import DeadLetter, Position
from scorer.cli.tables import fit_line, print_tables, print_trimmed
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


CONTRACT: Final = files("schemas") / "contracts" / "credit-application.schema.json"
LETTER: Final = DeadLetter(
    position=Position(0, 1),
    code="empty",
    reason="the value is empty",
    topic="applications",
    partition=0,
    offset=7,
    at="2026-11-29T19:47:11.123456+00:00",
    bundle="credit-risk:1.1.1",
    replay_id="",
    timestamp_ms=0,
    pointer="",
    value_bytes=0,
    key=b"a-1",
    value=b"",
    headers=[],
)
TABLES: Final = (
    ("config",),
    ("bundle", "list"),
    ("bundle", "show"),
    ("bundle", "diff", "credit-risk:1.0.0", "credit-risk:1.1.1"),
    ("contract", "show", str(CONTRACT)),
    ("dlq", "list"),
    ("history",),
    ("trust", "list", "--file", "keys.json"),
)
"""Commands that print tables and need no broker here."""


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("command", TABLES, ids=" ".join)
def test_no_line_ends_in_spaces(run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    """On a pipe; the cells of the last column used to be filled up with spaces."""
    letters = [LETTER, replace(LETTER, position=Position(0, 2), reason="short")]
    monkeypatch.setattr("scorer.operate.dead_letters.read_dead_letters", lambda *_, **__: iter(letters))
    for name in ("ana", "ben"):
        key = run("trust", "new-key", f"{name}.pem").out.strip()
        run("trust", "add", name, key, "--file", "keys.json", "--for", "bundles")
    run("trust", "revoke", "ben", "--file", "keys.json")
    printed = run(*command).out
    assert "  " in printed, "a table"
    assert [line for line in printed.splitlines() if line != line.rstrip()] == []


def test_a_terminal_is_filled(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing reads the output but people, rich prints as it does."""
    table = Table("a", "b", box=None)
    table.add_row("1", "wider")
    for is_terminal in (True, False):
        print_trimmed(Console(force_terminal=is_terminal, width=40, color_system=None), table)
    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines[:2]] == [line.rstrip() for line in lines[2:]]
    assert lines[2:] == [line.rstrip() for line in lines[2:]]


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
