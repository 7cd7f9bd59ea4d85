"""Bytes to applications and decisions to bytes: the only decoding and encoding.

The fast decoder is derived from the pydantic contract and reads one record at a time. What it refuses, and what it
cannot vouch for, is read again by the contract (`scorer.core.contract`), which has the last word and can explain.
Payloads are never joined to be decoded in one call: a crafted pair of neighbours could then swap their fields.
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
from scorer.core.policy import OUTCOMES

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
    """What pydantic knows of a field's limits, in msgspec's words."""
    found: dict[str, Any] = {}
    for rule in metadata:
        match rule:
            case annotated_types.Ge(ge):
                found["ge"] = ge
            case annotated_types.Gt(gt):
                found["gt"] = gt
            case annotated_types.Le(le):
                found["le"] = le
            case annotated_types.MinLen(n):
                found["min_length"] = n
            case annotated_types.MaxLen(n):
                found["max_length"] = n
            case _:
                msg = f"teach the fast decoder the rule {rule!r}, or it would accept what pydantic refuses"
                raise TypeError(msg)
    return found


def _fast_type(annotation: Any, metadata: Iterable[object]) -> Any:
    """The msgspec type that accepts what pydantic's annotation accepts, or less."""
    if get_origin(annotation) is Annotated:
        base, *rules = get_args(annotation)
        return _fast_type(base, [rule for outer in rules for rule in getattr(outer, "metadata", [outer])])
    if get_origin(annotation) is Literal:
        return annotation
    if NoneType in get_args(annotation):
        (base,) = (a for a in get_args(annotation) if a is not NoneType)
        return _fast_type(base, metadata) | None
    return Annotated[annotation, msgspec.Meta(**_constraints(metadata))]


def _fast_fields() -> list[tuple[str, Any] | tuple[str, Any, None]]:
    """The contract's fields for `msgspec.defstruct`; a field that may be absent is None when it is."""
    required = [(n, _fast_type(f.annotation, f.metadata)) for n, f in _FIELDS.items() if f.is_required()]
    optional = [(n, _fast_type(f.annotation, f.metadata), None) for n, f in _FIELDS.items() if not f.is_required()]
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
    # gc=False: it holds only strings and numbers, so it can be part of no cycle, and the collector need not look at it.
    Application = msgspec.defstruct("Application", _fast_fields(), gc=False)

_decode_application = msgspec.json.Decoder(Application).decode
# Spelt out where every record passes: attributes are quicker than anything that loops over names.
_OPTIONAL: Final = ("marital", "income", "assets", "debt")
assert tuple(name for name, field in _FIELDS.items() if not field.is_required()) == _OPTIONAL, "decode counts these"
_QUOTED_NAMES: Final = tuple(f'"{name}"'.encode() for name in _FIELDS)
_FIELD_COUNT: Final = len(_FIELDS)
_COLON: Final = ord(":")
# A number near the ends of what a double holds takes msgspec 6 microseconds, a hundred times as long as any other. A
# value that is not longer than this has no room for more than 30 of them.
_UNCHECKED_BYTES_MAX: Final = 384


class DecodedBatch(NamedTuple):
    """What became of n values.

    Attributes:
        applications: of each the application, or why the contract refuses it.
        slow_decodes: how many of them the contract itself had to read.
    """

    applications: list[Application | Rejection]
    slow_decodes: int


def decode(raw: bytes | None, bytes_max: int) -> Application | Rejection:
    """Reads one record's value, as `decode_batch` does."""
    return decode_batch([raw], bytes_max).applications[0]


def decode_batch(values: Sequence[bytes | Rejection | None], bytes_max: int) -> DecodedBatch:
    """Reads the values of n records, each by itself.

    Args:
        values: the records' values; None is a tombstone, and a rejection stays what it is.
        bytes_max: the longest value that is read at all, in bytes.
    """
    decoded: list[Application | Rejection] = []
    full: list[int] = []
    slow_decodes = 0
    for raw in values:
        if not raw or isinstance(raw, Rejection) or len(raw) > bytes_max:
            decoded.append(_reject_unread(raw, bytes_max))
            continue
        # A field that is given a thousand times is read as often: a long value with room for that is checked first.
        is_long = len(raw) > _UNCHECKED_BYTES_MAX and raw.count(b":") > _FIELD_COUNT
        try:
            a = None if is_long and not _is_unambiguous(raw, _FIELD_COUNT) else _decode_application(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            a = None
        if a is None:
            decoded.append(_read_again(raw))
            slow_decodes += 1
        elif is_long:
            decoded.append(a)
        elif a.marital is None or a.income is None or a.assets is None or a.debt is None:
            nulls = (a.marital is None) + (a.income is None) + (a.assets is None) + (a.debt is None)
            is_clear = _is_unambiguous(raw, _FIELD_COUNT - nulls)
            decoded.append(a if is_clear else _read_again(raw))
            slow_decodes += not is_clear
        else:
            full.append(len(decoded))
            decoded.append(a)
    # Every field has its colon. If the full applications have no more than that in all, none has a field twice (which
    # one is meant?), one of the publisher's own, or an id with a colon in it; or else each is looked at.
    if _count_colons(b"".join([values[place] for place in full])) != _FIELD_COUNT * len(full):  # type: ignore[misc]
        for place in full:
            raw = values[place]
            assert isinstance(raw, bytes)
            if not _is_unambiguous(raw, _FIELD_COUNT):
                decoded[place] = _read_again(raw)
                slow_decodes += 1
    return DecodedBatch(decoded, slow_decodes)


def too_large(value_bytes: int, bytes_max: int) -> Rejection:
    """Why a value of so many bytes is not read."""
    return Rejection(RejectionCode.TOO_LARGE, f"the value has {value_bytes} bytes; at most {bytes_max} are read")


def _reject_unread(raw: bytes | Rejection | None, bytes_max: int) -> Rejection:
    if isinstance(raw, Rejection):
        return raw
    return too_large(len(raw), bytes_max) if raw else Rejection(RejectionCode.EMPTY, "the value is empty")


def _count_colons(raw: bytes) -> int:
    """Four times as quick as `raw.count`."""
    return int(np.count_nonzero(np.frombuffer(raw, dtype=np.uint8) == _COLON))


def _is_unambiguous(raw: bytes, fields: int) -> bool:
    """True when the value is JSON in the parts that the fast decoder skips too, and gives no field of ours twice.

    Args:
        raw: the value.
        fields: how many of the contract's fields are in it if the fast decoder reads it.
    """
    colons = raw.count(b":")
    if colons == fields:
        return True  # a field a colon, and nothing else
    try:
        members = from_json(raw, allow_inf_nan=False)  # takes no longer for one number than for another
    except ValueError:
        return False
    if colons == len(members):
        return True  # a key a colon again: no name stands twice
    # A backslash can spell a field's name in another way.
    return b"\\" not in raw and all(raw.count(name) <= 1 for name in _QUOTED_NAMES)


def _read_again(raw: bytes) -> Application | Rejection:
    """Reads a value by the contract itself."""
    read = read_by_contract(raw)
    return read if isinstance(read, Rejection) else Application(**read.model_dump())


# Stands where a value goes. No topic and no file is named so.
_GAP: Final = "\0"
_GAP_WRITTEN: Final = msgspec.json.encode(_GAP)


class DecisionEncoder:
    """Writes the decisions of one bundle.

    The JSON encoder writes each value, a column at a time. What stands between the values is the same for all records
    of a partition: it is cut, once a batch, out of what the same encoder makes of a decision with gaps.
    """

    def __init__(self, bundle: BundleReference) -> None:
        self._reference = bundle
        self._bundle = bundle.model_dump()
        self._encoder = msgspec.json.Encoder()
        _, self._to_id, to_outcome, to_probability, _, self._end = self._frame("", 0)
        self._outcomes: dict[str, bytes] = {
            name: to_outcome + self._encoder.encode(name) + to_probability for name in OUTCOMES
        }

    def encode(
        self,
        source: tuple[str, Sequence[int], Sequence[int]],
        application_ids: Sequence[str],
        outcomes: Sequence[str],
        probabilities: Sequence[float],
    ) -> list[bytes]:
        """Writes n decisions.

        Args:
            source: the topic of the applications' records, their n partitions and n offsets.
            application_ids: the applications' ids.
            outcomes: of each APPROVED, MAYBE or DECLINED.
            probabilities: of default, 0 to 1.

        Returns:
            Each decision as JSON in UTF-8, in order; the same values give the same bytes.
        """
        topic, partitions, offsets = source
        frames = {partition: self._frame(topic, partition) for partition in set(partitions)}
        starts = {partition: frame[0] for partition, frame in frames.items()}
        to_offsets = {partition: frame[4] for partition, frame in frames.items()}
        written_offsets = self._write(offsets)
        pieces = zip(
            map(starts.__getitem__, partitions),
            written_offsets,
            repeat(self._to_id),
            self._write(application_ids),
            map(self._outcomes.__getitem__, outcomes),
            self._write(probabilities),
            map(to_offsets.__getitem__, partitions),
            written_offsets,
            repeat(self._end),
            strict=False,  # two of them have no end
        )
        return list(map(b"".join, pieces))

    def _frame(self, topic: str, partition: int) -> list[bytes]:
        """A decision on a record of this partition, cut at its gaps: offset, id, outcome, probability, offset again."""
        decision = {
            "decision_id": decision_id(topic, partition, _GAP, self._reference),
            "application_id": _GAP,
            "decision": _GAP,
            "probability_of_default": _GAP,
            "bundle": self._bundle,
            "source": {"topic": topic, "partition": partition, "offset": _GAP},
        }
        gap = _GAP_WRITTEN.strip(b'"')
        return self._encoder.encode(decision).replace(_GAP_WRITTEN, gap).split(gap)

    def _write(self, values: Sequence[object]) -> list[bytes]:
        """Each value as JSON, which holds no line break."""
        return self._encoder.encode_lines(values).splitlines()


class _Identified(msgspec.Struct, gc=False):
    application_id: str


_decode_id = msgspec.json.Decoder(_Identified).decode


def id_of(decision: bytes) -> bytes:
    """The id of a decision's application, in UTF-8."""
    return _decode_id(decision).application_id.encode()
