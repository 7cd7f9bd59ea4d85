"""Draws contracts, and columns for them: any kind of field, nested, nullable, absent, with defaults and odd names."""

import json
from random import Random
from typing import Any, Final

from schemas.contract import Contract, Kind
from schemas.contract_faults import ContractError
from schemas.contract_parser import parse_contract
from scorer.core.expression_tokens import write_name
from scorer.core.features import one_hot_columns

_NAMES: Final = (
    "income", "home", "e", "née", "loan amount", "收入", "a.b", "x y z", "Age", "id2", "n", "null", "true",
    "\N{GRINNING FACE}", "field_with_a_rather_long_name_that_is_read_from_every_record",
)  # fmt: skip
_ESCAPED_NAMES: Final = ('q"t', "b\\s")  # no record of such a contract is the engine's
_WORDS: Final = ("rent", "own", "unk", "", "RENT", "né", "a b", "2024-02-29", "null", 'q"', "b\\", "tab\t", "收")
_TYPES: Final = ("number", "number", "integer", "boolean", "category", "category", "text", "date", "date-time")
_BOUNDS: Final = (-1e6, -10, -1, -0.5, 0, 0.5, 1, 18, 120, 1e6, 3e38)


def draw_contract(random: Random) -> Contract:
    """Draws a contract of 1 to 14 members, more often of few; sometimes one of 150."""
    while True:
        count = 150 if random.random() < 0.03 else random.randint(1, random.choice((4, 4, 14)))
        document = _draw_object(random, count, depth=2)
        group = document
        while random.random() < 0.1:
            objects = [m for m in group["properties"].values() if m["type"] == "object" and m in _required(group)]
            if not objects:
                break
            group = objects[0]
        group["properties"][random.choice(("id", "application_id", "né id"))] = _draw_id(random)
        group["required"] = [*group["required"], list(group["properties"])[-1]]
        _shuffle(random, group)
        try:
            return parse_contract(json.dumps(document))
        except ContractError:  # a default beyond the limits, or a name twice
            continue


def _required(group: dict[str, Any]) -> list[Any]:
    return [group["properties"][name] for name in group["required"]]


def _shuffle(random: Random, group: dict[str, Any]) -> None:
    members = list(group["properties"].items())
    random.shuffle(members)
    group["properties"] = dict(members)


def _draw_id(random: Random) -> dict[str, Any]:
    limits = {"minLength": random.choice((1, 2, 5)), "maxLength": random.choice((8, 64, 256))}
    return {"type": "string", "x-id": True} | (limits if random.random() < 0.5 else {})


def _draw_object(random: Random, count: int, depth: int) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for number in range(count):
        name = random.choice(_NAMES) if random.random() < 0.7 else f"f{number}"
        name = random.choice(_ESCAPED_NAMES) if random.random() < 0.005 else name
        if depth and random.random() < 0.12:
            member = _draw_object(random, random.randint(1, 4), depth - 1)
        else:
            member = _draw_field(random)
        if random.random() < 0.3:
            member["type"] = [member["type"], "null"]
            if "enum" in member:
                member["enum"] = [*member["enum"], None]
        properties[name] = member
    required = [name for name in properties if random.random() < 0.6]
    return {"type": "object", "properties": properties, "required": required}


def _draw_field(random: Random) -> dict[str, Any]:
    kind = random.choice(_TYPES)
    if kind in {"number", "integer"}:
        return _draw_number(random, kind)
    if kind == "boolean":
        return {"type": "boolean"} | _maybe(random, default=random.choice((True, False)))
    if kind == "category":
        count = 40 if random.random() < 0.1 else random.randint(1, 9)
        values = random.sample(_WORDS, min(count, len(_WORDS))) + [f"v{i}" for i in range(count - len(_WORDS))]
        unknown = random.sample(("unk", "n/a", "", "?"), random.randint(0, 2))
        default = random.choice([*values, *unknown])
        return (
            {"type": "string", "enum": values}
            | _maybe(random, **{"x-unknown": unknown})
            | _maybe(random, default=default)
        )
    if kind == "text":
        return {"type": "string"} | _maybe(random, minLength=random.randint(0, 4)) | _maybe(random, maxLength=9)
    example = "2024-02-29" if kind == "date" else "2024-02-29T10:00:00.25+02:00"
    return {"type": "string", "format": kind} | _maybe(random, default=example)


def _draw_number(random: Random, kind: str) -> dict[str, Any]:
    low, high = sorted(random.sample(_BOUNDS, 2))
    lower, upper = random.choice(("minimum", "exclusiveMinimum")), random.choice(("maximum", "exclusiveMaximum"))
    default = random.choice((low, high, 0, -9, 1, 20))
    return (
        {"type": kind}
        | _maybe(random, **{lower: low})
        | _maybe(random, **{upper: high})
        | _maybe(random, **{"x-unknown": random.sample((-9, 99999999, 0, -1.5), random.randint(1, 2))})
        | _maybe(random, default=default)
    )


def _maybe(random: Random, **keywords: Any) -> dict[str, Any]:
    return keywords if random.random() < 0.4 else {}


def draw_columns(random: Random, contract: Contract, *, has_indexes: bool) -> tuple[list[str], dict[str, str]]:
    """Draws some of the contract's columns in any order, and derived ones with their expressions.

    A category has a column for each value; with `has_indexes` it may have a column of indexes instead, or both.
    """
    columns: list[str] = []
    for name, field in contract.inputs.items():
        index_chosen = has_indexes and random.random() < 0.7
        if field.kind is not Kind.CATEGORY or index_chosen:
            columns.append(name)
        if field.kind is Kind.CATEGORY and not (index_chosen and random.random() < 0.8):
            columns += one_hot_columns(field)
    kept = [column for column in columns if random.random() < 0.8]
    derived = {
        f"derived {i}": text for i in range(random.randint(0, 4)) if (text := _draw_expression(random, contract))
    }
    all_columns = [*kept, *derived]
    random.shuffle(all_columns)
    return all_columns, derived


def _draw_expression(random: Random, contract: Contract) -> str:
    """Draws an expression; "" if there is no field for one."""
    names = list(contract.inputs)
    if not names:
        return ""

    def operand(depth: int) -> str:
        choice = random.random()
        if depth and choice < 0.6:
            first, second = operand(depth - 1), operand(depth - 1)
            form = random.choice(
                ("({} + {})", "({} - {})", "({} * {})", "({} / {})", "min({}, {})", "max({}, {})", "abs({}) - -{}")
            )
            return form.format(first, second)
        if choice < 0.7:
            return repr(random.choice((0, 1, 0.5, 1e6, 1e-300, 1e30)))
        return _operand_of(random, contract, random.choice(names))

    return f"{_operand_of(random, contract, random.choice(names))} {random.choice('+-*/')} {operand(3)}"


def _operand_of(random: Random, contract: Contract, name: str) -> str:
    written = write_name(name)
    kind = contract.inputs[name].kind
    if kind is Kind.CATEGORY or random.random() < 0.1:
        return f"is_null({written})"
    return f"days({written})" if kind in {Kind.DATE, Kind.DATE_TIME} else written
