"""Describes the AsyncAPI document for the interface page, with this console's topic names."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from schemas.asyncapi import build_document
from schemas.contracts import shipped_contract
from schemas.topics import DAY_MS
from scorer.console.examples import EXAMPLES
from scorer.settings import Settings

_ACTIONS: Final = {"send": "You publish", "receive": "You read"}


class Row(NamedTuple):
    """A field or a header: its name, its type, whether it is required, and its description in Markdown."""

    name: str
    type: str
    requirement: str
    description: str


def describe_interface(settings: Settings) -> dict[str, Any]:
    """The values of the page's template: guarantees in Markdown, code examples, and the operations of the document."""
    document = build_document(shipped_contract())
    addresses = {
        "applications": settings.applications_topic,
        "decisions": settings.decisions_topic,
        "deadLetters": settings.dead_letters_topic,
        "deployments": settings.deployments_topic,
    }
    return {
        "guarantees": document["info"]["description"],
        "examples": [(example.title, example.note, example.text(settings)) for example in EXAMPLES],
        "operations": [
            {
                "name": name,
                "action": _ACTIONS[operation["action"]],
                "summary": operation["summary"],
                "topic": addresses[_referenced_name(operation["channel"])],
                **_describe_message(operation, document),
            }
            for name, operation in document["operations"].items()
        ],
    }


def _describe_message(operation: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    channel = document["channels"][_referenced_name(operation["channel"])]
    message = document["components"]["messages"][_referenced_name(operation["messages"][0])]
    schemas = document["components"]["schemas"]
    payload = message["payload"]
    if "$ref" in payload:
        payload = schemas[_referenced_name(payload)]
    fields = list(_fields(payload, schemas)) if "properties" in payload else []
    descriptions = [channel["description"], message["description"], *([] if fields else [payload["description"]])]
    headers = message.get("headers", {}).get("properties", {})
    example = message["examples"][0]["payload"]
    return {
        "title": message["title"],
        "retention": _retention(channel),
        "key": _key(message),
        "description": "\n\n".join(descriptions),
        "fields": fields,
        "headers": [Row(name, "header", "", rule["description"]) for name, rule in headers.items()],
        "example": json.dumps(example, indent=2, ensure_ascii=False) if isinstance(example, dict) else example,
    }


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any], prefix: str = "") -> Iterator[Row]:
    """The fields of a schema; an object's fields follow it."""
    for name, rule in schema["properties"].items():
        nested = _object(rule, schemas)
        requirement = "required" if name in schema.get("required", ()) else "optional"
        description = rule.get("description") or (nested or {}).get("description", "")
        yield Row(f"{prefix}{name}", "object" if nested else _type_of(rule), requirement, description)
        if nested:
            yield from _fields(nested, schemas, f"{prefix}{name}.")


def _object(rule: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any] | None:
    option: Mapping[str, Any]
    for option in rule.get("anyOf", [rule]):
        if "$ref" in option:
            schema: Mapping[str, Any] = schemas[_referenced_name(option)]
            return schema
        if "properties" in option:
            return option
    return None


def _type_of(rule: Mapping[str, Any]) -> str:
    options = rule.get("anyOf", [rule])
    value = options[0]
    types = [option.get("type", "anything") for option in options]
    types = [*types[0], *types[1:]] if isinstance(types[0], list) else types
    null = " or null" if "null" in types else ""
    if "enum" in value:
        return ", ".join(text for text in value["enum"] if text is not None) + null
    kind = str(types[0])
    low = value.get("minimum", value.get("exclusiveMinimum", value.get("minLength")))
    high = value.get("maximum", value.get("maxLength"))
    above = "above " if "exclusiveMinimum" in value else ""
    unit = " characters" if kind == "string" and low is not None else ""
    if low is not None and high is not None:
        return f"{kind}, {above}{low:,g} to {high:,.0f}{unit}{null}"
    return kind + (f", {low:g}{unit} or more" if low is not None else "") + null


def _retention(channel: Mapping[str, Any]) -> str:
    retention_ms = channel["bindings"]["kafka"]["topicConfiguration"]["retention.ms"]
    return "unlimited" if retention_ms < 0 else f"{retention_ms // DAY_MS} days by default"


def _key(message: Mapping[str, Any]) -> str:
    key = message["bindings"]["kafka"].get("key")
    return "the record's original key, or none" if key is None else str(key["description"])


def _referenced_name(reference: Mapping[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]
