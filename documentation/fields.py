"""A field of a JSON Schema in words, and tables in Markdown: what the pages of the reference are put together from."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas.printable import NO_CONTROLS


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; the cells are Markdown too, but for `|` and line ends, which would end a cell."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def plain(text: str) -> str:
    """A text that is no Markdown, so that a star in it is a star."""
    return text.replace("*", r"\*")


def code(value: object) -> str:
    """A value as JSON writes it, as code; a string without its quotes."""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def limits(schema: Mapping[str, Any]) -> str:
    """What a field takes, by its JSON Schema: type, choices, range, length, pattern."""
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
    return ", ".join([kind, *_range(schema), *_length(schema), *_pattern(schema)])


def _range(schema: Mapping[str, Any]) -> list[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    found = [f"{_number(low)} to {_number(high)}"] if low is not None and high is not None else []
    if not found:
        found += [f"from {_number(low)}"] if low is not None else []
        found += [f"up to {_number(high)}"] if high is not None else []
    above = schema.get("exclusiveMinimum")
    return ([] if above is None else [f"above {_number(above)}"]) + found


def _length(schema: Mapping[str, Any]) -> list[str]:
    low, high = schema.get("minLength"), schema.get("maxLength")
    if high is not None:
        return [f"{low or 0} to {high} characters"]
    return ["not empty"] if low else []


def _pattern(schema: Mapping[str, Any]) -> list[str]:
    if "pattern" not in schema:
        return []
    return ["no control characters" if schema["pattern"] == NO_CONTROLS else f"as `{schema['pattern']}`"]


def _number(value: float) -> str:
    return f"{value:,.15g}"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
