"""Contracts: what the parser reads, and the fault that it reports for everything else."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from schemas.application import CreditApplication
from schemas.contract import Contract, Kind
from schemas.contract_faults import ContractError
from schemas.contract_parser import parse_contract

pytestmark = pytest.mark.quick
ID = {"id": {"type": "string", "x-id": True}}


def document(**properties: object) -> dict[str, Any]:
    """A contract with an id and these fields."""
    return {"type": "object", "properties": {**ID, **properties}, "required": ["id"]}


def parse(**properties: object) -> Contract:
    """The contract with an id and these fields."""
    return parse_contract(json.dumps(document(**properties)))


def fault_of(raw: object) -> str:
    """The message about a document that is not a contract."""
    with pytest.raises(ContractError) as caught:
        parse_contract(raw if isinstance(raw, str | bytes) else json.dumps(raw))
    return str(caught.value)


def test_shipped_contract_has_the_fields_of_the_model() -> None:
    """The shipped contract describes the applications that the pydantic model describes, in the same order."""
    raw = (files("schemas") / "contracts" / "credit-application.schema.json").read_bytes()
    contract = parse_contract(raw)
    assert (contract.name, contract.version) == ("credit-application", "1.0.0")
    assert contract.canonical == raw
    properties = CreditApplication.model_json_schema()["properties"]
    assert list(contract.fields) == list(properties)
    for name, field in contract.fields.items():
        rule = properties[name].get("anyOf", [properties[name]])[0]
        keywords = {"enum", "minLength", "maxLength", "minimum", "exclusiveMinimum", "maximum"} & rule.keys()
        schema = contract.document["properties"][name]
        assert {keyword: schema[keyword] for keyword in keywords} == {keyword: rule[keyword] for keyword in keywords}
        assert field.nullable == ("anyOf" in properties[name])
        assert field.required == CreditApplication.model_fields[name].is_required()


def test_fields_of_every_kind() -> None:
    """Kinds, dotted names, order, nullability, unknown values and defaults are read."""
    contract = parse(
        amount={"type": "number", "exclusiveMinimum": 0, "x-unit": "EUR"},
        terms={"type": ["integer", "null"], "minimum": 1, "x-unknown": [-9]},
        insured={"type": "boolean", "default": False},
        home={"type": ["string", "null"], "enum": ["rent", "own", None], "x-codes": {"1": "rent", "0": None}},
        note={"type": "string", "maxLength": 5},
        born={"type": "string", "format": "date"},
        employer={"type": "object", "properties": {"since": {"type": "string", "format": "date-time"}}},
    )
    kinds = {name: field.kind for name, field in contract.fields.items()}
    assert kinds == {
        "id": Kind.TEXT,
        "amount": Kind.NUMBER,
        "terms": Kind.INTEGER,
        "insured": Kind.BOOLEAN,
        "home": Kind.CATEGORY,
        "note": Kind.TEXT,
        "born": Kind.DATE,
        "employer.since": Kind.DATE_TIME,
    }
    assert contract.id_field.name == "id"
    assert contract.fields["terms"].unknown == (-9.0,)
    assert contract.fields["home"].categories == ("rent", "own")
    assert contract.fields["insured"].default is False
    assert not contract.fields["insured"].may_be_unknown
    assert contract.fields["amount"].may_be_unknown
    assert list(contract.inputs) == ["amount", "terms", "insured", "home", "born", "employer.since"]


def test_the_title_gives_the_name() -> None:
    """Without x-name, the name is made from the title; without a version it is 1.0.0."""
    contract = parse_contract(json.dumps({**document(), "title": "Car loan, 2nd edition"}))
    assert str(contract) == "car-loan-2nd-edition:1.0.0"


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        ("", "the document is not JSON: Expecting value at line 1, column 1"),
        (b"\xff", "the document is not UTF-8: see byte 0"),
        ("[]", "the document is not an object"),
        ("[" * 100_000, "nested too deep"),
        ('{"a": 1, "a": 2}', "the name a is given twice in one object"),
        ('{"minimum": NaN}', "NaN is not a JSON number"),
        ('{"minimum": 1' + "0" * 99 + "}", "more than 40 digits"),
        (" " * 256_001, "larger than 256000 bytes"),
        ({}, 'type: must be "object"'),
        ({"$schema": [], "type": "object"}, "$schema: must be https://json-schema.org"),
        ({"type": "object"}, "properties: must be an object with at least one property"),
        ({"type": "object", "properties": {"a": {"type": "number"}}}, 'no field has "x-id": true'),
        ({**document(), "required": []}, "id: identifies an application, so it must be required"),
        ({**document(), "required": ["id", "zz"]}, "required: names zz, which is not in properties"),
        ({**document(), "required": ["id", "id"]}, "required: names a property twice"),
        ({**document(), "additionalProperties": False}, "other properties are ignored"),
        ({**document(), "$schema": "http://json-schema.org/draft-07/schema"}, "$schema: must be https"),
        ({**document(), "x-name": "Car Loans"}, "x-name: must be lower-case letters, digits and hyphens"),
        ({**document(), "x-version": "2"}, "x-version: must be three numbers"),
    ],
)
def test_documents_that_are_no_contract(raw: object, fault: str) -> None:
    """Each fault of a document is one message with its place."""
    assert fault in fault_of(raw)


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        (5, "a: must be an object: the schema of the property"),
        ({"$ref": "https://lender.example/a.json"}, "a.$ref: keyword is not supported; write the referenced schema"),
        ({"type": "string", "pattern": "x"}, "a.pattern: keyword is not supported; use enum"),
        ({"oneOf": [{}]}, "a.oneOf: keyword is not supported"),
        ({"type": "array", "items": {}}, "a.type: must be one of number"),
        ({"type": ["number", "string"]}, "a.type: must be one of number"),
        ({"type": "string", "format": "email"}, "a.format: must be date or date-time"),
        ({"type": "string", "format": []}, "a.format: must be date or date-time"),
        ({"type": "string", "minLength": None}, "a.minLength: must be an integer"),
        ({"type": "number", "enum": [1]}, "a.enum: does not apply to fields of the kind number"),
        ({"type": "number", "minimum": 5, "maximum": 4}, "a: no number satisfies the limits"),
        ({"type": "number", "exclusiveMinimum": 4, "maximum": 4}, "a: no number satisfies the limits"),
        ({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, "a: no integer satisfies the limits"),
        ({"type": "number", "minimum": "5"}, "a.minimum: must be a finite number"),
        ({"type": "number", "maximum": 4, "default": 5}, "a.default: is not a valid value"),
        ({"type": "number", "examples": ["x"]}, "a.examples: contains a value that is not valid"),
        ({"type": "string", "enum": ["x", "x"]}, "a.enum: contains x twice"),
        ({"type": "string", "enum": []}, "a.enum: must be a list of at least one string"),
        ({"type": "string", "enum": [1]}, "a.enum: must contain strings only"),
        ({"type": "string", "enum": ["\ud800"]}, "a.enum: must contain strings only"),
        ({"type": ["string", "null"], "enum": ["x"]}, "add null to enum"),
        ({"type": "string", "enum": ["x", None]}, 'add "null" to type'),
        ({"type": "string", "enum": ["x"], "x-codes": {"1": "y"}}, "the value of code 1 must be in enum, or null"),
        ({"type": "number", "x-codes": {"1": 5}}, "the value of code 1 must be null"),
        ({"type": "number", "x-unknown": ["?"]}, "a.x-unknown: must be a list of at most 100 numbers"),
        ({"type": "string", "minLength": 5, "maxLength": 4}, "no text is both"),
        ({"type": "string", "minLength": -1}, "a.minLength: must be an integer from 0"),
        ({"type": "string", "x-id": True}, "a.x-id: id has it, too; exactly one field identifies an application"),
        ({"type": "string", "x-id": "yes"}, "a.x-id: must be true or absent"),
        ({"type": "number", "title": 5}, "a.title: must be a text"),
        ({"type": "object"}, "a.properties: must be an object with at least one property"),
        ({"type": "string", "enum": [f"v{i}" for i in range(10_001)]}, "more than 10000 values of categories"),
    ],
)
def test_fields_that_are_not_supported(schema: object, fault: str) -> None:
    """Each fault of a field is one message with its place and the fix."""
    assert fault in fault_of(document(a=schema))


@pytest.mark.parametrize("name", ["a\n", "a=b", "", "a\ud800", "a" * 129])
def test_names_that_columns_and_messages_cannot_have(name: str) -> None:
    """A property's name is printable, without =, and not too long; the message does not repeat controls."""
    message = fault_of(document(**{name: {"type": "number"}}))
    assert "name" in message
    assert message.isprintable()


def test_more_fields_than_the_limit() -> None:
    """At most 1,000 fields, nested ones included."""
    fields = {f"f{i}": {"type": "number"} for i in range(999)}
    assert len(parse(**fields).fields) == 1_000
    assert "more than 1000 fields" in fault_of(
        document(**fields, o={"type": "object", "properties": {"a": {"type": "number"}}})
    )


def test_two_fields_with_one_name() -> None:
    """A property with a dot in its name cannot have the name of a nested one."""
    nested = {"type": "object", "properties": {"b": {"type": "number"}}}
    assert "two fields have this name" in fault_of(document(**{"a": nested, "a.b": {"type": "number"}}))


def test_at_most_five_faults_are_shown() -> None:
    """All faults are kept, and the message shows the first five and the number of the others."""
    message = fault_of(document(**{f"f{i}": {"type": "text"} for i in range(8)}))
    assert message.count("must be one of") == 5
    assert message.endswith("and 3 more")


def test_the_examples_are_contracts() -> None:
    """What the tutorial uses is valid, marks the prohibited bases, and is free of what is left to be checked."""
    (path,) = (Path(__file__).parents[3] / "examples").glob("*/*.schema.json")
    contract = parse_contract(path.read_bytes())
    marked = {name: field.prohibited for name, field in contract.fields.items() if field.prohibited}
    assert marked == {
        "personal_status_and_sex": "marital status, sex",
        "age_in_years": "age",
        "foreign_worker": "national origin",
    }
    assert b"$comment" not in path.read_bytes()


def test_equal_contracts_have_equal_digests() -> None:
    """White space does not change the digest; the order of the fields does, as faults are reported in it."""
    first = document(a={"type": "number"}, b={"type": "number"})
    turned = document(b={"type": "number"}, a={"type": "number"})
    digests = [
        parse_contract(raw).sha256 for raw in (json.dumps(first), json.dumps(first, indent=9), json.dumps(turned))
    ]
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]
