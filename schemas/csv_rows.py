"""Reads the rows of CSV files as cells: delimiter, quoting and number of cells, whatever the columns mean."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final, NamedTuple

from schemas.text import LINE_BYTES_MAX, convert

DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

_DECLARATIONS: Final = {  # Excel reads and writes them above the header
    f"{quote}sep={delimiter}{quote}": delimiter for delimiter in DELIMITERS for quote in ("", '"')
}
_find_separator = re.compile("[\v\f\x1c-\x1e\x85\u2028\u2029]").search


class CsvError(ValueError):
    """A file is not CSV; `str()` of it is the complete message for the user."""


class CsvRow(NamedTuple):
    """A row with at least one cell.

    Attributes:
        line: the line on which it begins.
        cells: its cells; as many as the header has, which is the first row.
        delimiter: the delimiter between cells of the file.
    """

    line: int
    cells: list[str]
    delimiter: str


def read_csv_rows(
    lines: Iterable[tuple[int, bytes]], called: str, find_delimiter: Callable[[str], str]
) -> Iterator[CsvRow]:
    """Reads a CSV file, one row at a time.

    Args:
        lines: the file's lines with their numbers, each with its end; the first may declare the delimiter (`sep=;`).
        called: the file's name, for messages.
        find_delimiter: the delimiter of a header line.

    Yields:
        The header, then the rows in the file's order. Bytes that are not UTF-8 are surrogates.

    Raises:
        CsvError: lines end in another character than LF and CR, the quoting is broken, or a row has too few or many
            cells.
    """
    numbered = iter(lines)
    line, raw = next(numbered, (1, b""))
    # Bytes that are not UTF-8 are kept as surrogates, so that only the rows with them are invalid.
    texts = (text.decode("utf-8", "surrogateescape") for _, text in numbered)
    first = raw.decode("utf-8", "surrogateescape")
    delimiter = _DECLARATIONS.get(first.strip("\r\n ").lower())
    if delimiter:
        line, first = line + 1, next(texts, "")
    _require_line_ends(first, called, line)
    delimiter = delimiter or find_delimiter(first)
    bounded = _Bounded(chain([first], texts))
    reader = csv.reader(bounded, delimiter=delimiter, strict=True)
    width, line_first = 0, line
    try:
        for cells in reader:
            bounded.begin_row()
            if cells:
                width = width or len(cells)
                _require_width(cells, width, delimiter, f"{called}, line {line}")
                yield CsvRow(line, cells, delimiter)
            line = line_first + reader.line_num
    except csv.Error as error:
        raise CsvError(f"{called}, line {line}: {_explain(error, delimiter)}") from None


class _Bounded:
    """The lines of a CSV file; fails if a row is longer than any row may be."""

    def __init__(self, texts: Iterator[str]) -> None:
        self._texts = texts
        self._characters = 0
        """Of the current row; `begin_row` resets it."""

    def begin_row(self) -> None:
        """The following lines belong to the next row."""
        self._characters = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        text = next(self._texts)
        self._characters += len(text)
        if self._characters > LINE_BYTES_MAX:
            raise csv.Error
        return text


def split_cells(line: str, delimiter: str) -> list[str]:
    """The cells of one line; none if it is not CSV."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _require_line_ends(header: str, called: str, line: int) -> None:
    """Rejects a header with another line separator, such as the NEL of mainframes: rows would be part of it."""
    separator = _find_separator(header)
    if separator:
        escaped = "".join(f"\\x{byte:02x}" for byte in separator[0].encode())
        how = convert(called, f"sed 's/{escaped}/\\n/g'")
        raise CsvError(
            f"{called}, line {line}: the header has U+{ord(separator[0]):04X}, which separates lines in some programs, "
            f"but lines must end in LF, CRLF or CR; {how}"
        )


def _require_width(cells: list[str], width: int, delimiter: str, position: str) -> None:
    if len(cells) != width:
        name = DELIMITERS[delimiter].removesuffix("s")
        decimal = " (a decimal comma?)" if delimiter == "," else ""
        raise CsvError(
            f"{position}: has {len(cells)} cell{'s'[: len(cells) > 1]} but the header has {width}; is there an "
            f"unquoted {name} in a cell{decimal}, or is the row cut off?"
        )


def _explain(error: csv.Error, delimiter: str) -> str:
    """Explains a CSV error; the csv module's own messages are about Python."""
    if "limit" in str(error) or not str(error):
        return "is not CSV: a cell or row is longer than in any application; is a closing quote missing?"
    return (
        "is not CSV: the quoting is invalid: a quoted cell ends with a quote, followed by one of the "
        f"{DELIMITERS[delimiter]} or the line's end, and a quote within it is doubled"
    )
