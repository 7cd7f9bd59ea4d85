"""The rule that a value breaks, in words of our own, for the faults that pydantic finds."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from schemas.printable import NO_CONTROLS, printable

if TYPE_CHECKING:  # help pages and usage errors do without pydantic
    from pydantic import ValidationError

_SHOWN_MAX: Final = 5
_NAME_CHARACTERS_MAX: Final = 100
# By the beginning of pydantic's name for a fault.
_RULES: Final = {
    "missing": "is missing",
    "extra_forbidden": "unknown name (is it misspelled?)",
    "int_": "must be a whole number",
    "float_": "must be a number",
    "bool_": "must be true or false",
    "string_type": "must be a text",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "dict_type": "must be an object or a table",
    "model_": "must be an object or a table",
    "literal_error": "must be {expected}",
    "datetime_": "must be a date and time, for example 2026-11-01T09:30:00Z",
    "timezone_aware": "must be a time with a time zone",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be above {gt}",
    "less_than": "must be below {lt}",
    "finite_number": "must be a finite number",
    "json_invalid": "not JSON: {error}",
}


def describe_fault(fault: Mapping[str, Any]) -> str:
    """Returns the rule, without the value.

    Args:
        fault: one of `ValidationError.errors()`, with its context.
    """
    kind, context = str(fault["type"]), fault.get("ctx", {})
    if context.get("pattern") == NO_CONTROLS:
        return "contains a control character or a line break"
    if kind.endswith("too_short") and context["min_length"] == 1:
        return "must not be empty"
    for beginning, rule in _RULES.items():
        if kind.startswith(beginning):
            return rule.format_map(context)
    return str(fault["msg"]).removeprefix("Value error, ")


def describe_faults(error: "ValidationError") -> str:
    """Describes up to five faults of a document, each with its field but without values.

    A field's name may be chosen by the author, such as that of a label: it is escaped and shortened.
    """
    reported = error.errors(include_url=False, include_input=False)
    faults = [fault for fault in reported if not _is_consequence(fault, reported)]
    shown = [_with_name(fault["loc"], describe_fault(fault)) for fault in faults[:_SHOWN_MAX]]
    more = len(faults) - len(shown)
    return "; ".join([*shown, *([f"and {more} more"] if more else [])])


def _is_consequence(fault: Mapping[str, Any], faults: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a list or table is too short only because of invalid entries, which pydantic does not count."""
    path = fault["loc"]
    return fault["type"] == "too_short" and any(
        other["loc"][: len(path)] == path and len(other["loc"]) > len(path) for other in faults
    )


def _with_name(path: tuple[int | str, ...], rule: str) -> str:
    name = printable(".".join(map(str, path)), _NAME_CHARACTERS_MAX)
    return f"{name}: {rule}" if name else rule
