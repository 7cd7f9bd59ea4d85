"""Bytes to applications and decisions to bytes: the only decoding and encoding.

The fast decoder is derived from the pydantic contract and reads one record at a time. What it refuses, and what it
cannot vouch for, is read again by pydantic, which has the last word and can explain. Payloads are never joined to be
decoded in one call: a crafted pair of neighbours could then swap their fields.
"""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import repeat
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, get_args, get_origin

import annotated_types
import msgspec
import numpy as np
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.application import CreditApplication
from schemas.decision import BundleReference, decision_id
from schemas.rejection import RejectionCode
from scorer.core.policy import OUTCOMES


class Rejection(NamedTuple):
    """Why a record cannot be decided. The reason names fields and rules and never holds a value."""

    code: RejectionCode
    reason: str


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
_decode_anything = msgspec.json.Decoder().decode
# Spelt out where every record passes: attributes are quicker than anything that loops over names.
_OPTIONAL: Final = ("marital", "income", "assets", "debt")
assert tuple(name for name, field in _FIELDS.items() if not field.is_required()) == _OPTIONAL, "decode counts these"
_QUOTED_NAMES: Final = tuple(f'"{name}"'.encode() for name in _FIELDS)
_FIELD_COUNT: Final = len(_FIELDS)
# Far below the recursion limits of every parser here, so that none of them can differ about it.
_NESTING_MAX: Final = 100
_COLON: Final = ord(":")


def decode(raw: bytes | None, bytes_max: int) -> Application | Rejection:
    """Reads one record's value, as `decode_batch` does."""
    return decode_batch([raw], bytes_max)[0]


def decode_batch(values: Sequence[bytes | Rejection | None], bytes_max: int) -> list[Application | Rejection]:
    """Reads the values of n records, each by itself.

    Args:
        values: the records' values; None is a tombstone, and a rejection stays what it is.
        bytes_max: the longest value that is read at all, in bytes.

    Returns:
        Of each the application, or why the contract refuses it.
    """
    decoded: list[Application | Rejection] = []
    full: list[bytes] = []
    for raw in values:
        if not raw or isinstance(raw, Rejection) or len(raw) > bytes_max:
            decoded.append(_reject_unread(raw, bytes_max))
            continue
        try:
            a = _decode_application(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            decoded.append(_read_again(raw))
            continue
        if a.marital is None or a.income is None or a.assets is None or a.debt is None:
            decoded.append(_vouch(raw, a))
        else:
            decoded.append(a)
            full.append(raw)
    # Every field has its colon. If the full applications have no more than that in all, none has a field twice (which
    # one is meant?), one of the publisher's own, or an id with a colon in it; or else each is looked at.
    if _count_colons(b"".join(full)) == _FIELD_COUNT * len(full):
        return decoded
    return [
        found if not isinstance(raw, bytes) or isinstance(found, Rejection) else _vouch(raw, found)
        for raw, found in zip(values, decoded, strict=True)
    ]


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


def _vouch(raw: bytes, a: Application) -> Application | Rejection:
    """The application if the value means only this; otherwise what the contract makes of it."""
    return a if _is_unambiguous(raw, a) else _read_again(raw)


def _is_unambiguous(raw: bytes, a: Application) -> bool:
    """True when the value is JSON in the parts that the fast decoder skipped too, and gives no field of ours twice."""
    colons = raw.count(b":")
    if colons == _FIELD_COUNT - (a.marital is None) - (a.income is None) - (a.assets is None) - (a.debt is None):
        return True  # a field a colon, and nothing else
    is_nested = raw.find(b"[") >= 0 or raw.find(b"{", 1) >= 0  # quicker than to count, and most are not
    if is_nested and raw.count(b"[") + raw.count(b"{") > _NESTING_MAX:
        return False
    try:
        members = _decode_anything(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    if colons == len(members):
        return True  # a key a colon again: no name stands twice
    # A backslash can spell a field's name in another way.
    return b"\\" not in raw and all(raw.count(name) <= 1 for name in _QUOTED_NAMES)


def _read_again(raw: bytes) -> Application | Rejection:
    """Reads a value by the contract itself: slow, exact, and able to say what is wrong."""
    refusal = _refuse_as_json(raw)
    if refusal:
        return refusal
    try:
        application = CreditApplication.model_validate_json(raw)
    except ValidationError as error:
        return _explain(error, raw)
    return Application(**application.model_dump())


class _Pairs(list[tuple[str, object]]):
    """A JSON object as it was written: every name with its value, the repeated ones too."""


def _refuse_constant(name: str) -> object:
    msg = f"{name} is not a JSON number"
    raise ValueError(msg)


def _refuse_as_json(raw: bytes) -> Rejection | None:  # noqa: PLR0911  (a fault a return)
    """What is wrong with a value before its fields can be looked at; None if nothing."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return Rejection(RejectionCode.NOT_UTF8, f"the value is not UTF-8: see byte {error.start}")
    try:
        # parse_int: Python refuses integers of more than 4,300 digits; what is too large is the fields' business.
        value = json.loads(text, object_pairs_hook=_Pairs, parse_constant=_refuse_constant, parse_int=float)
    except json.JSONDecodeError as error:
        return Rejection(RejectionCode.NOT_JSON, f"the value is not JSON: {_at(error)}")
    except ValueError as error:
        return Rejection(RejectionCode.NOT_JSON, f"the value is not JSON: {error}")
    except RecursionError:
        return Rejection(RejectionCode.NOT_JSON, "the value is nested too deep")
    if not isinstance(value, _Pairs):
        return Rejection(RejectionCode.NOT_AN_OBJECT, "the value is JSON but not an object")
    names = [name for name, _ in value]
    repeated = [name for name in _FIELDS if names.count(name) > 1]
    if repeated:
        return Rejection(RejectionCode.NOT_JSON, f"given twice: {', '.join(repeated)}")
    return None


def _at(error: json.JSONDecodeError) -> str:
    return f"{error.msg.removesuffix(' at')} at character {error.pos}"  # some of Python's messages end in "at"


_CODES: Final = {
    "missing": RejectionCode.MISSING_FIELD,
    "greater_than": RejectionCode.OUT_OF_RANGE,
    "greater_than_equal": RejectionCode.OUT_OF_RANGE,
    "less_than_equal": RejectionCode.OUT_OF_RANGE,
    "finite_number": RejectionCode.OUT_OF_RANGE,
    "string_too_short": RejectionCode.OUT_OF_RANGE,
    "string_too_long": RejectionCode.OUT_OF_RANGE,
    "literal_error": RejectionCode.UNKNOWN_CATEGORY,
}


def _explain(error: ValidationError, raw: bytes) -> Rejection:
    """The contract's refusal as a rejection: the first failing field gives the code, the reason names them all."""
    faults = error.errors(include_url=False, include_context=False)
    if faults[0]["type"] == "json_invalid":
        faults = _faults_but_for_long_integers(raw)
    if not faults:
        # What Python's parser reads and pydantic's does not, such as half a surrogate pair.
        return Rejection(RejectionCode.NOT_JSON, "the value is not JSON: something in it is malformed or too long")
    codes = [(str(fault["loc"][0]), _code(fault)) for fault in faults]
    return Rejection(codes[0][1], "; ".join(f"{field}: {_rule(field, code)}" for field, code in codes))


def _faults_but_for_long_integers(raw: bytes) -> list[ErrorDetails]:
    """The faults of the fields in what pydantic's parser refuses; none if integers of over 4,300 digits are not why.

    Such an integer is JSON, and for a field it is out of range like any other that is too large.
    """
    readable = _STRING_OR_NUMBER.sub(_shorten, raw)
    try:
        CreditApplication.model_validate_json(readable)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        return [fault for fault in faults if fault["type"] != "json_invalid"]
    return []


# In what is known to be JSON; it also finds the "e" of true and false, which does no harm.
_STRING_OR_NUMBER: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[-+.0-9eE]+')


def _shorten(token: re.Match[bytes]) -> bytes:
    """Puts a number that is too large for any field in the place of an integer that is too long to be read."""
    return b"1e400" if len(token[0]) > 4_300 and token[0].lstrip(b"-").isdigit() else token[0]


def _code(fault: ErrorDetails) -> RejectionCode:
    if fault["type"] == "literal_error" and not isinstance(fault["input"], str):
        return RejectionCode.WRONG_TYPE
    return _CODES.get(fault["type"], RejectionCode.WRONG_TYPE)


def _rule(field: str, code: RejectionCode) -> str:
    """The rule that the field broke, in words for whoever published the record."""
    kind = _describe(field)
    match code:
        case RejectionCode.MISSING_FIELD:
            return f"missing, {kind} is needed"
        case RejectionCode.WRONG_TYPE:
            return f"wrong type, {kind} is needed"
        case RejectionCode.UNKNOWN_CATEGORY:
            return f"unknown category, {kind} is needed (letter case counts)"
        case _:
            return f"out of range, {kind} is needed"


def _describe(field: str) -> str:
    """What a field holds, from its JSON Schema: "a number from 18 to 120", "one of no, yes, unk"."""
    schema = _PROPERTIES[field]
    options = schema.get("anyOf", [schema])
    rule = options[0]
    or_null = " or null" if len(options) > 1 else ""
    if "enum" in rule:
        return f"one of {', '.join(rule['enum'])}"
    if rule["type"] == "string":
        return f"a string of {rule['minLength']} to {rule['maxLength']} characters"
    low = f"above {rule['exclusiveMinimum']:g}, up to" if "exclusiveMinimum" in rule else f"from {rule['minimum']:g} to"
    return f"a number {low} {rule['maximum']:.0f}{or_null}"


_PROPERTIES: Final[dict[str, Any]] = CreditApplication.model_json_schema()["properties"]


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
