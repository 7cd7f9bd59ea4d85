"""Building blocks of the reference pages: fields of a JSON Schema in words, and Markdown tables."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas.fields import describe_range
from schemas.printable import NO_CONTROLS


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Formats a Markdown table; cells may contain Markdown, and `|` and line ends in them are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def plain(text: str) -> str:
    """Escapes asterisks in plain text."""
    return text.replace("*", r"\*")


def code(value: object) -> str:
    """Formats a value as JSON in code style; a string without its quotes."""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def limits(schema: Mapping[str, Any]) -> str:
    """Describes the valid values of a field from its JSON Schema: type, choices, range, length, pattern."""
    if "anyOf" in schema:
        return " or ".join(limits(one) for one in schema["anyOf"])
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return ", ".join(code(choice) for choice in schema["enum"])
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    kind = {"string": "text", "date-time": "a time"}.get(schema.get("format", schema["type"]), schema["type"])
    return ", ".join(filter(None, [kind, describe_range(schema, ","), _length(schema), _pattern(schema)]))


def _length(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minLength"), schema.get("maxLength")
    if high is not None:
        return f"{low or 0} to {high} characters"
    return "not empty" if low else ""


def _pattern(schema: Mapping[str, Any]) -> str:
    if "pattern" not in schema:
        return ""
    return "no control characters" if schema["pattern"] == NO_CONTROLS else f"matching `{schema['pattern']}`"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
