"""Decodes the applications of one contract.

The fast decoder (msgspec) is derived from the contract and decodes one record at a time. Values that it rejects or
finds ambiguous go to the slow one (`scorer.core.slow_decode`), which is authoritative and gives the reason. Values are
never concatenated and decoded in one call: a crafted pair of records could then swap fields.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import date
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray
from pydantic_core import from_json

from schemas.contract import NUMBER_MAX, Contract, ContractField, ContractObject, Kind
from schemas.contract_values import DATE_TIME_PATTERN
from schemas.rejection import RejectionCode
from schemas.validation import Fault
from scorer.core.columns import ColumnReader, Columns, Row, absent_object, absent_value
from scorer.core.slow_decode import Rejection, SlowDecoder, has_repeated

# msgspec takes 6 microseconds for a number near the limits of a double, a hundred times as long as for any other.
# Values up to this size have room for fewer than 30 of them.
_UNCHECKED_BYTES_MAX: Final = 384
# Shorter values have no integer that is too long for the slow decoder, and with fewer brackets none is nested too deep.
_LONG_BYTES: Final = 4_300
_NESTING_MAX: Final = 100
_COLON: Final = ord(":")


class DecodedBatch(NamedTuple):
    """The results of decoding n values.

    Attributes:
        rejections: by position, the rejections of invalid values.
        rows: the positions of the valid values, in order.
        columns: the columns of the valid values.
        slow_decodes: number of values that needed the slow decoder.
    """

    rejections: dict[int, Rejection]
    rows: list[int]
    columns: Columns
    slow_decodes: int


class Decoder:
    """Decodes the values of records of one contract."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._decode, self._flatten = _fast_decoder(contract)
        self._slow = SlowDecoder(contract)
        self._columns = ColumnReader(contract)
        members = list(_members(contract.application))
        self._members = len(members)
        self._names = frozenset(member.path[-1].encode() for member in members)

    def decode(self, raw: bytes | None, bytes_max: int) -> Columns | Rejection:
        """Decodes the value of one record, as `decode_batch` does."""
        batch = self.decode_batch([raw], bytes_max)
        return batch.rejections.get(0, batch.columns)

    def find_faults(self, raw: bytes) -> list[Fault]:
        """Returns the faults of the fields of a value that is rejected because of them; none if it is not JSON."""
        return self._slow.find_faults(raw)

    def decode_batch(self, values: Sequence[bytes | Rejection | None], bytes_max: int) -> DecodedBatch:
        """Decodes the values of n records, each independently.

        Args:
            values: the records' values; None is a tombstone, and a rejection is passed through.
            bytes_max: maximum size of a value, in bytes; larger ones are rejected.
        """
        rows: list[Row] = []
        positions: list[int] = []
        rejections: dict[int, Rejection] = {}
        unclear: list[int] = []
        checked: set[int] = set()
        decode, flatten, add_row, add_position = self._decode, self._flatten, rows.append, positions.append
        unchecked_max = min(_UNCHECKED_BYTES_MAX, bytes_max)
        for i, raw in enumerate(values):
            if type(raw) is not bytes or not 0 < len(raw) <= unchecked_max:
                if not raw or isinstance(raw, Rejection) or len(raw) > bytes_max:
                    rejections[i] = _reject_unread(raw, bytes_max)
                    continue
                # A field that is repeated a thousand times is decoded as often, so a long value with room for that is
                # checked first.
                if raw.count(b":") > self._members:
                    if not self._is_unambiguous(raw):
                        unclear.append(i)
                        continue
                    checked.add(i)
            try:
                add_row(flatten(decode(raw)))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                unclear.append(i)
            else:
                add_position(i)
        columns = self._columns.read(rows)
        if rows:
            unclear += self._find_unclear(values, positions, columns, checked)
        if not unclear:
            return DecodedBatch(rejections, positions, columns, 0)
        return self._decode_slowly(values, unclear, (positions, rows, columns), rejections)

    def _decode_slowly(
        self,
        values: Sequence[Any],
        unclear: Sequence[int],
        decoded: tuple[list[int], list[Row], Columns],
        rejections: dict[int, Rejection],
    ) -> DecodedBatch:
        """Decodes the values at these positions with the slow decoder; the others have a row or a rejection."""
        positions, rows, columns = decoded
        slow_rows: dict[int, Row] = {}
        for i in unclear:
            row = self._slow.decode(values[i])
            if isinstance(row, Rejection):
                rejections[i] = row
            else:
                slow_rows[i] = row
        doubted = set(unclear)
        rows_kept = [index for index, i in enumerate(positions) if i not in doubted]
        if not slow_rows:
            columns = columns.take(np.array(rows_kept, dtype=np.intp))
            return DecodedBatch(rejections, [positions[index] for index in rows_kept], columns, len(unclear))
        all_rows = {positions[index]: rows[index] for index in rows_kept} | slow_rows
        positions = sorted(all_rows)
        columns = self._columns.read([all_rows[i] for i in positions])
        assert not columns.invalid.any(), "the slow decoder rejects invalid values"
        return DecodedBatch(rejections, positions, columns, len(unclear))

    def _find_unclear(
        self, values: Sequence[Any], positions: Sequence[int], columns: Columns, checked: Collection[int]
    ) -> list[int]:
        """Returns the positions of decoded values, at least one, that the slow decoder has to read again."""
        unclear = [positions[row] for row in columns.invalid.nonzero()[0].tolist()]
        # Each member has one colon. A value that has no more of them has no member twice (which would be ambiguous), no
        # other property, and no colon in a text. The others are checked.
        colons = _count_colons([values[i] for i in positions])
        for row in (colons + columns.absent != self._members).nonzero()[0].tolist():
            i = positions[row]
            if i not in checked and not columns.invalid[row] and not self._is_unambiguous(values[i]):
                unclear.append(i)
        return unclear

    def _is_unambiguous(self, raw: bytes) -> bool:
        """Whether what the fast decoder skips is valid JSON, too, and no member of the contract is repeated."""
        if len(raw) <= _UNCHECKED_BYTES_MAX or not _is_plain(raw):
            try:
                members = from_json(raw, allow_inf_nan=False)  # no number takes it longer than another
            except ValueError:
                return False
            colons = raw.count(b":")
            if len(members) == colons or len(members) == _count_names(raw, colons):
                return True  # as many names as members: none is repeated, and there are no objects in it
        if b"\\" not in raw:  # otherwise a name can be spelt differently
            texts = raw.split(b'"')[1::2]
            if sum(map(self._names.__contains__, texts)) == len(self._names.intersection(texts)):
                return True
        return not has_repeated(raw, self.contract)


def too_large(value_bytes: int, bytes_max: int) -> Rejection:
    """Returns the rejection of a value of this size."""
    return Rejection(RejectionCode.TOO_LARGE, f"the value has {value_bytes} bytes; at most {bytes_max} are read")


def _reject_unread(raw: bytes | Rejection | None, bytes_max: int) -> Rejection:
    if isinstance(raw, Rejection):
        return raw
    return too_large(len(raw), bytes_max) if raw else Rejection(RejectionCode.EMPTY, "the value is empty")


def _count_colons(values: Sequence[bytes]) -> NDArray[np.intp]:
    """Returns the number of colons in each of n values, at least one and none of them empty; shape (n,)."""
    ends = np.fromiter(map(len, values), dtype=np.intp, count=len(values)).cumsum()
    colon_positions = (np.frombuffer(b"".join(values), dtype=np.uint8) == _COLON).nonzero()[0]
    counts: NDArray[np.intp] = colon_positions.searchsorted(ends)
    counts[1:] -= counts[:-1].copy()
    return counts


def _count_names(raw: bytes, colons: int) -> int:
    """Returns the number of names in a JSON value, or more if spaces precede some of its colons."""
    has_spaces = b" :" in raw or b"\n:" in raw or b"\t:" in raw or b"\r:" in raw
    return colons if has_spaces else raw.count(b'":')


def _is_plain(raw: bytes) -> bool:
    """Whether msgspec checks all of the syntax: it skips texts that are not UTF-8, long integers, and any nesting."""
    return raw.isascii() and len(raw) < _LONG_BYTES and raw.count(b"[") + raw.count(b"{") <= _NESTING_MAX


# Derivation from the contract


def _members(group: ContractObject) -> list[ContractField | ContractObject]:
    """The group's members and those of objects in it."""
    members: list[ContractField | ContractObject] = []
    for member in group.members:
        members.append(member)
        if isinstance(member, ContractObject):
            members += _members(member)
    return members


def _fast_decoder(contract: Contract) -> tuple[Callable[[bytes], Any], Callable[[Any], Row]]:
    """Returns the fast decoder and the function that flattens its results to rows."""
    if any(character in member.path[-1] for member in _members(contract.application) for character in '"\\'):
        return _leave_to_slow_decoder, astuple  # msgspec has no fields with such names
    application, flatten = _struct(contract.application)
    return msgspec.json.Decoder(application).decode, flatten


def _leave_to_slow_decoder(_: bytes) -> Any:
    raise msgspec.DecodeError


def _struct(group: ContractObject) -> tuple[type[msgspec.Struct], Callable[[Any], Row]]:
    """Returns the struct of an object, and the function that flattens one to a row."""
    fields: list[Any] = []
    objects: list[tuple[int, Callable[[Any], Row], Row]] = []
    for i, member in enumerate(group.members):
        if isinstance(member, ContractField):
            type_, absent = _msgspec_type(member), absent_value(member)
        else:
            type_, flatten = _struct(member)
            objects.append((i, flatten, absent_object(member)))
            absent = None
            type_ = type_ | None if member.nullable else type_
        fields.append((f"m{i}", type_) if member.required else (f"m{i}", type_, absent))
    # gc=False: it holds only strings, numbers and other such structs, so it cannot be part of a reference cycle.
    rename = {f"m{i}": member.path[-1] for i, member in enumerate(group.members)}
    struct = msgspec.defstruct("Application", fields, rename=rename, kw_only=True, gc=False)
    return struct, _flattening(objects) if objects else _flatten_leaf if group.path else astuple


def _flatten_leaf(struct: Any) -> Row:
    return (*astuple(struct), 0)


def _flattening(objects: Sequence[tuple[int, Callable[[Any], Row], Row]]) -> Callable[[Any], Row]:
    """Returns the function that flattens a struct that contains objects: its values, and the number of absent ones."""

    def flatten(struct: Any) -> Row:
        values = astuple(struct)
        row: list[Any] = []
        begin = objects_absent = 0
        for i, flatten_object, absent in objects:
            row += values[begin:i]
            *members, count = absent if values[i] is None else flatten_object(values[i])
            row += members
            objects_absent += count
            begin = i + 1
        return (*row, *values[begin:], objects_absent)

    return flatten


def _msgspec_type(field: ContractField) -> Any:
    """Returns the msgspec type for a field; `scorer.core.columns` checks what it cannot express."""
    match field.kind:
        case Kind.NUMBER | Kind.INTEGER:
            # Values that mean unknown may exceed the limits.
            type_: Any = float if field.unknown else Annotated[float, msgspec.Meta(**_limits(field))]
        case Kind.BOOLEAN:
            type_ = bool
        case Kind.CATEGORY:
            type_ = Literal[tuple(dict.fromkeys([*field.categories, *map(str, field.unknown)]))]
        case Kind.DATE:
            type_ = date
        case Kind.DATE_TIME:
            type_ = Annotated[str, msgspec.Meta(pattern=rf"\A{DATE_TIME_PATTERN}\Z")]
        case Kind.TEXT:
            type_ = Annotated[str, msgspec.Meta(min_length=field.length_min, max_length=field.length_max)]
    return type_ | None if field.nullable else type_


def _limits(field: ContractField) -> dict[str, Any]:
    limits = field.limits
    low: dict[str, Any] = (
        {"gt": limits.exclusive_minimum} if limits.exclusive_minimum >= limits.minimum else {"ge": limits.minimum}
    )
    high: dict[str, Any] = (
        {"lt": limits.exclusive_maximum} if limits.exclusive_maximum <= limits.maximum else {"le": limits.maximum}
    )
    if next(iter(low.values())) < -NUMBER_MAX:
        low = {"ge": -NUMBER_MAX}
    if next(iter(high.values())) > NUMBER_MAX:
        high = {"le": NUMBER_MAX}
    return low | high
