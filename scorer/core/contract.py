"""Reads an application by the contract itself: slow, exact, and able to say what is wrong with it.

Anybody may publish a value that comes here, so the work is bounded by its length: nothing runs Python once per string,
number, object or name in it, and no part of it is copied once per field.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.application import CreditApplication
from schemas.rejection import RejectionCode

_FIELDS: Final = CreditApplication.model_fields
_REQUIRED: Final = tuple(name for name, field in _FIELDS.items() if field.is_required())


class Rejection(NamedTuple):
    """Why a record cannot be decided. The reason names fields and rules and never holds a value."""

    code: RejectionCode
    reason: str


def read_by_contract(raw: bytes) -> CreditApplication | Rejection:
    """Reads a value as the contract says.

    Args:
        raw: the value, not empty and not too large.

    Returns:
        The application, or why the contract refuses it.
    """
    members = _parse(raw)
    if isinstance(members, Rejection):
        return members
    missing = [name for name in _REQUIRED if name not in members]
    if missing or any(isinstance(members.get(name), list | tuple) for name in _FIELDS):
        return _refuse_fields(raw, members, missing)
    try:
        return CreditApplication.model_validate_json(raw)
    except ValidationError as error:
        faults = _faults_of(error)
    if faults[0]["type"] == "json_invalid":
        faults = _faults_but_for_long_integers(raw)
    return _explain(faults) if faults else _UNREADABLE


def _refuse_constant(name: str) -> object:
    msg = f"{name} is not a JSON number"
    raise ValueError(msg)


def _parse(raw: bytes) -> dict[str, object] | Rejection:  # noqa: PLR0911  (a fault a return)
    """The members of a JSON object by name, or what is wrong with the value before its fields can be looked at."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return Rejection(RejectionCode.NOT_UTF8, f"the value is not UTF-8: see byte {error.start}")
    try:
        # An object is a tuple of pairs, which tells repeated names, and which C makes: a class of Python's would be
        # called for each. parse_int: Python refuses integers of more than 4,300 digits; what is too large is the
        # fields' business.
        value = json.loads(text, object_pairs_hook=tuple, parse_constant=_refuse_constant, parse_int=float)
    except json.JSONDecodeError as error:
        return Rejection(RejectionCode.NOT_JSON, f"the value is not JSON: {_at(error)}")
    except ValueError as error:
        return Rejection(RejectionCode.NOT_JSON, f"the value is not JSON: {error}")
    except RecursionError:
        return Rejection(RejectionCode.NOT_JSON, "the value is nested too deep")
    if not isinstance(value, tuple):
        return Rejection(RejectionCode.NOT_AN_OBJECT, "the value is JSON but not an object")
    members: dict[str, object] = dict(value)
    if len(members) < len(value):
        counts = Counter(map(itemgetter(0), value))
        repeated = [name for name in _FIELDS if counts[name] > 1]
        if repeated:
            return Rejection(RejectionCode.NOT_JSON, f"given twice: {', '.join(repeated)}")
    return members


def _at(error: json.JSONDecodeError) -> str:
    return f"{error.msg.removesuffix(' at')} at character {error.pos}"  # some of Python's messages end in "at"


def _refuse_fields(raw: bytes, members: Mapping[str, object], missing: Collection[str]) -> Rejection:
    """Why an object is refused in which fields are missing, or are arrays or objects, as no field of the contract is.

    pydantic copies the whole object for each field that is missing, and a field's value if it is at fault. So it reads
    the object for its syntax alone, and the fields again, with something small in the place of these.
    """
    if not (_has_readable_syntax(raw) or _has_readable_syntax(_shorten_long_integers(raw))):
        return _UNREADABLE
    small = {name: _stand_in(members.get(name)) for name in _FIELDS if name in members or name in missing}
    try:
        CreditApplication.model_validate_json(json.dumps(small))
    except ValidationError as error:
        return _explain(_faults_of(error), missing)
    raise AssertionError("no field takes what stands there")


def _stand_in(value: object) -> object:
    return [] if isinstance(value, list | tuple) else value


class _AnyObject(BaseModel):
    """Takes every JSON object, and nothing of it."""


def _has_readable_syntax(document: bytes) -> bool:
    try:
        _AnyObject.model_validate_json(document)
    except ValidationError:
        return False
    return True


_CODES: Final = {
    "greater_than": RejectionCode.OUT_OF_RANGE,
    "greater_than_equal": RejectionCode.OUT_OF_RANGE,
    "less_than_equal": RejectionCode.OUT_OF_RANGE,
    "finite_number": RejectionCode.OUT_OF_RANGE,
    "string_too_short": RejectionCode.OUT_OF_RANGE,
    "string_too_long": RejectionCode.OUT_OF_RANGE,
    "literal_error": RejectionCode.UNKNOWN_CATEGORY,
}


def _faults_of(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=False)


# What Python's parser reads and pydantic's does not, such as half a surrogate pair.
_UNREADABLE: Final = Rejection(
    RejectionCode.NOT_JSON, "the value is not JSON: something in it is malformed or too long"
)


def _explain(faults: Sequence[ErrorDetails], missing: Collection[str] = ()) -> Rejection:
    """The contract's refusal as a rejection: the first failing field gives the code, the reason names them all.

    Args:
        faults: at least one, each a field's.
        missing: the fields that are absent in the value, whatever was read for them.
    """
    fields = [(str(fault["loc"][0]), fault) for fault in faults]
    codes = [(field, RejectionCode.MISSING_FIELD if field in missing else _code(fault)) for field, fault in fields]
    return Rejection(codes[0][1], "; ".join(f"{field}: {_rule(field, code)}" for field, code in codes))


def _faults_but_for_long_integers(raw: bytes) -> list[ErrorDetails]:
    """The faults of the fields in what pydantic's parser refuses; none if integers of over 4,300 digits are not why.

    Such an integer is JSON, and for a field it is out of range like any other that is too large.
    """
    try:
        CreditApplication.model_validate_json(_shorten_long_integers(raw))
    except ValidationError as error:
        return [fault for fault in _faults_of(error) if fault["type"] != "json_invalid"]
    return []


# A whole number, where it stands in no string: not the digits of a fraction or of an exponent.
_find_long_integers: Final = re.compile(rb"(?<![-+.eE0-9])-?[0-9]{4301,}+(?![.eE])").finditer
_TOO_LARGE: Final = b"1e400"


def _shorten_long_integers(document: bytes) -> bytes:
    """Puts a number that is too large for any field in the place of integers that are too long to be read.

    Args:
        document: what is known to be JSON. Its text has a step for each such integer and no other.
    """
    pieces: list[bytes] = []
    begin = quotes = 0
    for integer in _find_long_integers(document):
        before = document[begin : integer.start()]
        quotes += before.replace(rb"\\", b"").replace(rb"\"", b"").count(b'"')
        pieces += (before, integer[0] if quotes % 2 else _TOO_LARGE)  # after an odd number of quotes a string goes on
        begin = integer.end()
    return b"".join([*pieces, document[begin:]])


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
