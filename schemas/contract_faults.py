"""The faults of a document that is not a contract, each with its location."""

import json
import math
from collections.abc import Sequence

from schemas.printable import printable
from schemas.text import is_utf8

_SHOWN_MAX = 5
_KEPT_MAX = 100
_CHARACTERS_MAX = 60


class ContractError(ValueError):
    """A document is not a contract; `str()` of it names up to five faults."""

    def __init__(self, faults: Sequence[str]) -> None:
        more = len(faults) - _SHOWN_MAX
        super().__init__("; ".join([*faults[:_SHOWN_MAX], *([f"and {more} more"] if more > 0 else [])]))
        self.faults = tuple(faults)


class Faults:
    """Collects the faults of one document."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        """Grows while the document is read, up to a limit."""

    def add(self, location: str, text: str) -> None:
        """Adds a fault; `location` is the dotted path of a field or keyword, "" the document as a whole."""
        if len(self.texts) < _KEPT_MAX:
            self.texts.append(f"{location}: {text}" if location else text)


def shown(name: str) -> str:
    """A name or value of the document, safe to show."""
    return printable(name, _CHARACTERS_MAX)


def shown_path(path: Sequence[str]) -> str:
    """A dotted path, safe to show."""
    return ".".join(map(shown, path))


def is_number(value: object) -> bool:
    """Whether a JSON value is a finite number, as a double; a boolean is not."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def is_text(value: object) -> bool:
    """Whether a JSON value is a string that can be written as UTF-8."""
    return isinstance(value, str) and is_utf8(value)


def describe_json(value: object) -> str:
    """A JSON value of the document, safe to show."""
    return shown(json.dumps(value, ensure_ascii=False))
