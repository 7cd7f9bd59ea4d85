"""Contracts once more, written by hand, slow and plain: Python's JSON, then JSON Schema's rules field by field.

Nothing of the code that it judges is used. A contract is a JSON Schema, as a dictionary.
"""

import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any, Final

NESTING_MAX: Final = 200  # of pydantic's parser
FLOAT32_MAX: Final = float.fromhex("0x1.fffffep+127")
ID_CHARACTERS_MAX: Final = 256
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
DATE_TIME: Final = re.compile(
    rf"({DATE.pattern})[Tt](\d{{2}}:\d{{2}}:\d{{2}})(\.\d+)?([Zz]|[+-]\d{{2}}:\d{{2}})", re.ASCII
)

Schema = dict[str, Any]
Verdict = tuple[str, list[str]] | dict[str, object]
"""The code of a rejection with the names at fault, or the values by field: None is unknown, texts are not values."""


class Pairs(list[tuple[str, Any]]):
    """An object as it is written, every name of it."""


def _no_constant(_: str) -> object:
    raise ValueError("not JSON")


def _integer(text: str) -> float:
    return float(text) + 0.0  # of any length, and without the sign of -0, which an integer does not have


def _nesting(value: object) -> int:
    inner = [v for _, v in value] if isinstance(value, Pairs) else value if isinstance(value, list) else []
    return 1 + max(map(_nesting, inner)) if inner else 0


def _is_unicode(value: object) -> bool:
    if isinstance(value, str):
        return not any(0xD800 <= ord(character) <= 0xDFFF for character in value)
    if isinstance(value, Pairs):
        return all(_is_unicode(name) and _is_unicode(inner) for name, inner in value)
    return all(map(_is_unicode, value)) if isinstance(value, list) else True


def judge(schema: Schema, raw: bytes, bytes_max: int) -> Verdict:  # noqa: PLR0911  (a code a return)
    """What becomes of a value."""
    if not raw:
        return "empty", []
    if len(raw) > bytes_max:
        return "too_large", []
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return "not_utf8", []
    try:
        value = json.loads(text, object_pairs_hook=Pairs, parse_constant=_no_constant, parse_int=_integer)
    except (ValueError, RecursionError):
        return "not_json", []
    if _nesting(value) > NESTING_MAX or not _is_unicode(value):
        return ("not_json" if isinstance(value, Pairs) else "not_an_object"), []
    if not isinstance(value, Pairs):
        return "not_an_object", []
    if _is_repeated(schema, value):
        return "not_json", []
    faults = list(_faults(schema, dict(value), ""))
    if faults:
        return faults[0][1], [name for name, _ in faults]
    return dict(_values(schema, dict(value), ""))


def _is_repeated(schema: Schema, members: Pairs) -> bool:
    """Whether a member of the contract is given twice, wherever the contract has it."""
    properties = schema["properties"]
    names = [name for name, _ in members if name in properties]
    return len(names) > len(set(names)) or any(
        _is_repeated(properties[name], value)
        for name, value in members
        if "properties" in properties.get(name, {}) and isinstance(value, Pairs)
    )


def _faults(schema: Schema, members: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    """The members at fault in the contract's order, each with its code."""
    for name, member in schema["properties"].items():
        if name not in members:
            if name in schema.get("required", ()):
                yield prefix + name, "missing_field"
        elif "properties" in member and isinstance(members[name], Pairs):
            yield from _faults(member, dict(members[name]), f"{prefix}{name}.")
        else:
            code = fault_of(member, members[name])
            if code:
                yield prefix + name, code


def fault_of(member: Schema, value: object) -> str | None:
    """What is wrong with the value of a field, or with what stands instead of an object; None if nothing."""
    types = member["type"] if isinstance(member["type"], list) else [member["type"]]
    if value is None:
        return None if "null" in types else "wrong_type"
    match types[0]:
        case "object":
            return None if isinstance(value, dict | Pairs) else "wrong_type"
        case "boolean":
            return None if isinstance(value, bool) else "wrong_type"
        case "string":
            return _fault_of_text(member, value) if isinstance(value, str) else "wrong_type"
        case type_:
            if not isinstance(value, int | float) or isinstance(value, bool):
                return "wrong_type"
            return _fault_of_number(member, float(value), is_whole=type_ == "integer")


def _fault_of_number(member: Schema, value: float, *, is_whole: bool) -> str | None:
    if value in member.get("x-unknown", ()):
        return None
    if is_whole and math.isfinite(value) and value % 1:
        return "wrong_type"
    within = (
        value >= member.get("minimum", -math.inf)
        and value > member.get("exclusiveMinimum", -math.inf)
        and value <= member.get("maximum", math.inf)
        and value < member.get("exclusiveMaximum", math.inf)
        and abs(value) <= FLOAT32_MAX
    )
    return None if within else "out_of_range"


def _fault_of_text(member: Schema, value: str) -> str | None:
    if "enum" in member:
        return None if value in member["enum"] or value in member.get("x-unknown", ()) else "unknown_category"
    if member.get("format") == "date":
        return None if read_days(value, DATE) is not None else "wrong_type"
    if member.get("format") == "date-time":
        return None if read_days(value, DATE_TIME) is not None else "wrong_type"
    low = member.get("minLength", 1 if "x-id" in member else 0)
    high = member.get("maxLength", ID_CHARACTERS_MAX if "x-id" in member else math.inf)
    return None if low <= len(value) <= high else "out_of_range"


def read_days(text: str, pattern: re.Pattern[str]) -> float | None:
    """Days since 1970 in UTC, as the nearest float; None if the text is not a date, or date-time, of the calendar."""
    if not pattern.fullmatch(text):
        return None
    try:
        if pattern is DATE:
            return float(date.fromisoformat(text).toordinal() - EPOCH.toordinal())
        since = datetime.fromisoformat(text.upper()) - EPOCH
    except ValueError:
        return None
    return float(Fraction(since.days) + Fraction(since.seconds * 1_000_000 + since.microseconds, 86_400_000_000))


def _values(schema: Schema, members: dict[str, Any], prefix: str) -> Iterator[tuple[str, object]]:
    for name, member in schema["properties"].items():
        if "properties" in member:
            inner = members.get(name)
            yield from _values(member, dict(inner) if isinstance(inner, Pairs) else {}, f"{prefix}{name}.")
        elif "x-id" in member:
            yield prefix + name, members[name]
        elif member["type"] not in ("string", ["string", "null"]) or "enum" in member or "format" in member:
            yield prefix + name, _read(member, members.get(name, member.get("default")))


def _read(member: Schema, value: Any) -> object:
    if value is None or value in member.get("x-unknown", ()):
        return None
    if "format" in member:
        return read_days(value, DATE if member["format"] == "date" else DATE_TIME)
    return value if isinstance(value, str) else float(value)
