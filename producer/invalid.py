"""Makes valid applications invalid, in one way for each rejection code that a record can cause."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from schemas.contract import Contract
from schemas.defects import Defect, find_defects
from schemas.files import dump_application
from schemas.rejection import RejectionCode

_TOO_LARGE_BYTES: Final = 70_000
# One in this many invalid records is too large: with more, a load test would test the network.
_TOO_LARGE_ONE_IN: Final = 50


class Spoiler:
    """Makes applications of one contract invalid."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._defects = find_defects(contract)
        # An id is in every application, so another one is a repeated field.
        repeated = f"{{{json.dumps(contract.id_path[0], ensure_ascii=False)}:0,".encode()
        self._mutations: Mapping[RejectionCode, Callable[[bytes, np.random.Generator], bytes]] = {
            RejectionCode.EMPTY: lambda _value, _random: b"",
            RejectionCode.TOO_LARGE: lambda value, _: value + b" " * (_TOO_LARGE_BYTES - len(value)),
            RejectionCode.NOT_UTF8: lambda value, _: value.replace(b'"', b'"\xff', 1),
            RejectionCode.NOT_JSON: lambda value, random: _not_json(value, repeated, random),
            RejectionCode.NOT_AN_OBJECT: _not_an_object,
            **{code: self._with_a_defect(defects) for code, defects in self._defects.items()},
        }
        self._common = tuple(code for code in self._mutations if code is not RejectionCode.TOO_LARGE)

    def make_invalid(self, value: bytes, random: np.random.Generator) -> tuple[bytes, RejectionCode]:
        """Makes an application invalid.

        Args:
            value: a valid application of the contract.
            random: the random generator.

        Returns:
            The invalid value and its rejection code: any code that can apply to the contract, except those that no
            value causes.
        """
        is_too_large = random.integers(_TOO_LARGE_ONE_IN) == 0
        code = RejectionCode.TOO_LARGE if is_too_large else _pick(random, self._common)
        return self._mutations[code](value, random), code

    def _with_a_defect(self, defects: Sequence[Defect]) -> Callable[[bytes, np.random.Generator], bytes]:
        def mutate(value: bytes, random: np.random.Generator) -> bytes:
            return dump_application(_pick(random, defects).apply(json.loads(value)), self._contract)

        return mutate


def _pick(random: np.random.Generator, choices: Sequence[Any]) -> Any:
    return choices[int(random.integers(len(choices)))]


def _not_json(value: bytes, repeated: bytes, random: np.random.Generator) -> bytes:
    """Truncates the value, or adds a number that is not valid in JSON or a repeated field."""
    text = value.decode()
    return (
        text[: random.integers(1, len(text))].encode(),
        value.replace(b"{", b'{"note":NaN,', 1),
        value.replace(b"{", repeated, 1),
    )[random.integers(3)]


def _not_an_object(value: bytes, random: np.random.Generator) -> bytes:
    return (b"[%b]" % value, json.dumps(value.decode()).encode(), b"null", b"42")[random.integers(4)]
