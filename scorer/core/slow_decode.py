"""Decodes a value exactly and slowly, with the reason for a rejection.

Values come from untrusted publishers, so the work is bounded by the value's length: no Python code runs per string,
number, object or name in it, and no part of it is copied per field.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from schemas.contract import Contract, ContractField, ContractObject, Kind
from schemas.contract_values import read_date, read_number
from schemas.rejection import RejectionCode
from schemas.strict_json import parse_strictly
from schemas.validation import Fault, find_faults, find_repeated_members
from scorer.core.columns import Row, absent_value

_FAULTS_SHOWN_MAX: Final = 20


class Rejection(NamedTuple):
    """Why a record cannot be decided. The reason names fields and rules, and never contains values."""

    code: RejectionCode
    reason: str


_NOT_AN_OBJECT: Final = Rejection(RejectionCode.NOT_AN_OBJECT, "the value is JSON but not an object")
# Accepted by Python's parser but not by pydantic's, for example an unpaired surrogate.
_UNREADABLE: Final = Rejection(
    RejectionCode.NOT_JSON, "the value is not JSON: something in it is malformed or too long"
)


class SlowDecoder:
    """Decodes values of one contract."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def decode(self, raw: bytes) -> Row | Rejection:
        """Decodes a value.

        Args:
            raw: the value, not empty and not too large.

        Returns:
            The row, or a rejection if the value is invalid: the code of the first invalid field, and a reason that
            names all of them.
        """
        value, document = _parse(raw)
        if document is None:
            return _explain_syntax(raw)
        if not isinstance(value, dict):
            return _NOT_AN_OBJECT
        if raw.count(b":") > len(value):
            repeated = _find_repeated(raw, self._contract)
            if repeated:
                return Rejection(RejectionCode.NOT_JSON, f"given twice: {', '.join(repeated)}")
        faults = find_faults(self._contract, value)
        if faults:
            more = len(faults) - _FAULTS_SHOWN_MAX
            reasons = [f"{name}: {rule}" for name, _, rule in faults[:_FAULTS_SHOWN_MAX]]
            reasons += [f"and {more} more"] if more > 0 else []
            return Rejection(faults[0].code, "; ".join(reasons))
        # A long integer is in an additional property: consumers that validate could not read the record.
        return _row(self._contract.application, value) if document is raw else _UNREADABLE

    def find_faults(self, raw: bytes) -> list[Fault]:
        """Returns the faults of the fields of a value that is rejected because of them; none if it is not JSON."""
        value, _ = _parse(raw)
        return find_faults(self._contract, value) if isinstance(value, dict) else []


def _row(group: ContractObject, members: Mapping[str, Any]) -> Row:
    """Returns the members of an object; those of the objects in it are rows, too."""
    row: list[Any] = []
    for member in group.members:
        name = member.path[-1]
        if name not in members:
            row.append(absent_value(member))
        elif isinstance(member, ContractField):
            row.append(_read(member, members[name]))
        else:
            row.append(None if members[name] is None else _row(member, members[name]))
    return tuple(row)


def _read(field: ContractField, value: Any) -> Any:
    """Returns a valid value as the fast decoder reads it."""
    if value is None:
        return None
    if field.kind.is_numeric:
        return read_number(value)
    return read_date(value) if field.kind is Kind.DATE else value


def has_repeated(raw: bytes, contract: Contract) -> bool:
    """Whether a member of the contract is repeated in a value, or the value is not JSON."""
    return bool(_find_repeated(raw, contract))


def _find_repeated(raw: bytes, contract: Contract) -> list[str]:
    try:
        return find_repeated_members(contract, parse_strictly(raw.decode()))
    except ValueError:
        return ["the value is not JSON"]


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
