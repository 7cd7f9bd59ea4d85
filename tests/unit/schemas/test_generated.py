"""What is generated says what the contract says: as strict, and with examples that are what they claim."""

import json
from datetime import datetime
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from pydantic import BaseModel, ValidationError

from generators.__main__ import ROOT
from generators.contract import FOLDER
from schemas import topics
from schemas.application import CreditApplication
from schemas.contracts import shipped_contract
from schemas.decision import REPLAY_ID_HEADER, SUPERSEDES_HEADER, TRACE_HEADERS, Decision
from schemas.deployment import DeploymentEvent
from schemas.examples import APPLICATIONS, DECISION, DEPLOYMENT, INVALID, REVIEW
from schemas.files import dump_application, read_applications
from schemas.rejection import DEAD_LETTER_HEADERS, MARK_HEADERS, MEANINGS, REQUEUED_FROM_HEADER, RejectionCode
from schemas.review import Review
from scorer.core.decide import Decider
from scorer.core.encode import DecisionEncoder
from scorer.core.policy import LABELS, Policy
from scorer.core.slow_decode import Rejection
from scorer.operate.topics import contract
from scorer.settings import Settings
from tests.fakes import DECODER

RECORD_BYTES_MAX = Settings.model_fields["record_bytes_max"].default
GENERATED = ROOT / FOLDER
EXAMPLES = GENERATED / "examples"
MODELS: dict[str, type[BaseModel]] = {
    "application": CreditApplication,
    "decision": Decision,
    "deployment-event": DeploymentEvent,
    "review": Review,
}
SOUND: dict[str, list[dict[str, Any]]] = {
    "application": list(APPLICATIONS.values()),
    "decision": [DECISION.model_dump(mode="json")],
    "deployment-event": [DEPLOYMENT.model_dump(mode="json")],
    "review": [REVIEW.model_dump(mode="json")],
}
# Values that one field or another must refuse, and limits of the contract from both sides.
ODD_VALUES: tuple[object, ...] = (
    None, True, "", "x", "x" * 64, "x" * 65, "\N{GRINNING FACE}" * 64, "RENT", "Unk", -1, -0.5, 0, 0.5, 1, 17, 18, 80,
    81, 120, 121, 600, 601, 50_000_000, 50_000_001, 10**30, [], {}, [1], {"a": 1},
)  # fmt: skip

FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def _read(name: str) -> Any:
    return json.loads((GENERATED / name).read_text(encoding="utf-8"))


def _validator(name: str) -> jsonschema.Draft202012Validator:
    schema = _read(f"{name}.schema.json")
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=FORMATS)


def _model_accepts(model: type[BaseModel], value: object) -> bool:
    try:
        model.model_validate_json(json.dumps(value))
    except ValidationError:
        return False
    return True


@pytest.fixture(scope="module")
def document() -> Any:
    """The AsyncAPI document as it is committed."""
    return yaml.safe_load((GENERATED / "asyncapi.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", MODELS)
def test_schemas_and_models_accept_the_same(name: str) -> None:
    """With any one field absent or odd, and with fields of one's own, the JSON Schema says what the model says."""
    validator, verdicts = _validator(name), []
    for sound in SOUND[name]:
        variants = [sound, {**sound, "more": 1}, *({k: v for k, v in sound.items() if k != field} for field in sound)]
        variants += [{**sound, field: odd} for field in sound for odd in ODD_VALUES]
        nested = [(field, key) for field, inner in sound.items() if isinstance(inner, dict) for key in inner]
        variants += [{**sound, f: {**sound[f], key: odd}} for f, key in nested for odd in ODD_VALUES]
        for value in variants:
            verdicts.append(validator.is_valid(value))
            assert verdicts[-1] == _model_accepts(MODELS[name], value), value
    assert {True, False} == set(verdicts)


@pytest.mark.parametrize("value", [None, 1, "x", [], True])
@pytest.mark.parametrize("name", MODELS)
def test_a_value_that_is_not_an_object_is_rejected_by_both(name: str, value: object) -> None:
    """Only objects are messages."""
    assert not _validator(name).is_valid(value)
    assert not _model_accepts(MODELS[name], value)


def test_deployments_know_their_time_zone() -> None:
    """An event without a time zone, or with seconds for a time, is refused: history must not be ambiguous."""
    event = SOUND["deployment-event"][0]
    for wrong in ("2026-01-31T09:30:00", 1_769_851_800, "yesterday"):
        assert not _model_accepts(DeploymentEvent, {**event, "at": wrong}), wrong
    assert _model_accepts(DeploymentEvent, {**event, "at": "2026-01-31T10:30:00+01:00"})


@pytest.mark.parametrize("name", APPLICATIONS)
def test_valid_examples_are_accepted(name: str) -> None:
    """Each is read by the scorer, the model and the JSON Schema, and its file is JSON lines for the producer."""
    path = EXAMPLES / "applications" / f"{name}.json"
    assert not isinstance(DECODER.decode(path.read_bytes(), RECORD_BYTES_MAX), Rejection)
    CreditApplication.model_validate_json(path.read_bytes())
    _validator("application").validate(json.loads(path.read_bytes()))
    assert [row.value for row in read_applications(path, shipped_contract())] == [
        dump_application(APPLICATIONS[name], shipped_contract())
    ]


def test_the_example_decision_is_what_a_scorer_writes() -> None:
    """Byte for byte; and its probability is a 32-bit float's exact value, to which its decision fits."""
    source, probability = DECISION.source, DECISION.probability_of_default
    (written,) = DecisionEncoder(DECISION.bundle).encode(
        (source.topic, [source.partition], [source.offset]),
        [DECISION.application_id],
        [DECISION.decision],
        [probability],
    )
    assert (EXAMPLES / "decision.json").read_bytes() == written + b"\n"
    assert float(np.float32(probability)) == probability
    decided = Decider(Policy(), shipped_contract()).decide(np.array([probability], dtype=np.float32), {})
    assert [LABELS[label] for label in decided.labels] == [DECISION.decision]


def test_the_example_deployment_is_read_back() -> None:
    """The file of the example holds the example."""
    assert DeploymentEvent.model_validate_json((EXAMPLES / "deployment-event.json").read_bytes()) == DEPLOYMENT


def test_the_example_review_is_read_back() -> None:
    """The file of the example contains the example, and it is about the example's decision."""
    assert Review.model_validate_json((EXAMPLES / "review.json").read_bytes()) == REVIEW
    assert (REVIEW.decision_id, REVIEW.application_id) == (DECISION.decision_id, DECISION.application_id)


BY_VALUE = [
    entry for entry in _read("examples/invalid/index.json") if entry["code"] not in ("unreadable", "model_error")
]


@pytest.mark.parametrize("entry", BY_VALUE, ids=lambda entry: entry["code"])
def test_invalid_examples_are_rejected_with_their_code(entry: dict[str, str]) -> None:
    """Each file is refused with exactly its code and its reason; all but what is merely too large by the model too.

    No value brings about unreadable or model_error: tests/contract has batches that cannot be read, and
    tests/unit/core/test_score.py models that fail.
    """
    if entry["code"] == "too_large":
        raw = dump_application(APPLICATIONS["plain"], shipped_contract()).ljust(RECORD_BYTES_MAX + 1)
    else:
        raw = (EXAMPLES / "invalid" / entry["file"]).read_bytes()
        with pytest.raises(ValidationError):
            CreditApplication.model_validate_json(raw)
    assert DECODER.decode(raw, RECORD_BYTES_MAX) == (RejectionCode(entry["code"]), entry["reason"])


def test_every_code_has_a_meaning_and_an_example() -> None:
    """The closed list is the same everywhere, in the same order; what has no file says how to make it."""
    codes = list(RejectionCode)
    assert list(MEANINGS) == [record.code for record in INVALID] == codes
    index = _read("examples/invalid/index.json")
    assert [entry["code"] for entry in index] == [code.value for code in codes]
    assert [entry["code"] for entry in index if entry["file"] is None] == ["unreadable", "too_large", "model_error"]
    assert all((entry["file"] is None) == ("how_to_make" in entry) for entry in index)


def test_the_document_names_every_topic_and_its_settings(document: Any) -> None:
    """Its channels are the five topics, with the partitions and the settings that the scorer creates them with."""
    bindings = {channel["address"]: channel["bindings"]["kafka"] for channel in document["channels"].values()}
    assert set(bindings) == {
        topics.APPLICATIONS,
        topics.DECISIONS,
        topics.DEAD_LETTERS,
        topics.DEPLOYMENTS,
        topics.REVIEWS,
    }
    for topic in contract(Settings(), partitions=6):
        binding = bindings[topic.name]
        assert binding["topic"] == topic.name
        assert binding.get("partitions", 6) == topic.partitions
        config = {
            **binding["topicConfiguration"],
            "cleanup.policy": ",".join(binding["topicConfiguration"]["cleanup.policy"]),
        }
        assert {name: str(value) for name, value in config.items()} == topic.config


def test_the_document_names_every_header(document: Any) -> None:
    """The headers of corrections, traces and dead letters are those of the contract, and the codes its closed list."""
    headers = {name: message.get("headers", {}) for name, message in document["components"]["messages"].items()}
    assert tuple(headers["application"]["properties"]) == (*TRACE_HEADERS, REQUEUED_FROM_HEADER)
    assert tuple(headers["requeued"]["properties"]) == tuple(headers["requeued"]["required"]) == MARK_HEADERS
    assert set(headers["decision"]["properties"]) == {*TRACE_HEADERS, REPLAY_ID_HEADER, SUPERSEDES_HEADER}
    assert tuple(headers["deadLetter"]["properties"]) == tuple(headers["deadLetter"]["required"]) == DEAD_LETTER_HEADERS
    code = headers["deadLetter"]["properties"]["dlq.code"]
    assert code["enum"] == [member.value for member in RejectionCode]
    assert [line for line in code["description"].splitlines() if line.startswith("- ")] == [
        f"- `{member}`: {meaning}" for member, meaning in MEANINGS.items()
    ]


def test_the_document_is_whole(document: Any) -> None:
    """Every reference in it leads somewhere, and every message is sent or received by someone."""
    for reference in _references(document):
        target = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
    carried = {reference for o in document["operations"].values() for reference in _references(o["messages"])}
    assert len(carried) == len(document["components"]["messages"])
    assert {reference.split("/")[2] for reference in carried} == set(document["channels"])


def test_the_documents_examples_fit_its_schemas(document: Any) -> None:
    """Each example's payload and headers are valid by the schemas beside it."""
    for message in document["components"]["messages"].values():
        for example in message["examples"]:
            for part in ("payload", "headers"):
                schema = {**message.get(part, {}), "components": document["components"]}
                jsonschema.Draft202012Validator(schema).validate(example.get(part, {}))


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [v for k, v in node.items() if k == "$ref"] + [r for v in node.values() for r in _references(v)]
    return [r for v in node for r in _references(v)] if isinstance(node, list) else []
