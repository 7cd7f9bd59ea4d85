"""The contract of applications as data: its fields with their types, limits, defaults and annotations.

A contract is a JSON Schema (2020-12) in a closed subset, with `x-` annotations; `schemas.contract_parser` reads it. It
travels in the bundle: no field of any lender is named in code.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

CONTRACT_FILE: Final = "contract.schema.json"
CONTRACT_BYTES_MAX: Final = 256_000
FIELDS_MAX: Final = 1_000
CATEGORIES_MAX: Final = 10_000  # values of all categories of a contract
# Of float32, as which models read numbers; a larger one would be infinite.
NUMBER_MAX: Final = (2 - 2**-23) * 2.0**127
# Limits of the id if the contract has none; it is also the record's key.
ID_CHARACTERS_MAX: Final = 256

Value = str | float | bool
"""A value of a field as JSON has it; null is None."""


class Kind(StrEnum):
    """The kinds of fields."""

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    TEXT = "text"
    DATE = "date"
    DATE_TIME = "date-time"

    @property
    def is_numeric(self) -> bool:
        """Whether the values are numbers, with limits."""
        return self is Kind.NUMBER or self is Kind.INTEGER


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a number; all hold, and are infinite where the contract has none."""

    minimum: float = -math.inf
    exclusive_minimum: float = -math.inf
    maximum: float = math.inf
    exclusive_maximum: float = math.inf

    def hold(self, numbers: Any) -> Any:
        """Whether each number, of an array or a single one, is within the limits and small enough for a model."""
        return (
            (numbers >= self.minimum)
            & (numbers <= self.maximum)
            & (numbers > self.exclusive_minimum)
            & (numbers < self.exclusive_maximum)
            & (abs(numbers) <= NUMBER_MAX)
        )


@dataclass(frozen=True, slots=True, eq=False)
class ContractField:
    """A field of the contract: a property that is not an object.

    Attributes:
        path: the names of the objects that contain it, and its own.
        kind: what its values are.
        required: whether the property must be present in its object.
        nullable: whether null is valid; it means unknown.
        default: the value if the property is absent; None is unknown.
        limits: of numbers.
        length_min, length_max: of texts, in characters.
        categories: the values of a category, in the contract's order.
        unknown: values that mean unknown and are read as null; they need not be within limits or categories.
        codes: how files of applications write values: code to a category's value, or to None for unknown.
        unit, prohibited, title, description: annotations; "" if the contract has none.
        examples: valid values, for documents and forms.
    """

    path: tuple[str, ...]
    kind: Kind
    required: bool = True
    nullable: bool = False
    default: Value | None = None
    limits: Limits = Limits()
    length_min: int = 0
    length_max: int | None = None
    categories: tuple[str, ...] = ()
    unknown: tuple[Value, ...] = ()
    codes: Mapping[str, str | None] = field(default_factory=dict)
    unit: str = ""
    prohibited: str = ""
    title: str = ""
    description: str = ""
    examples: tuple[Value | None, ...] = ()
    name: str = field(init=False)
    """The dotted path, by which columns, reasons and messages name the field."""

    def __post_init__(self) -> None:
        """Sets the name once; it is needed for each record."""
        object.__setattr__(self, "name", ".".join(self.path))

    @property
    def may_be_unknown(self) -> bool:
        """Whether a valid application may have no value of it, if the objects that contain it are present."""
        return self.nullable or bool(self.unknown) or (not self.required and self.default is None)


@dataclass(frozen=True, eq=False)
class ContractObject:
    """An object that contains fields; the application itself has an empty path and is required."""

    path: tuple[str, ...]
    members: "tuple[ContractField | ContractObject, ...]"
    required: bool = True
    nullable: bool = False
    title: str = ""
    description: str = ""

    @cached_property
    def objects(self) -> "Mapping[str, ContractObject]":
        """The objects directly in it, by name."""
        return {member.path[-1]: member for member in self.members if isinstance(member, ContractObject)}

    def fields(self) -> Iterator[ContractField]:
        """Yields its fields and those of the objects in it, in the contract's order."""
        for member in self.members:
            if isinstance(member, ContractField):
                yield member
            else:
                yield from member.fields()


@dataclass(frozen=True)
class Contract:
    """What an application may contain. Two contracts are equal if their documents are.

    Attributes:
        name, version: identify it for people; `sha256` identifies it exactly.
        application: the application's object.
        id_path: the path of the field that identifies an application; it is also the record's default key.
        document: the JSON Schema.
    """

    name: str
    version: str
    application: ContractObject = field(compare=False)
    id_path: tuple[str, ...] = field(compare=False)
    document: Mapping[str, Any]

    @cached_property
    def fields(self) -> Mapping[str, ContractField]:
        """All fields by name, in the contract's order, in which faults are reported."""
        return {member.name: member for member in self.application.fields()}

    @cached_property
    def inputs(self) -> Mapping[str, ContractField]:
        """The fields that a model may use: all but texts, among them the id."""
        return {name: member for name, member in self.fields.items() if member.kind is not Kind.TEXT}

    def is_required(self, field: ContractField) -> bool:
        """Whether every valid application has the field: it and the objects that contain it are required."""
        group = self.application
        for name in field.path[:-1]:
            group = next(m for m in group.members if isinstance(m, ContractObject) and m.path[-1] == name)
            if not group.required or group.nullable:
                return False
        return field.required

    @property
    def id_field(self) -> ContractField:
        """The field that identifies an application."""
        return self.fields[".".join(self.id_path)]

    def id_of(self, application: Mapping[str, Any]) -> str:
        """Returns the id of a valid application."""
        value: Any = application
        for name in self.id_path:
            value = value[name]
        return str(value)

    @property
    def title(self) -> str:
        """The document's title, or the contract's name."""
        return str(self.document.get("title", self.name))

    @cached_property
    def canonical(self) -> bytes:
        """The document as bundles contain it: JSON in UTF-8, two spaces per level, in the document's order."""
        return (json.dumps(self.document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()

    @cached_property
    def sha256(self) -> str:
        """The hexadecimal sha256 of the canonical document."""
        return hashlib.sha256(self.canonical).hexdigest()

    def __str__(self) -> str:
        """`name:version`, for people."""
        return f"{self.name}:{self.version}"
