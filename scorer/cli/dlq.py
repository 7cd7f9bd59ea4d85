"""`scorer dlq`: list, show and requeue dead letters."""

import json
from collections import Counter, deque
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from schemas.printable import printable
from schemas.rejection import RejectionCode
from scorer.cli.options import (
    ConfigOption,
    JsonOption,
    ServersOption,
    SetOption,
    broker_settings_of,
    default_actor,
    parse_time,
    require_actor,
)
from scorer.cli.tables import output_console, print_tables
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from schemas.records import DeadLetter, Mark, Position

app = typer.Typer(no_args_is_help=True, help="List, inspect and requeue dead letters.")

CodeOption = Annotated[RejectionCode | None, typer.Option("--code", help="Only dead letters with this rejection code.")]

_BYTES_SHOWN: Final = 65_536


@app.command("list")
def list_dead_letters(
    code: CodeOption = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Only dead letters with this timestamp or a later one (UTC).",
        ),
    ] = None,
    newest: Annotated[
        int, typer.Option("--newest", min=1, max=100_000, help="Number of dead letters to show; the counts cover all.")
    ] = 50,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List dead letters with their reasons, and count them by code. Values are not shown.

    Examples:
    ```
    scorer dlq list
    scorer dlq list --code model_error --since 2026-11-02
    ```
    """
    from schemas.records import Mark
    from scorer.operate.dead_letters import read_dead_letters
    from scorer.operate.reading import Skipped

    moment = parse_time("--since", since)
    settings = broker_settings_of(config, bootstrap_servers, assignments)
    counts: Counter[str] = Counter()
    marks: dict[Position, Mark] = {}
    shown: deque[DeadLetter] = deque(maxlen=newest)
    skipped = Skipped()
    for record in read_dead_letters(settings, moment, skipped=skipped):
        if isinstance(record, Mark):
            marks[record.position] = record
        elif code in {None, record.code}:
            counts[record.counted_as] += 1
            shown.append(record)
    if as_json:
        letters = [_as_json(letter, marks.get(letter.position)) for letter in shown]
        listed = {"counts": dict(counts.most_common()), "dead_letters": letters, **skipped.as_json()}
        typer.echo(json.dumps(listed, indent=2))
        return
    if shown:
        _print_list(list(shown), marks, counts)
    else:
        typer.echo("no dead letters" + (f" with code {code}" if code else "") + (f" since {since}" if since else ""))
    if skipped.count:
        typer.echo(str(skipped))


@app.command()
def show(
    position: Annotated[
        str, typer.Argument(metavar="PARTITION:OFFSET", help="Partition and offset, as shown by `scorer dlq list`.")
    ],
    value: Annotated[
        bool, typer.Option("--value", help="Also show the record's value, which is personal data.")
    ] = False,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter: its reason and source, and with --value its value.

    Examples:
    ```
    scorer dlq show 0:17
    scorer dlq show 0:17 --value
    ```
    """
    from scorer.operate.dead_letters import find_dead_letter

    selected = _read_position(position)
    letter = find_dead_letter(broker_settings_of(config, bootstrap_servers, assignments), selected)
    fields = _as_json(letter, None) | ({"value": _text_of(letter.value)} if value else {})
    del fields["requeued"]
    if as_json:
        typer.echo(json.dumps(fields, indent=2))
        return
    width = max(map(len, fields))
    for name, text in fields.items():
        typer.echo(f"{name:{width}}  {printable(str(text))}")
    if not value:
        typer.echo("the value is hidden; show it with --value")


ActorOption = Annotated[
    str | None,
    typer.Option("--actor", callback=require_actor, help="Operator recorded in the history (default: user@hostname)."),
]


PositionsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PARTITION:OFFSET]...", help="Partitions and offsets, as shown by `scorer dlq list`."),
]


@app.command()
def requeue(
    positions: PositionsArgument = None,
    code: Annotated[
        RejectionCode | None, typer.Option("--code", help="Requeue all dead letters with this code instead.")
    ] = None,
    actor: ActorOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish dead letters to the input topic again, unchanged, after their fault was fixed.

    Each is requeued once, however often this runs: the same transaction writes a mark to the dead-letter topic. A
    record that is rejected again becomes a new dead letter.

    Examples:
    ```
    scorer dlq requeue --code model_error
    scorer dlq requeue 0:17 0:18
    ```
    """
    from scorer.operate.dead_letters import requeue as requeue_letters

    if bool(positions) == (code is not None):
        raise MisuseError("which dead letters? Give their PARTITION:OFFSET, or a --code")
    selected = frozenset(map(_read_position, positions or ()))
    settings = broker_settings_of(config, bootstrap_servers, assignments)
    matched: set[Position] = set()

    def is_wanted(letter: "DeadLetter") -> bool:
        if letter.position in selected or letter.code == code:
            matched.add(letter.position)
            return True
        return False

    result = requeue_letters(settings, is_wanted, actor or default_actor())
    missing = sorted(selected - matched)
    if as_json:
        report = {
            "requeued": [str(position) for position in result.requeued],
            "requeued_before": [m._asdict() | {"position": str(m.position)} for m in result.requeued_before],
            "missing": [str(position) for position in missing],
            "pointers": [{"position": str(letter.position), "record": letter.pointer} for letter in result.pointers],
            **result.skipped.as_json(),
        }
        typer.echo(json.dumps(report, indent=2))
    else:
        typer.echo(f"{len(result.requeued)} requeued to {settings.applications_topic}")
        for mark in result.requeued_before:
            typer.echo(printable(f"{mark.position} was already requeued by {mark.actor} at {mark.at}: skipped"))
        for letter in result.pointers:
            typer.echo(printable(f"{letter.position} has no copy of its record ({letter.pointer}): skipped"), err=True)
        for position in missing:
            typer.echo(f"{position}: no dead letter found", err=True)
        if result.skipped.count:
            typer.echo(str(result.skipped))
    if missing or (positions and result.pointers):
        raise typer.Exit(1)


def _read_position(text: str) -> "Position":
    from schemas.records import OFFSET_MAX, PARTITION_MAX, UNKNOWN, Position, parse_number

    parts = text.partition(":")
    position = Position(parse_number(parts[0], PARTITION_MAX), parse_number(parts[2], OFFSET_MAX))
    if UNKNOWN in position:
        raise MisuseError(
            f"{text[:80]} is not PARTITION:OFFSET: write it as `scorer dlq list` shows it, for example 0:17"
        )
    return position


def _as_json(letter: "DeadLetter", mark: "Mark | None") -> dict[str, Any]:
    return {
        "position": str(letter.position),
        "id": letter.id,
        "code": letter.code,
        "reason": letter.reason,
        "source": f"{letter.topic}:{letter.partition}:{letter.offset}",
        "at": letter.at,
        "bundle": letter.bundle,
        "bytes": letter.value_bytes,
        **({"pointer": letter.pointer} if letter.pointer else {}),
        "requeued": None if mark is None else {"actor": mark.actor, "at": mark.at},
    }


def _text_of(value: bytes | None) -> str:
    """The value as text: bytes that are not UTF-8 are escaped, and a long value is cut off with an ellipsis."""
    text = (value or b"")[:_BYTES_SHOWN].decode(errors="backslashreplace")
    return text if len(value or b"") <= _BYTES_SHOWN else f"{text}…"


def _print_list(letters: "list[DeadLetter]", marks: "dict[Position, Mark]", counts: Counter[str]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    separator = "\n" if output_console().is_terminal else " "
    table = Table(box=box.SIMPLE)
    for title in ("position", "time (UTC)", "code"):
        table.add_column(title, no_wrap=True)
    table.add_column("id, reason", overflow="fold")
    for letter in letters:
        mark = marks.get(letter.position)
        lines = [letter.id or "(no key)", letter.reason, *([f"requeued by {mark.actor} at {mark.at}"] if mark else [])]
        time = printable(letter.at[:19]).replace("T", separator)
        code = printable(letter.code)
        table.add_row(str(letter.position), Text(time), Text(code), Text(separator.join(map(printable, lines))))
    by_code = ", ".join(f"{count:,} {code}" for code, count in counts.most_common())
    print_tables(table, f"{counts.total():,} in total: {by_code}")
