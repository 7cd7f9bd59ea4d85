"""Parses JSON strictly, as readers of the topics do: no NaN, and duplicate names are kept."""

import json
from collections import Counter
from collections.abc import Iterable
from operator import itemgetter
from typing import Any, Final, NoReturn


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"not JSON: {name} is not a JSON number")


# Objects become tuples of pairs: they keep duplicate names, and C code builds them; a Python class would be called per
# object. parse_int: Python rejects integers of more than 4,300 digits.
_decode: Final = json.JSONDecoder(object_pairs_hook=tuple, parse_constant=_reject_constant, parse_int=float).decode


def parse_strictly(text: str) -> object:
    """Parses JSON; every object in it is a tuple of its name-value pairs, and every number a float.

    Raises:
        ValueError: the text is not JSON, or nested too deep; the message has no values.
    """
    try:
        return _decode(text)
    except json.JSONDecodeError as error:  # some of Python's messages end in "at"
        raise ValueError(f"not JSON: {error.msg.removesuffix(' at')} at character {error.pos}") from None
    except RecursionError:
        raise ValueError("nested too deep") from None


def find_repeated(members: Iterable[tuple[str, Any]], names: Iterable[str]) -> list[str]:
    """Returns which of the names occur more than once in an object that `parse_strictly` returned."""
    counts = Counter(map(itemgetter(0), members))
    return [name for name in names if counts[name] > 1]


def has_repeated_names(value: object) -> bool:
    """Whether any object in a value that `parse_strictly` returned has a name twice."""
    if isinstance(value, list):
        return any(map(has_repeated_names, value))
    if not isinstance(value, tuple):
        return False
    names = [name for name, _ in value]
    return len(set(names)) < len(names) or any(has_repeated_names(inner) for _, inner in value)
