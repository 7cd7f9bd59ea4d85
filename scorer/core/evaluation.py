"""Evaluates the programs of expressions on a batch, by column, in float64.

A program is a tuple of steps for a stack: operands are pushed, and each operation replaces the topmost values by its
result. All operations work element by element and none depends on the order or number of rows, so that a row has the
same bits in every batch. Unknown is NaN. An infinite number becomes unknown before it can become finite again, as in
`1 / (1 / x)`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]
"""The columns of a batch by the field's name, each of shape (n,).

Numbers and integers are float64, booleans float64 0 and 1, dates and date-times float64 days since 1970-01-01 (in UTC,
with a fraction); finite, or NaN for unknown. Categories are integers: the index in the field's `categories`, or -1 for
unknown.
"""

_Values = NDArray[Any]


class Operation(StrEnum):
    """What a step does with the topmost values of the stack."""

    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    NEGATE = "negate"
    ABSOLUTE = "abs"
    MINIMUM = "min"
    MAXIMUM = "max"
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    EQUAL = "=="
    DIFFERENT = "!="
    BOTH = "and"
    EITHER = "or"
    IS_UNKNOWN = "is unknown"
    IS_KNOWN = "is known"
    AS_NUMBER = "as number"
    KNOWN_IF_FINITE = "known if finite"


@dataclass(frozen=True, slots=True)
class PushColumn:
    """Pushes a column of numbers."""

    name: str


@dataclass(frozen=True, slots=True)
class PushConstant:
    """Pushes a finite number."""

    value: float


@dataclass(frozen=True, slots=True)
class PushCategoryTest:
    """Pushes whether a category is one of several.

    Attributes:
        name: the column of the category's codes.
        holds: for each code whether the test holds (1) or not (0); the last one is for unknown, code -1.
    """

    name: str
    holds: bytes


@dataclass(frozen=True, slots=True)
class NumberTest:
    """Replaces a number by whether it is known and one of `values`; or known and none of them."""

    values: tuple[float, ...]
    is_one: bool


Step = PushColumn | PushConstant | PushCategoryTest | NumberTest | Operation
Program = tuple[Step, ...]


def evaluate_number(program: Program, columns: Columns) -> NDArray[np.float64]:
    """Evaluates a program that leaves a number.

    Returns:
        Shape (n,): finite, or the one NaN of `numpy.nan`; never a view of a column.
    """
    numbers = _run(program, columns)
    return np.where(np.isnan(numbers), np.nan, numbers)  # the bits of a NaN depend on what it was calculated from


def evaluate_condition(program: Program, columns: Columns) -> NDArray[np.bool_]:
    """Evaluates a program that leaves a condition.

    Returns:
        Shape (n,): whether it holds.
    """
    return _run(program, columns)


def _run(program: Program, columns: Columns) -> _Values:
    stack: list[_Values] = []
    with np.errstate(all="ignore"):
        for step in program:
            match step:
                case PushColumn(name):
                    stack.append(columns[name])
                case PushConstant(value):
                    stack.append(np.array([value]))
                case PushCategoryTest(name, holds):
                    stack.append(np.frombuffer(holds, dtype=np.bool_)[columns[name]])
                case NumberTest(values, is_one):
                    stack.append(_is_among(stack.pop(), values, is_one=is_one))
                case Operation() if step in _UNARY:
                    stack.append(_UNARY[step](stack.pop()))
                case Operation():
                    second = stack.pop()
                    stack.append(_BINARY[step](stack.pop(), second))
    (result,) = stack
    return result


def _known_if_finite(numbers: _Values) -> _Values:
    """Subtracts 0 from finite numbers, and NaN from others."""
    zeros: _Values = numbers - numbers
    return np.subtract(numbers, zeros, out=zeros)


def _is_among(numbers: _Values, values: Sequence[float], *, is_one: bool) -> _Values:
    among = np.isin(numbers, values)
    return among if is_one else ~among & ~np.isnan(numbers)


# `numpy.minimum` of 0 and -0 depends on their order and on the processor. Here the first of equal values counts, and
# the first of two unknown ones.
def _minimum(first: _Values, second: _Values) -> _Values:
    return np.where((first <= second) | np.isnan(first), first, second)


def _maximum(first: _Values, second: _Values) -> _Values:
    return np.where((first >= second) | np.isnan(first), first, second)


def _is_different(first: _Values, second: _Values) -> _Values:
    return (first < second) | (first > second)  # unlike `!=`, not if one of them is unknown


_UNARY: Final[Mapping[Operation, Callable[[_Values], _Values]]] = {
    Operation.NEGATE: np.negative,
    Operation.ABSOLUTE: np.abs,
    Operation.IS_UNKNOWN: np.isnan,
    Operation.IS_KNOWN: lambda values: ~np.isnan(values),
    Operation.AS_NUMBER: lambda values: values.astype(np.float64),
    Operation.KNOWN_IF_FINITE: _known_if_finite,
}
_BINARY: Final[Mapping[Operation, Callable[[_Values, _Values], _Values]]] = {
    Operation.ADD: np.add,
    Operation.SUBTRACT: np.subtract,
    Operation.MULTIPLY: np.multiply,
    Operation.DIVIDE: np.divide,
    Operation.MINIMUM: _minimum,
    Operation.MAXIMUM: _maximum,
    Operation.LESS: np.less,
    Operation.LESS_OR_EQUAL: np.less_equal,
    Operation.GREATER: np.greater,
    Operation.GREATER_OR_EQUAL: np.greater_equal,
    Operation.EQUAL: np.equal,
    Operation.DIFFERENT: _is_different,
    Operation.BOTH: np.logical_and,
    Operation.EITHER: np.logical_or,
}
