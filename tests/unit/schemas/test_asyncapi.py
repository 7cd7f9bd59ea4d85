"""The AsyncAPI document of any contract: whole, and with examples that fit its schemas."""

import json
from typing import Any

import jsonschema
import pytest

from schemas.asyncapi import build_document
from schemas.contract import Contract
from schemas.contracts import shipped_contract
from schemas.rejection import RejectionCode
from tests.fakes import make_contract

pytestmark = pytest.mark.quick

GERMAN = make_contract(
    "checking_status",
    "duration",
    "applicant",
    checking_status={"type": "string", "enum": ["no account", "below 0 DM", "0 to 200 DM", "above 200 DM"]},
    duration={"type": "integer", "minimum": 4, "maximum": 72, "x-unit": "months"},
    credit_amount={"type": ["number", "null"], "minimum": 250, "x-unknown": [-9], "x-unit": "DM"},
    foreign_worker={"type": "boolean", "x-prohibited": "national origin"},
    opened={"type": "string", "format": "date"},
    applicant={
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 18, "maximum": 120}, "purpose": {"type": "string"}},
        "required": ["age"],
    },
)
CONTRACTS = [shipped_contract(), GERMAN, make_contract()]


@pytest.mark.parametrize("contract", CONTRACTS, ids=["shipped", "german", "id alone"])
def test_a_document_is_whole_and_its_examples_fit(contract: Contract) -> None:
    """Every reference leads somewhere, and each example's payload and headers are valid by the schemas."""
    document = json.loads(json.dumps(build_document(contract), allow_nan=False))
    assert document["asyncapi"] == "3.0.0"
    assert document["info"]["version"] == contract.version
    for reference in _references(document):
        target = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for message in document["components"]["messages"].values():
        assert message["examples"]
        for example in message["examples"]:
            for part in ("payload", "headers"):
                schema = {**message.get(part, {}), "components": document["components"]}
                jsonschema.Draft202012Validator(schema).validate(example.get(part, {}))


def test_the_document_is_about_the_contracts_own_fields() -> None:
    """Schema, key and dead letter name them; the shipped contract's fields are not in it."""
    document = build_document(GERMAN)
    (name,) = (name for name in document["components"]["schemas"] if name.endswith("Application"))
    assert list(document["components"]["schemas"][name]["properties"]) == [
        m.path[-1] for m in GERMAN.application.members
    ]
    messages = document["components"]["messages"]
    assert messages["application"]["bindings"]["kafka"]["key"]["description"].startswith("In UTF-8. The id.")
    headers = messages["deadLetter"]["examples"][0]["headers"]
    assert headers["dlq.code"] == RejectionCode.UNKNOWN_CATEGORY
    assert headers["dlq.reason"].startswith("checking_status: unknown category")
    assert "application_id." not in json.dumps(messages["application"])


@pytest.mark.parametrize(
    ("contract", "code"),
    [
        (shipped_contract(), RejectionCode.UNKNOWN_CATEGORY),
        (make_contract(age={"type": "number"}), RejectionCode.WRONG_TYPE),
    ],
    ids=["categories", "no categories"],
)
def test_the_dead_letter_shown(contract: Contract, code: RejectionCode) -> None:
    """It is that of an unknown category, or of a contract without categories that of a wrong type."""
    (example,) = build_document(contract)["components"]["messages"]["deadLetter"]["examples"]
    assert example["name"] == code.value
    assert example["headers"]["dlq.code"] == code.value


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [v for k, v in node.items() if k == "$ref"] + [r for v in node.values() for r in _references(v)]
    return [r for v in node for r in _references(v)] if isinstance(node, list) else []
