"""The form to try an application: its groups and controls, made from any contract."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from itertools import count
from typing import Any, Final, NamedTuple

from schemas.bases import is_optional_basis
from schemas.contract import NUMBER_MAX, Contract, ContractField, ContractObject, Kind, Value
from schemas.contract_values import read_date_time
from schemas.contract_words import describe_number
from schemas.field_rules import describe_range
from schemas.made_up import example_of

TYPED: Final = "typed"
"""Stands for the value in a field's input."""
ABSENT: Final = ""
"""Stands for a field or an object that is not sent."""
_OBJECT: Final = "{}"
_NULL: Final = "null"
_LARGER_THAN_ALL: Final = math.nextafter(NUMBER_MAX, math.inf)
_INPUTS: Final[Mapping[Kind, str]] = {
    Kind.NUMBER: "number",
    Kind.INTEGER: "number",
    Kind.TEXT: "text",
    Kind.DATE: "date",
    Kind.DATE_TIME: "datetime-local",
}


class Choice(NamedTuple):
    """What a field or an object is sent as: JSON, TYPED or ABSENT; and in words."""

    value: str
    label: str


class FormField(NamedTuple):
    """A field of the contract, as the form shows it.

    Attributes:
        id: of its element, unique in the form.
        name: its dotted name.
        path: the names of the objects that contain it and its own, as JSON.
        label: its title, or its name in words.
        shows_name: whether the label does not tell the name.
        note: its unit, and whether it is optional; "" if there is nothing to say.
        hint: its description.
        limits: which values are valid, in words; "" if the choices say it.
        input: the type of its input; "" if it is one of the choices.
        choices: what can be sent; of an input, what can be sent instead of the value in it.
        initial: the choice that is selected at first; of an optional field that is a prohibited basis, it is not sent.
        text: what is in the input at first.
        attributes: of the input, among them its limits.
    """

    id: str
    name: str
    path: str
    label: str
    shows_name: bool
    note: str
    hint: str
    limits: str
    input: str
    choices: tuple[Choice, ...]
    initial: str
    text: str
    attributes: Mapping[str, str | bool]


class FormGroup(NamedTuple):
    """An object of the contract, as the form shows it: a group of fields. Attributes as of `FormField`."""

    id: str
    name: str
    path: str
    label: str
    shows_name: bool
    note: str
    hint: str
    choices: tuple[Choice, ...]
    members: "tuple[FormField | FormGroup, ...]"

    def fields(self) -> Iterator[FormField]:
        """Yields the fields in it and in its groups, in the contract's order."""
        for member in self.members:
            if isinstance(member, FormField):
                yield member
            else:
                yield from member.fields()


def make_form(contract: Contract) -> FormGroup:
    """Makes the form of a contract; it has no field for the id, which every try gets."""
    return _group(contract.application, contract, count(1))


def _group(group: ContractObject, contract: Contract, numbers: Iterator[int]) -> FormGroup:
    number = next(numbers)
    name = group.path[-1] if group.path else ""
    has_id = contract.id_path[: len(group.path)] == group.path
    choices = [Choice(_OBJECT, "sent")]
    if not group.required and not has_id:
        choices.append(Choice(ABSENT, "not sent"))
    if group.nullable and not has_id:
        choices.append(Choice(_NULL, "null (unknown)"))
    return FormGroup(
        id=f"group-{number}",
        name=".".join(group.path),
        path=_json_path(group.path),
        label=group.title or _in_words(name),
        shows_name=_hides_name(group),
        note="" if group.required else "optional",
        hint=group.description,
        choices=tuple(choices) if len(choices) > 1 else (),
        members=tuple(_members(group, contract, numbers)),
    )


def _members(group: ContractObject, contract: Contract, numbers: Iterator[int]) -> Iterator[FormField | FormGroup]:
    for member in group.members:
        if isinstance(member, ContractObject):
            inner = _group(member, contract, numbers)
            if inner.members:
                yield inner
        elif member.path != contract.id_path:
            yield _field(member, f"field-{next(numbers)}")


def _field(field: ContractField, id_: str) -> FormField:
    example = example_of(field)
    choices = tuple(_choices(field))
    initial, text = _initial(field, example, choices)
    return FormField(
        id=id_,
        name=field.name,
        path=_json_path(field.path),
        label=field.title or _in_words(field.path[-1]),
        shows_name=_hides_name(field),
        note=", ".join(filter(None, [field.unit, "" if field.required else "optional"])),
        hint=field.description,
        limits=" ".join(_limits(field)),
        input=_INPUTS.get(field.kind, ""),
        choices=choices,
        initial=initial,
        text=text,
        attributes=_attributes(field),
    )


def _initial(field: ContractField, example: Any, choices: Sequence[Choice]) -> tuple[str, str]:
    """What is selected and what is in the input at first: the example, and nothing of an optional prohibited basis."""
    if is_optional_basis(field):
        return (ABSENT if choices else TYPED), ""
    written = _json(example)
    if field.kind not in _INPUTS or any(choice.value == written for choice in choices):
        return written, ""
    return TYPED, _text(field, example)


def _choices(field: ContractField) -> Iterator[Choice]:
    """Yields what can be sent; nothing for an input that is either sent or empty."""
    if field.kind in _INPUTS and not field.nullable and not field.unknown:
        return
    values: tuple[Value, ...] = (True, False) if field.kind is Kind.BOOLEAN else field.categories
    if field.kind in _INPUTS:
        yield Choice(TYPED, "value")
    for value in (*values, *(code for code in field.unknown if code not in values)):
        written = _json(value)
        label = value if isinstance(value, str) else written
        yield Choice(written, f"{label} (unknown)" if value in field.unknown else label)
    if field.nullable:
        yield Choice(_NULL, "null (unknown)")
    if not field.required:
        yield Choice(ABSENT, "not sent")


def _limits(field: ContractField) -> Iterator[str]:
    """Yields sentences about the valid values."""
    if field.kind.is_numeric:
        range_ = describe_range(field.limits, ",")
        words = filter(None, ["integer" if field.kind is Kind.INTEGER else "", range_])
        text = ", ".join(words)
        yield f"{text[:1].upper()}{text[1:]}." if text else ""
    elif field.kind is Kind.DATE_TIME:
        yield "In UTC."
    elif field.length_max is not None:
        yield f"{field.length_min:,} to {field.length_max:,} characters."
    elif field.length_min:
        yield f"At least {field.length_min:,} characters."
    if field.default is not None:
        yield f"If it is not sent: {_json(field.default)}."
    if field.prohibited:
        yield f"Prohibited basis: {field.prohibited}."


def _attributes(field: ContractField) -> dict[str, str | bool]:
    """The limits of an input: as HTML has them, and in `data-` attributes those that it does not have."""
    required: dict[str, str | bool] = {"required": True} if field.required else {}
    match field.kind:
        case Kind.NUMBER | Kind.INTEGER:
            return required | _number_attributes(field)
        case Kind.DATE:
            return required | {"min": "0001-01-01", "max": "9999-12-31"}
        case Kind.DATE_TIME:
            return required | {"min": "0001-01-01T00:00:00", "max": "9999-12-31T23:59:59", "step": "1"}
        case Kind.TEXT:
            return _text_attributes(field)
        case _:
            return {}


def _text_attributes(field: ContractField) -> dict[str, str | bool]:
    """Lengths in characters, which HTML counts differently; an empty text that is required is sent."""
    attributes: dict[str, str | bool] = {"data-shortest": str(field.length_min)}
    if field.length_max is not None:
        attributes["data-longest"] = str(field.length_max)
    if field.required:
        attributes["required" if field.length_min else "data-empty"] = True
    return attributes


def _number_attributes(field: ContractField) -> dict[str, str | bool]:
    limits, is_integer = field.limits, field.kind is Kind.INTEGER
    low = max(limits.minimum, limits.exclusive_minimum)
    high = min(limits.maximum, limits.exclusive_maximum)
    attributes: dict[str, str | bool] = {
        "step": "1" if is_integer else "any",
        "data-above": describe_number(max(limits.exclusive_minimum, -_LARGER_THAN_ALL)),
        "data-below": describe_number(min(limits.exclusive_maximum, _LARGER_THAN_ALL)),
    }
    if low >= 0:  # phones' keyboards for numbers have no minus
        attributes["inputmode"] = "numeric" if is_integer else "decimal"
    if math.isfinite(low):
        attributes["min"] = describe_number(float(math.ceil(low)) if is_integer else low)
    if math.isfinite(high):
        attributes["max"] = describe_number(float(math.floor(high)) if is_integer else high)
    return attributes


def _text(field: ContractField, example: Any) -> str:
    if field.kind.is_numeric:
        return describe_number(float(example))
    if field.kind is Kind.DATE_TIME:
        return _in_utc(example)
    return str(example)


def _in_utc(text: str) -> str:
    """A date-time as its input has it; "" if it is not in the calendar in UTC."""
    moment = read_date_time(text)
    try:
        return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    except OverflowError:
        return ""


def _json(value: Value | None) -> str:
    """A value as JSON; a whole number has no decimal point."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return describe_number(float(value))
    return json.dumps(value, ensure_ascii=False)


def _json_path(path: tuple[str, ...]) -> str:
    return json.dumps(path, ensure_ascii=False)


def _hides_name(member: ContractField | ContractObject) -> bool:
    """Whether the label does not tell the dotted name, by which rejections name a member."""
    return len(member.path) > 1 or member.title not in {"", *map(_in_words, member.path)}


def _in_words(name: str) -> str:
    """`monthly_income` and `monthlyIncome` as words: `Monthly income`, `Monthly Income`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").replace("-", " ").strip() or name
    return words[:1].upper() + words[1:]
