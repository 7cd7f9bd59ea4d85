"""Differences between contracts, in words; `tests/property` shows that breaking ones are exactly those."""

import json
from typing import Any

import pytest

from schemas.compatibility import Difference, compare
from schemas.contract import Contract
from schemas.contract_parser import parse_contract

pytestmark = pytest.mark.quick


def contract(properties: dict[str, Any], required: tuple[str, ...] = (), **document: object) -> Contract:
    """A contract with an id and these properties."""
    own = {"id": {"type": "string", "x-id": True}, **properties}
    return parse_contract(json.dumps({"type": "object", "properties": own, "required": ["id", *required], **document}))


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, bool]]:
    """The differences of a field `a` of these schemas: in words, and whether they are breaking."""
    compared = compare(contract({"a": old}), contract({"a": new}))
    assert all(difference.field == "a" for difference in compared)
    return [(difference.what, difference.breaking) for difference in compared]


NUMBER = {"type": "number"}
INTEGER = {"type": "integer"}
TEXT = {"type": "string"}
CODES_DIFFER = "x-codes differ: files of applications are read differently"
HOME = {"type": "string", "enum": ["rent", "own"]}


@pytest.mark.parametrize(
    ("old", "new", "what", "breaking"),
    [
        (NUMBER, INTEGER, "kind number → integer", True),
        (INTEGER, NUMBER, "kind integer → number", False),
        (NUMBER, {"type": ["number", "null"]}, "null is valid now", False),
        ({"type": ["number", "null"]}, NUMBER, "null is no longer valid", True),
        (NUMBER, NUMBER | {"minimum": 0}, "no minimum → minimum 0", True),
        (INTEGER | {"exclusiveMinimum": 0}, INTEGER | {"minimum": 1}, "exclusive minimum 0 → minimum 1", False),
        (NUMBER | {"maximum": 5}, NUMBER | {"exclusiveMaximum": 5}, "maximum 5 → exclusive maximum 5", True),
        (NUMBER | {"x-unknown": [-9]}, NUMBER, "-9 is a value now, no longer unknown", False),
        (NUMBER, NUMBER | {"x-unknown": [-9]}, "-9 means unknown now", False),
        (HOME, HOME | {"enum": ["own"]}, 'no longer valid: "rent"', True),
        (HOME, HOME | {"enum": ["rent", "own", "other"]}, 'valid now: "other"', False),
        (HOME, HOME | {"enum": ["rent"], "x-unknown": ["own"]}, '"own" means unknown now', False),
        (HOME, TEXT, "kind category → text", False),
        (TEXT, HOME, "kind text → category", True),
        (TEXT, TEXT | {"maxLength": 9}, "at most any number of → 9 characters", True),
        (TEXT, TEXT | {"minLength": 2}, "at least 0 → 2 characters", True),
        (TEXT | {"format": "date"}, TEXT | {"format": "date-time"}, "kind date → date-time", True),
        (NUMBER, {"type": "object", "properties": {"b": NUMBER}}, "kind number → object", True),
        (NUMBER, NUMBER | {"default": 1}, "default none → 1", False),
        (NUMBER | {"default": 0}, NUMBER | {"default": 1}, "default 0 → 1", False),
        (NUMBER | {"x-unit": "EUR"}, NUMBER | {"x-unit": "cent"}, "unit EUR → cent", False),
        (NUMBER, NUMBER | {"x-prohibited": "age"}, "prohibited basis none → age", False),
        (NUMBER, NUMBER | {"x-codes": {"-": None}}, CODES_DIFFER, False),
        (NUMBER, NUMBER | {"description": "Net."}, "description differs", False),
        (NUMBER, NUMBER | {"examples": [1]}, "examples differ", False),
    ],
)  # fmt: skip
def test_a_difference_of_a_field(old: dict[str, Any], new: dict[str, Any], what: str, breaking: bool) -> None:
    """Each change of a field is one difference in words, breaking if values become invalid."""
    assert (what, breaking) in differences(old, new)


def test_unknown_value_outside_the_new_limits_is_breaking() -> None:
    """A number that meant unknown and is not within the limits of the new contract is rejected by it."""
    old, new = NUMBER | {"minimum": 0, "x-unknown": [-9]}, NUMBER | {"minimum": 0}
    assert differences(old, new) == [("-9 is no longer valid; it means unknown so far", True)]


def test_presence_of_fields_and_objects() -> None:
    """Added required fields and fields that become required are breaking; removed and optional ones are not."""
    employer = {"type": "object", "properties": {"since": NUMBER}, "required": ["since"]}
    old = contract({"gone": NUMBER, "sometimes": NUMBER, "employer": employer})
    new = contract(
        {"sometimes": NUMBER, "employer": employer | {"required": []}, "must": NUMBER, "may": NUMBER},
        required=("sometimes", "must"),
    )
    assert compare(old, new) == [
        Difference("sometimes", "optional → required", breaking=True),
        Difference("must", "added, required", breaking=True),
        Difference("gone", "removed: its values are ignored"),
        Difference("employer.since", "required → optional"),
        Difference("may", "added, optional"),
    ]


def test_a_dotted_name_is_not_a_nested_field() -> None:
    """A property with a dot in its name and a nested one of the same dotted name are different fields."""
    nested = contract({"a": {"type": "object", "properties": {"b": NUMBER}}})
    assert {d.what for d in compare(contract({"a.b": NUMBER}), nested)} == {
        "removed: its values are ignored",
        "added, optional",
    }


def test_identity_of_the_contract() -> None:
    """Name, version and id are compared; another id field changes the keys of records."""
    old = contract({"key": TEXT | {"minLength": 1, "maxLength": 256}}, ("key",), **{"x-name": "a", "title": "A"})
    document = json.loads(old.canonical) | {"x-name": "b", "x-version": "2.0.0"}
    del document["properties"]["id"]["x-id"]
    document["properties"]["key"]["x-id"] = True
    differing = compare(old, parse_contract(json.dumps(document)))
    assert [difference.what for difference in differing if not difference.field] == [
        "name a → b",
        "version 1.0.0 → 2.0.0",
        "id id → key: records get other keys",
    ]
