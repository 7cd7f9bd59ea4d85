"""The rule that a value breaks, in words of our own, for the faults that pydantic finds."""

from collections.abc import Mapping
from typing import Any, Final

# By the beginning of pydantic's name for a fault.
_RULES: Final = {
    "int_": "must be a whole number",
    "float_": "must be a number",
    "bool_": "must be true or false",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "literal_error": "must be one of {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be above {gt}",
    "less_than": "must be below {lt}",
    "finite_number": "must be a finite number",
}


def describe_fault(fault: Mapping[str, Any]) -> str:
    """Returns the rule, without the value.

    Args:
        fault: one of `ValidationError.errors()`.
    """
    for beginning, rule in _RULES.items():
        if str(fault["type"]).startswith(beginning):
            return rule.format_map(fault.get("ctx", {}))
    return str(fault["msg"]).removeprefix("Value error, ")
