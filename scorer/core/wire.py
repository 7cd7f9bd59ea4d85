"""Decodes applications and encodes decisions.

The fast decoder (msgspec) is derived from the pydantic contract and decodes one record at a time. Values that it
rejects or finds ambiguous go to the slow decoder, the contract itself (`scorer.core.contract`), which is authoritative
and gives the reason. Values are never concatenated and decoded in one call: a crafted pair of records could then swap
fields.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, get_args, get_origin

import annotated_types
import msgspec
import numpy as np
from pydantic_core import from_json

from schemas.application import CreditApplication
from schemas.decision import BundleReference, decision_id
from schemas.rejection import RejectionCode
from scorer.core.contract import Rejection, read_by_contract
from scorer.core.policy import LABELS

__all__ = [
    "Application",
    "DecisionEncoder",
    "DecodedBatch",
    "Rejection",
    "decode",
    "decode_batch",
    "id_of",
    "too_large",
]


def _constraints(metadata: Iterable[object]) -> dict[str, Any]:
    """Translates a field's pydantic constraints to msgspec's."""
    constraints: dict[str, Any] = {}
    for rule in metadata:
        match rule:
            case annotated_types.Ge(ge):
                constraints["ge"] = ge
            case annotated_types.Gt(gt):
                constraints["gt"] = gt
            case annotated_types.Le(le):
                constraints["le"] = le
            case annotated_types.MinLen(n):
                constraints["min_length"] = n
            case annotated_types.MaxLen(n):
                constraints["max_length"] = n
            case _:
                msg = f"add {rule!r} to the fast decoder, or it would accept values that pydantic rejects"
                raise TypeError(msg)
    return constraints


def _msgspec_type(annotation: Any, metadata: Iterable[object]) -> Any:
    """Returns the msgspec type for a pydantic annotation; it never accepts more."""
    if get_origin(annotation) is Annotated:
        base, *rules = get_args(annotation)
        return _msgspec_type(base, [rule for outer in rules for rule in getattr(outer, "metadata", [outer])])
    if get_origin(annotation) is Literal:
        return annotation
    if NoneType in get_args(annotation):
        (base,) = (a for a in get_args(annotation) if a is not NoneType)
        return _msgspec_type(base, metadata) | None
    return Annotated[annotation, msgspec.Meta(**_constraints(metadata))]


def _msgspec_fields() -> list[tuple[str, Any] | tuple[str, Any, None]]:
    """Returns the contract's fields for `msgspec.defstruct`; absent optional fields become None."""
    required = [(n, _msgspec_type(f.annotation, f.metadata)) for n, f in _FIELDS.items() if f.is_required()]
    optional = [(n, _msgspec_type(f.annotation, f.metadata), None) for n, f in _FIELDS.items() if not f.is_required()]
    return [*required, *optional]


_FIELDS: Final = CreditApplication.model_fields

if TYPE_CHECKING:

    class Application(msgspec.Struct):
        """A decoded application: the contract's fields as attributes; None where an optional one is null or absent."""

        application_id: str
        seniority: float
        home: str
        time: float
        age: float
        marital: str | None
        records: str
        job: str
        expenses: float
        income: float | None
        assets: float | None
        debt: float | None
        amount: float
        price: float

else:
    # gc=False: it holds only strings and numbers, so it cannot be part of a reference cycle.
    Application = msgspec.defstruct("Application", _msgspec_fields(), gc=False)

_decode_application = msgspec.json.Decoder(Application).decode
# Spelt out in the loop over records: attribute access is faster than a loop over names.
_OPTIONAL: Final = ("marital", "income", "assets", "debt")
assert tuple(name for name, field in _FIELDS.items() if not field.is_required()) == _OPTIONAL, (
    "decode_batch names these"
)
_QUOTED_NAMES: Final = tuple(f'"{name}"'.encode() for name in _FIELDS)
_FIELD_COUNT: Final = len(_FIELDS)
_COLON: Final = ord(":")
# msgspec takes 6 microseconds for a number near the limits of a double, a hundred times as long as for any other.
# Values up to this size have room for fewer than 30 of them.
_UNCHECKED_BYTES_MAX: Final = 384


class DecodedBatch(NamedTuple):
    """The results of decoding n values.

    Attributes:
        applications: per value the application, or the rejection if it is invalid.
        slow_decodes: number of values that needed the slow decoder.
    """

    applications: list[Application | Rejection]
    slow_decodes: int


def decode(raw: bytes | None, bytes_max: int) -> Application | Rejection:
    """Decodes the value of one record, as `decode_batch` does."""
    return decode_batch([raw], bytes_max).applications[0]


def decode_batch(values: Sequence[bytes | Rejection | None], bytes_max: int) -> DecodedBatch:
    """Decodes the values of n records, each independently.

    Args:
        values: the records' values; None is a tombstone, and a rejection is passed through.
        bytes_max: maximum size of a value, in bytes; larger ones are rejected.
    """
    decoded: list[Application | Rejection] = []
    complete: list[int] = []
    slow_decodes = 0
    for raw in values:
        if not raw or isinstance(raw, Rejection) or len(raw) > bytes_max:
            decoded.append(_reject_unread(raw, bytes_max))
            continue
        # A field that is repeated a thousand times is decoded as often, so a long value with room for that is checked
        # first.
        is_long = len(raw) > _UNCHECKED_BYTES_MAX and raw.count(b":") > _FIELD_COUNT
        try:
            a = None if is_long and not _is_unambiguous(raw, _FIELD_COUNT) else _decode_application(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            a = None
        if a is None:
            decoded.append(_decode_slowly(raw))
            slow_decodes += 1
        elif is_long:
            decoded.append(a)
        elif a.marital is None or a.income is None or a.assets is None or a.debt is None:
            nulls = (a.marital is None) + (a.income is None) + (a.assets is None) + (a.debt is None)
            is_clear = _is_unambiguous(raw, _FIELD_COUNT - nulls)
            decoded.append(a if is_clear else _decode_slowly(raw))
            slow_decodes += not is_clear
        else:
            complete.append(len(decoded))
            decoded.append(a)
    # Each field has one colon. If the complete applications have no more colons in total, none of them has a duplicate
    # field (which would be ambiguous), an additional field, or an id with a colon. Otherwise each one is checked.
    if _count_colons(b"".join([values[row] for row in complete])) != _FIELD_COUNT * len(complete):  # type: ignore[misc]
        for row in complete:
            raw = values[row]
            assert isinstance(raw, bytes)
            if not _is_unambiguous(raw, _FIELD_COUNT):
                decoded[row] = _decode_slowly(raw)
                slow_decodes += 1
    return DecodedBatch(decoded, slow_decodes)


def too_large(value_bytes: int, bytes_max: int) -> Rejection:
    """Returns the rejection of a value of this size."""
    return Rejection(RejectionCode.TOO_LARGE, f"the value has {value_bytes} bytes; at most {bytes_max} are read")


def _reject_unread(raw: bytes | Rejection | None, bytes_max: int) -> Rejection:
    if isinstance(raw, Rejection):
        return raw
    return too_large(len(raw), bytes_max) if raw else Rejection(RejectionCode.EMPTY, "the value is empty")


def _count_colons(raw: bytes) -> int:
    """Four times as fast as `raw.count`."""
    return int(np.count_nonzero(np.frombuffer(raw, dtype=np.uint8) == _COLON))


def _is_unambiguous(raw: bytes, fields: int) -> bool:
    """Whether the parts that the fast decoder skips are valid JSON, too, and no contract field is repeated.

    Args:
        raw: the value.
        fields: number of contract fields in it, if the fast decoder accepts it.
    """
    colons = raw.count(b":")
    if colons == fields:
        return True  # one colon per field: no other members
    try:
        members = from_json(raw, allow_inf_nan=False)  # no number takes it longer than another
    except ValueError:
        return False
    if colons == len(members):
        return True  # one colon per key: no repeated name
    # With backslashes, a field's name can be spelt differently.
    return b"\\" not in raw and all(raw.count(name) <= 1 for name in _QUOTED_NAMES)


def _decode_slowly(raw: bytes) -> Application | Rejection:
    """Decodes a value with the slow decoder."""
    application = read_by_contract(raw)
    return application if isinstance(application, Rejection) else Application(**application.model_dump())


# Placeholder of a value in a template. No topic and no file has this name.
_PLACEHOLDER: Final = "\0"
_PLACEHOLDER_JSON: Final = msgspec.json.encode(_PLACEHOLDER)


class DecisionEncoder:
    """Encodes the decisions of one bundle.

    The JSON encoder encodes the values column by column. The text between the values is the same for all records of a
    partition: once per batch, it is cut out of an encoded decision with placeholders.
    """

    def __init__(self, bundle: BundleReference) -> None:
        self._reference = bundle
        self._bundle = bundle.model_dump()
        self._encoder = msgspec.json.Encoder()
        _, self._to_id, to_label, to_probability, _, self._end = self._split_template("", 0)
        self._outcomes: dict[str, bytes] = {
            name: to_label + self._encoder.encode(name) + to_probability for name in LABELS
        }

    def encode(
        self,
        source: tuple[str, Sequence[int], Sequence[int]],
        application_ids: Sequence[str],
        outcomes: Sequence[str],
        probabilities: Sequence[float],
    ) -> list[bytes]:
        """Encodes n decisions.

        Args:
            source: the topic of the applications' records, their n partitions and n offsets.
            application_ids: the applications' ids.
            outcomes: the labels: APPROVED, MAYBE or DECLINED.
            probabilities: the PDs, 0 to 1.

        Returns:
            Each decision as JSON in UTF-8, in order; equal values give equal bytes.
        """
        topic, partitions, offsets = source
        frames = {partition: self._split_template(topic, partition) for partition in set(partitions)}
        starts = {partition: frame[0] for partition, frame in frames.items()}
        to_offsets = {partition: frame[4] for partition, frame in frames.items()}
        written_offsets = self._encode_each(offsets)
        pieces = zip(
            map(starts.__getitem__, partitions),
            written_offsets,
            repeat(self._to_id),
            self._encode_each(application_ids),
            map(self._outcomes.__getitem__, outcomes),
            self._encode_each(probabilities),
            map(to_offsets.__getitem__, partitions),
            written_offsets,
            repeat(self._end),
            strict=False,  # two of the iterators are infinite
        )
        return list(map(b"".join, pieces))

    def _split_template(self, topic: str, partition: int) -> list[bytes]:
        """Returns an encoded decision of a partition, split at its placeholders: offset, id, label, PD, offset."""
        decision = {
            "decision_id": decision_id(topic, partition, _PLACEHOLDER, self._reference),
            "application_id": _PLACEHOLDER,
            "decision": _PLACEHOLDER,
            "probability_of_default": _PLACEHOLDER,
            "bundle": self._bundle,
            "source": {"topic": topic, "partition": partition, "offset": _PLACEHOLDER},
        }
        placeholder = _PLACEHOLDER_JSON.strip(b'"')
        return self._encoder.encode(decision).replace(_PLACEHOLDER_JSON, placeholder).split(placeholder)

    def _encode_each(self, values: Sequence[object]) -> list[bytes]:
        """Encodes each value as JSON, which never contains a line break."""
        return self._encoder.encode_lines(values).splitlines()


class _Identified(msgspec.Struct, gc=False):
    application_id: str


_decode_id = msgspec.json.Decoder(_Identified).decode


def id_of(decision: bytes) -> bytes:
    """Returns the application id of an encoded decision, in UTF-8."""
    return _decode_id(decision).application_id.encode()
