"""Decodes the applications of one contract.

The fast decoder (msgspec) is derived from the contract and decodes one record at a time. Values that it rejects or
finds ambiguous go to the slow one (`scorer.core.slow_decode`), which is authoritative and gives the reason. Values are
never concatenated and decoded in one call: a crafted pair of records could then swap fields.
"""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
import numpy as np

from schemas.contract import NUMBER_MAX, Contract, ContractField, ContractObject, Kind
from schemas.rejection import RejectionCode
from schemas.validation import Fault
from scorer.core.columns import ColumnReader, Columns, Row, absent_value, attribute_of, concatenate
from scorer.core.repetition import RepetitionCheck, members_of
from scorer.core.slow_decode import Rejection, SlowDecoder

# msgspec takes 6 microseconds for a number near the limits of a double, a hundred times as long as for any other.
# Values up to this size have room for fewer than 30 of them.
_UNCHECKED_BYTES_MAX: Final = 384
_COLONS_OF_DATE_TIME: Final = 3
# So many decoded values fit into a processor's cache until they are in columns.
_FIELDS_AT_ONCE: Final = 100_000


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
        self._decode = _fast_decoder(contract)
        self._slow = SlowDecoder(contract)
        self._columns = ColumnReader(contract)
        self._repetition = RepetitionCheck(contract)
        # A value of this size has room for twice as many such numbers as a valid one can have.
        self._unchecked_bytes_max = max(_UNCHECKED_BYTES_MAX, 27 * self._repetition.members)
        self._values_at_once = max(1, _FIELDS_AT_ONCE // len(contract.fields))
        date_times = sum(field.kind is Kind.DATE_TIME for field in contract.fields.values())
        self._colons_max = self._repetition.members + _COLONS_OF_DATE_TIME * date_times

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
        size = self._values_at_once
        if len(values) <= size:
            return self._decode_at_once(values, bytes_max)
        begins = range(0, len(values), size)
        parts = [self._decode_at_once(values[begin : begin + size], bytes_max) for begin in begins]
        return DecodedBatch(
            {begin + i: one for begin, part in zip(begins, parts, strict=True) for i, one in part.rejections.items()},
            [begin + i for begin, part in zip(begins, parts, strict=True) for i in part.rows],
            concatenate([part.columns for part in parts]),
            sum(part.slow_decodes for part in parts),
        )

    def _decode_at_once(self, values: Sequence[bytes | Rejection | None], bytes_max: int) -> DecodedBatch:
        rows: list[Row] = []
        positions: list[int] = []
        rejections: dict[int, Rejection] = {}
        unclear: list[int] = []
        checked: set[int] = set()
        decode, add_row, add_position = self._decode, rows.append, positions.append
        unchecked_max = min(self._unchecked_bytes_max, bytes_max)
        for i, raw in enumerate(values):
            if type(raw) is not bytes or not 0 < len(raw) <= unchecked_max:
                if not raw or isinstance(raw, Rejection) or len(raw) > bytes_max:
                    rejections[i] = _reject_unread(raw, bytes_max)
                    continue
                # A field that is repeated a thousand times is decoded as often, so a long value with room for that is
                # checked first.
                if raw.count(b":") > self._colons_max:
                    if not self._repetition.is_unambiguous(raw):
                        unclear.append(i)
                        continue
                    checked.add(i)
            try:
                add_row(decode(raw))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                unclear.append(i)
            else:
                add_position(i)
        columns = self._columns.read(rows)
        if rows:
            unclear += [positions[row] for row in columns.invalid.nonzero()[0].tolist()]
            unclear += self._repetition.find(values, (positions, rows, columns), checked)
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


def too_large(value_bytes: int, bytes_max: int) -> Rejection:
    """Returns the rejection of a value of this size."""
    return Rejection(RejectionCode.TOO_LARGE, f"the value has {value_bytes} bytes; at most {bytes_max} are read")


def _reject_unread(raw: bytes | Rejection | None, bytes_max: int) -> Rejection:
    if isinstance(raw, Rejection):
        return raw
    return too_large(len(raw), bytes_max) if raw else Rejection(RejectionCode.EMPTY, "the value is empty")


# Derivation from the contract


def _fast_decoder(contract: Contract) -> Callable[[bytes], Row]:
    if any(character in member.path[-1] for member in members_of(contract.application) for character in '"\\'):
        return _leave_to_slow_decoder  # msgspec has no fields with such names
    return msgspec.json.Decoder(_struct(contract.application)).decode


def _leave_to_slow_decoder(_: bytes) -> Any:
    raise msgspec.DecodeError


def _struct(group: ContractObject) -> type[msgspec.Struct]:
    """Returns the struct of an object; `attribute_of` names its attributes."""
    fields: list[Any] = []
    for i, member in enumerate(group.members):
        absent: Any = msgspec.UNSET
        if isinstance(member, ContractField):
            type_, absent = _msgspec_type(member), absent_value(member)
        else:
            type_ = _struct(member) | None if member.nullable else _struct(member)
        fields.append((attribute_of(i), type_) if member.required else (attribute_of(i), type_, absent))
    # gc=False: it holds only strings, numbers and other such structs, so it cannot be part of a reference cycle.
    rename = {attribute_of(i): member.path[-1] for i, member in enumerate(group.members)}
    return msgspec.defstruct("Application", fields, rename=rename, kw_only=True, gc=False)


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
            type_ = str
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
