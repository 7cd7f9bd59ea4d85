"""Renders the AsyncAPI document as a page, with this console's topic names."""

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from schemas.asyncapi import build_document
from schemas.topics import DAY_MS
from scorer.console.examples import EXAMPLES
from scorer.settings import Settings

_CODE_NOTE: Final = (
    "Addresses and topics are those of this console. If your cluster requires TLS or a login, add the client "
    "properties for it."
)
_ACTIONS: Final = {"send": "You publish", "receive": "You read"}


def render_interface(settings: Settings) -> str:
    """Renders topics, messages, headers and code examples for publishers and readers as HTML."""
    document = build_document()
    addresses = {
        "applications": settings.applications_topic,
        "decisions": settings.decisions_topic,
        "deadLetters": settings.dead_letters_topic,
        "deployments": settings.deployments_topic,
    }
    parts = [
        '<section aria-labelledby="guarantees"><h2 id="guarantees">Guarantees</h2>',
        _prose(document["info"]["description"]),
        "</section>",
        _code(settings),
    ]
    for name, operation in document["operations"].items():
        channel = document["channels"][_referenced_name(operation["channel"])]
        message = document["components"]["messages"][_referenced_name(operation["messages"][0])]
        address = addresses[_referenced_name(operation["channel"])]
        parts.append(_operation(name, operation, channel, address, message, document))
    return "\n".join(parts)


def _code(settings: Settings) -> str:
    parts = [
        '<section aria-labelledby="code"><h2 id="code">Code examples</h2>',
        f"<p>{_CODE_NOTE}</p>",
    ]
    for example in EXAMPLES:
        slug = re.sub(r"[^a-z]+", "-", example.title.lower())
        parts.append(f"<h3 id='code-{slug}'>{escape(example.title)}</h3><p>{escape(example.note)}</p>")
        parts.append(_copyable(example.text(settings), example.title))
    return "".join([*parts, "</section>"])


def _operation(
    name: str,
    operation: Mapping[str, Any],
    channel: Mapping[str, Any],
    address: str,
    message: Mapping[str, Any],
    document: Mapping[str, Any],
) -> str:
    schemas = document["components"]["schemas"]
    payload = message["payload"]
    if "$ref" in payload:
        payload = schemas[_referenced_name(payload)]
    parts = [
        f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(message["title"])}</h2>',
        f"<p><b>{_ACTIONS[operation['action']]}.</b> {escape(operation['summary'])}</p>",
        f"<dl class='facts'><dt>Topic</dt><dd><code>{escape(address)}</code></dd>",
        f"<dt>Retention</dt><dd>{_retention(channel)}</dd>",
        f"<dt>Key</dt><dd>{escape(_key(message))}</dd></dl>",
        f"<p>{_inline(channel['description'])}</p>{_prose(message['description'])}",
    ]
    if "properties" in payload:
        parts.append(_table("Fields", list(_fields(payload, schemas))))
    else:
        parts.append(f"<p>{_inline(payload['description'])}</p>")
    headers = message.get("headers", {}).get("properties", {})
    if headers:
        rows = [(header, "header", "", rule["description"]) for header, rule in headers.items()]
        parts.append(_table("Headers", rows))
    for example in message["examples"][:1]:
        shown = example["payload"]
        if shown is not None:
            text = shown if isinstance(shown, str) else json.dumps(shown, indent=2, ensure_ascii=False)
            parts.append(f"<h3>Example</h3>{_copyable(text, message['title'])}")
    return "".join([*parts, "</section>"])


def _fields(
    schema: Mapping[str, Any], schemas: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """Name, type, whether it is required, and description of each field; an object's fields follow it."""
    for name, rule in schema["properties"].items():
        inner = _object(rule, schemas)
        need = "required" if name in schema.get("required", ()) else "optional"
        description = rule.get("description") or (inner or {}).get("description", "")
        yield f"{prefix}{name}", "object" if inner else _type_of(rule), need, description
        if inner:
            yield from _fields(inner, schemas, f"{prefix}{name}.")


def _object(rule: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for option in rule.get("anyOf", [rule]):
        if "$ref" in option:
            schema: Mapping[str, Any] = schemas[_referenced_name(option)]
            return schema
    return None


def _type_of(rule: Mapping[str, Any]) -> str:
    options = rule.get("anyOf", [rule])
    null = " or null" if any(option.get("type") == "null" for option in options) else ""
    value = options[0]
    if "enum" in value:
        return ", ".join(value["enum"]) + null
    kind = str(value.get("type", "anything"))
    low = value.get("minimum", value.get("exclusiveMinimum", value.get("minLength")))
    high = value.get("maximum", value.get("maxLength"))
    above = "above " if "exclusiveMinimum" in value else ""
    unit = " characters" if kind == "string" and low is not None else ""
    if low is not None and high is not None:
        return f"{kind}, {above}{low:,g} to {high:,.0f}{unit}{null}"
    return kind + (f", {low:g}{unit} or more" if low is not None else "") + null


def _table(title: str, rows: list[tuple[str, str, str, str]]) -> str:
    cells = "".join(
        f"<div class='row'><dt><code>{escape(name)}</code></dt><dd><span class='takes'>{escape(takes)}</span>"
        f"{f' <span class=need>{escape(need)}</span>' if need else ''}{_prose(description)}</dd></div>"
        for name, takes, need, description in rows
    )
    return f"<h3>{title}</h3><dl class='fields'>{cells}</dl>"


def _retention(channel: Mapping[str, Any]) -> str:
    retention_ms = channel["bindings"]["kafka"]["topicConfiguration"]["retention.ms"]
    return "unlimited" if retention_ms < 0 else f"{retention_ms // DAY_MS} days by default"


def _key(message: Mapping[str, Any]) -> str:
    key = message["bindings"]["kafka"].get("key")
    return "the record's original key, or none" if key is None else str(key["description"])


def _copyable(text: str, what: str) -> str:
    return (
        f'<div class="copy"><button type="button" class="quiet" data-copy>Copy<span class="hidden">: {escape(what)}'
        f'</span></button><pre tabindex="0" aria-label="{escape(what)}"><code>{escape(text)}</code></pre></div>'
    )


def _prose(text: str) -> str:
    """Renders the Markdown that the document uses: paragraphs, lists, code and bold."""
    parts = []
    for block in re.split(r"\n\s*\n", text.strip()):
        items = re.split(r"^- ", block, flags=re.MULTILINE)
        if items[0].strip():
            parts.append(f"<p>{_inline(items[0])}</p>")
        if len(items) > 1:
            parts.append(f"<ul>{''.join(f'<li>{_inline(item)}</li>' for item in items[1:])}</ul>")
    return "".join(parts)


def _inline(text: str) -> str:
    html = escape(" ".join(text.split()), quote=False)
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", html)
    return re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", html)


def _referenced_name(reference: Mapping[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]
