"""Makes valid applications invalid, in one way for each rejection code that a record can cause."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from schemas.application import CreditApplication
from schemas.contracts import shipped_contract
from schemas.files import dump_application
from schemas.rejection import RejectionCode

_TOO_LARGE_BYTES: Final = 70_000
# One in this many invalid records is too large: with more, a load test would test the network.
_TOO_LARGE_ONE_IN: Final = 50

_REQUIRED: Final = tuple(name for name, field in CreditApplication.model_fields.items() if field.is_required())
_NUMBERS: Final = ("seniority", "time", "age", "expenses", "amount", "price")
_WRONG_TYPES: Final[tuple[Callable[[float], object], ...]] = (str, lambda number: [number], lambda _: None, bool)
_OUT_OF_RANGE: Final[tuple[tuple[str, object], ...]] = (
    ("age", 17), ("age", 121), ("seniority", -1), ("time", 0), ("amount", 0), ("income", -0.01), ("price", 10**400),
    ("debt", 99_999_999), ("application_id", ""), ("application_id", "x" * 65),
)  # fmt: skip
_UNKNOWN_CATEGORIES: Final = (("home", "RENT"), ("marital", "partnered"), ("records", ""), ("job", "part-time"))


def _pick(random: np.random.Generator, choices: tuple[Any, ...]) -> Any:
    return choices[random.integers(len(choices))]


def _without_a_field(value: bytes, random: np.random.Generator) -> bytes:
    application = json.loads(value)
    del application[_pick(random, _REQUIRED)]
    return dump_application(application, shipped_contract())


def _with_a_wrong_type(value: bytes, random: np.random.Generator) -> bytes:
    application, field = json.loads(value), _pick(random, _NUMBERS)
    return dump_application({**application, field: _pick(random, _WRONG_TYPES)(application[field])}, shipped_contract())


def _with_a_field(value: bytes, field: str, invalid_value: object) -> bytes:
    return dump_application({**json.loads(value), field: invalid_value}, shipped_contract())


def _not_utf8(value: bytes, _: np.random.Generator) -> bytes:
    return value.replace(b'"home":"', b'"home":"\xff', 1)


def _not_json(value: bytes, random: np.random.Generator) -> bytes:
    """Truncates the value, or adds a number that is not valid in JSON or a duplicate field."""
    return (
        value[: random.integers(1, len(value))],
        value.replace(b'"debt":', b'"note":NaN,"debt":', 1),
        value.replace(b'"age":', b'"age":30,"age":', 1),
    )[random.integers(3)]


def _not_an_object(value: bytes, random: np.random.Generator) -> bytes:
    return (b"[%b]" % value, json.dumps(value.decode()).encode(), b"null", b"42")[random.integers(4)]


_MUTATIONS: Final[Mapping[RejectionCode, Callable[[bytes, np.random.Generator], bytes]]] = {
    RejectionCode.EMPTY: lambda _value, _random: b"",
    RejectionCode.TOO_LARGE: lambda value, _: value + b" " * (_TOO_LARGE_BYTES - len(value)),
    RejectionCode.NOT_UTF8: _not_utf8,
    RejectionCode.NOT_JSON: _not_json,
    RejectionCode.NOT_AN_OBJECT: _not_an_object,
    RejectionCode.MISSING_FIELD: _without_a_field,
    RejectionCode.WRONG_TYPE: _with_a_wrong_type,
    RejectionCode.OUT_OF_RANGE: lambda value, random: _with_a_field(value, *_pick(random, _OUT_OF_RANGE)),
    RejectionCode.UNKNOWN_CATEGORY: lambda value, random: _with_a_field(value, *_pick(random, _UNKNOWN_CATEGORIES)),
}
_COMMON: Final = tuple(code for code in _MUTATIONS if code is not RejectionCode.TOO_LARGE)


def make_invalid(value: bytes, random: np.random.Generator) -> tuple[bytes, RejectionCode]:
    """Makes an application invalid.

    Args:
        value: a valid application.
        random: the random generator.

    Returns:
        The invalid value and its rejection code: any code except model_error, which no record can cause.
    """
    is_too_large = random.integers(_TOO_LARGE_ONE_IN) == 0
    code = RejectionCode.TOO_LARGE if is_too_large else _pick(random, _COMMON)
    return _MUTATIONS[code](value, random), code
