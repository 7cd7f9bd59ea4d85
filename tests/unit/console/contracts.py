"""Contracts for the console's tests: the shipped one, German credit, a nested one with dates, and a large one."""

import json
from pathlib import Path
from typing import Any, Final

from schemas.contract import Contract
from schemas.contract_file import read_contract
from schemas.contract_parser import parse_contract
from schemas.contracts import shipped_contract

GERMAN_CREDIT: Final = Path(__file__).parents[3] / "examples" / "german-credit" / "application.schema.json"


def make_contract(properties: dict[str, Any], required: tuple[str, ...] = (), **keywords: Any) -> Contract:
    """A contract with these properties and an id."""
    own = {"id": {"type": "string", "x-id": True, "examples": ["a-1"]}} if "id" not in properties else {}
    document = {"type": "object", "properties": own | properties, "required": [*own, *required]} | keywords
    return parse_contract(json.dumps(document))


def nested() -> Contract:
    """Every kind of field, at every requirement, in objects that may be absent or null; the id is in one of them."""
    applicant = {
        "type": "object",
        "title": "The applicant",
        "description": "Who asks for the loan.",
        "properties": {
            "born": {"type": "string", "format": "date", "examples": ["1990-05-17"]},
            "children": {"type": "integer", "minimum": 0, "maximum": 20, "x-unknown": [-9], "examples": [2]},
            "married": {"type": ["boolean", "null"]},
            "employer": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 20, "examples": ["Æon"]},
                    "since": {"type": ["string", "null"], "format": "date", "examples": ["2020-02-29"]},
                },
                "required": ["name"],
            },
        },
        "required": ["born", "children"],
    }
    spouse = {"type": ["object", "null"], "properties": {"income": {"type": "number", "exclusiveMinimum": 0}}}
    return make_contract(
        {
            "request": {
                "type": "object",
                "properties": {
                    "id": {"type": "string", "x-id": True, "maxLength": 10, "examples": ["r-1"]},
                    "received": {"type": "string", "format": "date-time", "examples": ["2026-01-31T23:30:00+02:00"]},
                },
                "required": ["id", "received"],
            },
            "applicant": applicant,
            "spouse": spouse,
            "id": {"type": "string", "title": "<Note> & remarks", "default": ""},
            "score": {"type": ["number", "null"], "examples": [-1.5], "x-unit": "points"},
            "channel": {
                "type": ["string", "null"],
                "enum": ["web", 'the "branch"', "n/a", None],
                "x-unknown": ["n/a", "?"],
                "x-prohibited": "none, this is a test",
            },
        },
        ("request", "applicant", "score"),
        **{"x-name": "nested", "title": "A nested application"},
    )


def wide() -> Contract:
    """150 fields in ten objects."""
    kinds: tuple[dict[str, Any], ...] = (
        {"type": "number", "minimum": 0, "maximum": 1_000_000},
        {"type": "integer", "minimum": 0},
        {"type": ["number", "null"]},
        {"type": "string", "enum": ["low", "middle", "high"]},
        {"type": "boolean"},
    )
    objects = {
        f"part_{part}": {
            "type": "object",
            "properties": {f"field_{part}_{number}": kinds[number % len(kinds)] for number in range(15)},
            "required": [f"field_{part}_{number}" for number in range(10)],
        }
        for part in range(10)
    }
    return make_contract(objects, tuple(objects), **{"x-name": "wide"})


def german_credit() -> Contract:
    """The contract of the tutorial's data: categories with commas, quotes and 90 characters."""
    return read_contract(GERMAN_CREDIT)


CONTRACTS: Final = {
    "shipped": shipped_contract(),
    "german-credit": german_credit(),
    "nested": nested(),
    "wide": wide(),
}
