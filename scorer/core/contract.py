"""Validates an application with the pydantic contract: slow and exact, with the reason for a rejection.

Values come from untrusted publishers, so the work is bounded by the value's length: no Python code runs per string,
number, object or name in it, and no part of it is copied per field.
"""

import json
import re
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from schemas.application import CreditApplication
from schemas.fields import describe_field
from schemas.rejection import RejectionCode
from schemas.strict_json import find_repeated, parse_strictly

_FIELDS: Final = CreditApplication.model_fields
_REQUIRED: Final = frozenset(name for name, field in _FIELDS.items() if field.is_required())


class Rejection(NamedTuple):
    """Why a record cannot be decided. The reason names fields and rules, and never contains values."""

    code: RejectionCode
    reason: str


_NOT_AN_OBJECT: Final = Rejection(RejectionCode.NOT_AN_OBJECT, "the value is JSON but not an object")
# Accepted by Python's parser but not by pydantic's, for example an unpaired surrogate.
_UNREADABLE: Final = Rejection(
    RejectionCode.NOT_JSON, "the value is not JSON: something in it is malformed or too long"
)


def read_by_contract(raw: bytes) -> CreditApplication | Rejection:
    """Parses a value and validates it against the contract.

    Args:
        raw: the value, not empty and not too large.

    Returns:
        The application, or a rejection if the value is invalid.
    """
    value, document = _parse(raw)
    if document is None:
        return _explain_syntax(raw)
    if not isinstance(value, dict):
        return _NOT_AN_OBJECT
    if raw.count(b":") > len(value):
        members = parse_strictly(raw.decode())
        assert isinstance(members, tuple), "it is an object"
        repeated = find_repeated(members, _FIELDS)
        if repeated:
            return Rejection(RejectionCode.NOT_JSON, f"given twice: {', '.join(repeated)}")
    # The fields only: pydantic would copy the whole object for each missing field, and the value of each invalid one.
    fields = {name: _substitute(value[name]) for name in _FIELDS if name in value}
    try:
        application = CreditApplication.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        return _explain(error.errors(include_url=False, include_context=False), _REQUIRED - fields.keys())
    # The long integer is in an additional field: consumers that validate with the contract could not read the record.
    return application if document is raw else _UNREADABLE


def _substitute(value: object) -> object:
    return type(value)() if isinstance(value, list | dict) else value


def _parse(document: bytes, *, is_shortened: bool = False) -> tuple[object, bytes | None]:
    """Returns the value and the document that was parsed: raw, or without long integers; None if it is invalid."""
    try:
        return from_json(document, allow_inf_nan=False), document
    except ValueError as error:
        if _TOO_LONG not in str(error) or is_shortened:
            return None, None
    return _parse(_shorten_long_integers(document), is_shortened=True)


def _explain_syntax(raw: bytes) -> Rejection:
    """Returns why pydantic's parser rejects a value."""
    try:
        value = parse_strictly(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Rejection(RejectionCode.NOT_UTF8, f"the value is not UTF-8: see byte {error.start}")
    except ValueError as error:
        return Rejection(RejectionCode.NOT_JSON, f"the value is {error}")
    return _UNREADABLE if isinstance(value, tuple) else _NOT_AN_OBJECT


# The message of pydantic's parser for an integer of more than 4,300 digits.
_TOO_LONG: Final = "number out of range"
# Integers only: not the digits of a fraction or an exponent. Matches inside strings are left out by counting quotes.
_find_long_integers: Final = re.compile(rb"(?<![-+.eE0-9])-?[1-9][0-9]{4300,}+(?![.eE])").finditer
_TOO_LARGE: Final = b"1e400"


def _shorten_long_integers(document: bytes) -> bytes:
    """Replaces integers that are too long for pydantic's parser by a number that is out of range for every field.

    Such an integer is valid JSON. The loop runs once per such integer; an invalid document stays invalid.
    """
    pieces: list[bytes] = []
    begin = quotes = 0
    for integer in _find_long_integers(document):
        before = document[begin : integer.start()]
        quotes += before.replace(rb"\\", b"").replace(rb"\"", b"").count(b'"')
        pieces += (before, integer[0] if quotes % 2 else _TOO_LARGE)  # an odd number of quotes: inside a string
        begin = integer.end()
    return b"".join([*pieces, document[begin:]])


_CODES: Final = {
    "greater_than": RejectionCode.OUT_OF_RANGE,
    "greater_than_equal": RejectionCode.OUT_OF_RANGE,
    "less_than_equal": RejectionCode.OUT_OF_RANGE,
    "finite_number": RejectionCode.OUT_OF_RANGE,
    "string_too_short": RejectionCode.OUT_OF_RANGE,
    "string_too_long": RejectionCode.OUT_OF_RANGE,
    "literal_error": RejectionCode.UNKNOWN_CATEGORY,
}


def _explain(faults: Sequence[ErrorDetails], missing: Collection[str] = ()) -> Rejection:
    """Returns the faults as one rejection: the code of the first invalid field, and a reason that names all of them.

    Args:
        faults: at least one, each of a field.
        missing: the fields that the value lacks, even if a substitute was validated for them.
    """
    fields = [(str(fault["loc"][0]), fault) for fault in faults]
    codes = [(field, RejectionCode.MISSING_FIELD if field in missing else _code_of(fault)) for field, fault in fields]
    return Rejection(codes[0][1], "; ".join(f"{field}: {_rule(field, code)}" for field, code in codes))


def _code_of(fault: ErrorDetails) -> RejectionCode:
    if fault["type"] == "literal_error" and not isinstance(fault["input"], str):
        return RejectionCode.WRONG_TYPE
    return _CODES.get(fault["type"], RejectionCode.WRONG_TYPE)


def _rule(field: str, code: RejectionCode) -> str:
    """Describes the violated rule for the publisher of the record."""
    kind = describe_field(field)
    match code:
        case RejectionCode.MISSING_FIELD:
            return f"missing, {kind} is needed"
        case RejectionCode.WRONG_TYPE:
            return f"wrong type, {kind} is needed"
        case RejectionCode.UNKNOWN_CATEGORY:
            return f"unknown category, {kind} is needed (letter case counts)"
        case _:
            return f"out of range, {kind} is needed"
