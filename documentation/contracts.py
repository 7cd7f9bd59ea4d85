"""Reference page of the contracts: topics, fields with their limits, headers and examples, from schemas/."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel

from documentation.fields import code, limits, plain, table
from schemas.application import CONTRACT_VERSION, CreditApplication
from schemas.asyncapi import build_document
from schemas.contracts import shipped_contract
from schemas.decision import BundleReference, Decision, RecordReference
from schemas.deployment import DeploymentEvent
from schemas.examples import APPLICATIONS, DECISION, DEPLOYMENT, REVIEW
from schemas.review import Review
from scorer.operate.topics import Topic, contract
from scorer.settings import Settings

_INTRODUCTION: Final = f"""# Contracts

Formats of topics and messages, version {CONTRACT_VERSION}. The same in machine-readable form is in
[`schemas/generated`](../../schemas/generated/asyncapi.yaml): an AsyncAPI 3 document,
[JSON Schemas](../../schemas/generated/application.schema.json) and examples, including an invalid one for every code.
"""
_DAY_MS: Final = 86_400_000


def contracts_page() -> str:
    """Returns the page."""
    messages = build_document(shipped_contract())["components"]["messages"]
    return "\n".join(
        [
            _INTRODUCTION,
            *_topics(),
            *_application(messages["application"]),
            *_decision(messages["decision"]),
            *_dead_letter(messages["deadLetter"]),
            *_deployment(),
            *_review(messages["review"]),
        ]
    )


def _topics() -> Iterable[str]:
    settings = Settings()
    rows = (_topic(topic) for topic in contract(settings, partitions=6))
    yield "## Topics\n"
    yield "`scorer topics ensure` creates missing topics with these settings; `scorer topics check` compares them.\n"
    yield table(("topic", "partitions (default)", "settings"), rows)
    yield ""


def _topic(topic: Topic) -> tuple[str, str, str]:
    settings = "; ".join(_setting(name, value) for name, value in topic.config.items())
    return f"`{topic.name}`", str(topic.partitions), settings


def _setting(name: str, value: str) -> str:
    days = f" ({int(value) // _DAY_MS} days)" if name == "retention.ms" and value != "-1" else ""
    return f"`{name}={value}`{days}"


def _application(message: Mapping[str, Any]) -> Iterable[str]:
    yield "## Application\n"
    yield plain(message["description"]) + " The key is the application_id, in UTF-8.\n"
    yield _fields(CreditApplication)
    yield _example("An application", APPLICATIONS["plain"])
    yield _headers(message)


def _decision(message: Mapping[str, Any]) -> Iterable[str]:
    yield "## Decision\n"
    yield (
        plain(message["description"])
        + " [Reading decisions](../reading-decisions.md) describes what a reader can rely on.\n"
    )
    yield _fields(Decision)
    yield "### BundleReference\n"
    yield _fields(BundleReference)
    yield "### RecordReference\n"
    yield _fields(RecordReference)
    yield _example("A decision", DECISION.model_dump(mode="json"))
    yield _headers(message)


def _dead_letter(message: Mapping[str, Any]) -> Iterable[str]:
    yield "## Dead letter\n"
    yield plain(message["description"]) + " [The codes](errors.md#codes-of-dead-letters) are a closed list.\n"
    yield _headers(message)
    yield _example("Headers of a dead letter", message["examples"][0]["headers"])


def _deployment() -> Iterable[str]:
    yield "## Deployment event\n"
    yield "A record of the deployment history: which bundle is in a slot since when, by whom and why. Key: the slot.\n"
    yield _fields(DeploymentEvent)
    yield _example("A deployment", DEPLOYMENT.model_dump(mode="json"))


def _review(message: Mapping[str, Any]) -> Iterable[str]:
    yield "## Review\n"
    yield (
        plain(message["description"])
        + " Key: the application's id. [Review MAYBE decisions](../manual-review.md) describes how reviews are made.\n"
    )
    yield _fields(Review)
    yield _example("A review", REVIEW.model_dump(mode="json"))


def _fields(model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    required = schema["required"]
    rows = (
        (f"`{name}`", limits(field), "yes" if name in required else "no", _description(field), _value(field))
        for name, field in schema["properties"].items()
    )
    return table(("field", "type", "required", "description", "example"), rows) + "\n"


def _description(field: Mapping[str, Any]) -> str:
    return plain(field.get("description", ""))


def _value(field: Mapping[str, Any]) -> str:
    return code(json.dumps(field["examples"][0])) if "examples" in field else ""


def _headers(message: Mapping[str, Any]) -> str:
    rows = (
        (f"`{name}`", plain(schema["description"].partition("\n\n")[0]))
        for name, schema in message["headers"]["properties"].items()
    )
    return table(("header", "value"), rows) + "\n"


def _example(title: str, value: object) -> str:
    return f"{title}:\n\n```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```\n"
