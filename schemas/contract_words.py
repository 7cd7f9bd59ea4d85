"""The rule of a contract's field in words, for tables and messages."""

import json
import math
from typing import Final

from schemas.contract import ContractField, Kind, Limits, Value
from schemas.contract_faults import shown

_CATEGORIES_SHOWN_MAX: Final = 12


def describe_rule(field: ContractField) -> str:
    """Which values are valid: `0 to 80, or null`; safe to show."""
    match field.kind:
        case Kind.NUMBER | Kind.INTEGER:
            rule = _describe_limits(field.limits)
        case Kind.BOOLEAN:
            rule = "true or false"
        case Kind.CATEGORY:
            rule = _describe_categories(field.categories)
        case Kind.TEXT:
            rule = _describe_length(field.length_min, field.length_max)
        case Kind.DATE:
            rule = "YYYY-MM-DD"
        case Kind.DATE_TIME:
            rule = "RFC 3339 with an offset"
    unknown = f"; {', '.join(map(describe_value, field.unknown))} if unknown" if field.unknown else ""
    return f"{rule}{unknown}{', or null' if field.nullable else ''}"


def describe_value(value: Value | None) -> str:
    """A value of the contract as JSON, with whole numbers without a decimal point; safe to show."""
    if isinstance(value, float):
        return describe_number(value)
    return shown(json.dumps(value, ensure_ascii=False))


def describe_number(number: float) -> str:
    """The shortest form of a number that is read as the same number."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _describe_limits(limits: Limits) -> str:
    if math.isfinite(limits.minimum) and math.isfinite(limits.maximum) and not _has_exclusive(limits):
        return f"{describe_number(limits.minimum)} to {describe_number(limits.maximum)}"
    parts = [
        f"{words} {describe_number(limit)}"
        for words, limit in (
            ("at least", limits.minimum),
            ("above", limits.exclusive_minimum),
            ("at most", limits.maximum),
            ("below", limits.exclusive_maximum),
        )
        if math.isfinite(limit)
    ]
    return ", ".join(parts) or "any number"


def _has_exclusive(limits: Limits) -> bool:
    return math.isfinite(limits.exclusive_minimum) or math.isfinite(limits.exclusive_maximum)


def _describe_categories(categories: tuple[str, ...]) -> str:
    more = len(categories) - _CATEGORIES_SHOWN_MAX
    listed = " | ".join(shown(value) for value in categories[:_CATEGORIES_SHOWN_MAX])
    return f"{listed} | and {more} more" if more > 0 else listed


def _describe_length(low: int, high: int | None) -> str:
    if high is None:
        return f"at least {low} characters" if low else "any text"
    return f"{low} to {high} characters" if low else f"at most {high} characters"
