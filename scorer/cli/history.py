"""`scorer history`: the history of deployments."""

import json
from datetime import UTC
from typing import TYPE_CHECKING, Final

import typer

from schemas.printable import printable
from scorer.cli.options import DEFAULT_BUNDLE, ConfigOption, JsonOption, ServersOption, SetOption, broker_settings_of
from scorer.cli.tables import output_console, print_tables

if TYPE_CHECKING:
    from scorer.stream.history_record import Line

_COLUMNS: Final = ("time (UTC)", "slot, action", "bundle", "replaced", "operator", "reason")


def history(
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all deployments, oldest first: the bundle, its slot, when, by whom and why.

    Examples:
    ```
    scorer history
    scorer history --json | jq '.[-1].reason'
    ```
    """
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

    is_terminal = output_console().is_terminal
    table = Table(box=box.SIMPLE)
    titles = ("time (UTC)", "slot, action", "bundle, operator, reason") if is_terminal else _COLUMNS
    for title in titles:
        table.add_column(title, no_wrap=title == titles[0], overflow="fold")
    for line in lines:
        cells = _cells(line)
        if is_terminal:
            # Some lines per event, so that nothing is folded at 80 columns.
            time, slot, bundle, previous, operator, reason = cells
            details = [bundle, f"replaced {previous}" if previous else "", operator, reason]
            cells = [time.replace(" ", "\n"), slot.replace(" ", "\n"), "\n".join(filter(None, details))]
        table.add_row(*map(Text, cells))
    print_tables(table)


def _cells(line: "Line") -> list[str]:
    """An event's texts, in the order of `_COLUMNS`."""
    event = line.event
    if event is None:
        return ["", "malformed", f"offset {line.offset}", "", "", printable(line.fault)]
    bundle, previous = (printable(b.short) if b else "" for b in (event.bundle, event.previous))
    signed = f" (signed by {', '.join(line.signers)})" if line.signers else ""
    despite = f" (deployed despite its review: {printable(event.despite)})" if event.despite else ""
    return [
        f"{event.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        f"{event.slot} {event.action}",
        bundle or "none",
        previous,
        f"{printable(event.actor)}{signed}",
        f"{printable(event.reason)}{despite}",
    ]
