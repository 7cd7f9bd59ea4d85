"""`scorer history`: the history of deployments."""

import json
from datetime import UTC
from typing import TYPE_CHECKING

import typer

from schemas.printable import printable
from scorer.cli.options import DEFAULT_BUNDLE, ConfigOption, JsonOption, ServersOption, SetOption, broker_settings_of
from scorer.cli.tables import output_console, print_tables

if TYPE_CHECKING:
    from scorer.stream.history_record import Line


def history(
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all deployments, oldest first: the bundle, its slot, when, by whom and why."""
    from scorer.operate.deployments import read_history

    lines = read_history(broker_settings_of(config, bootstrap_servers, assignments))
    if as_json:
        typer.echo(json.dumps([_as_json(line) for line in lines], indent=2))
    elif lines:
        _print_history(lines)
    else:
        typer.echo(f"No deployments yet: workers use {DEFAULT_BUNDLE}, the shipped bundle.")


def _as_json(line: "Line") -> dict[str, object]:
    if line.event is None:
        return {"offset": line.offset, "fault": line.fault}
    return {"offset": line.offset, **line.event.model_dump(mode="json"), "signed_by": list(line.signers)}


def _print_history(lines: list["Line"]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Two lines per event on a terminal, so that nothing is cut off at 80 columns.
    is_terminal = output_console().is_terminal
    separator = "\n" if is_terminal else " "
    table = Table(box=box.SIMPLE)
    for title in ("time (UTC)", "slot, action", "bundle", "replaced"):
        table.add_column(title, no_wrap=True)
    table.add_column("operator, reason", overflow="fold")
    for line in lines:
        event = line.event
        if event is None:
            table.add_row("", Text("malformed", "red"), f"offset {line.offset}", "", Text(printable(line.fault)))
            continue
        time = f"{event.at.astimezone(UTC):%Y-%m-%d{separator}%H:%M:%S}"
        names = (printable(b.short) if b else "" for b in (event.bundle, event.previous))
        bundles = (name.replace("@", "\n@") if is_terminal else name for name in names)
        signed = f" (signed by {', '.join(line.signers)})" if line.signers else ""
        despite = f"{separator}(deployed despite its review: {printable(event.despite)})" if event.despite else ""
        operator = f"{printable(event.actor)}{signed}{separator}{printable(event.reason)}{despite}"
        table.add_row(time, f"{event.slot}{separator}{event.action}", *map(Text, (*bundles, operator)))
    print_tables(table)
