"""A try is published with a generated id in the contract's id field, and otherwise as it was sent."""

import ast
import json
import shlex
from typing import Any

import pytest

from schemas.contract import Contract
from schemas.contracts import shipped_contract
from schemas.validation import find_faults
from scorer.console.examples import publishing_code
from scorer.console.form_examples import make_examples
from scorer.console.publish import ID_PREFIX, make_try, parse_application
from scorer.errors import MisuseError
from scorer.settings import Settings
from tests.unit.console.contracts import CONTRACTS, make_contract, nested


def published(application: dict[str, Any], contract: Contract) -> tuple[str, Any]:
    """The key and the value of a try."""
    attempt = make_try(application, contract)
    return attempt.id, json.loads(attempt.value)


@pytest.mark.parametrize("name", CONTRACTS)
def test_an_application_without_an_id_becomes_valid(name: str) -> None:
    """The form has no field for the id."""
    contract = CONTRACTS[name]
    application = json.loads(make_examples(contract)[0].text)
    key, value = published(application, contract)
    assert find_faults(contract, value) == []
    assert contract.id_of(value) == key
    assert key.startswith(ID_PREFIX)


def test_a_typed_id_is_replaced() -> None:
    """It could be the id of a real application, which the try would supersede."""
    key, value = published({"application_id": "a-1", "more": [1]}, shipped_contract())
    assert value == {"application_id": key, "more": [1]}
    key, value = published({"application_id": "kept", "request": {"id": "r-1", "x": 1}}, nested())
    assert value == {"application_id": "kept", "request": {"id": key, "x": 1}}


def test_the_object_of_the_id() -> None:
    """It is made where it is missing; another value in its place is what somebody wants to try."""
    key, value = published({}, nested())
    assert value == {"request": {"id": key}}
    assert published({"request": None}, nested())[1] == {"request": None}
    assert published({"request": [1]}, nested())[1] == {"request": [1]}


@pytest.mark.parametrize(("lengths", "characters"), [({}, 16), ({"maxLength": 8}, 8), ({"minLength": 40}, 40)])
def test_ids_have_a_valid_length(lengths: dict[str, int], characters: int) -> None:
    """Of the contract's limits, and different each time."""
    contract = make_contract({"id": {"type": "string", "x-id": True} | lengths}, ("id",))
    keys = {published({}, contract)[0] for _ in range(20)}
    assert {len(key) for key in keys} == {characters}
    assert len(keys) > 1
    assert all(key.startswith(ID_PREFIX) for key in keys)


def test_ids_that_are_too_short() -> None:
    """Where a generated id could be a real one, nothing is published, and the message says what to do."""
    contract = make_contract({"id": {"type": "string", "x-id": True, "maxLength": 7}}, ("id",))
    with pytest.raises(MisuseError, match=r"id has at most 7 characters.*use `producer publish` instead"):
        make_try({}, contract)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"\xff", "not UTF-8"),
        (b"{", r"not JSON: .* \(line 1, column 2\)"),
        (b"[1]", "JSON but not an object"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a": NaN}', "NaN, Infinity or an unpaired surrogate"),
    ],
)
def test_what_cannot_be_published(body: bytes, why: str) -> None:
    """It is said in words, without anything of the body."""
    with pytest.raises(MisuseError, match=why):
        make_try(parse_application(body), shipped_contract())


@pytest.mark.parametrize("name", CONTRACTS)
def test_code_publishes_what_was_entered(name: str) -> None:
    """In each language, with the id of a try; an application of any kind is written as it was entered."""
    contract = CONTRACTS[name]
    application = json.loads(make_examples(contract)[0].text) | {"more": ["it's", None, {"x": 1.5}]}
    code = publishing_code(Settings(), contract, application)
    assert set(code) == {"Python", "Java", "kcat"}
    assert all(ID_PREFIX in text for text in code.values())
    value = json.loads(shlex.split(code["kcat"].partition("printf ")[2].partition(" |\n")[0])[2])
    assert value["more"] == application["more"]
    in_python = ast.literal_eval(code["Python"].partition("application = ")[2].split("\n\ndef ")[0])
    assert in_python == value


def test_no_code_of_a_deep_application() -> None:
    """It is rejected, not a failure of the console."""
    deep: dict[str, Any] = {}
    for _ in range(900):
        deep = {"x": deep}
    with pytest.raises(MisuseError, match="nested too deep"):
        publishing_code(Settings(), shipped_contract(), deep)
