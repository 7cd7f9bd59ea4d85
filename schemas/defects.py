"""Defects: changes that make a valid application of a contract invalid, by the rejection code that each causes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from schemas.contract import NUMBER_MAX, Contract, ContractField, ContractObject, Kind
from schemas.contract_values import is_valid
from schemas.made_up import example_of
from schemas.rejection import RejectionCode

ABSENT: Final = object()
"""Instead of a value: the field is removed."""

_ENDLESS: Final = 10**400  # JSON for a number that is infinite as a double
_TEXT_CHARACTERS_MAX: Final = 1_024  # a longer text could make the record too large, which is another code


class Defect(NamedTuple):
    """A change of one field.

    Attributes:
        field: the field, which every valid application has, or which its object may have.
        value: an invalid value, or ABSENT.
        code: the rejection code of an application that has this defect alone.
    """

    field: ContractField
    value: Any
    code: RejectionCode

    def apply(self, application: Mapping[str, Any]) -> dict[str, Any]:
        """Returns an application with this defect, which a valid one has as its only one."""
        return replace_value(application, self.field.path, self.value)


def replace_value(members: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """Returns an application with another value at a path, or without one if it is ABSENT."""
    name, *inner = path
    if inner:
        value = replace_value(members[name], inner, value)
    elif value is ABSENT:
        return {other: members[other] for other in members if other != name}
    return {**members, name: value}


def find_defects(contract: Contract) -> dict[RejectionCode, tuple[Defect, ...]]:
    """Returns the defects that fields of a contract can have, by code, in the order of the contract's fields.

    A contract without categories has none with unknown_category. Fields in objects that an application may lack have no
    defects.
    """
    defects: dict[RejectionCode, list[Defect]] = {}
    for field in _always_present(contract.application):
        if field.required:
            defects.setdefault(RejectionCode.MISSING_FIELD, []).append(
                Defect(field, ABSENT, RejectionCode.MISSING_FIELD)
            )
        for code, value in _invalid_values(field):
            if not is_valid(field, value):
                defects.setdefault(code, []).append(Defect(field, value, code))
    return {code: tuple(defects[code]) for code in RejectionCode if code in defects}


def _always_present(group: ContractObject) -> Iterator[ContractField]:
    """Yields the fields of an object, and of the objects in it that must be present."""
    for member in group.members:
        if isinstance(member, ContractField):
            yield member
        elif member.required and not member.nullable:
            yield from _always_present(member)


def _invalid_values(field: ContractField) -> Iterator[tuple[RejectionCode, Any]]:
    """Yields values that may be invalid, each with the code that it then causes."""
    yield from ((RejectionCode.WRONG_TYPE, value) for value in _values_of_other_types(field))
    if field.kind.is_numeric:
        yield from ((RejectionCode.OUT_OF_RANGE, number) for number in _numbers_outside(field))
    elif field.kind is Kind.TEXT:
        yield RejectionCode.OUT_OF_RANGE, ""
        if field.length_max is not None and field.length_max < _TEXT_CHARACTERS_MAX:
            yield RejectionCode.OUT_OF_RANGE, "x" * (field.length_max + 1)
    elif field.kind is Kind.CATEGORY:
        value = field.categories[0]
        yield from ((RejectionCode.UNKNOWN_CATEGORY, text) for text in (value.upper(), f"{value}-", ""))


def _values_of_other_types(field: ContractField) -> tuple[Any, ...]:
    text = str(example_of(field))
    match field.kind:
        case Kind.NUMBER:
            return (text, [1], None, True)
        case Kind.INTEGER:
            return (text, 1.5, [1], None, True)
        case Kind.BOOLEAN:
            return ("true", 1, None)
        case Kind.DATE | Kind.DATE_TIME:
            return ("yesterday", "2023-02-29", 20_240_229, None)
        case _:
            return (1, ["x"], None, True)


def _numbers_outside(field: ContractField) -> Iterator[float]:
    """Yields numbers next to the limits, on the other side, and one that is too large for any field."""
    limits, whole = field.limits, field.kind is Kind.INTEGER
    if abs(limits.minimum) <= NUMBER_MAX:
        yield (math.ceil(limits.minimum) if whole else _as_json(limits.minimum)) - 1
    if abs(limits.maximum) <= NUMBER_MAX:
        yield (math.floor(limits.maximum) if whole else _as_json(limits.maximum)) + 1
    for limit in (limits.exclusive_minimum, limits.exclusive_maximum):
        if abs(limit) <= NUMBER_MAX and (not whole or limit.is_integer()):
            yield _as_json(limit)
    yield _ENDLESS


def _as_json(number: float) -> float:
    """The number as contracts have it: 18, not 18.0."""
    return int(number) if number.is_integer() else number
