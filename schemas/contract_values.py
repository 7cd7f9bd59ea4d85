"""Values of a contract's fields: whether they are valid, and dates and times as RFC 3339 writes them."""

import math
import re
from datetime import date, datetime
from typing import Final

from schemas.contract import ContractField, Kind

DATE_PATTERN: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
DATE_TIME_PATTERN: Final = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_is_date_time = re.compile(DATE_TIME_PATTERN).fullmatch
_is_date = re.compile(DATE_PATTERN).fullmatch


def is_valid(field: ContractField, value: object) -> bool:
    """Whether a JSON value is valid for a field, as `default` or on the topic."""
    if value is None:
        return field.nullable
    match field.kind:
        case Kind.BOOLEAN:
            return isinstance(value, bool)
        case Kind.NUMBER | Kind.INTEGER:
            return _is_valid_number(field, value)
        case _:
            return isinstance(value, str) and _is_valid_text(field, value)


def _is_valid_number(field: ContractField, value: object) -> bool:
    number = read_number(value)
    if number is None:
        return False
    if number in field.unknown:
        return True
    return bool(field.limits.hold(number)) and (field.kind is Kind.NUMBER or number.is_integer())


def read_number(value: object) -> float | None:
    """Reads a JSON number as the double that is nearest to it, which may be infinite; None if it is not one."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _is_valid_text(field: ContractField, value: str) -> bool:
    match field.kind:
        case Kind.CATEGORY:
            return value in field.categories or value in field.unknown
        case Kind.DATE:
            return read_date(value) is not None
        case Kind.DATE_TIME:
            return read_date_time(value) is not None
        case _:
            return field.length_min <= len(value) <= (len(value) if field.length_max is None else field.length_max)


def read_date(text: str) -> date | None:
    """Reads an RFC 3339 full-date; None if it is not one, or not in the calendar."""
    try:
        return date.fromisoformat(text) if _is_date(text) else None
    except ValueError:
        return None


def read_date_time(text: str) -> datetime | None:
    """Reads an RFC 3339 date-time, with an offset; None if it is not one, or not in the calendar."""
    try:
        return datetime.fromisoformat(text.upper()) if _is_date_time(text) else None
    except ValueError:
        return None
