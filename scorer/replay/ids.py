"""Reads a file of application ids, one per line, and compares them with the ids in decisions."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from schemas.text import TextFileError, read_text, split_lines
from scorer.errors import InputFileError

_FILE_BYTES_MAX: Final = 1 << 28  # four million of the longest ids
_IGNORED_CHARACTERS: Final = " \t\ufeff"  # byte-order marks occur inside concatenated files
_SHOWN_MAX: Final = 20


def read_ids(path: Path) -> list[str]:
    """Reads the ids without duplicates, in file order; white space around them is ignored.

    Raises:
        InputFileError: the file cannot be read, is not text, or contains no ids.
    """
    try:
        lines = split_lines(read_text(path, _FILE_BYTES_MAX))
    except TextFileError as error:
        raise InputFileError(f"--ids {path}: {error}") from None
    ids = list(dict.fromkeys(filter(None, (line.strip(_IGNORED_CHARACTERS) for line in lines))))
    if not ids:
        raise InputFileError(f"--ids {path}: contains no ids; write one per line, without a header")
    return ids


def without_decision(ids: Sequence[str], decided: Collection[str]) -> list[str]:
    """Returns the ids without a decision, in their order."""
    return [application_id for application_id in ids if application_id not in decided]


def describe_undecided(undecided: Sequence[str], total: int) -> str:
    """Describes the ids without a decision: their number and the first ones, quoted to make spaces visible."""
    shown = ", ".join(map(json.dumps, undecided[:_SHOWN_MAX]))
    more = f" and {len(undecided) - _SHOWN_MAX:,} more" if len(undecided) > _SHOWN_MAX else ""
    return f"--ids: no decision found for {len(undecided):,} of {total:,} ids: {shown}{more}"
