"""Finds the columns for which an XGBoost model saw missing values in training, from its trees alone.

A split sends values below its threshold left, the others right, and missing values the way of its default. Two things
give missing values away:

- XGBoost only makes a split whose two sides both have training rows. So where all the values that can reach a split go
  one way and its default is the other way, there were missing values: nothing else was on that side.
- A default is learned only where there were missing values; without them, all splits of a column have the same one (left
  with the tree method exact, right with hist and approx), but for a rounding error in a thousand splits.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final, NamedTuple

_LEAF: Final = -1
_CATEGORICAL: Final = 1

# Fewer splits with the other default, or a smaller share of them, may be rounding errors.
_OTHERS_MIN: Final = 3
_OTHERS_SHARE_MIN: Final = 0.05


@dataclass(frozen=True, slots=True)
class MissingSplits:
    """What the trees say, by the columns' numbers."""

    missing: frozenset[int]
    """Columns with missing values in training."""
    told_apart: frozenset[int]
    """One-hot columns of which some split tells 0 from 1."""


class _Range(NamedTuple):
    """The values of a column that can reach a node: low <= value < high."""

    low: float
    high: float


_ANY: Final = _Range(-inf, inf)
_ZERO_OR_ONE: Final = _Range(0.0, 2.0)


def find_missing_splits(trees: Sequence[Mapping[str, Any]], one_hot: Collection[int]) -> MissingSplits:
    """Reads trees as XGBoost's JSON has them.

    Args:
        trees: with `left_children`, `right_children`, `split_indices`, `split_conditions`, `default_left` and
            `split_type` each, one entry per node.
        one_hot: the numbers of the columns that are 0 or 1 wherever they are not missing.
    """
    missing = set()
    defaults: dict[int, Counter[bool]] = {}
    for tree in trees:
        for column, threshold, default_left, reached in _numeric_splits(tree, one_hot):
            all_left, all_right = threshold >= reached.high, threshold <= reached.low
            if (all_left and not default_left) or (all_right and default_left):
                missing.add(column)
            elif not all_left and not all_right:
                defaults.setdefault(column, Counter())[default_left] += 1
    told_apart = frozenset(defaults) & frozenset(one_hot)
    # A model that was trained on with another tree method has both defaults everywhere, and they say nothing.
    if not _are_mixed(sum((defaults[column] for column in told_apart), Counter())):
        missing |= {column for column, counts in defaults.items() if column not in told_apart and _are_mixed(counts)}
    return MissingSplits(frozenset(missing), told_apart)


def _are_mixed(defaults: "Counter[bool]") -> bool:
    return min(defaults[True], defaults[False]) >= max(_OTHERS_MIN, _OTHERS_SHARE_MIN * defaults.total())


def _numeric_splits(tree: Mapping[str, Any], one_hot: Collection[int]) -> Iterator[tuple[int, float, bool, _Range]]:
    """Each numeric split of a tree: its column, threshold and default, and the column's values that can reach it."""
    lefts, rights, columns = tree["left_children"], tree["right_children"], tree["split_indices"]
    pending: list[tuple[int, dict[int, _Range]]] = [(0, {})]
    while pending:
        node, ranges = pending.pop()
        if lefts[node] == _LEAF:
            continue
        if tree["split_type"][node] == _CATEGORICAL:
            pending += [(lefts[node], ranges), (rights[node], ranges)]
            continue
        column, threshold = columns[node], tree["split_conditions"][node]
        if column in one_hot:
            threshold = 0.0 if threshold <= 0 else 1.0 if threshold <= 1 else 2.0  # as good as, among 0 and 1
        reached = ranges.get(column, _ZERO_OR_ONE if column in one_hot else _ANY)
        yield column, threshold, bool(tree["default_left"][node]), reached
        below = _Range(reached.low, min(reached.high, threshold))
        above = _Range(max(reached.low, threshold), reached.high)
        pending += [(lefts[node], {**ranges, column: below}), (rights[node], {**ranges, column: above})]
