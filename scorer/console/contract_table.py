"""The fields of a contract as rows of the interface page."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from schemas.contract import Contract, ContractField, ContractObject, Kind
from schemas.contract_words import describe_value
from schemas.field_rules import describe_range

_TYPES: Final = {
    Kind.BOOLEAN: "boolean",
    Kind.CATEGORY: "category",
    Kind.DATE: "date, YYYY-MM-DD",
    Kind.DATE_TIME: "date and time with an offset (RFC 3339)",
}


class Row(NamedTuple):
    """A field, an object or a header.

    Attributes:
        name: its name, dotted if it is in an object.
        title: its title; "" if it has none.
        type: its type and limits, in words.
        values: the allowed values, if it has a list of them.
        requirement: whether it is required; "" if nothing is said of that.
        notes: more about it: a word and its values.
        description: in Markdown.
    """

    name: str
    title: str
    type: str
    values: tuple[str, ...] = ()
    requirement: str = ""
    notes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    description: str = ""


def contract_rows(contract: Contract) -> list[Row]:
    """Returns the fields and objects of a contract in its order; the members of an object follow it."""
    return list(_rows(contract.application, contract))


def _rows(group: ContractObject, contract: Contract) -> Iterator[Row]:
    for member in group.members:
        if isinstance(member, ContractField):
            yield _row(member, contract)
        else:
            yield Row(
                name=".".join(member.path),
                title=member.title,
                type=f"object{' or null' if member.nullable else ''}",
                requirement="required" if member.required else "optional",
                description=member.description,
            )
            yield from _rows(member, contract)


def _row(field: ContractField, contract: Contract) -> Row:
    if not field.required:
        requirement = "optional"
    else:
        requirement = "required" if contract.is_required(field) else f"required in {'.'.join(field.path[:-1])}"
    return Row(
        name=field.name,
        title=field.title,
        type=f"{_type(field)}{' or null' if field.nullable else ''}{f', in {field.unit}' if field.unit else ''}",
        values=field.categories,
        requirement=requirement,
        notes=tuple(_notes(field, contract)),
        description=field.description,
    )


def _type(field: ContractField) -> str:
    if field.kind.is_numeric:
        return ", ".join(filter(None, [str(field.kind), describe_range(field.limits, ",")]))
    if field.kind is not Kind.TEXT:
        return _TYPES[field.kind]
    if field.length_max is not None:
        return f"string, {field.length_min:,} to {field.length_max:,} characters"
    return f"string, {field.length_min:,} characters or more" if field.length_min else "string"


def _notes(field: ContractField, contract: Contract) -> Iterator[tuple[str, tuple[str, ...]]]:
    if field is contract.id_field:
        yield "identifies the application", ()
    unknown: tuple[Any, ...] = (*((None,) if field.nullable else ()), *field.unknown)
    if unknown:
        yield "unknown", tuple(map(describe_value, unknown))
    if field.default is not None:
        yield "default", (describe_value(field.default),)
    if field.prohibited:
        yield "prohibited basis", (field.prohibited,)
