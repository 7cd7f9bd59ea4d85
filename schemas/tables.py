"""Reads CSV files of applications: header and cells, with a hint for each ambiguous cell."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from schemas.contract import ID_CHARACTERS_MAX, ContractField, ContractObject, Kind
from schemas.csv_rows import DELIMITERS, CsvError, read_csv_rows, split_cells
from schemas.headers import FileFields, quote_names
from schemas.rows import ApplicationsFileError, OpenedFile, Row, name_row, plain_code
from schemas.text import explain_encoding, is_utf8

# In a file with another delimiter than commas, numbers may have decimal commas: 1.490 is 1.49 or 1490.
_is_grouped_by_dots = re.compile(r"-?[1-9][0-9]{0,2}(\.[0-9]{3})+").fullmatch
_is_json_number = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?").fullmatch
_quote = json.JSONEncoder(ensure_ascii=False).encode


class _Table(NamedTuple):
    """The common properties of the rows of a CSV file.

    Attributes:
        called: the file's name in messages.
        name: the prefix of generated row ids.
        delimiter: the delimiter between cells.
        columns: the fields of the columns; None for an ignored one.
        fields: the fields that the file may have.
    """

    called: str
    name: str
    delimiter: str
    columns: list[str | None]
    fields: FileFields


def read_csv(file: OpenedFile, fields: FileFields) -> Iterator[Row]:
    """Reads a CSV file.

    Args:
        file: its first line is the header, or names the delimiter as Excel does (`sep=;`).
        fields: the fields that the file may have.

    Yields:
        The rows in the file's order, without empty ones.

    Raises:
        ApplicationsFileError: the header lacks columns, the quoting is broken, or a row has too few or many cells.
    """
    if file.first.lstrip().startswith((b"{", b"[")):
        raise ApplicationsFileError(f"{file.called}, line {file.line}: is JSON, not CSV: name the file .jsonl")
    table: _Table | None = None
    try:
        for row in read_csv_rows(file.all_lines(), file.called, lambda header: find_delimiter(header, fields)[0]):
            if table is None:
                columns = _read_header(row.cells, file, fields, (row.line, row.delimiter))
                table = _Table(file.called, file.name, row.delimiter, columns, fields)
            elif any(row.cells):  # spreadsheets write an empty row as delimiters only
                yield _read_cells(row.cells, table, row.line)
    except CsvError as error:
        raise ApplicationsFileError(str(error)) from None
    if table is None:
        raise ApplicationsFileError(
            f"{file.called}: has no header line; a header with {', '.join(fields.required)} is required"
        )


def find_delimiter(header: str, fields: FileFields) -> tuple[str, int]:
    """The delimiter of a header line, and how many of the contract's fields it has with that delimiter."""
    named = [(d, len({fields.field_of(cell) for cell in split_cells(header, d)} - {None})) for d in DELIMITERS]
    return max(named, key=lambda pair: pair[1])


def _read_header(cells: list[str], file: OpenedFile, fields: FileFields, header: tuple[int, str]) -> list[str | None]:
    """The fields of the columns, after checking that each required field exists, and only once."""
    line, delimiter = header
    position = f"{file.called}, line {line}"
    columns = [fields.field_of(cell) for cell in cells]
    ignored = [cell for cell, field in zip(cells, columns, strict=True) if field is None]
    missing = [name for name in fields.required if name not in columns]
    if missing:
        is_header = len(missing) < len(fields.required) / 2  # otherwise it may be a data row, which must not be shown
        near = fields.find_near_misses(ignored, missing) if is_header else {}
        optional = [name for name in fields.names if name not in fields.required]
        raise ApplicationsFileError(
            f"{position}: the header lacks {', '.join(missing)}. "
            f"Required columns of the contract {fields.contract}, separated by commas, semicolons or tabs "
            f"(found: {DELIMITERS[delimiter]}), in any order and letter case: {', '.join(fields.required)}; "
            f"optional: {', '.join(optional)}. Other columns are ignored"
            + (f": is it one of {quote_names(near, near)}" if near else "")
        )
    repeated = [name for name in fields.names if columns.count(name) > 1]
    if repeated:
        raise ApplicationsFileError(f"{position}: the header names {', '.join(repeated)} twice: which one is correct?")
    near = fields.find_near_misses(ignored, [name for name in fields.contract.fields if name not in columns])
    if near:
        raise ApplicationsFileError(
            f"{position}: columns with names similar to fields of the contract: "
            f"{quote_names(near, near)}. Rename those that are these fields, and remove the others"
        )
    if ignored:
        file.hints.add(line, f"ignored columns: {quote_names(ignored)}")
    unknown = [name for name in fields.unknown if name not in columns]
    if unknown:
        file.hints.add(line, f"no column {' or '.join(unknown)}: unknown in every row")
    return columns


def _read_cells(cells: list[str], table: _Table, line: int) -> Row:
    """Converts a row of a CSV file to JSON in the contract's order; empty cells are absent fields."""
    fields = table.fields
    cells_by_field = dict(zip(table.columns, cells, strict=True))
    hints: list[str] = []
    members = _write_object(fields.contract.application, cells_by_field, table.delimiter, hints)
    try:
        value = members.encode()
    except UnicodeEncodeError:
        value = members.encode("utf-8", "surrogateescape")
        hints.append(f"the file is not UTF-8, {explain_encoding(table.called)}")
    if not cells_by_field.get(fields.id):
        id_field = fields.contract.id_field
        row_id = name_row(table.name, line, value, id_field.length_max or ID_CHARACTERS_MAX)
        value = insert_id(b"{%b}" % value, fields.contract.id_path, row_id)
    else:
        value = b"{%b}" % value
    outcome = fields.outcome
    status = None if outcome is None else outcome.read(cells_by_field.get(outcome.name))
    return Row(line, value, status, "; ".join(hints))


def _write_object(group: ContractObject, cells: Mapping[str | None, str], delimiter: str, hints: list[str]) -> str:
    """Writes the members of an object from the cells by field, and adds hints on them."""
    written: list[str] = []
    for member in group.members:
        if isinstance(member, ContractObject):
            members = _write_object(member, cells, delimiter, hints)
            if members:
                written.append(f"{_quote(member.path[-1])}:{{{members}}}")
            continue
        cell = cells.get(member.name)
        if cell:
            json_text, hint = read_cell(member, cell, delimiter)
            written.append(f"{_quote(member.path[-1])}:{json_text}")
            if hint:
                hints.append(f"{member.name} {hint}")
    return ",".join(written)


def insert_id(raw: bytes, path: tuple[str, ...], application_id: str) -> bytes:
    """Inserts an id into a JSON object without one, at its beginning; all other bytes are unchanged.

    If the id is in an object, the value gets one that has nothing but the id, unless it has one.
    """
    before, _, after = raw.partition(b"{")
    member = f"{_quote(path[-1])}:{_quote(application_id)}"
    for name in reversed(path[:-1]):
        member = f"{_quote(name)}:{{{member}}}"
    is_empty = after.lstrip()[:1] == b"}"
    return b"%b{%b%b%b" % (before, member.encode(), b"" if is_empty else b",", after)


def read_cell(field: ContractField, cell: str, delimiter: str) -> tuple[str, str]:
    """Converts a cell to JSON, with a hint: codes to values, numbers digit by digit, everything else as text."""
    if field.kind.is_numeric:
        return _read_number(field, cell, delimiter)
    if field.kind is Kind.BOOLEAN:
        value = _BOOLEANS.get(plain_code(cell.strip().casefold()))
        return (value, "") if value else (_quote(cell), "is neither true nor false")
    if field.kind is not Kind.CATEGORY:
        return _quote(cell), ""
    code = cell if cell in field.codes else plain_code(cell)
    value = field.codes.get(code, cell) if code in field.codes else cell
    return ("null" if value is None else _quote(value)), _explain_category(cell)


def _read_number(field: ContractField, cell: str, delimiter: str) -> tuple[str, str]:
    if delimiter != "," and _is_grouped_by_dots(cell):
        return _quote(cell), (
            "may have a decimal point or thousands separators: write it without dots, or with another number of "
            "decimals"
        )
    if not _is_json_number(cell):
        return _quote(cell), _explain_number(cell)
    return ("null" if field.codes and float(cell) in map(float, field.codes) else cell), ""


_BOOLEANS: Final = {"true": "true", "false": "false", "1": "true", "0": "false", "yes": "true", "no": "false"}


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
