"""Summaries of `producer publish`, `producer load` and `producer try`, for people or as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from schemas.printable import printable

if TYPE_CHECKING:
    from producer.client import ApplicationPublisher
    from producer.load import LoadReport
    from producer.publish import PublishReport
    from schemas.decision import Decision
    from schemas.records import Malformed


def show_published(report: "PublishReport", publisher: "ApplicationPublisher", topic: str, *, as_json: bool) -> None:
    """Prints the summary of `producer publish`."""
    for line, faults in report.invalid_rows:
        typer.echo(f"line {line} is invalid: {'; '.join(map(str, faults))}", err=True)
    if report.invalid > len(report.invalid_rows):
        typer.echo(f"… and {report.invalid - len(report.invalid_rows):,} more invalid lines", err=True)
    for hint in report.hints.texts():
        typer.echo(hint, err=True)
    if report.read_error:
        typer.echo(f"producer: {report.read_error}; {publisher.sent:,} rows before it were sent", err=True)
    if as_json:
        summary = {"topic": topic, "rows": report.rows, "sent": publisher.sent, "acknowledged": publisher.acknowledged}
        invalid_rows = [
            {"line": line, "faults": [fault._asdict() for fault in faults]} for line, faults in report.invalid_rows
        ]
        summary |= {"failed": publisher.failed, "invalid": report.invalid, "hints": report.hints.texts()}
        typer.echo(json.dumps({**summary, "invalid_rows": invalid_rows, "interrupted": report.interrupted}))
        return
    typer.echo(
        f"{publisher.acknowledged:,} of {report.rows:,} applications acknowledged on {topic}; {report.invalid:,} "
        f"invalid, {publisher.sent - publisher.acknowledged:,} not delivered"
    )


def show_load(report: "LoadReport", ids: str, rate: float, *, as_json: bool) -> None:
    """Prints the summary of `producer load`."""
    if as_json:
        typer.echo(json.dumps({"ids": ids, "rate": rate, **asdict(report)}))
        return
    first = f"{ids}-" if ids else ""
    typer.echo(
        f"{'stopped: ' if report.stopped else ''}{report.sent:,} applications sent, {report.rate_achieved:,.1f} per "
        f"second (requested: {rate:,g}), ids {first}0 to {first}{report.sent - 1}; {report.invalid:,} of them "
        f"invalid\n{report.acknowledged:,} acknowledged, {report.failed:,} failed; "
        f"sent at most {report.lateness_max_ms:,.1f} ms late"
    )
    if report.sent < report.scheduled:
        typer.echo(
            f"producer: rate not reached: {report.scheduled - report.sent:,} records were due but not sent; "
            "this machine or the broker is too slow",
            err=True,
        )


def show_decision(decision: "Decision", defaulted: Mapping[str, object], waited_s: float, *, as_json: bool) -> None:
    """Prints the decision of `producer try`, and the fields that had the example's values."""
    if as_json:
        waited_ms = round(waited_s * 1_000, 1)
        typer.echo(json.dumps({"decision": decision.model_dump(), "defaulted": defaulted, "waited_ms": waited_ms}))
        return

    from rich.console import Console

    from producer.show import decision_panel

    console = Console(highlight=False)
    console.print(decision_panel(decision, waited_s))
    if defaulted:
        defaults = ", ".join(f"{name}={value}" for name, value in defaulted.items())
        console.print(f"Example values were used for: {defaults}", style="dim", markup=False)


class Skipped:
    """Reports and counts malformed records."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, record: "Malformed") -> None:
        """Reports a record."""
        self._count += 1
        typer.echo(printable(f"skipped: {record}"), err=True)

    def report(self) -> None:
        """Reports the number, if there were any."""
        if self._count:
            typer.echo(
                f"{self._count:,} records were skipped: unreadable, or neither decisions nor dead letters", err=True
            )
