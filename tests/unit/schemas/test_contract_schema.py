"""A contract exported as plain JSON Schema, and its rules in words."""

import json
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.contract_parser import parse_contract
from schemas.contract_schema import plain_schema
from schemas.contract_words import describe_rule

pytestmark = pytest.mark.quick

DOCUMENT: dict[str, Any] = {
    "title": "Loan",
    "type": "object",
    "$comment": "for authors",
    "properties": {
        "id": {"type": "string", "x-id": True, "$comment": "for authors"},
        "x-rate": {"type": "number", "x-unit": "%"},
        "age": {"type": ["integer", "null"], "minimum": 18, "x-unknown": [-9]},
        "home": {"type": "string", "enum": ["rent", "own"], "x-unknown": ["n/a"], "x-codes": {"1": "rent"}},
        "employer": {"type": "object", "properties": {"since": {"type": "string", "format": "date"}}},
    },
    "required": ["id"],
}


def is_valid(**application: object) -> bool:
    """Whether a validator that knows nothing of contracts accepts the application, with an id."""
    validator = Draft202012Validator(plain_schema(parse_contract(json.dumps(DOCUMENT))))
    return bool(validator.is_valid({"id": "a-1", **application}))


def test_annotations_are_left_out_and_names_are_kept() -> None:
    """No keyword with x- and no comment is exported; a property whose name begins with x- is."""
    exported = plain_schema(parse_contract(json.dumps(DOCUMENT)))
    assert list(exported["properties"]) == list(DOCUMENT["properties"])
    keywords = {keyword for schema in (exported, *exported["properties"].values()) for keyword in schema}
    assert not {keyword for keyword in keywords if keyword.startswith("x-")} | {"$comment"} & keywords
    assert exported["title"] == "Loan"


def test_implied_rules_are_written_down() -> None:
    """The length of the id and the range of numbers apply in a validator that knows only JSON Schema."""
    assert is_valid(employer={"since": "2024-02-29"})
    assert not is_valid(id="")
    assert not is_valid(id="x" * 257)
    assert not is_valid(**{"x-rate": 1e39})


def test_values_that_mean_unknown_are_valid() -> None:
    """They are valid on the topic, so that they are valid for the exported schema, next to null."""
    assert all(is_valid(age=age) for age in (18, None, -9))
    assert not is_valid(age=17)
    assert is_valid(home="n/a")
    assert not is_valid(home="none")


def test_shipped_contract_exports_its_own_rules() -> None:
    """Without annotations the exported schema of a contract with all limits is its document."""
    raw = (files("schemas") / "contracts" / "credit-application.schema.json").read_bytes()
    contract = parse_contract(raw)
    exported = plain_schema(contract)
    for name, schema in json.loads(raw)["properties"].items():
        assert exported["properties"][name] == {k: v for k, v in schema.items() if not k.startswith("x-")}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "number"}, "any number"),
        ({"type": "number", "minimum": 0, "maximum": 80}, "0 to 80"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}, "above 0, at most 0.5"),
        ({"type": ["integer", "null"], "minimum": 1, "x-unknown": [-9]}, "at least 1; -9 if unknown, or null"),
        ({"type": "boolean"}, "true or false"),
        ({"type": "string", "enum": ["rent", "own"]}, "rent | own"),
        ({"type": "string", "enum": [str(n) for n in range(14)]}, " | ".join(map(str, range(12))) + " | and 2 more"),
        ({"type": "string"}, "any text"),
        ({"type": "string", "minLength": 2}, "at least 2 characters"),
        ({"type": "string", "maxLength": 9}, "at most 9 characters"),
        ({"type": "string", "format": "date"}, "YYYY-MM-DD"),
        ({"type": "string", "format": "date-time"}, "RFC 3339 with an offset"),
    ],
)
def test_rules_in_words(schema: dict[str, Any], words: str) -> None:
    """Each kind of field has its rule in words."""
    document = {"type": "object", "properties": {"id": DOCUMENT["properties"]["id"], "a": schema}, "required": ["id"]}
    assert describe_rule(parse_contract(json.dumps(document)).fields["a"]) == words
