"""Says why the value of a record is not a decision, without quoting it."""

import re
from typing import Final

import msgspec
from pydantic import ValidationError

_find_path = re.compile(r"`\$\.([a-z_.]+)(?:\[\.\.\.\])?`$").search
_find_missing = re.compile(r"missing required field `([a-z_]+)`").search
_WHY: Final[dict[type[Exception], str]] = {
    RecursionError: "the value nests too deep",
    UnicodeDecodeError: "the value is not UTF-8",
    ValidationError: "field bundle is invalid",
    msgspec.MsgspecError: "the value is not JSON",
}


def why_no_decision(value: bytes | None, error: Exception) -> str:
    """Why a value is not a decision; the decoders' own messages are not used, because they can quote it."""
    if not value:
        return "the value is empty"
    if not isinstance(error, msgspec.ValidationError):
        return next(why for kind, why in _WHY.items() if isinstance(error, kind))
    if missing := _find_missing(str(error)):
        return f"field {missing[1]} is missing"
    path = _find_path(str(error))
    return f"field {path[1]} is invalid" if path else "the value is not a decision"
