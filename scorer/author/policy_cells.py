"""Divides the applications of a contract into cells in each of which every simple condition is constant.

A condition is simple if it compares fields with constants only. The constants divide a field's values into points and
the intervals between them; a cell is a combination of these. One application per cell represents all others in it, so
what holds for these applications holds for every application.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.contract import NUMBER_MAX, Contract, ContractField, Kind
from schemas.made_up import bounds_of
from scorer.core.columns import UNKNOWN_CATEGORY, read_absent
from scorer.core.evaluation import NumberTest, Operation, Program, PushCategoryTest, PushColumn, PushConstant, Step

CELLS_MAX: Final = 1 << 20  # of all conditions together; evaluated in a hundredth of a second
_DAYS_MIN, _DAYS_MAX = -719_162.0, 2_932_896.0  # of the years 1 to 9999
_COMPARISONS: Final = frozenset(
    {
        Operation.LESS, Operation.LESS_OR_EQUAL, Operation.GREATER, Operation.GREATER_OR_EQUAL, Operation.EQUAL,
        Operation.DIFFERENT,
    }
)  # fmt: skip
_OF_TWO: Final = frozenset({Operation.BOTH, Operation.EITHER})
_NULL_TESTS: Final = frozenset({Operation.IS_UNKNOWN, Operation.IS_KNOWN})

Points = Mapping[str, frozenset[float]]
"""The constants that fields are compared with, by field; a field that is compared with none has none."""
Cells = dict[str, NDArray[Any]]
"""The columns of one application per cell, by field."""


def points_of(program: Program) -> Points | None:
    """Returns the constants of a simple condition; None if it is not simple."""
    reader = _PointsReader()
    if not all(map(reader.take, program)):
        return None
    return {name: frozenset(constants) for name, constants in reader.points.items()}


class _PointsReader:
    """Runs a program on a stack of names of fields, constants and truth values (None)."""

    def __init__(self) -> None:
        self.points: dict[str, set[float]] = {}
        """By field the constants so far; `take` adds to them."""
        self._stack: list[str | float | None] = []

    def take(self, step: Step) -> bool:
        """Takes the next step; returns False if it makes the condition more than simple."""
        stack = self._stack
        match step:
            case PushColumn(name):
                self.points.setdefault(name, set())
                stack.append(name)
            case PushConstant(value):
                stack.append(value)
            case PushCategoryTest(name):
                self.points.setdefault(name, set())
                stack.append(None)
            case NumberTest(values):
                return self._compare([stack.pop(), *values])
            case Operation.NEGATE if isinstance(stack[-1], float):
                stack[-1] = -stack[-1]
            case Operation():
                return self._operate(step)
        return True

    def _operate(self, operation: Operation) -> bool:
        stack = self._stack
        if operation in _COMPARISONS:
            return self._compare([stack.pop(), stack.pop()])
        if operation in _OF_TWO:
            stack[-2:] = [None]
            return True
        if operation in _NULL_TESTS and isinstance(stack[-1], str):
            stack[-1] = None
            return True
        return False

    def _compare(self, operands: Sequence[str | float | None]) -> bool:
        """Takes a comparison: of a field with constants, or of constants."""
        names = [one for one in operands if isinstance(one, str)]
        constants = [one for one in operands if isinstance(one, float)]
        for name in names:
            self.points[name].update(constants)
        self._stack.append(None)
        return bool(constants) and len(names) + len(constants) == len(operands)


def constants_of(program: Program) -> list[float]:
    """Returns all numbers in a program, of which some are near the values that matter to it."""
    numbers: list[float] = []
    for step in program:
        if isinstance(step, PushConstant):
            numbers += [step.value, -step.value]
        elif isinstance(step, NumberTest):
            numbers += step.values
    return numbers


def join_points(each: Iterable[Points]) -> Points:
    """Returns the constants of several conditions."""
    joined: dict[str, frozenset[float]] = {}
    for points in each:
        for name, constants in points.items():
            joined[name] = joined.get(name, frozenset()) | constants
    return joined


def make_cells(contract: Contract, points: Points, conditions: int) -> Cells | None:
    """Returns one application per cell; None if there are too many to evaluate so many conditions on them."""
    values = {name: values_of(contract, contract.inputs[name], constants) for name, constants in points.items()}
    if math.prod(len(one) for one in values.values()) * conditions > CELLS_MAX:
        return None
    grids = np.meshgrid(*values.values(), indexing="ij")
    return {name: grid.ravel() for name, grid in zip(values, grids, strict=True)}


def values_of(contract: Contract, field: ContractField, constants: Iterable[float]) -> NDArray[Any]:
    """Returns a value of a field for each interval between constants, for each constant, and for unknown if it may be.

    Intervals and constants without a valid value are left out.
    """
    unknown = may_be_unknown(contract, field)
    if field.kind is Kind.CATEGORY:
        codes = [code for code, value in enumerate(field.categories) if value not in field.unknown]
        return np.array([*codes, *([UNKNOWN_CATEGORY] if unknown else [])], dtype=np.intp)
    low, high = domain_of(field)
    is_whole = field.kind in {Kind.INTEGER, Kind.BOOLEAN, Kind.DATE}
    unknown_numbers = {float(value) for value in field.unknown}
    edges = sorted({low, high, *(one for one in {*constants, *unknown_numbers} if low <= one <= high)})
    values = [edge for edge in edges if not is_whole or edge.is_integer()]
    for lower, upper in pairwise(edges):
        between = float(math.floor(lower) + 1) if is_whole else math.nextafter(lower, math.inf)
        if between < upper:
            values.append(between)
    known = [value for value in values if value not in unknown_numbers]
    return np.array(sorted(known) + ([math.nan] if unknown else []), dtype=np.float64)


def domain_of(field: ContractField) -> tuple[float, float]:
    """Returns the least and the greatest value of a field that is not a category."""
    if field.kind is Kind.BOOLEAN:
        return 0.0, 1.0
    if not field.kind.is_numeric:
        return _DAYS_MIN, _DAYS_MAX
    limits = field.limits
    return (
        max(limits.minimum, math.nextafter(limits.exclusive_minimum, math.inf), -NUMBER_MAX),
        min(limits.maximum, math.nextafter(limits.exclusive_maximum, -math.inf), NUMBER_MAX),
    )


def may_be_unknown(contract: Contract, field: ContractField) -> bool:
    """Whether a valid application may have no value of a field."""
    if field.nullable or field.unknown:
        return True
    absent = UNKNOWN_CATEGORY if contract.is_required(field) else read_absent(field)
    is_unknown = absent == UNKNOWN_CATEGORY if field.kind is Kind.CATEGORY else math.isnan(absent)
    return not contract.is_required(field) and is_unknown


def draw_cells(contract: Contract, constants_by_field: Points, count: int, seed: int) -> Cells:
    """Draws the columns of `count` applications: ordinary values, extreme ones, and values at and near constants."""
    generator = np.random.default_rng(seed)
    columns: Cells = {}
    for name, constants in constants_by_field.items():
        field = contract.inputs[name]
        special = values_of(contract, field, constants)
        columns[name] = generator.choice(special, count)
        if field.kind.is_numeric:
            low, high = bounds_of(field)
            drawn = generator.uniform(low, high, count)
            is_ordinary = generator.random(count) < 0.7
            ordinary = np.floor(drawn) if field.kind is Kind.INTEGER else drawn
            columns[name] = np.where(is_ordinary & (ordinary >= low), ordinary, columns[name])
    return columns
