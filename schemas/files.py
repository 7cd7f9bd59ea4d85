"""Files of applications, as publishers and the scorer read them: CSV and JSON lines, one row at a time.

A row becomes the bytes that would stand on the input topic. Whether they are an application is for the contract to say:
what cannot be read as the contract wants it is handed on as it stands, so that the row is refused there by name. No row
is lost, and none is silently mended.
"""

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from schemas.application import CreditApplication

JSON_LINES_SUFFIXES = (".jsonl", ".ndjson", ".json")

# The numbers that the course's data file writes for categories. A file with the names spelled out reads the same.
_CODES: Final[Mapping[str, Mapping[str, str]]] = {
    "home": {"1": "rent", "2": "owner", "3": "private", "4": "ignore", "5": "parents", "6": "other", "0": "unk"},
    "marital": {"1": "single", "2": "married", "3": "widow", "4": "separated", "5": "divorced", "0": "unk"},
    "records": {"1": "no", "2": "yes", "0": "unk"},
    "job": {"1": "fixed", "2": "partime", "3": "freelance", "4": "others", "0": "unk"},
}
_STATUSES: Final[Mapping[object, str]] = {"1": "ok", "ok": "ok", "2": "default", "default": "default"}
# What the course's data file writes for "missing", and where.
_MISSING: Final = "99999999"
_MISSING_IN: Final = frozenset({"income", "assets", "debt"})

_FIELDS: Final = CreditApplication.model_fields
_ID: Final = "application_id"
_NUMBERS: Final = frozenset(_FIELDS) - frozenset(_CODES) - {_ID}
_REQUIRED: Final = tuple(name for name, field in _FIELDS.items() if field.is_required() and name != _ID)
_ID_CHARACTERS_MAX: Final = 64  # as the contract says

_is_json_number = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?").fullmatch
_parse_json = json.JSONDecoder(parse_int=float).decode  # Python refuses to read integers of more than 4,300 digits
_quote = json.JSONEncoder(ensure_ascii=False).encode
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class ApplicationsFileError(ValueError):
    """A file that cannot be read as applications; `str()` of it is the whole message for the user."""


class Row(NamedTuple):
    """One row of a file of applications.

    Attributes:
        line: the line of the file on which the row begins; the first is 1.
        value: the application as it would stand on the input topic; the contract has yet to judge it.
        status: what became of the loan, "ok" or "default"; None where the file does not say.
    """

    line: int
    value: bytes
    status: str | None


def read_applications(file: str | Path) -> Iterator[Row]:
    """Reads a file of applications, holding one row of it at a time.

    A row without an application_id gets one made of the file's name and the line.

    Args:
        file: a .csv file with a header line, or a .jsonl, .ndjson or .json file with one application a line; "-" is the
            standard input, which is JSON lines if its first byte that is not blank is `{`, else CSV.

    Yields:
        The rows in the file's order, without blank lines.

    Raises:
        ApplicationsFileError: the file cannot be read, its header lacks columns, or a row has too few or many cells.
    """
    path = Path(file)
    if str(file) != "-" and path.suffix.lower() not in (".csv", *JSON_LINES_SUFFIXES):
        raise ApplicationsFileError(
            f"{path}: cannot tell what is in it by the suffix '{path.suffix}': name it .csv, or "
            f"{', '.join(JSON_LINES_SUFFIXES)} if it holds one JSON object a line"
        )
    try:
        with nullcontext(sys.stdin.buffer) if str(file) == "-" else path.open("rb") as lines:
            if str(file) == "-":
                yield from _read_sniffed(lines)
            elif path.suffix.lower() == ".csv":
                yield from _read_csv(lines, str(path), path.name, line_first=1)
            else:
                yield from _read_json_lines(lines, path.name, line_first=1)
    except FileNotFoundError:
        raise ApplicationsFileError(f"{path}: there is no such file; is the path right?") from None
    except IsADirectoryError:
        raise ApplicationsFileError(f"{path}: is a folder; name one file in it") from None
    except OSError as error:
        raise ApplicationsFileError(f"{path}: cannot be read: {error.strerror}") from None


def dump_application(application: Mapping[str, object]) -> bytes:
    """Writes an application as compact JSON in UTF-8.

    Args:
        application: values by field; the contract's fields are written in its order, then all others.

    Raises:
        TypeError: a value has no JSON form.
        ValueError: a number is NaN or infinite, or a string is no Unicode text.
    """
    ordered = {name: application[name] for name in _FIELDS if name in application}
    return _compact(ordered | dict(application)).encode()


def _read_sniffed(lines: Iterable[bytes]) -> Iterator[Row]:
    """Reads the standard input, which has no suffix to go by."""
    lines = iter(lines)
    for line, first in enumerate(lines, 1):
        if first.strip():
            whole = chain([first], lines)
            if first.lstrip().startswith(b"{"):
                return (yield from _read_json_lines(whole, "stdin", line))
            return (yield from _read_csv(whole, "standard input", "stdin", line))
    raise ApplicationsFileError(
        "standard input: is empty; CSV with a header line, or one JSON object a line, is needed"
    )


def _name_row(name: str, line: int) -> str:
    """The id of a row that brought none: `name:line`, with as much of the name as an id has room for."""
    suffix = f":{line}"
    readable = name.encode(errors="replace").decode()  # a file's name on disk need not be Unicode, an id must be
    return readable[: _ID_CHARACTERS_MAX - len(suffix)] + suffix


def _read_json_lines(lines: Iterable[bytes], name: str, line_first: int) -> Iterator[Row]:
    for line, ended in enumerate(lines, line_first):
        raw = ended.rstrip(b"\r\n")
        if raw.strip():
            try:
                application = _parse_json(raw.decode())
            except (ValueError, RecursionError):
                application = None
            if not isinstance(application, dict):
                yield Row(line, raw, None)
                continue
            status = application.get("status")
            yield Row(
                line,
                raw if _ID in application else _put_in(raw, _name_row(name, line), empty=not application),
                _STATUSES.get(status) if isinstance(status, str) else None,
            )


def _put_in(raw: bytes, application_id: str, *, empty: bool) -> bytes:
    """Puts an id into a JSON object that has none, and leaves all other bytes as they are."""
    before, _, after = raw.partition(b"{")
    return b"%b{%b:%b%b%b" % (
        before,
        _quote(_ID).encode(),
        _quote(application_id).encode(),
        b"" if empty else b",",
        after,
    )


def _read_csv(lines: Iterable[bytes], where: str, name: str, line_first: int) -> Iterator[Row]:
    # Bytes that are not UTF-8 go through Python's text unharmed, so that the contract can refuse that one row for them.
    texts = (line.decode("utf-8-sig" if n == 0 else "utf-8", "surrogateescape") for n, line in enumerate(lines))
    reader = csv.reader(texts, strict=True)
    columns: list[str] = []
    line = line_first
    try:
        for cells in reader:
            if cells and not columns:
                columns = _read_header(cells, f"{where}, line {line}")
            elif cells:
                if len(cells) != len(columns):
                    raise ApplicationsFileError(
                        f"{where}, line {line}: has {len(cells)} cells and the header has {len(columns)}; "
                        "is there a comma in a cell (then quote it), or is the row cut off?"
                    )
                yield _read_cells(dict(zip(columns, cells, strict=True)), name, line)
            line = line_first + reader.line_num
    except csv.Error as error:
        raise ApplicationsFileError(f"{where}, line {line}: is not CSV: {error}") from None
    if not columns:
        raise ApplicationsFileError(f"{where}: is empty; a header line that names {', '.join(_REQUIRED)} is needed")


def _read_header(cells: list[str], where: str) -> list[str]:
    """The columns' names in lower case, once it is sure that every one that is needed is there, and once."""
    columns = [cell.strip().lower() for cell in cells]
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        optional = [name for name in (*_FIELDS, "status") if name not in _REQUIRED]
        raise ApplicationsFileError(
            f"{where}: the header lacks {', '.join(missing)}. "
            f"It must name, separated by commas and in any order and letter case: {', '.join(_REQUIRED)}; "
            f"and may name: {', '.join(optional)}. Other columns are left out"
        )
    repeated = [name for name in (*_FIELDS, "status") if columns.count(name) > 1]
    if repeated:
        raise ApplicationsFileError(f"{where}: the header names {', '.join(repeated)} twice: which one is meant?")
    return columns


def _read_cells(cells: Mapping[str, str], name: str, line: int) -> Row:
    """A row of a CSV file as JSON in the contract's order; an empty cell is a field that is not there."""
    written = [f'"{field}":{_read_cell(field, cells[field])}' for field in _FIELDS if cells.get(field)]
    if not cells.get(_ID):
        written.insert(0, f'"{_ID}":{_quote(_name_row(name, line))}')
    value = f"{{{','.join(written)}}}".encode("utf-8", "surrogateescape")
    return Row(line, value, _STATUSES.get(cells.get("status")))


def _read_cell(field: str, cell: str) -> str:
    """A cell as JSON: codes as names, numbers digit by digit as they stand, all else as text."""
    if field in _NUMBERS:
        if cell == _MISSING and field in _MISSING_IN:
            return "null"
        return cell if _is_json_number(cell) else _quote(cell)
    return _quote(_CODES.get(field, {}).get(cell, cell))
