"""Synthetic applications of a contract, varied over its categories, limits and optional fields.

They are deterministic: the contract's examples with other numbers, since somebody may have sent an example.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas.bases import is_optional_basis
from schemas.contract import NUMBER_MAX, Contract, ContractField, ContractObject, Kind, Limits, Value

_MIXED: Final = 23  # applications that vary all fields at once
_CATEGORIES_MAX: Final = 20  # values of a category that get an application of their own
_DAYS_MAX: Final = 25_000.0  # in 2038
_MILLION: Final = 1_000_000.0  # highest number where the contract has no limit
_NUMBER: Final = 1_000  # where the contract has no example, or 0
_DATES: Final = ("1970-01-01", "2000-02-29", "2030-12-31")
_DATE_TIMES: Final = tuple(f"{date}T12:00:00Z" for date in _DATES)


def make_applications(contract: Contract) -> list[dict[str, Any]]:
    """Generates the applications; each is valid."""
    id_name = contract.id_field.name
    return [
        _nest(contract.application, values | {id_name: _id(contract.id_field, number)})
        for number, values in enumerate(_vary(contract), 1)
    ]


def _vary(contract: Contract) -> Iterator[dict[str, Any]]:
    """Yields a base application; then one with each field changed; then some with all fields changed.

    The values are by dotted name; an absent field has none.
    """
    fields = contract.fields
    variants = _variants(contract)
    base = {name: example_of(field) for name, field in fields.items()}
    numbers = [name for name, field in fields.items() if field.kind.is_numeric]
    base |= {name: _scale(fields[name], 6) for name in numbers}
    yield base
    for name, values in variants.items():
        yield from (base | {name: value} for value in values if value != base[name])
    optional = [name for name, field in fields.items() if not field.required]
    for name in optional:
        yield {other: value for other, value in base.items() if other != name}
    nullable = [name for name in numbers if fields[name].nullable]
    if nullable:
        yield base | dict.fromkeys(nullable)
    for step in range(_MIXED):
        others = {name: values[step * 7 % len(values)] for name, values in variants.items() if name not in numbers}
        yield base | others | {name: _scale(fields[name], step * stride) for stride, name in enumerate(numbers, 2)}


def _variants(contract: Contract) -> dict[str, tuple[Value, ...]]:
    """Returns the values that are varied alone, by field: categories first, then numbers, then the others."""
    fields = contract.fields
    categories = {n: f.categories[:_CATEGORIES_MAX] for n, f in fields.items() if f.kind is Kind.CATEGORY}
    numbers = {n: tuple(map(_plain, bounds_of(f))) for n, f in fields.items() if f.kind.is_numeric}
    booleans = {n: (False, True) for n, f in fields.items() if f.kind is Kind.BOOLEAN}
    dates = {n: _DATES for n, f in fields.items() if f.kind is Kind.DATE}
    return {
        **categories,
        **numbers,
        **booleans,
        **dates,
        **{n: _DATE_TIMES for n, f in fields.items() if f.kind is Kind.DATE_TIME},
    }


def _plain(number: float) -> float:
    """The number as contracts have it: 18, not 18.0."""
    return int(number) if number.is_integer() else number


def example_of(field: ContractField) -> Any:
    """Returns the contract's example of a field, or another valid value."""
    if field.examples:
        return field.examples[0]
    if field.kind.is_numeric:
        return _middle(field)
    if field.kind is Kind.TEXT:
        return "x" * max(1, field.length_min)
    others = {Kind.BOOLEAN: False, Kind.DATE: _DATES[1], Kind.DATE_TIME: _DATE_TIMES[1]}
    return others.get(field.kind) if field.kind in others else field.categories[0]


def initial_values(contract: Contract) -> dict[str, Any]:
    """Returns the example of each field by dotted name, without optional fields that are a prohibited basis."""
    return {name: example_of(field) for name, field in contract.fields.items() if not is_optional_basis(field)}


def _middle(field: ContractField) -> float:
    low, high = bounds_of(field)
    return _NUMBER if low <= _NUMBER <= high else low


def bounds_of(field: ContractField) -> tuple[float, float]:
    """Returns a low and a high number within a field's limits: the limits themselves where it has some.

    Of a date they are days since 1970-01-01, as models read dates.
    """
    if not field.kind.is_numeric:
        return 0.0, _DAYS_MAX
    low, high = _bounds(field.limits)
    if field.kind is Kind.INTEGER:
        return float(math.ceil(low)), float(math.floor(high))
    return low, high


def _bounds(limits: Limits) -> tuple[float, float]:
    """Returns the limits; half a unit inside where they are exclusive, and within a million where there are none."""
    low = limits.minimum
    high = limits.maximum
    if limits.exclusive_minimum >= low:
        low = _inside(limits.exclusive_minimum, 0.5, limits)
    if limits.exclusive_maximum <= high:
        high = _inside(limits.exclusive_maximum, -0.5, limits)
    if not math.isfinite(low):
        low = min(0.0, high if math.isfinite(high) else 0.0)
    if not math.isfinite(high):
        high = max(low, _MILLION)
    return max(low, -NUMBER_MAX), min(high, NUMBER_MAX)


def _inside(limit: float, step: float, limits: Limits) -> float:
    """Returns a number next to an exclusive limit."""
    number = limit + step
    return number if limits.hold(number) else math.nextafter(limit, math.copysign(math.inf, step))


def _scale(field: ContractField, step: int) -> float:
    """Returns the example's number (1,000 if that is 0) times 0 to 4 in steps of 0.25, clamped to the limits."""
    low, high = bounds_of(field)
    number = float(min(max((example_of(field) or _NUMBER) * (step % 17) / 4, low), high))
    return float(round(number)) if field.kind is Kind.INTEGER else number


def _id(field: ContractField, number: int) -> str:
    """Returns an id of a valid length."""
    text = f"golden-{number}"
    if field.length_max is not None and len(text) > field.length_max:
        text = str(number)[-field.length_max :]
    return text.ljust(field.length_min, "-")


def nest_values(contract: Contract, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the application with these values, by dotted name."""
    return _nest(contract.application, values)


def _nest(group: ContractObject, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the object of the values by dotted name."""
    members: dict[str, Any] = {}
    for member in group.members:
        if isinstance(member, ContractObject):
            members[member.path[-1]] = _nest(member, values)
        elif member.name in values:
            members[member.path[-1]] = values[member.name]
    return members
