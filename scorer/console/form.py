"""The form to try an application: its fields, limits, choices and help, from the contract's JSON Schema."""

from collections.abc import Mapping
from html import escape
from typing import Any, Final, NamedTuple

from schemas.application import CreditApplication

# Every try gets an id of its own: one that somebody typed could be a real application's, whose place it would take.
GIVEN_HERE: Final = "application_id"


class FormField(NamedTuple):
    """A field of the contract as a form needs it.

    Attributes:
        name: as in the contract.
        help: what it is about.
        choices: what it may be; empty for a number.
        least: the least number.
        above: True if the number must be above `least`, and may not be it.
        most: the greatest number.
        required: False if it may be absent.
        example: a value that makes sense.
    """

    name: str
    help: str
    choices: tuple[str, ...]
    least: float
    above: bool
    most: float
    required: bool
    example: str

    @property
    def limits(self) -> str:
        """The numbers that it takes, in words; empty for a choice."""
        if self.choices:
            return ""
        return f"{f'Above {self.least:g}, up' if self.above else f'From {self.least:g}'} to {self.most:,.0f}."


def contract_fields(schema: Mapping[str, Any]) -> list[FormField]:
    """The fields of a JSON Schema that pydantic wrote, in its order.

    Raises:
        ValueError: a field is neither a choice nor a number; the form must learn it first.
    """
    required = schema["required"]
    return [
        _field(name, rule, required=name in required)
        for name, rule in schema["properties"].items()
        if name != GIVEN_HERE
    ]


def _field(name: str, rule: Mapping[str, Any], *, required: bool) -> FormField:
    value: Mapping[str, Any] = next(iter(rule.get("anyOf", [rule])))
    example = str(rule["examples"][0])
    if "enum" in value:
        return FormField(name, rule["description"], tuple(value["enum"]), 0, False, 0, required, example)
    if value.get("type") != "number":
        raise ValueError(f"{name}: the form knows numbers and choices, and this is neither")
    above = "exclusiveMinimum" in value
    least = value["exclusiveMinimum" if above else "minimum"]
    return FormField(name, rule["description"], (), least, above, value["maximum"], required, example)


def render_form() -> str:
    """The fields of the contract as HTML, each with its label, its limits and its help."""
    return "\n".join(map(_render, contract_fields(CreditApplication.model_json_schema())))


def _render(field: FormField) -> str:
    name = escape(field.name)
    common = f'id="field-{name}" name="{name}" aria-describedby="help-{name}"'
    control = _select(field, common) if field.choices else _number(field, common)
    limits = f' <span class="limits">{escape(field.limits)}</span>' if field.limits else ""
    optional = "" if field.required else ' <span class="unit">optional</span>'
    return (
        f'<div class="field"><label for="field-{name}">{name.capitalize()}{optional}</label>{control}'
        f'<p class="help" id="help-{name}">{escape(field.help)}{limits}</p></div>'
    )


def _select(field: FormField, common: str) -> str:
    options = [] if field.required else ['<option value="">left out</option>']
    options += [
        f'<option value="{escape(choice)}"{" selected" if choice == field.example else ""}>{escape(choice)}</option>'
        for choice in field.choices
    ]
    return f"<select {common}>{''.join(options)}</select>"


def _number(field: FormField, common: str) -> str:
    required = " required" if field.required else ""
    above = f' data-above="{field.least:g}"' if field.above else ""
    return (
        f'<input {common} type="number" inputmode="decimal" step="any" min="{field.least:g}" max="{field.most:.0f}"'
        f'{above}{required} value="{escape(field.example)}">'
    )
