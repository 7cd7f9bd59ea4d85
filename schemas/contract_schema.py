"""A contract as plain JSON Schema, for validators that know nothing of its annotations."""

from collections.abc import Mapping
from typing import Any, Final

from schemas.contract import NUMBER_MAX, Contract, ContractField, ContractObject, Kind
from schemas.contract_parser import DIALECT
from schemas.contract_values import DATE_PATTERN, DATE_TIME_PATTERN

_LEFT_OUT: Final = "$comment"  # addressed to the contract's authors
_DATE_PATTERNS: Final[Mapping[Kind, str]] = {Kind.DATE: DATE_PATTERN, Kind.DATE_TIME: DATE_TIME_PATTERN}
_RULES_OF_NUMBERS: Final = ("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def plain_schema(contract: Contract) -> dict[str, Any]:
    """Returns a JSON Schema that accepts the same applications as the contract.

    Rules that the contract implies are written down: the length of the id, the range of numbers, the values that mean
    unknown, which are valid, and how dates are written. Whether a date is in the calendar is left to validators that
    check formats.
    """
    return {"$schema": DIALECT} | _object(contract.application, contract.document, contract)


def _object(parsed: ContractObject, schema: Mapping[str, Any], contract: Contract) -> dict[str, Any]:
    properties = {}
    for member in parsed.members:
        own = schema["properties"][member.path[-1]]
        if isinstance(member, ContractObject):
            properties[member.path[-1]] = _object(member, own, contract)
        else:
            properties[member.path[-1]] = _field(member, own, contract)
    return _plain(schema) | {"properties": properties}


def _field(field: ContractField, schema: Mapping[str, Any], contract: Contract) -> dict[str, Any]:
    plain = _plain(schema)
    if field.kind is Kind.TEXT and field.path == contract.id_path:
        plain |= {"minLength": field.length_min, "maxLength": field.length_max}
    if field.kind in _DATE_PATTERNS:
        return plain | {"pattern": f"^{_DATE_PATTERNS[field.kind]}$"}
    if field.kind is Kind.CATEGORY:
        return plain | {"enum": [*plain["enum"], *(value for value in field.unknown if value not in plain["enum"])]}
    if not field.kind.is_numeric:
        return plain
    if max(field.limits.minimum, field.limits.exclusive_minimum) < -NUMBER_MAX:
        plain["minimum"] = -NUMBER_MAX
    if min(field.limits.maximum, field.limits.exclusive_maximum) > NUMBER_MAX:
        plain["maximum"] = NUMBER_MAX
    if not field.unknown:
        return plain
    rules = {keyword: plain.pop(keyword) for keyword in [*plain] if keyword in _RULES_OF_NUMBERS}
    return {"anyOf": [rules, {"enum": schema["x-unknown"]}]} | plain


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {keyword: value for keyword, value in schema.items() if keyword != _LEFT_OUT and keyword[:2] != "x-"}
