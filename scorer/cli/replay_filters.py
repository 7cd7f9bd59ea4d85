"""The options of `scorer replay` that select applications."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.cli.completion import complete_reference
from scorer.cli.options import parse_time
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from scorer.replay.filters import Filters
    from scorer.settings import Settings

DecidedByOption = Annotated[
    str | None,
    typer.Option(
        "--decided-by",
        metavar="REF",
        help="Applications whose current decision was made by this bundle.",
        autocompletion=complete_reference,
    ),
]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="Only records with this timestamp or a later one: 2026-11-01T09:30:00, in UTC.",
    ),
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="Only records with an earlier timestamp than this one.")
]
OffsetsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--offsets", metavar="P:A-B", help="Records of partition P from offset A to B, B included; may be repeated."
    ),
]
IdsOption = Annotated[Path | None, typer.Option("--ids", metavar="FILE", help="File of application ids, one per line.")]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Read decisions from this time on only; faster if the topic holds years of them.",
    ),
]
_parse_offsets = re.compile(r"(\d+):(\d+)-(\d+)").fullmatch


def read_filters(
    settings: "Settings",
    decided_by: str | None,
    times: tuple[str | None, str | None, str | None],
    offsets: Sequence[str] | None,
    ids: Path | None,
) -> "Filters":
    """Returns the filters that the options give; `times` are --from, --to and --since."""
    from scorer.bundle.load import read_manifest
    from scorer.replay.filters import Filters
    from scorer.replay.ids import read_ids
    from scorer.store.store import BundleStore

    begin, end, since = map(parse_time, ("--from", "--to", "--since"), times)
    if begin and end and begin >= end:
        raise MisuseError(f"--from {times[0]} --to {times[1]}: the range is empty; --to must be later than --from")
    return Filters(
        None if decided_by is None else read_manifest(BundleStore(settings.store).find(decided_by)).reference,
        begin,
        end,
        [_read_offsets(text) for text in offsets or ()],
        None if ids is None else read_ids(ids),
        since,
    )


def plan_command(
    folder: Path,
    decided_by: str | None,
    times: tuple[str | None, str | None, str | None],
    offsets: Sequence[str] | None,
    ids: Path | None,
    bundle: str | None,
) -> str:
    """Returns the command that makes a plan; settings, which may hold secrets, are left out.

    The arguments are the folder, and the options as `read_filters` takes them; `bundle` is --with.
    """
    begin, end, since = times
    options = [
        ("--decided-by", decided_by),
        ("--from", begin),
        ("--to", end),
        *(("--offsets", text) for text in offsets or ()),
        ("--ids", ids),
        ("--since", since),
        ("--with", bundle),
    ]
    given = [part for option, value in options if value is not None for part in (option, str(value))]
    return shlex.join(["scorer", "replay", "plan", str(folder), *given])


def _read_offsets(text: str) -> tuple[int, int, int]:
    from schemas.records import OFFSET_MAX, PARTITION_MAX, UNKNOWN, parse_number

    parsed = _parse_offsets(text)
    numbers = map(parse_number, parsed.groups(), (PARTITION_MAX, OFFSET_MAX, OFFSET_MAX)) if parsed else (UNKNOWN,) * 3
    partition, first, last = numbers
    if UNKNOWN in {partition, first, last} or first > last:
        raise MisuseError(f"--offsets {text[:80]}: write PARTITION:FIRST-LAST, for example --offsets 3:1000-1999")
    return partition, first, last
