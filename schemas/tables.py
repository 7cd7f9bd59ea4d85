"""Reads CSV files of applications: header and cells, with a hint for each ambiguous cell."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from schemas.csv_rows import DELIMITERS, CsvError, read_csv_rows, split_cells
from schemas.headers import REQUIRED, UNKNOWN, field_of, find_near_misses, quote_names
from schemas.rows import FIELDS, ID, STATUS, ApplicationsFileError, OpenedFile, Row, name_row, plain_code, read_status
from schemas.text import explain_encoding, is_utf8

# The numbers for categories in the course's data file. A file with the names is read the same.
_CODES: Final[Mapping[str, Mapping[str, str]]] = {
    "home": {"1": "rent", "2": "owner", "3": "private", "4": "ignore", "5": "parents", "6": "other", "0": "unk"},
    "marital": {"1": "single", "2": "married", "3": "widow", "4": "separated", "5": "divorced", "0": "unk"},
    "records": {"1": "no", "2": "yes", "0": "unk"},
    "job": {"1": "fixed", "2": "partime", "3": "freelance", "4": "others", "0": "unk"},
}

_NUMBERS: Final = frozenset(FIELDS) - frozenset(_CODES) - {ID}

# In a file with another delimiter than commas, numbers may have decimal commas: 1.490 is 1.49 or 1490.
_is_grouped_by_dots = re.compile(r"-?[1-9][0-9]{0,2}(\.[0-9]{3})+").fullmatch
# "Unknown" in the course's data file, also as written by programs that treat all numbers as floats.
_is_missing = re.compile(r"99999999(\.0+)?|9\.9999999[eE]\+?0?7").fullmatch
_is_json_number = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?").fullmatch
_quote = json.JSONEncoder(ensure_ascii=False).encode


class _Table(NamedTuple):
    """The common properties of the rows of a CSV file.

    Attributes:
        called: the file's name in messages.
        name: the prefix of generated row ids.
        delimiter: the delimiter between cells.
        columns: the fields of the columns; None for an ignored one.
    """

    called: str
    name: str
    delimiter: str
    columns: list[str | None]


def read_csv(file: OpenedFile) -> Iterator[Row]:
    """Reads a CSV file.

    Args:
        file: its first line is the header, or names the delimiter as Excel does (`sep=;`).

    Yields:
        The rows in the file's order, without empty ones.

    Raises:
        ApplicationsFileError: the header lacks columns, the quoting is broken, or a row has too few or many cells.
    """
    if file.first.lstrip().startswith((b"{", b"[")):
        raise ApplicationsFileError(f"{file.called}, line {file.line}: is JSON, not CSV: name the file .jsonl")
    table: _Table | None = None
    try:
        for row in read_csv_rows(file.all_lines(), file.called, lambda header: find_delimiter(header)[0]):
            if table is None:
                columns = _read_header(row.cells, file, row.line, row.delimiter)
                table = _Table(file.called, file.name, row.delimiter, columns)
            elif any(row.cells):  # spreadsheets write an empty row as delimiters only
                yield _read_cells(row.cells, table, row.line)
    except CsvError as error:
        raise ApplicationsFileError(str(error)) from None
    if table is None:
        raise ApplicationsFileError(
            f"{file.called}: has no header line; a header with {', '.join(REQUIRED)} is required"
        )


def find_delimiter(header: str) -> tuple[str, int]:
    """The delimiter of a header line, and how many of the contract's fields it has with that delimiter."""
    named = [(d, len({field_of(cell) for cell in split_cells(header, d)} - {None})) for d in DELIMITERS]
    return max(named, key=lambda pair: pair[1])


def _read_header(cells: list[str], file: OpenedFile, line: int, delimiter: str) -> list[str | None]:
    """The fields of the columns, after checking that each required field exists, and only once."""
    position = f"{file.called}, line {line}"
    columns = [field_of(cell) for cell in cells]
    ignored = [cell for cell, field in zip(cells, columns, strict=True) if field is None]
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        is_header = len(missing) < len(REQUIRED) / 2  # otherwise it may be a data row, whose cells must not be shown
        near = find_near_misses(ignored, missing) if is_header else {}
        optional = [name for name in (*FIELDS, STATUS) if name not in REQUIRED]
        raise ApplicationsFileError(
            f"{position}: the header lacks {', '.join(missing)}. "
            f"Required columns, separated by commas, semicolons or tabs (found: {DELIMITERS[delimiter]}), in any "
            f"order and letter case: {', '.join(REQUIRED)}; "
            f"optional: {', '.join(optional)}. Other columns are ignored"
            + (f": is it one of {quote_names(near, near)}" if near else "")
        )
    repeated = [name for name in (*FIELDS, STATUS) if columns.count(name) > 1]
    if repeated:
        raise ApplicationsFileError(f"{position}: the header names {', '.join(repeated)} twice: which one is correct?")
    near = find_near_misses(ignored, [name for name in FIELDS if name not in columns])
    if near:
        raise ApplicationsFileError(
            f"{position}: columns with names similar to fields of the contract: "
            f"{quote_names(near, near)}. Rename those that are these fields, and remove the others"
        )
    if ignored:
        file.hints.add(line, f"ignored columns: {quote_names(ignored)}")
    unknown = [name for name in UNKNOWN if name not in columns]
    if unknown:
        file.hints.add(line, f"no column {' or '.join(unknown)}: unknown in every row")
    return columns


def _read_cells(cells: list[str], table: _Table, line: int) -> Row:
    """Converts a row of a CSV file to JSON in the contract's order; empty cells are absent fields."""
    cells_by_field = dict(zip(table.columns, cells, strict=True))
    written: list[str] = []
    hints: list[str] = []
    for field in FIELDS:
        cell = cells_by_field.get(field)
        if cell:
            json_text, hint = _read_cell(field, cell, table.delimiter)
            written.append(f'"{field}":{json_text}')
            if hint:
                hints.append(f"{field} {hint}")
    text = ",".join(written)
    try:
        value = text.encode()
    except UnicodeEncodeError:
        value = text.encode("utf-8", "surrogateescape")
        hints.append(f"the file is not UTF-8, {explain_encoding(table.called)}")
    if not cells_by_field.get(ID):
        own = f'"{ID}":{_quote(name_row(table.name, line, value))}'.encode()
        value = b"%b,%b" % (own, value) if value else own
    value = b"{%b}" % value
    return Row(line, value, read_status(cells_by_field.get(STATUS)), "; ".join(hints))


def _read_cell(field: str, cell: str, delimiter: str) -> tuple[str, str]:
    """Converts a cell to JSON, with a hint: codes to names, numbers digit by digit, everything else as text."""
    if field in _NUMBERS:
        if field in UNKNOWN and _is_missing(cell):
            return "null", ""
        if delimiter != "," and _is_grouped_by_dots(cell):
            return _quote(cell), (
                "may have a decimal point or thousands separators: write it without dots, or with another number of "
                "decimals"
            )
        return (cell, "") if _is_json_number(cell) else (_quote(cell), _explain_number(cell))
    hint = "" if field == ID else _explain_category(cell)
    return _quote(_CODES.get(field, {}).get(plain_code(cell), cell)), hint


def _explain_category(cell: str) -> str:
    if cell != cell.strip():
        return "has spaces around it: remove them"
    return "" if cell.isprintable() or not is_utf8(cell) else "has an invisible character: remove it"


def _explain_number(cell: str) -> str:
    if cell != cell.strip():
        return "has spaces around its number: remove them"
    if "\0" in cell:
        return "has a NUL byte: remove it"
    if "," in cell:
        return (
            "has a comma, which may be a decimal or a thousands separator: write a decimal point and no thousands "
            "separators, as in 1490.50"
        )
    return "is not a plain number: write digits with a decimal point, as in 1490.50, and leave unknown values empty"
