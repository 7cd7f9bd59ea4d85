"""Columns of a batch: the values of each of the contract's fields as one array, and which of them are not valid.

The fast decoder checks what msgspec can express; the rest is checked here, one field at a time: whole numbers, limits
that values for "unknown" may exceed, and the calendar of date-times.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.contract import Contract, ContractField, ContractObject, Kind
from schemas.contract_values import read_date_time

Row = tuple[Any, ...]
"""An application: its values in the order of the contract's fields; None is null or absent.

If the contract has objects, the number of those that are null or absent follows.
"""

Column = NDArray[Any]
"""The values of one field: float64, or for a category intp, the position of each value in the contract.

Numbers are as they are, booleans 0 and 1, dates and date-times days since 1970-01-01 in UTC. Unknown is NaN, or -1.
"""

UNKNOWN_CATEGORY: Final = -1
_ABSENT: Final = (None, msgspec.UNSET)
_EPOCH: Final = date(1970, 1, 1).toordinal()
_EPOCH_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The columns of n applications.

    Attributes:
        ids: the applications' ids.
        values: by name of the field, without texts; defaults stand in for absent values.
        absent: shape (n,): how many of a row's values, and of the objects that contain them, are null or absent.
        invalid: shape (n,): whether a row has a value that is not valid.
    """

    ids: Sequence[str]
    values: Mapping[str, Column]
    absent: NDArray[np.intp]
    invalid: NDArray[np.bool_]

    def __len__(self) -> int:
        """The number of applications."""
        return len(self.ids)

    def take(self, rows: NDArray[np.intp]) -> "Columns":
        """Returns the columns of some rows, by index."""
        return Columns(
            [self.ids[row] for row in rows.tolist()],
            {name: column[rows] for name, column in self.values.items()},
            self.absent[rows],
            self.invalid[rows],
        )


def concatenate(parts: Sequence[Columns]) -> Columns:
    """Returns the applications of several columns, at least one, in order."""
    return Columns(
        [application_id for part in parts for application_id in part.ids],
        {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values},
        np.concatenate([part.absent for part in parts]),
        np.concatenate([part.invalid for part in parts]),
    )


class ColumnReader:
    """Reads the columns of rows of one contract."""

    def __init__(self, contract: Contract) -> None:
        fields = list(contract.fields.values())
        self._id = fields.index(contract.id_field)
        self._texts = [
            i for i, field in enumerate(fields) if field.kind is Kind.TEXT and field.path != contract.id_path
        ]
        self._width = len(fields)
        self._has_objects = bool(contract.application.objects)
        self._readers = [(i, field, _reader(field)) for i, field in enumerate(fields) if field.kind is not Kind.TEXT]

        self._of_no_rows = self._read([])

    def read(self, rows: Sequence[Row]) -> Columns:
        """Returns the columns of n rows."""
        return self._read(rows) if rows else self._of_no_rows

    def _read(self, rows: Sequence[Row]) -> Columns:
        n = len(rows)
        values = tuple(zip(*rows, strict=True)) or ((),) * (self._width + self._has_objects)
        absent = np.zeros(n, dtype=np.intp)
        invalid = np.zeros(n, dtype=np.bool_)
        columns: dict[str, Column] = {}
        if self._has_objects:
            absent += np.fromiter(values[self._width], dtype=np.intp, count=n)
        for i in self._texts:
            absent += np.fromiter((text in _ABSENT for text in values[i]), dtype=np.bool_, count=n)
        for i, field, read in self._readers:
            columns[field.name] = read(values[i], absent, invalid)
        return Columns(values[self._id], columns, absent, invalid)


_Reader = Callable[[Sequence[Any], NDArray[np.intp], NDArray[np.bool_]], Column]


def _reader(field: ContractField) -> _Reader:
    """Returns the function that reads a field's column, and adds to what is absent and invalid."""
    match field.kind:
        case Kind.CATEGORY:
            return _category_reader(field)
        case Kind.DATE:
            return _date_reader(field)
        case Kind.DATE_TIME:
            return _date_time_reader(field)
        case _:
            return _number_reader(field)


def _number_reader(field: ContractField) -> _Reader:
    unknown = np.array(field.unknown, dtype=np.float64)
    default = None if field.default is None else np.nan if field.default in field.unknown else float(field.default)
    may_be_unset, may_be_absent = _may_be_unset(field), may_be_none(field)

    def read(values: Sequence[Any], absent: NDArray[np.intp], invalid: NDArray[np.bool_]) -> Column:
        if may_be_unset:
            values = [np.inf if value is msgspec.UNSET else value for value in values]
        column = np.fromiter(values, dtype=np.float64, count=len(values))  # None becomes NaN
        is_fraction = np.isfinite(column) & (column != np.floor(column)) if field.kind is Kind.INTEGER else None
        if is_fraction is not None and not unknown.size:
            np.logical_or(invalid, is_fraction, out=invalid)
        if not may_be_absent and not unknown.size:
            return column
        is_absent = ~np.isfinite(column)
        np.add(absent, is_absent, out=absent)
        is_unset = np.isinf(column) if may_be_unset else is_absent
        if unknown.size:
            is_unknown = np.isin(column, unknown)
            is_valid = field.limits.hold(column) if is_fraction is None else field.limits.hold(column) & ~is_fraction
            invalid |= ~(is_absent | is_unknown | is_valid)
            column[is_unknown] = np.nan
        if default is not None:
            column[is_unset] = default
        return column

    return read


def _category_reader(field: ContractField) -> _Reader:
    codes: dict[Any, int] = {value: code for code, value in enumerate(field.categories)}
    codes.update(dict.fromkeys(field.unknown, len(codes)))
    absent_code, null_code = len(codes) + 1, len(codes) + 2
    codes[msgspec.UNSET] = absent_code
    codes[None] = null_code if _may_be_unset(field) else absent_code
    final = np.full(null_code + 1, UNKNOWN_CATEGORY, dtype=np.intp)
    for value, code in codes.items():
        if value in field.categories and value not in field.unknown:
            final[code] = code
    if field.default is not None:
        final[absent_code] = final[codes[field.default]]
    code_of = codes.__getitem__

    def read(values: Sequence[Any], absent: NDArray[np.intp], _: NDArray[np.bool_]) -> Column:
        column = np.fromiter(map(code_of, values), dtype=np.intp, count=len(values))
        absent += column >= absent_code
        return final[column]

    return read


def _date_reader(field: ContractField) -> _Reader:
    default = field.default
    may_be_unset = _may_be_unset(field)

    def read(values: Sequence[Any], absent: NDArray[np.intp], _: NDArray[np.bool_]) -> Column:
        days = (np.inf if v is msgspec.UNSET else np.nan if v is None else v.toordinal() - _EPOCH for v in values)
        column = np.fromiter(days, dtype=np.float64, count=len(values))
        absent += ~np.isfinite(column)
        if default is not None:
            days_default = date.fromisoformat(str(default)).toordinal() - _EPOCH
            column[np.isinf(column) if may_be_unset else np.isnan(column)] = days_default
        return column

    return read


def _date_time_reader(field: ContractField) -> _Reader:
    may_be_unset = _may_be_unset(field)

    def days(value: Any) -> float:
        if value is None:
            return np.nan
        moment = read_date_time(value)
        return np.inf if moment is None else (moment - _EPOCH_TIME) // _MICROSECOND / _DAY_US

    default = None if field.default is None else days(field.default)

    def read(values: Sequence[Any], absent: NDArray[np.intp], invalid: NDArray[np.bool_]) -> Column:
        is_unset = np.fromiter((v is msgspec.UNSET for v in values), dtype=np.bool_, count=len(values))
        present: Iterable[Any] = (None if v is msgspec.UNSET else v for v in values) if is_unset.any() else values
        column = np.fromiter(map(days, present), dtype=np.float64, count=len(values))
        invalid |= np.isinf(column)
        absent += np.isnan(column)
        if default is not None:
            column[is_unset if may_be_unset else np.isnan(column)] = default
        return column

    return read


_MICROSECOND: Final = datetime.resolution


def may_be_none(field: ContractField) -> bool:
    """Whether a decoded application may have no value of a field, null or absent."""
    return field.nullable or not field.required or len(field.path) > 1


def _may_be_unset(field: ContractField) -> bool:
    """Whether an absent value differs from null: it has the default, and null is unknown."""
    return field.nullable and field.default is not None


def absent_value(field: ContractField) -> Any:
    """What stands in a row for an absent value."""
    return msgspec.UNSET if _may_be_unset(field) else None


def absent_object(group: ContractObject) -> Row:
    """What stands in a row for an absent object: its fields, and the number of absent objects."""
    row: list[Any] = []
    count = 1
    for member in group.members:
        if isinstance(member, ContractField):
            row.append(absent_value(member))
        else:
            *members, absent = absent_object(member)
            row += members
            count += absent
    return (*row, count)
