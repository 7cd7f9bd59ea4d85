"""Describes a contract's AsyncAPI document for the interface page, with this console's topic names."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas.asyncapi import build_document
from schemas.contract import Contract
from schemas.contract_examples import invalid_records
from schemas.rejection import MEANINGS
from schemas.topics import DAY_MS
from scorer.console.contract_table import Row, contract_rows
from scorer.console.examples import EXAMPLES
from scorer.settings import Settings

_ACTIONS: Final = {"send": "You publish", "receive": "You read"}
# What JSON allows in strings, and YAML does not, or reads as the end of a line.
_NOT_IN_YAML: Final = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def render_document(contract: Contract) -> str:
    """The AsyncAPI document of a contract as YAML: JSON is YAML, if some characters in it are escaped."""
    text = json.dumps(build_document(contract), indent=2, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda character: f"\\u{ord(character[0]):04x}", text)


def describe_interface(settings: Settings, contract: Contract) -> dict[str, Any]:
    """The values of the page's template: guarantees in Markdown, code, rejection codes, and operations."""
    document = build_document(contract)
    addresses = {
        "applications": settings.applications_topic,
        "decisions": settings.decisions_topic,
        "deadLetters": settings.dead_letters_topic,
        "deployments": settings.deployments_topic,
        "reviews": settings.reviews_topic,
    }
    operations = [
        {
            "name": name,
            "action": _ACTIONS[operation["action"]],
            "summary": operation["summary"],
            "topic": addresses[_referenced_name(operation["channel"])],
            **_describe_message(operation, document),
        }
        for name, operation in document["operations"].items()
    ]
    (application,) = (operation for operation in operations if operation["name"] == "publishApplication")
    application["fields"] = contract_rows(contract)
    return {
        "guarantees": document["info"]["description"],
        "languages": _languages(settings, contract),
        "operations": operations,
        "codes": list(_codes(contract)),
    }


def _languages(settings: Settings, contract: Contract) -> dict[str, list[tuple[str, str, str]]]:
    """By language, the title, the note and the code of each example."""
    languages: dict[str, list[tuple[str, str, str]]] = {}
    for example in EXAMPLES:
        shown = (example.title, example.note, example.text(settings, contract))
        languages.setdefault(example.language, []).append(shown)
    return languages


def _codes(contract: Contract) -> Iterator[dict[str, Any]]:
    """Every rejection code with its meaning, and a record of the contract that gets it, or how to make one."""
    records = {record.code: record for record in invalid_records(contract)}
    for code, meaning in MEANINGS.items():
        record = records.get(code)
        how_to_make = "no value of this contract can cause it" if record is None else record.how_to_make or ""
        yield {
            "code": code.value,
            "meaning": meaning,
            "reason": "" if record is None else record.reason,
            "value": None if record is None or record.value is None else record.value.decode(errors="backslashreplace"),
            "how_to_make": f"{how_to_make[:1].upper()}{how_to_make[1:]}.",
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
    examples = {example["name"]: _shown(example["payload"]) for example in message["examples"]}
    return {
        "title": message["title"],
        "retention": _retention(channel),
        "key": _key(message),
        "description": "\n\n".join(descriptions),
        "fields": fields,
        "headers": [Row(name, "", "header", description=rule["description"]) for name, rule in headers.items()],
        "examples": [(name.replace("-", " "), text) for name, text in examples.items() if text],
    }


def _shown(payload: Any) -> str:
    """An example as text; "" if it is null."""
    return json.dumps(payload, indent=2, ensure_ascii=False) if isinstance(payload, dict) else payload or ""


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any], prefix: str = "") -> Iterator[Row]:
    """The fields of a schema; an object's fields follow it."""
    for name, rule in schema["properties"].items():
        nested = _object(rule, schemas)
        requirement = "required" if name in schema.get("required", ()) else "optional"
        description = rule.get("description") or (nested or {}).get("description", "")
        type_, values = ("object", ()) if nested else _type_of(rule)
        yield Row(f"{prefix}{name}", "", type_, values, requirement, description=description)
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


def _type_of(rule: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The type and limits of a property in words, and its values if it has a list of them."""
    options = rule.get("anyOf", [rule])
    value = options[0]
    types = [option.get("type", "anything") for option in options]
    null = " or null" if "null" in types else ""
    if "enum" in value:
        return f"string{null}", tuple(value["enum"])
    if "const" in value:
        return f"string{null}", (value["const"],)
    kind = str(types[0])
    low, high = value.get("minimum", value.get("minLength")), value.get("maximum", value.get("maxLength"))
    unit = " characters" if kind == "string" and low is not None else ""
    if low is not None and high is not None:
        return f"{kind}, {low:,g} to {high:,.0f}{unit}{null}", ()
    return kind + (f", {low:g}{unit} or more" if low is not None else "") + null, ()


def _retention(channel: Mapping[str, Any]) -> str:
    retention_ms = channel["bindings"]["kafka"]["topicConfiguration"]["retention.ms"]
    return "unlimited" if retention_ms < 0 else f"{retention_ms // DAY_MS} days by default"


def _key(message: Mapping[str, Any]) -> str:
    key = message["bindings"]["kafka"].get("key")
    return "the record's original key, or none" if key is None else str(key["description"])


def _referenced_name(reference: Mapping[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]
