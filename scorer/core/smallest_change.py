"""Finds the smallest change of one field that would have led to a milder label; never of a prohibited basis.

A model of trees gives the same PD between two neighbouring thresholds of a column, so only values next to thresholds
are tried. Where a derived column crosses a threshold, or a rule's condition changes, is found by bisection. Every value
is scored like an application, so a change that is reported leads to the label that it names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.contract import NUMBER_MAX, ContractField, Kind, Value
from schemas.decision import Label
from scorer.core.columns import UNKNOWN_CATEGORY, Columns
from scorer.core.date_times import write_date_time
from scorer.core.evaluation import Columns as EvaluatedColumns
from scorer.core.evaluation import NumberTest, PushConstant
from scorer.core.expressions import Condition, NumberExpression
from scorer.core.policy import LABELS
from scorer.core.score import Bundle, checked_predict
from scorer.core.trees import TreesTable

_Numbers = NDArray[np.float64]
_Holds = Callable[[EvaluatedColumns], NDArray[np.bool_]]

_EPOCH: Final = date(1970, 1, 1)
_DAYS: Final = ((date.min - _EPOCH).days, (date.max - _EPOCH).days)
_DATES: Final = frozenset({Kind.DATE, Kind.DATE_TIME})
_DATE_SCALE_DAYS: Final = 3_652.5  # ten years are as large a change as another category
_DIGITS: Final = 5  # of a proposed number, if as many do not change the label
_BISECTIONS: Final = 64  # as many as a float64 has bits


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one field, and what it would have led to.

    Attributes:
        field: its name.
        before: its value, as in an application; None if it is unknown.
        after: the other value, likewise.
        label, probability_of_default: what would have been decided.
    """

    field: str
    before: Value | None
    after: Value
    label: Label
    probability_of_default: float


def find_smallest_change(bundle: Bundle, columns: Columns, label: int, trees: TreesTable | None) -> Change | None:
    """Returns the smallest change of a single field that leads to a milder label; None if no change does.

    Changes of different fields are compared by their size: of a number the difference in relation to the larger of both
    values, of a date in relation to ten years; another category, another boolean, and a value instead of an unknown
    one have the size 1. Of equal sizes, the earlier field of the contract counts. Numbers are rounded to five
    significant digits if that does not change the label.

    Args:
        bundle: the bundle.
        columns: those of one application.
        label: its label, as an index into `LABELS`.
        trees: the model's trees; without them, numbers are only tried next to the constants of the policy's rules.

    Raises:
        ModelError: the model fails.
    """
    fields = {*bundle.encoding.fields, *bundle.policy.fields}
    splits = {} if trees is None else _splits(trees, bundle.encoding.columns)
    best: tuple[float, Change] | None = None
    for name, field in bundle.encoding.contract.inputs.items():
        if label == 0 or name not in fields or field.prohibited:
            continue
        smallest = _smallest_of_field(bundle, columns, field, _candidates(bundle, columns, field, splits), label)
        if smallest is not None and (best is None or smallest[0] < best[0]):
            best = smallest
    return best[1] if best else None


def read_value(field: ContractField, value: float) -> Value | None:
    """Returns the value in a field's column as an application has it; None if it is unknown."""
    if np.isnan(value) or (field.kind is Kind.CATEGORY and value == UNKNOWN_CATEGORY):
        return None
    return _READ[field.kind](field, value)


_READ: Final[Mapping[Kind, Callable[[ContractField, float], Value]]] = {
    Kind.NUMBER: lambda _, value: float(value),
    Kind.INTEGER: lambda _, value: int(value),
    Kind.BOOLEAN: lambda _, value: bool(value),
    Kind.CATEGORY: lambda field, value: field.categories[int(value)],
    Kind.DATE: lambda _, value: (_EPOCH + timedelta(days=float(value))).isoformat(),
    Kind.DATE_TIME: lambda _, value: write_date_time(float(value)),
}


def _splits(trees: TreesTable, columns: tuple[str, ...]) -> Mapping[str, NDArray[np.float32]]:
    """Returns the distinct thresholds of each column."""
    is_split = np.frombuffer(trees.left, dtype=np.int32) >= 0
    column = np.frombuffer(trees.column, dtype=np.int32)[is_split]
    value = np.frombuffer(trees.value, dtype=np.float32)[is_split]
    return {columns[index]: np.unique(value[column == index]) for index in np.unique(column).tolist()}


def _smallest_of_field(
    bundle: Bundle, columns: Columns, field: ContractField, candidates: NDArray[np.generic], label: int
) -> tuple[float, Change] | None:
    """Returns the size of the smallest change of one field that leads to a milder label, and the change."""
    if not len(candidates):
        return None
    before = columns.values[field.name][0]
    labels, probabilities = _decide(bundle, columns, field, candidates)
    sizes = np.where(labels < label, _sizes(field, before, candidates), np.inf)
    nearest = int(np.argmin(sizes))
    if np.isinf(sizes[nearest]):
        return None
    after, milder, probability = candidates[nearest], labels[nearest], probabilities[nearest]
    if field.kind is Kind.NUMBER:
        rounded = _valid(field, np.array([_round_away(float(after), float(before))]), before)
        if len(rounded):
            labels, probabilities = _decide(bundle, columns, field, rounded)
            if labels[0] == milder:
                after, probability = rounded[0], probabilities[0]
    value = read_value(field, after)
    assert value is not None, "candidates are known values"
    change = Change(field.name, read_value(field, before), value, LABELS[milder], float(probability))
    return float(sizes[nearest]), change


def _decide(
    bundle: Bundle, columns: Columns, field: ContractField, values: NDArray[np.generic]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Returns the label and the PD for each value of a field."""
    changed = _with_values(columns, field.name, values)
    probabilities = checked_predict(bundle.model, bundle.encoding.matrix(changed))
    return bundle.policy.decide(probabilities, changed.values).labels, probabilities


def _round_away(after: float, before: float) -> float:
    """Returns a number rounded to five significant digits, away from the one before."""
    with localcontext(prec=_DIGITS, rounding=ROUND_FLOOR if after < before else ROUND_CEILING):
        return float(+Decimal(repr(after)))


def _sizes(field: ContractField, before: float, candidates: NDArray[np.generic]) -> _Numbers:
    if field.kind in {Kind.CATEGORY, Kind.BOOLEAN} or np.isnan(before):
        return np.ones(len(candidates))
    after = candidates.astype(np.float64)
    scale = _DATE_SCALE_DAYS if field.kind in _DATES else np.maximum(np.abs(after), abs(before))
    sizes: _Numbers = np.abs(after - before) / scale
    return sizes


def _with_values(columns: Columns, name: str, values: NDArray[np.generic]) -> Columns:
    """Returns the columns of as many copies of one application as there are values of a field."""
    n = len(values)
    repeated = {other: np.repeat(column, n) for other, column in columns.values.items()}
    none = np.zeros(n, dtype=np.intp)
    return replace(
        columns, ids=[*columns.ids] * n, values=repeated | {name: values}, absent=none, invalid=none.astype(np.bool_)
    )


# Candidates


def _candidates(
    bundle: Bundle, columns: Columns, field: ContractField, splits: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.generic]:
    """Returns the values of a field that are tried: valid ones, other than its own."""
    before = columns.values[field.name][0]
    if field.kind is Kind.CATEGORY:
        codes = [code for code, value in enumerate(field.categories) if code != before and value not in field.unknown]
        return np.array(codes, dtype=np.intp)
    if field.kind is Kind.BOOLEAN:
        return np.array([value for value in (0.0, 1.0) if value != before and bool(value) not in field.unknown])
    # Where a value that means unknown would be nearest, one next to it is.
    unknown = np.array(field.unknown if field.kind.is_numeric else (), dtype=np.float32)
    numbers = [_next_to(np.concatenate([splits.get(field.name, unknown[:0]), unknown]))]
    crossing = _Crossing(columns, field)
    for condition in bundle.policy.conditions:
        if field.name in condition.fields:
            numbers += [_next_to(_constants(condition)), crossing.find(condition.evaluate, 1)]
    for name, expression in bundle.encoding.derived.items():
        if field.name in expression.fields and name in splits:
            numbers.append(crossing.find(partial(_reaches, expression, splits[name]), len(splits[name])))
    return _valid(field, np.concatenate(numbers), before)


def _valid(field: ContractField, numbers: _Numbers, before: float) -> _Numbers:
    if field.kind is not Kind.NUMBER:
        numbers = np.concatenate([np.floor(numbers), np.ceil(numbers)])
    low, high = _limits(field)
    is_valid = (numbers >= low) & (numbers <= high) & (numbers != before)
    if field.kind not in _DATES:
        is_valid &= field.limits.hold(numbers)
    valid = np.unique(numbers[is_valid])
    return valid[[read_value(field, number) not in field.unknown for number in valid.tolist()]] if len(valid) else valid


def _reaches(expression: NumberExpression, limits: NDArray[np.float32], columns: EvaluatedColumns) -> NDArray[np.bool_]:
    """Whether a derived column is at least each of its thresholds."""
    reaches: NDArray[np.bool_] = expression.evaluate(columns).astype(np.float32) >= limits
    return reaches


def _limits(field: ContractField) -> tuple[float, float]:
    if field.kind in _DATES:
        return _DAYS
    limits = field.limits
    return (
        max(limits.minimum, limits.exclusive_minimum, -NUMBER_MAX),
        min(limits.maximum, limits.exclusive_maximum, NUMBER_MAX),
    )


def _next_to(thresholds: NDArray[np.float32]) -> _Numbers:
    """Returns for each threshold the float32 numbers at and around it, each as its shortest decimal number."""
    infinity = np.float32(np.inf)
    around = [np.nextafter(thresholds, -infinity), thresholds, np.nextafter(thresholds, infinity)]
    return _shortest(np.concatenate(around))


def _shortest(numbers: NDArray[np.float32]) -> _Numbers:
    return np.array([float(str(number)) for number in numbers], dtype=np.float64)


def _constants(condition: Condition) -> NDArray[np.float32]:
    """Returns the numbers in a condition."""
    numbers: list[float] = []
    for step in condition.program:
        if isinstance(step, PushConstant):
            numbers.append(step.value)
        elif isinstance(step, NumberTest):
            numbers += step.values
    return np.array(numbers, dtype=np.float32)


class _Crossing:
    """Finds where a number has to be for conditions to change, from its own value towards each of its limits."""

    def __init__(self, columns: Columns, field: ContractField) -> None:
        self._columns = columns
        self._name = field.name
        self._limits = _limits(field)
        value = float(columns.values[field.name][0])
        self._start = self._limits[0] if np.isnan(value) else value

    def find(self, holds: _Holds, count: int) -> _Numbers:
        """Returns the nearest values at which one of `count` conditions is not what it is now."""
        return np.concatenate([self._towards(end, holds, count) for end in self._limits])

    def _towards(self, end: float, holds: _Holds, count: int) -> _Numbers:
        def evaluate(ordinals: NDArray[np.int64]) -> NDArray[np.bool_]:
            return holds(_with_values(self._columns, self._name, _of_ordinals(ordinals)).values)

        near = np.full(count, _ordinal(self._start))
        far = np.full(count, _ordinal(end))
        before = evaluate(near)
        changes = evaluate(far) != before
        for _ in range(_BISECTIONS):
            middle = (near & far) + ((near ^ far) >> 1)
            is_before = evaluate(middle) == before
            near, far = np.where(is_before, middle, near), np.where(is_before, far, middle)
        return _outward(_of_ordinals(far[changes]), end)


def _outward(numbers: _Numbers, end: float) -> _Numbers:
    """Returns the next float32 numbers in the direction of the end, which have few digits."""
    rounded = numbers.astype(np.float32)
    is_short = rounded < numbers if end > 0 else rounded > numbers
    with np.errstate(over="ignore"):
        return _shortest(np.where(is_short, np.nextafter(rounded, np.float32(end)), rounded))


def _ordinal(number: float) -> np.int64:
    """Returns the position of a float64 among all of them; 0 and -0 have the same."""
    bits = np.float64(number).view(np.int64)
    return bits if bits >= 0 else np.int64(np.iinfo(np.int64).min) - bits


def _of_ordinals(ordinals: NDArray[np.int64]) -> _Numbers:
    bits = np.where(ordinals >= 0, ordinals, np.int64(np.iinfo(np.int64).min) - ordinals)
    return bits.view(np.float64)
