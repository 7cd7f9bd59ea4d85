"""The interface page says all that the AsyncAPI document says, of any contract, with the topics as they are here."""

import ast
import json
import shlex
from html import unescape
from typing import Final

import pytest
import yaml

from schemas.asyncapi import build_document
from schemas.bases import is_optional_basis
from schemas.contract import Contract
from schemas.contract_examples import invalid_records, plain_application, valid_applications
from schemas.contracts import shipped_contract
from schemas.defects import ABSENT, replace_value
from schemas.rejection import MEANINGS
from scorer.console.contract_table import contract_rows
from scorer.console.deployed import Deployed
from scorer.console.examples import EXAMPLES
from scorer.console.interface import render_document
from scorer.console.pages import PAGES, render_page
from scorer.settings import Settings
from tests.unit.console.contracts import CONTRACTS, make_contract, nested

OWN = Settings(
    bootstrap_servers="kafka-1:9092,kafka-2:9092",
    applications_topic="my.applications",
    decisions_topic="my.decisions",
    dead_letters_topic="my.dead-letters",
    deployments_topic="my.deployments",
    reviews_topic="my.reviews",
)
WITH_CONTRACT: Final = pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)


def render_interface(settings: Settings, contract: Contract | None = None) -> str:
    """The page."""
    (page,) = (page for page in PAGES if page.file == "interface")
    return render_page(page, settings, None if contract is None else Deployed(contract, None), may_log_out=False)


@WITH_CONTRACT
def test_every_part_of_the_document_is_shown(contract: Contract) -> None:
    """Each message with its fields and headers, and each topic under the name that it has here."""
    page = unescape(render_interface(OWN, contract))
    document = build_document(contract)
    for message in document["components"]["messages"].values():
        assert message["title"] in page
        for header in message.get("headers", {}).get("properties", {}):
            assert f"<code>{header}</code>" in page
    for name in contract.fields:
        assert f"<dt><code>{name}</code>" in page
    topics = OWN.applications_topic, OWN.decisions_topic, OWN.dead_letters_topic, OWN.deployments_topic
    for topic in (*topics, OWN.reviews_topic):
        assert f"<code>{topic}</code>" in page
    assert "bundle.digest" in page, "fields of fields too"
    for application in valid_applications(contract).values():
        assert json.dumps(application, indent=2, ensure_ascii=False) in page


def test_before_any_deployment_the_default_bundles_contract_is_shown() -> None:
    """With its limits and choices, as the document has them."""
    page = render_interface(OWN)
    for value in ("rent", "owner", "private", "APPROVED"):
        assert f"<code>{value}</code>" in page
    assert "number, above 0, up to 600" in page
    assert str(shipped_contract()) in page


@WITH_CONTRACT
def test_every_code_is_shown_with_what_gets_it(contract: Contract) -> None:
    """The reason and the value are those of the contract's example."""
    page = unescape(render_interface(OWN, contract))
    assert [code for code in MEANINGS if f"<dt><code>{code}</code></dt>" in page] == list(MEANINGS)
    for record in invalid_records(contract):
        if record.value is None:
            assert (record.how_to_make or "")[1:] in page
        else:
            assert record.reason in page
            assert record.value.decode(errors="backslashreplace") in page


def test_a_code_that_cannot_apply() -> None:
    """A contract without categories has no unknown ones."""
    assert "No value of this contract can cause it." in render_interface(OWN, make_contract({"n": {"type": "number"}}))
    assert "can cause it." not in render_interface(OWN, CONTRACTS["german-credit"])


def test_a_row_says_all_that_the_contract_says() -> None:
    """Type, limits, categories, what means unknown, default, unit, prohibited basis, and what is required where."""
    rows = {row.name: row for row in contract_rows(nested())}
    assert list(rows) == [
        "request", "request.id", "request.received", "applicant", "applicant.born", "applicant.children",
        "applicant.married", "applicant.employer", "applicant.employer.name", "applicant.employer.since", "spouse",
        "spouse.income", "id", "score", "channel",
    ]  # fmt: skip
    assert rows["applicant"][1:] == ("The applicant", "object", (), "required", (), "Who asks for the loan.")
    assert rows["request.id"].notes == (("identifies the application", ()),)
    assert rows["applicant.children"][2:6] == ("integer, from 0 to 20", (), "required", (("unknown", ("-9",)),))
    assert rows["applicant.employer.name"][2:5] == ("string, 1 to 20 characters", (), "required in applicant.employer")
    assert rows["spouse"][2:5] == ("object or null", (), "optional")
    assert rows["score"][2:6] == ("number or null, in points", (), "required", (("unknown", ("null",)),))
    assert rows["channel"][2:5] == ("category or null", ("web", 'the "branch"', "n/a"), "optional")
    assert rows["channel"].notes == (
        ("unknown", ("null", '"n/a"', '"?"')),
        ("prohibited basis", ("none, this is a test",)),
    )
    assert rows["id"].notes == (("default", ('""',)),)


def test_a_long_list_of_values_can_be_opened() -> None:
    """It does not push everything else from the page."""
    contract = make_contract({"c": {"type": "string", "enum": [f"value {number}" for number in range(21)]}})
    page = render_interface(OWN, contract)
    assert "<summary>21 values</summary>" in page
    assert "<code>value 20</code>" in page


@WITH_CONTRACT
def test_nothing_of_markdown_is_left(contract: Contract) -> None:
    """What the document marks up is marked up here."""
    page = render_interface(OWN, contract)
    assert "**" not in page
    assert "`" not in page


@WITH_CONTRACT
def test_the_examples_are_filled_in(contract: Contract) -> None:
    """Every one has this set-up's brokers and topics and nothing left to fill in; the Python is Python."""
    for example in EXAMPLES:
        text = example.text(OWN, contract)
        assert OWN.bootstrap_servers in text
        assert "$" not in text.replace("$@", "")
        assert OWN.applications_topic in text or OWN.decisions_topic in text
        if example.title.startswith("Python"):
            ast.parse(text)


@WITH_CONTRACT
def test_the_examples_publish_an_application_of_the_contract(contract: Contract) -> None:
    """In each language, under its id, which may be in an object; without optional fields that are a prohibited basis.

    The code used to send the marital status of the shipped contract's example.
    """
    application = plain_application(contract)
    for field in filter(is_optional_basis, contract.fields.values()):
        application = replace_value(application, field.path, ABSENT)
    texts = {example.title: example.text(OWN, contract) for example in EXAMPLES}
    literal, key = texts["Python: publish"].partition("application = ")[2].split("\n\ndef ")
    assert ast.literal_eval(literal) == application
    path = "".join(f"[{json.dumps(name)}]" for name in contract.id_path)
    assert f"key=application{path}," in key
    java = texts["Java: publish"]
    assert json.loads(json.loads(java.partition("String application = ")[2].partition(";\n")[0])) == application
    assert f'"my.applications", {json.dumps(contract.id_of(application))}, application)' in java
    command = texts["kcat"].partition("printf ")[2].partition(" |\n")[0]
    _, id_, value = shlex.split(command)
    assert (id_, json.loads(value)) == (contract.id_of(application), application)


def test_values_with_quotes_stay_values() -> None:
    """In a shell, in Java and in Python; null and booleans are Python's."""
    hostile = 'it\'s "$(id)" `id` \\ $HOME'
    contract = make_contract(
        {
            "category": {"type": "string", "enum": [hostile]},
            "flag": {"type": "boolean", "examples": [True]},
            "number": {"type": ["number", "null"], "examples": [None]},
        }
    )
    application = {"id": "a-1", "category": hostile, "flag": True, "number": None}
    texts = {example.title: example.text(OWN, contract) for example in EXAMPLES}
    assert ast.literal_eval(texts["Python: publish"].partition("application = ")[2].split("\n\ndef ")[0]) == application
    assert json.loads(shlex.split(texts["kcat"].partition("printf ")[2].partition(" |\n")[0])[2]) == application


@WITH_CONTRACT
def test_the_document_is_yaml(contract: Contract) -> None:
    """A reader of YAML reads what a reader of JSON would."""
    assert yaml.safe_load(render_document(contract)) == json.loads(json.dumps(build_document(contract)))


def test_characters_that_yaml_reads_differently() -> None:
    """JSON has them in strings as they stand; YAML allows some only escaped, and others end a line."""
    contract = make_contract({"n": {"type": "number"}}, description="\x7f\x80\x85\u2028\ufeff\uffff \N{GRINNING FACE}")
    assert yaml.safe_load(render_document(contract)) == json.loads(json.dumps(build_document(contract)))


def test_no_secret_is_in_an_example() -> None:
    """What stands under [kafka] is not shown."""
    secret = OWN.model_copy(update={"kafka": {"sasl.password": "hunter2"}})
    assert "hunter2" not in render_interface(secret)
