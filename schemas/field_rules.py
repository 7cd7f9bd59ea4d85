"""The values that a contract's field may have, in words: for rejections, documents and forms."""

import math
from collections.abc import Sequence
from typing import Final

from schemas.contract import ContractField, Kind, Limits
from schemas.printable import printable

_CATEGORIES_CHARACTERS_MAX: Final = 1_000  # of a category's values in one reason


def describe_field(field: ContractField) -> str:
    """Describes the values of a field: "a number from 18 to 120", "one of no, yes, unk"."""
    null = " or null" if field.nullable else ""
    match field.kind:
        case Kind.NUMBER | Kind.INTEGER:
            range_ = describe_range(field.limits)
            name = "a number" if field.kind is Kind.NUMBER else "an integer"
            return f"{name}{' ' if range_ else ''}{range_}{null}"
        case Kind.CATEGORY:
            return f"one of {_describe_categories(field.categories)}{null}"
        case Kind.BOOLEAN:
            return f"true or false{null}"
        case Kind.DATE:
            return f"a date such as 2024-02-29{null}"
        case Kind.DATE_TIME:
            return f"a date and time with an offset such as 2024-02-29T12:00:00Z{null}"
        case Kind.TEXT:
            return f"{_describe_text(field)}{null}"


def _describe_categories(categories: Sequence[str]) -> str:
    length, count = 0, 0
    for category in categories:
        length += len(category)
        if length > _CATEGORIES_CHARACTERS_MAX and count:
            break
        count += 1
    quote = '"' if any("," in category for category in categories) else ""  # otherwise nobody sees where one ends
    shown = ", ".join(
        f"{quote}{printable(category, _CATEGORIES_CHARACTERS_MAX)}{quote}" for category in categories[:count]
    )
    return shown if count == len(categories) else f"{shown} and {len(categories) - count} more"


def _describe_text(field: ContractField) -> str:
    if field.length_max is not None:
        return f"a string of {field.length_min} to {field.length_max} characters"
    return f"a string of at least {field.length_min} characters" if field.length_min else "a string"


def describe_range(limits: Limits, separator: str = "") -> str:
    """Describes the limits of a number: "from 18 to 120", "above 0, up to 600"; "" if it has none.

    Args:
        limits: the limits.
        separator: between groups of three digits, for example ",".
    """

    def shown(limit: float) -> str:
        return f"{limit:{separator}.15g}"

    low = math.isfinite(limits.minimum)
    high = math.isfinite(limits.maximum)
    if low and high and not math.isfinite(limits.exclusive_minimum) and not math.isfinite(limits.exclusive_maximum):
        return f"from {shown(limits.minimum)} to {shown(limits.maximum)}"
    texts = [
        f"{word} {shown(limit)}"
        for word, limit in (
            ("from", limits.minimum),
            ("above", limits.exclusive_minimum),
            ("up to", limits.maximum),
            ("below", limits.exclusive_maximum),
        )
        if math.isfinite(limit)
    ]
    return ", ".join(texts)
