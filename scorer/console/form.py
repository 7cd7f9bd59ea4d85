"""The form to try an application: its fields, limits, choices and help, from the contract's JSON Schema."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from schemas.fields import describe_range

# Every try gets a generated id: a typed one could be the id of a real application, which the try would supersede.
GENERATED_FIELD: Final = "application_id"


class FormField(NamedTuple):
    """A field of the contract, as the form shows it.

    Attributes:
        name: as in the contract.
        help: its description.
        choices: the allowed values; empty for a number.
        minimum: the minimum.
        is_exclusive: True if the minimum is exclusive.
        maximum: the maximum.
        required: False if it may be absent.
        example: a valid value.
        limits: the allowed range, in words; empty for a choice.
    """

    name: str
    help: str
    choices: tuple[str, ...]
    minimum: float
    is_exclusive: bool
    maximum: float
    required: bool
    example: str
    limits: str


def contract_fields(schema: Mapping[str, Any]) -> list[FormField]:
    """The fields of a JSON Schema written by pydantic, in its order.

    Raises:
        ValueError: a field is neither a choice nor a number, which the form does not support.
    """
    required = schema["required"]
    return [
        _field(name, rule, required=name in required)
        for name, rule in schema["properties"].items()
        if name != GENERATED_FIELD
    ]


def _field(name: str, rule: Mapping[str, Any], *, required: bool) -> FormField:
    value: Mapping[str, Any] = next(iter(rule.get("anyOf", [rule])))
    example = str(rule["examples"][0])
    if "enum" in value:
        return FormField(name, rule["description"], tuple(value["enum"]), 0, False, 0, required, example, "")
    if value.get("type") != "number":
        raise ValueError(f"{name}: the form supports only numbers and choices")
    is_exclusive = "exclusiveMinimum" in value
    minimum = value["exclusiveMinimum" if is_exclusive else "minimum"]
    limits = f"{describe_range(value, ',').capitalize()}."
    return FormField(name, rule["description"], (), minimum, is_exclusive, value["maximum"], required, example, limits)
