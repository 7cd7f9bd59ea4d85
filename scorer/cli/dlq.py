"""`scorer dlq`: what could not be decided and why, and the way back onto the input topic."""

import json
from collections import Counter, deque
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from schemas.printable import printable
from scorer.cli.options import (
    ConfigOption,
    JsonOption,
    ServersOption,
    SetOption,
    broker_settings_of,
    moment_of,
    require_actor,
    user_here,
)
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from schemas.records import DeadLetter, Mark, Place

app = typer.Typer(no_args_is_help=True, help="Dead letters: what could not be decided, why, and the way back.")

CodeOption = Annotated[str | None, typer.Option("--code", metavar="CODE", help="Only those with this code.")]

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
        int, typer.Option("--newest", min=1, max=100_000, help="How many to show; all are counted.")
    ] = 50,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what could not be decided, with the reasons, and count it by code. Values are not shown.

    Examples:
    ```
    scorer dlq list
    scorer dlq list --code model_error --since 2026-11-02
    ```
    """
    from schemas.records import Mark
    from scorer.stream.dead_letters import read_dead_letters
    from scorer.stream.reading import Skipped

    wanted = _code(code)
    moment = moment_of("--since", since)
    settings = broker_settings_of(config, bootstrap_servers, assignments)
    counts: Counter[str] = Counter()
    marks: dict[Place, Mark] = {}
    shown: deque[DeadLetter] = deque(maxlen=newest)
    skipped = Skipped()
    for record in read_dead_letters(settings, moment, skipped=skipped):
        if isinstance(record, Mark):
            marks[record.place] = record
        elif wanted in {None, record.code}:
            counts[record.counted_as] += 1
            shown.append(record)
    if as_json:
        letters = [_as_json(letter, marks.get(letter.place)) for letter in shown]
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
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As `scorer dlq list` names it.")],
    value: Annotated[bool, typer.Option("--value", help="Show the record's value too: it is personal data.")] = False,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter: why, from where, and with --value what it holds.

    Examples:
    ```
    scorer dlq show 0:17
    scorer dlq show 0:17 --value
    ```
    """
    from scorer.stream.dead_letters import find_dead_letter

    where = _place(place)
    letter = find_dead_letter(broker_settings_of(config, bootstrap_servers, assignments), where)
    told = _as_json(letter, None) | ({"value": _text_of(letter.value)} if value else {})
    del told["requeued"]
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    width = max(map(len, told))
    for name, text in told.items():
        typer.echo(f"{name:{width}}  {printable(str(text))}")
    if not value:
        typer.echo("the value is not shown; --value shows it")


@app.command()
def requeue(
    places: Annotated[
        list[str] | None, typer.Argument(metavar="[PARTITION:OFFSET]...", help="Which ones, as `list` names them.")
    ] = None,
    code: Annotated[str | None, typer.Option("--code", metavar="CODE", help="All with this code instead.")] = None,
    actor: Annotated[
        str | None,
        typer.Option(
            "--actor", callback=require_actor, help="Who does it; otherwise the user's name at this machine's."
        ),
    ] = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put dead letters back onto the input topic, as they came, once their fault is mended.

    Each goes back once, however often this runs: in the same transaction a mark is written behind the dead letter. What
    cannot be decided again becomes another dead letter, with a place of its own.

    Examples:
    ```
    scorer dlq requeue --code model_error
    scorer dlq requeue 0:17 0:18
    ```
    """
    from scorer.stream.dead_letters import requeue as put_back

    if bool(places) == (code is not None):
        raise MisuseError("say which dead letters: their places (PARTITION:OFFSET), or all of one --code")
    chosen = frozenset(map(_place, places or ()))
    wanted = _code(code)
    settings = broker_settings_of(config, bootstrap_servers, assignments)
    found: set[Place] = set()

    def is_wanted(letter: "DeadLetter") -> bool:
        if letter.place in chosen or letter.code == wanted:
            found.add(letter.place)
            return True
        return False

    done = put_back(settings, is_wanted, actor or user_here())
    missing = sorted(chosen - found)
    if as_json:
        told = {
            "put_back": [str(place) for place in done.put_back],
            "put_back_before": [{"place": str(m.place), "actor": m.actor, "at": m.at} for m in done.before],
            "missing": [str(place) for place in missing],
            "pointers": [{"place": str(letter.place), "record": letter.pointer} for letter in done.pointers],
            **done.skipped.as_json(),
        }
        typer.echo(json.dumps(told, indent=2))
    else:
        typer.echo(f"{len(done.put_back)} put back onto {settings.applications_topic}")
        for mark in done.before:
            typer.echo(printable(f"{mark.place} was put back by {mark.actor} at {mark.at}: left alone"))
        for letter in done.pointers:
            typer.echo(printable(f"{letter.place} has no copy of its record, {letter.pointer}: left alone"), err=True)
        for place in missing:
            typer.echo(f"{place}: no dead letter is there", err=True)
        if done.skipped.count:
            typer.echo(str(done.skipped))
    if missing or (places and done.pointers):
        raise typer.Exit(1)


def _code(code: str | None) -> str | None:
    from schemas.rejection import RejectionCode

    if code is not None and code not in set(RejectionCode):
        raise MisuseError(f"--code {code}: there is no such code; there are {', '.join(RejectionCode)}")
    return code


def _place(text: str) -> "Place":
    from schemas.records import OFFSET_MAX, PARTITION_MAX, UNKNOWN, Place, parse_number

    written = text.partition(":")
    place = Place(parse_number(written[0], PARTITION_MAX), parse_number(written[2], OFFSET_MAX))
    if UNKNOWN in place:
        raise MisuseError(f"{text[:80]} is no place: write PARTITION:OFFSET as `scorer dlq list` does, such as 0:17")
    return place


def _as_json(letter: "DeadLetter", mark: "Mark | None") -> dict[str, Any]:
    return {
        "place": str(letter.place),
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
    """The value as text; what is not UTF-8 in it, and what is beyond some length, is shown as such."""
    text = (value or b"")[:_BYTES_SHOWN].decode(errors="backslashreplace")
    return text if len(value or b"") <= _BYTES_SHOWN else f"{text}…"


def _print_list(letters: "list[DeadLetter]", marks: "dict[Place, Mark]", counts: Counter[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    for title in ("place", "when (UTC)", "code"):
        table.add_column(title, no_wrap=True)
    table.add_column("id, reason", overflow="fold")
    for letter in letters:
        mark = marks.get(letter.place)
        told = [letter.id or "(no key)", letter.reason, *([f"put back by {mark.actor} at {mark.at}"] if mark else [])]
        when = printable(letter.at[:19]).replace("T", "\n")
        code = printable(letter.code)
        table.add_row(str(letter.place), Text(when), Text(code), Text("\n".join(map(printable, told))))
    console = Console()
    console.print(table)
    by_code = ", ".join(f"{count:,} {code}" for code, count in counts.most_common())
    console.print(f"{counts.total():,} in all: {by_code}", highlight=False, soft_wrap=True)
