"""`scorer history`: the history of deployments."""

import json
from datetime import UTC
from typing import TYPE_CHECKING

import typer

from schemas.printable import printable
from scorer.cli.options import DEFAULT_BUNDLE, ConfigOption, JsonOption, ServersOption, SetOption, broker_settings_of

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
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Two lines per event, so that nothing is cut off on a terminal with 80 columns.
    table = Table(box=box.SIMPLE)
    for title in ("time (UTC)", "slot, action", "bundle", "replaced"):
        table.add_column(title, no_wrap=True)
    table.add_column("operator, reason", overflow="fold")
    for line in lines:
        event = line.event
        if event is None:
            table.add_row("", Text("malformed", "red"), f"offset {line.offset}", "", Text(printable(line.fault)))
            continue
        time = f"{event.at.astimezone(UTC):%Y-%m-%d\n%H:%M:%S}"
        bundles = (printable(b.short).replace("@", "\n@") if b else "" for b in (event.bundle, event.previous))
        signed = f" (signed by {', '.join(line.signers)})" if line.signers else ""
        operator = f"{printable(event.actor)}{signed}\n{printable(event.reason)}"
        table.add_row(time, f"{event.slot}\n{event.action}", *map(Text, (*bundles, operator)))
    Console().print(table)
