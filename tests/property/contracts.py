"""Random contracts that differ a little, and the applications at the edges of what they accept."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from schemas.contract import Contract, ContractField, ContractObject, Kind
from schemas.contract_parser import parse_contract
from schemas.contract_values import is_valid

_DATES = ("2024-02-29", "1999-12-31")
_DATE_TIMES = ("2024-02-29T10:00:00Z", "2024-02-29T10:00:00.123456789+02:00")
_STEPS = (0.0, 0.5, 1.0, 1.5, 2.0, 5.0)
_absent = object()


@st.composite
def _numbers(draw: st.DrawFn, type_: str) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for keyword in ("minimum", "exclusiveMinimum"):
        if draw(st.booleans()):
            schema[keyword] = draw(st.sampled_from(_STEPS))
    for keyword in ("maximum", "exclusiveMaximum"):
        if draw(st.booleans()):
            schema[keyword] = 10 + draw(st.sampled_from(_STEPS))
    if draw(st.booleans()):
        schema["x-unknown"] = draw(st.lists(st.sampled_from((-9, -8, 99)), unique=True))
    return {"type": type_} | schema


def _categories(values: list[str], unknown: list[str]) -> dict[str, Any]:
    return {"type": "string", "enum": values, "x-unknown": unknown}


@st.composite
def _texts(draw: st.DrawFn) -> dict[str, Any]:
    bounds = {"minLength": draw(st.sampled_from((0, 4, 10))), "maxLength": draw(st.sampled_from((10, 20, 100)))}
    return {"type": "string"} | {keyword: length for keyword, length in bounds.items() if draw(st.booleans())}


_VALUES = st.lists(st.sampled_from(("rent", "own", "2024-02-29", "unk")), min_size=1, unique=True)
_FIELDS = st.one_of(
    _numbers("number"),
    _numbers("integer"),
    st.just({"type": "boolean"}),
    st.builds(_categories, _VALUES, st.lists(st.sampled_from(("unk", "n/a")), unique=True)),
    _texts(),
    st.just({"type": "string", "format": "date"}),
    st.just({"type": "string", "format": "date-time"}),
)


@st.composite
def _members(draw: st.DrawFn, depth: int) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True))
    properties = {}
    for name in names:
        is_object = depth > 0 and draw(st.integers(0, 4)) == 0
        schema = draw(_members(depth - 1)) if is_object else draw(_FIELDS)
        if draw(st.integers(0, 3)) == 0:
            schema = schema | {"type": [schema["type"], "null"]}
            schema |= {"enum": [*schema["enum"], None]} if "enum" in schema else {}
        properties[name] = schema
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in names if draw(st.booleans())],
    }


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    """A contract with an id and one or two members, which may be objects; names and limits are from small pools."""
    document = draw(_members(depth=1))
    document["properties"]["id"] = {"type": "string", "x-id": True}
    document["required"].append("id")
    return parse_contract(json.dumps(document))


@st.composite
def contract_pairs(draw: st.DrawFn) -> tuple[Contract, Contract]:
    """Two contracts; often the second has the members of the first with another one in the place of one of them."""
    old, new = draw(contracts()), draw(contracts())
    if draw(st.booleans()):
        merged = json.loads(old.canonical)
        name = draw(st.sampled_from(sorted(new.document["properties"])))
        merged["properties"][name] = new.document["properties"][name]
        merged["required"] = [other for other in merged["required"] if other != name]
        merged["required"] += [name] if name in new.document["required"] else []
        new = parse_contract(json.dumps(merged))
    return old, new


def accepts(parsed: ContractObject, application: object) -> bool:
    """Whether an application is valid, member by member."""
    if application is None:
        return parsed.nullable
    if not isinstance(application, Mapping):
        return False
    for member in parsed.members:
        value = application.get(member.path[-1], _absent)
        if value is _absent:
            if member.required:
                return False
        elif not (accepts(member, value) if isinstance(member, ContractObject) else is_valid(member, value)):
            return False
    return True


def applications_at_the_edges(parsed: ContractObject) -> Iterator[dict[str, Any]]:
    """Valid applications in which at most one member at a time is absent or another one of its extreme values."""
    values = {member.path[-1]: values_of(member) for member in parsed.members}
    complete = {name: extremes[0] for name, extremes in values.items()}
    yield complete
    for member in parsed.members:
        name = member.path[-1]
        yield from ({**complete, name: value} for value in values[name])
        if not member.required:
            yield {other: value for other, value in complete.items() if other != name}


def values_of(member: ContractField | ContractObject) -> list[Any]:
    """Extreme and ordinary valid values of a member, an ordinary one first."""
    if isinstance(member, ContractObject):
        return [*applications_at_the_edges(member), *([None] if member.nullable else [])]
    by_kind: dict[Kind, list[Any]] = {
        Kind.NUMBER: [7.5, *_STEPS, *(step + 1e-9 for step in _STEPS), -3e38, 3e38],
        Kind.INTEGER: [7, 0, 1, 2, 3, 5, 6, -(2**60), 2**60],
        Kind.BOOLEAN: [True, False],
        Kind.CATEGORY: list(member.categories),
        Kind.TEXT: ["x" * length for length in (10, 0, 1, 3, 4, 5, 9, 11, 20, 21, 100, 101, 256, 5000)],
        Kind.DATE: list(_DATES),
        Kind.DATE_TIME: list(_DATE_TIMES),
    }
    candidates = by_kind[member.kind]
    if member.kind.is_numeric:
        upper = [10 + step + delta for step in _STEPS for delta in (0, -1e-9)]
        candidates += upper if member.kind is Kind.NUMBER else [10, 11, 12, 13, 14, 15, 9]
    return [value for value in [*candidates, *member.unknown, None] if is_valid(member, value)]
