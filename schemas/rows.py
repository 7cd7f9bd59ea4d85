"""A row of a file of applications of any format, and hints on what to change in the file."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

STATUS_UNREADABLE: Final = "unreadable"
_is_float_code = re.compile(r"(-?[0-9]+)\.0+", re.ASCII).fullmatch
_HINTS_MAX: Final = 5  # a file usually has one fault, in many rows


class ApplicationsFileError(ValueError):
    """A file of applications cannot be read; `str()` of it is the complete message for the user."""


class Row(NamedTuple):
    """One row of a file of applications.

    Attributes:
        line: the line of the file on which the row begins; the first is 1.
        value: the application as it would be on the input topic, not validated yet.
        status: the outcome of the loan, "ok" or "default"; None if the file has none, and "unreadable" if it has
            another value.
        hint: what to change in the file if the contract rejects the row, without any value of it; "" if there is
            nothing to add to the contract's reason.
    """

    line: int
    value: bytes
    status: str | None
    hint: str = ""


class Hints:
    """Hints on what to change in a file, and on ignored parts: each once, with the first line that it is about."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}

    def add(self, line: int, hint: str) -> None:
        """Adds the hint of a rejected row; "" is ignored."""
        if hint and len(self._lines) < _HINTS_MAX:
            self._lines.setdefault(hint, line)

    def texts(self) -> list[str]:
        """The hints as lines for the user."""
        return [f"line {line}: {hint}" for hint, line in self._lines.items()]


class OpenedFile(NamedTuple):
    """A file of which the first line that is not blank has been read.

    Attributes:
        called: the file's name in messages.
        name: the prefix of generated row ids.
        line: the number of that line.
        first: the line.
        lines: the lines after it.
        hints: receives which columns or fields of the file are ignored.
    """

    called: str
    name: str
    line: int
    first: bytes
    lines: Iterator[bytes]
    hints: Hints

    def all_lines(self) -> Iterator[tuple[int, bytes]]:
        """The first line and those after it, with their numbers."""
        return enumerate(chain([self.first], self.lines), self.line)


@dataclass(frozen=True, slots=True)
class OutcomeColumn:
    """The column of a file that has the outcome of each loan.

    Attributes:
        name: the column's name.
        values: by value, in lower case, "ok" or "default", or None if the outcome is unknown.
        others: the outcome of all other values; "unreadable" if only those in `values` are valid.
    """

    name: str
    values: Mapping[str, str | None]
    others: str | None = STATUS_UNREADABLE

    def read(self, value: object) -> str | None:
        """Returns the outcome of a loan, as in `Row.status`; letter case and surrounding spaces are ignored."""
        if value is None:
            return None
        if isinstance(value, bool | float):  # of a JSON line, whose numbers are all floats
            value = str(value)
        if not isinstance(value, str):
            return STATUS_UNREADABLE
        return self.values.get(plain_code(value.strip().casefold()), self.others)


STATUS: Final = OutcomeColumn(
    "status", {"1": "ok", "ok": "ok", "2": "default", "default": "default", "0": None, "unk": None, "": None}
)
"""The default: the numbers are those of the course's data file, in which 0 is a loan with unknown outcome."""


def name_row(name: str, line: int, row: bytes, characters_max: int) -> str:
    """A generated id for a row without one: `name:line-digest`, with the name cut to the length of an id.

    The digest is of the whole name and the row: files may have the same name, or differ where it is cut. The same file
    gives the same ids.
    """
    digest = hashlib.sha256(b"%b\0%b" % (name.encode("utf-8", "surrogateescape"), row)).hexdigest()
    suffix = f":{line}-{digest[:8]}"
    readable = name.encode(errors="replace").decode()  # a file's name on disk need not be Unicode, an id must be
    return readable[: max(0, characters_max - len(suffix))] + suffix


def plain_code(cell: str) -> str:
    """A code as in the course's data file: `1` for `1.0`, which programs write if they treat all numbers as floats."""
    code = _is_float_code(cell)
    return code[1] if code else cell
