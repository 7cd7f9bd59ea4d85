"""Validates applications before they are sent, by the scorer's rules."""

import json
from typing import Any, Final

from pydantic import ValidationError

from producer.errors import Fault, InvalidApplicationError
from schemas.application import CreditApplication

_PROPERTIES: Final[dict[str, Any]] = CreditApplication.model_json_schema()["properties"]


class _Pairs(list[tuple[str, object]]):
    """The name-value pairs of a JSON object, including duplicate names."""


def _reject_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


# parse_int: Python does not parse integers of more than 4,300 digits; the field's limit rejects large ones.
_parse = json.JSONDecoder(object_pairs_hook=_Pairs, parse_constant=_reject_constant, parse_int=float).decode


def validate_application(value: bytes) -> CreditApplication:
    """Validates an application against the contract.

    Args:
        value: the application as JSON.

    Raises:
        InvalidApplicationError: lists all faults; the scorer would reject the record.
    """
    try:
        pairs = _parse(value.decode())
    except UnicodeDecodeError as error:
        raise _invalid(f"not UTF-8: see byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise _invalid(f"not JSON: {error.msg} (character {error.pos})") from None
    except ValueError as error:
        raise _invalid(f"not JSON: {error}") from None
    except RecursionError:
        raise _invalid("nested too deep") from None
    if not isinstance(pairs, _Pairs):
        raise _invalid("JSON, but not an object")
    names = [name for name, _ in pairs]
    duplicates = tuple(Fault(name, "given twice") for name in CreditApplication.model_fields if names.count(name) > 1)
    if duplicates:
        raise InvalidApplicationError(duplicates)
    try:
        return CreditApplication.model_validate_json(value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    raise InvalidApplicationError(tuple(Fault(".".join(map(str, fault["loc"])), fault["msg"]) for fault in faults))


def _invalid(rule: str) -> InvalidApplicationError:
    return InvalidApplicationError((Fault("", rule),))


def describe_field(name: str) -> str:
    """Describes the values of a field of the contract: "a number from 18 to 120", "no, yes or unk"."""
    options = _PROPERTIES[name].get("anyOf", [_PROPERTIES[name]])
    rule = options[0]
    if "enum" in rule:
        return f"{', '.join(rule['enum'][:-1])} or {rule['enum'][-1]}"
    if rule["type"] == "string":
        return f"a string of {rule['minLength']} to {rule['maxLength']} characters"
    low = f"above {rule['exclusiveMinimum']:g}, up to" if "exclusiveMinimum" in rule else f"from {rule['minimum']:g} to"
    return f"a number {low} {rule['maximum']:,.0f}{', or null if unknown' if len(options) > 1 else ''}"


def is_number_field(name: str) -> bool:
    """Returns True if the field of the contract is a number."""
    return "number" in (rule.get("type") for rule in _PROPERTIES[name].get("anyOf", [_PROPERTIES[name]]))
