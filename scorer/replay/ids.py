"""A file of application ids, one per line: read, and compared with the ids that decisions name."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from schemas.text import TextFileError, read_text, split_lines
from scorer.errors import InputFileError

_FILE_BYTES_MAX: Final = 1 << 28  # four million of the longest ids
_AROUND_IDS: Final = " \t\ufeff"  # the last one where files with a byte-order mark were put one after the other
_SHOWN_MAX: Final = 20


def read_ids(path: Path) -> list[str]:
    """Reads the ids, each once, in the file's order; spaces around them are no part of them.

    Raises:
        InputFileError: the file cannot be read, is not text, or holds no id.
    """
    try:
        lines = split_lines(read_text(path, _FILE_BYTES_MAX))
    except TextFileError as error:
        raise InputFileError(f"--ids {path}: {error}") from None
    ids = list(dict.fromkeys(filter(None, (line.strip(_AROUND_IDS) for line in lines))))
    if not ids:
        raise InputFileError(f"--ids {path}: holds no id; one per line is needed, without a header")
    return ids


def without_decision(ids: Sequence[str], decided: Collection[str]) -> list[str]:
    """The ids that no decision names, in their order."""
    return [application_id for application_id in ids if application_id not in decided]


def describe_undecided(undecided: Sequence[str], total: int) -> str:
    """Which ids no decision names, and how many, as a line for the user: quoted, so that spaces can be seen."""
    shown = ", ".join(map(json.dumps, undecided[:_SHOWN_MAX]))
    more = f" and {len(undecided) - _SHOWN_MAX:,} more" if len(undecided) > _SHOWN_MAX else ""
    return f"--ids: no decision names {len(undecided):,} of {total:,} ids: {shown}{more}"
