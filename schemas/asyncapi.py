"""The AsyncAPI document: topics, messages, headers and guarantees for publishers and readers."""

from typing import Any, Final

from pydantic.json_schema import models_json_schema

from schemas import topics
from schemas.contract import Contract
from schemas.contract_examples import invalid_records, valid_applications
from schemas.contract_schema import plain_schema
from schemas.decision import REPLAY_ID_HEADER, SUPERSEDES_HEADER, TRACE_HEADERS, Decision
from schemas.deployment import DeploymentEvent
from schemas.examples import BUNDLE, DECISION, DEPLOYMENT, REVIEW
from schemas.rejection import (
    ACTOR_HEADER,
    AT_HEADER,
    BUNDLE_HEADER,
    CODE_HEADER,
    MEANINGS,
    OFFSET_HEADER,
    PARTITION_HEADER,
    REASON_HEADER,
    REQUEUED_FROM_HEADER,
    REQUEUED_HEADER,
    TIMESTAMP_HEADER,
    TOPIC_HEADER,
    RejectionCode,
)
from schemas.review import Review

_BINDING: Final = "0.5.0"

_GUARANTEES: Final = """\
Every credit application on one topic becomes exactly one decision on another.
Operations are named from the client's view: publishers `send`, readers `receive`.

- **Nothing is lost.** Every application ends as one decision or as one dead letter.
- **Exactly once.** Decisions, dead letters and the offsets of the applications commit in one transaction: read with
  `isolation.level=read_committed`. A scorer that runs with `delivery = at-least-once` may repeat a decision, with the
  same `decision_id`.
- **Order** is kept per partition, and so per key.
- **Reproducible.** A decision's bytes depend only on the application's record and on the bundle. The time of the
  decision is the record's timestamp.
- **Invalid input never blocks.** A rejected record becomes a dead letter with its bytes unchanged, a code and a reason.
- **Personal data** is in keys and values only, never in a header that the scorer adds.
"""

_TRACEPARENT: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def build_document(contract: Contract) -> dict[str, Any]:
    """Builds the whole document for applications of a contract, from plain lists, mappings and scalars."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:streaming-credit-scorer",
        "info": {
            "title": "Streaming credit scorer",
            "version": contract.version,
            "description": _GUARANTEES,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "localhost:9092",
                "protocol": "kafka",
                "description": "The brokers; the setting bootstrap_servers has their addresses.",
            }
        },
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "messages": {
                "application": _application(contract),
                "decision": _decision(contract),
                "deadLetter": _dead_letter(contract),
                "requeued": _requeued(),
                "deploymentEvent": _deployment_event(),
                "review": _review(),
            },
            "schemas": _schemas(contract),
        },
    }


def _channels() -> dict[str, Any]:
    return {
        "applications": _channel(
            topics.APPLICATIONS,
            ("application",),
            "Applications to decide. The number of partitions is the maximum number of active workers.",
        ),
        "decisions": _channel(
            topics.DECISIONS,
            ("decision",),
            "The decisions, with as many partitions as the applications. Kept 25 months (12 CFR 1002.12(b)).",
        ),
        "deadLetters": _channel(
            topics.DEAD_LETTERS,
            ("deadLetter", "requeued"),
            "Rejected records, unchanged. They contain personal data: give the topic its own ACL.",
            partitions=1,
        ),
        "deployments": _channel(
            topics.DEPLOYMENTS,
            ("deploymentEvent",),
            "Which bundle was deployed to which slot, when, by whom and why: append-only, with unlimited retention. "
            "The current state follows from all events, from the first one on.",
            partitions=1,
        ),
        "reviews": _channel(
            topics.REVIEWS,
            ("review",),
            "Reviews of MAYBE decisions by people. They contain personal data. Kept as long as decisions.",
            partitions=1,
        ),
    }


def _channel(topic: str, messages: tuple[str, ...], description: str, partitions: int | None = None) -> dict[str, Any]:
    return {
        "address": topic,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in messages},
        "bindings": {
            "kafka": {
                "topic": topic,
                **({} if partitions is None else {"partitions": partitions}),
                "topicConfiguration": {"cleanup.policy": ["delete"], **topics.CONFIGS[topic]},
                "bindingVersion": _BINDING,
            }
        },
    }


def _operations() -> dict[str, Any]:
    return {
        "publishApplication": _operation("send", "applications", "application", "Request a decision."),
        "readDecisions": _operation(
            "receive",
            "decisions",
            "decision",
            "Read decisions, with isolation.level=read_committed. A sink can use decision_id to be idempotent.",
        ),
        "readDeadLetters": _operation(
            "receive",
            "deadLetters",
            "deadLetter",
            "Read rejected records with the reason; fix them and send them again.",
        ),
        "readRequeues": _operation(
            "receive", "deadLetters", "requeued", "Read which dead letters were requeued, when and by whom."
        ),
        "readDeployments": _operation(
            "receive", "deployments", "deploymentEvent", "Read the deployment history, from the first event on."
        ),
        "readReviews": _operation(
            "receive",
            "reviews",
            "review",
            "Read reviews, from the first one on: the one that counts replaces the label of its decision.",
        ),
    }


def _operation(action: str, channel: str, message: str, summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _application(contract: Contract) -> dict[str, Any]:
    return {
        "name": "application",
        "title": contract.title,
        "description": (
            "A JSON object in UTF-8 of at most `record_bytes_max` bytes "
            f"(default: {topics.RECORD_BYTES_DEFAULT}). Fields that are not listed are ignored; a listed one may occur "
            "only once. Numbers are JSON numbers: no strings, no booleans, no NaN "
            "or Infinity. With several faults, the first invalid field in the order given here determines the code."
        ),
        "headers": {
            "type": "object",
            "description": "All optional. Other headers are copied to a dead letter only.",
            "properties": {
                **_trace_headers("Copied to the decision"),
                REQUEUED_FROM_HEADER: {
                    "type": "string",
                    "description": "Of a requeued record: topic:partition:offset of the dead letter.",
                },
            },
        },
        "payload": {"$ref": f"#/components/schemas/{_schema_name(contract)}"},
        "bindings": {
            "kafka": _key(f"The {contract.id_field.name}. Applications with the same key are decided in order.")
        },
        "examples": [
            {"name": name, "headers": {TRACE_HEADERS[0]: _TRACEPARENT} if name == "plain" else {}, "payload": payload}
            for name, payload in valid_applications(contract).items()
        ],
    }


def _decision(contract: Contract) -> dict[str, Any]:
    return {
        "name": "decision",
        "title": "A decision",
        "description": "The decision on one application. Compare values byte by byte to compare two bundles.",
        "headers": {
            "type": "object",
            "properties": {
                **_trace_headers("Copied from the application"),
                REPLAY_ID_HEADER: {"type": "string", "description": "For corrections only: the replay that wrote it."},
                SUPERSEDES_HEADER: {
                    "type": "string",
                    "description": "For corrections only: the decision_id of the superseded decision. If the header "
                    "occurs several times, the last one counts.",
                },
            },
        },
        "payload": {"$ref": "#/components/schemas/Decision"},
        "bindings": {"kafka": _key(f"The application's key, or its {contract.id_field.name} if it has no key.")},
        "examples": [
            {
                "name": "decision",
                "headers": {TRACE_HEADERS[0]: _TRACEPARENT},
                "payload": DECISION.model_dump(mode="json"),
            },
            {
                "name": "correction",
                "summary": "Written by a replay with another bundle.",
                "headers": {
                    REPLAY_ID_HEADER: "2026-02-quarterly",
                    SUPERSEDES_HEADER: DECISION.decision_id.partition("@")[0] + "@0beec7b5ea3f",
                },
                "payload": DECISION.model_dump(mode="json"),
            },
        ],
    }


def _dead_letter(contract: Contract) -> dict[str, Any]:
    codes = "\n".join(f"- `{code}`: {MEANINGS[code]}" for code in RejectionCode)
    invalid = {record.code: record for record in invalid_records(contract)}
    # The reason of an unknown category names two fields; every contract has a field that can have the wrong type.
    rejected = invalid.get(RejectionCode.UNKNOWN_CATEGORY, invalid[RejectionCode.WRONG_TYPE])
    assert rejected.value is not None, "it has a file"
    text = {"type": "string"}
    added = {
        CODE_HEADER: {
            "type": "string",
            "enum": [code.value for code in RejectionCode],
            "description": "The rejection code, from a closed list. The first one that applies: down to not_an_object "
            f"in this order, then that of the first invalid field.\n\n{codes}",
        },
        REASON_HEADER: text | {"description": "The reason as text: every invalid field with its rule, never a value."},
        TOPIC_HEADER: text | {"description": "The record's topic."},
        PARTITION_HEADER: text | {"pattern": "^[0-9]+$", "description": "Its partition."},
        OFFSET_HEADER: text | {"pattern": "^[0-9]+$", "description": "Its offset."},
        TIMESTAMP_HEADER: text | {"pattern": "^-?[0-9]+$", "description": "Its timestamp, in milliseconds since 1970."},
        BUNDLE_HEADER: text | {"description": "The bundle that was current: name:version@digest."},
        AT_HEADER: text | {"format": "date-time", "description": "When it was rejected, ISO 8601 in UTC."},
    }
    return {
        "name": "deadLetter",
        "title": "A dead letter: a rejected application",
        "description": "The original record (key, value and headers) with additional headers about the rejection. "
        "A publisher's headers can have the same names: the last header of a name counts.",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "required": list(added), "properties": added},
        "payload": {"description": "The original value, byte for byte. It may be neither JSON nor text."},
        "bindings": {"kafka": {"bindingVersion": _BINDING}},
        "examples": [
            {
                "name": rejected.code.value,
                "headers": {
                    CODE_HEADER: rejected.code.value,
                    REASON_HEADER: rejected.reason,
                    TOPIC_HEADER: topics.APPLICATIONS,
                    PARTITION_HEADER: "3",
                    OFFSET_HEADER: "1043",
                    TIMESTAMP_HEADER: "1769851800123",
                    BUNDLE_HEADER: f"{BUNDLE.name}:{BUNDLE.version}@{BUNDLE.digest}",
                    AT_HEADER: "2026-01-31T09:30:00.456+00:00",
                },
                "payload": rejected.value.decode(),
            }
        ],
    }


def _requeued() -> dict[str, Any]:
    text = {"type": "string"}
    added = {
        REQUEUED_HEADER: text
        | {"pattern": "^[0-9]+$", "description": "The offset of the dead letter, which is in the same partition."},
        ACTOR_HEADER: text | {"description": "Who requeued it."},
        AT_HEADER: text | {"format": "date-time", "description": "When, ISO 8601 in UTC."},
    }
    return {
        "name": "requeued",
        "title": "A mark: a dead letter was requeued",
        "description": "Written by `scorer dlq requeue` in the transaction that publishes the record to the "
        "applications topic again, so that none is requeued twice. It is not a dead letter: it has no `dlq.code`.",
        "headers": {"type": "object", "required": list(added), "properties": added},
        "payload": {"type": "null", "description": "Always null."},
        "bindings": {"kafka": _key("The dead letter's key.")},
        "examples": [
            {
                "name": "requeued",
                "headers": {
                    REQUEUED_HEADER: "17",
                    ACTOR_HEADER: DEPLOYMENT.actor,
                    AT_HEADER: "2026-01-31T10:00:00.000+00:00",
                },
                "payload": None,
            }
        ],
    }


def _deployment_event() -> dict[str, Any]:
    return {
        "name": "deploymentEvent",
        "title": "A deployment event",
        "description": "Written by `scorer deploy`, `rollback` and `retire`; the workers follow it.",
        "payload": {"$ref": "#/components/schemas/DeploymentEvent"},
        "bindings": {"kafka": {"bindingVersion": _BINDING}},
        "examples": [{"name": "deploy", "payload": DEPLOYMENT.model_dump(mode="json")}],
    }


def _review() -> dict[str, Any]:
    return {
        "name": "review",
        "title": "A review of a MAYBE decision",
        "description": "Written by the console for a reviewer. Of a decision's reviews, in the order of the topic, the "
        "first one counts, and then each one that names in `supersedes` the review that counts at that moment. One "
        "with `needs_second` counts only if an earlier one by another reviewer has the same label and the same "
        "`supersedes`; of one reviewer's reviews with the same `supersedes`, only the first has an effect then. All "
        "others have no effect. A decision that is superseded by a correction needs a review of its own.",
        "payload": {"$ref": "#/components/schemas/Review"},
        "bindings": {"kafka": _key("The application's id.")},
        "examples": [{"name": "review", "payload": REVIEW.model_dump(mode="json")}],
    }


def _trace_headers(origin: str) -> dict[str, Any]:
    return {name: {"type": "string", "description": f"W3C Trace Context. {origin}."} for name in TRACE_HEADERS}


def _key(description: str) -> dict[str, Any]:
    return {"key": {"type": "string", "description": f"In UTF-8. {description}"}, "bindingVersion": _BINDING}


def _schemas(contract: Contract) -> dict[str, Any]:
    _, schemas = models_json_schema(
        [(model, "validation") for model in (Decision, DeploymentEvent, Review)],
        ref_template="#/components/schemas/{model}",
    )
    application = {keyword: value for keyword, value in plain_schema(contract).items() if keyword != "$schema"}
    return {**schemas["$defs"], _schema_name(contract): application}


def _schema_name(contract: Contract) -> str:
    """The name of the schema of applications: `CreditApplication`; no other schema's name ends so."""
    name = "".join(part.capitalize() for part in contract.name.split("-"))
    return name if name.endswith("Application") else f"{name}Application"
