"""Reads a file of past applications of any lender, CSV, JSON lines or Parquet, into a profile of each column."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final

from schemas.contract import FIELDS_MAX
from schemas.csv_rows import DELIMITERS, CsvError, read_csv_rows, split_cells
from schemas.headers import quote_names
from schemas.text import TextFileError, convert, explain_encoding, is_utf8, read_lines
from scorer.author.column_profile import ColumnProfile, Form
from scorer.errors import InputFileError

_DEPTH_MAX: Final = 16  # of objects in a contract

Names = tuple[str, ...]
"""The names of the objects that contain a column, and its own."""


@dataclass(frozen=True)
class DataProfile:
    """What a data file contains.

    Attributes:
        columns: the profile of each column, in the file's order.
        objects: how many times each nested object is present; the application itself has an empty name.
        notes: what in the file as a whole needs attention; no values of it.
    """

    columns: dict[Names, ColumnProfile] = field(default_factory=dict)
    objects: Counter[Names] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Number of applications in the file."""
        return self.objects[()]


def profile_file(path: Path) -> DataProfile:
    """Reads a data file, one row at a time.

    Args:
        path: a .csv or .tsv file with a header line, a .jsonl, .ndjson or .json file with one object per line, or a
            .parquet file.

    Raises:
        InputFileError: the file cannot be read, is not of its format, or has no rows or too many columns.
    """
    readers: Mapping[str, Callable[[BinaryIO, str], DataProfile]] = {
        ".csv": _profile_csv,
        ".tsv": _profile_csv,
        ".jsonl": _profile_json_lines,
        ".ndjson": _profile_json_lines,
        ".json": _profile_json_lines,
        ".parquet": _profile_parquet,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        raise InputFileError(f"{path}: unknown suffix '{path.suffix}': name the file {', '.join(readers)}")
    try:
        with path.open("rb") as file:
            profile = read(file, str(path))
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    except CsvError as error:
        raise InputFileError(str(error)) from None
    except TextFileError as error:
        raise InputFileError(f"{path}: {error}") from None
    if not profile.rows:
        raise InputFileError(f"{path}: has no rows; a contract is inferred from past applications")
    return profile


def _numbered_lines(file: BinaryIO, called: str) -> Iterator[tuple[int, bytes]]:
    return ((number, line) for number, line in enumerate(read_lines(file, called), 1) if number > 1 or line.strip())


def _profile_csv(file: BinaryIO, called: str) -> DataProfile:
    profile = DataProfile()
    rows = read_csv_rows(_numbered_lines(file, called), called, _find_delimiter)
    header = next(rows, None)
    if header is None:
        raise InputFileError(f"{called}: is empty; a header line is required")
    names = [cell.strip() for cell in header.cells]
    repeated = [name for name, count in Counter(names).items() if count > 1 and name]
    if repeated:
        raise InputFileError(f"{called}: the header names {quote_names(repeated)} twice: which one is correct?")
    if len(names) > FIELDS_MAX:
        raise InputFileError(f"{called}: has more than {FIELDS_MAX:,} columns")
    if "" in names:
        profile.notes.append("columns without a name are left out")
    columns = [ColumnProfile() for _ in names]
    profile.columns.update({(name,): column for name, column in zip(names, columns, strict=True) if name})
    has_spaces = False
    for row in rows:
        if not any(row.cells):  # spreadsheets write an empty row as delimiters only
            continue
        profile.objects[()] += 1
        for column, cell in zip(columns, row.cells, strict=True):
            stripped = cell.strip()
            has_spaces |= len(stripped) < len(cell)
            column.add_cell(stripped)
    if any(column.forms[Form.INVALID] for column in columns) or not all(map(is_utf8, names)):
        raise InputFileError(f"{called}: is not UTF-8, {explain_encoding(called)}")
    if has_spaces:
        profile.notes.append("some cells have spaces around their value, which are ignored here: remove them")
    return profile


def _find_delimiter(header: str) -> str:
    return max(DELIMITERS, key=lambda delimiter: len(split_cells(header, delimiter)))


def _profile_json_lines(file: BinaryIO, called: str) -> DataProfile:
    return _profile_objects(_read_objects(file, called), called)


def _read_objects(file: BinaryIO, called: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(read_lines(file, called), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode())
        except UnicodeDecodeError:
            raise InputFileError(f"{called}, line {number}: is not UTF-8, {explain_encoding(called)}") from None
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            how = convert(called, "jq -c '.[]'" if line.lstrip().startswith(b"[") else "jq -c .")
            raise InputFileError(f"{called}, line {number}: is not a JSON object, but one per line is required; {how}")
        yield value


def _profile_parquet(file: BinaryIO, called: str) -> DataProfile:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise InputFileError(
            f"{called}: reading Parquet needs pyarrow: pip install pyarrow; or save the file as CSV"
        ) from None
    try:
        batches = parquet.ParquetFile(file).iter_batches()
        return _profile_objects((row for batch in batches for row in batch.to_pylist()), called)
    except ArrowException:
        raise InputFileError(f"{called}: is not a valid Parquet file; is it damaged or cut off?") from None


def _profile_objects(rows: Iterable[Mapping[str, Any]], called: str) -> DataProfile:
    profile = DataProfile()
    for row in rows:
        _add_object(profile, (), row)
        if len(profile.columns) > FIELDS_MAX:
            raise InputFileError(f"{called}: has more than {FIELDS_MAX:,} fields; are data used as names of fields?")
    return profile


def _add_object(profile: DataProfile, names: Names, values: Mapping[str, Any]) -> None:
    profile.objects[names] += 1
    for name, value in values.items():
        path = (*names, name)
        if isinstance(value, dict) and value and len(path) < _DEPTH_MAX:
            _add_object(profile, path, value)
        else:
            profile.columns.setdefault(path, ColumnProfile()).add(_as_json(value))


def _as_json(value: object) -> object:
    """A value of a Parquet file as JSON has it; those of JSON files do not change."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value
