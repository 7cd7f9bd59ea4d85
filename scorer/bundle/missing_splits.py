"""Finds the columns for which an XGBoost model saw missing values in training, from its trees alone.

A split sends values below its threshold left, the others right, and missing values the way of its default.

- XGBoost makes no split that leaves one side without training rows. So a split that 0 and 1 pass the same way, while
  its default is the other way, was made for missing values: in a column of 0 and 1 nothing else was on that side.
- A default is learned only where there were missing values. Without them, all splits of a column have the same one:
  left with the tree method exact, right with hist and approx.

Rounding makes exceptions to both, about one in a thousand splits where rows have very different weights.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_LEAF: Final = -1
_CATEGORICAL: Final = 1

# Fewer splits with the other default, or a smaller share of them, may be rounding errors.
_OTHERS_MIN: Final = 3
_OTHERS_SHARE_MIN: Final = 0.01
_ALIKE_MAX: Final = 2


@dataclass(frozen=True, slots=True)
class MissingSplits:
    """What the trees say, by the columns' numbers."""

    missing: frozenset[int]
    """Columns with missing values in training; of numbers, only those with enough splits to tell."""
    certain: frozenset[int]
    """Those of them of which several splits say so, so that no rounding explains it."""
    told_apart: frozenset[int]
    """One-hot columns of which some split tells 0 from 1."""
    alike: int
    """How many splits of one-hot columns 0 and 1 pass on the same side."""
    one_hot_splits: int
    """How many splits are of one-hot columns."""
    defaults: Mapping[int, Counter[bool]]
    """By column, how many splits send missing values left (True) and right; if one-hot, those that tell 0 from 1."""

    @property
    def fits_one_hot(self) -> bool:
        """Whether the one-hot columns held 0 and 1 in training: no split is made between other values then."""
        return self.alike <= max(_ALIKE_MAX, _OTHERS_SHARE_MIN * self.one_hot_splits)


def find_missing_splits(trees: Iterable[Mapping[str, Any]], one_hot: Collection[int]) -> MissingSplits:
    """Reads trees as XGBoost's JSON has them.

    Args:
        trees: with `left_children`, `split_indices`, `split_conditions`, `default_left` and `split_type` each, one
            entry per node.
        one_hot: the numbers of the columns that are 0 or 1 wherever they are not missing.
    """
    missing, told_apart = set(), set()
    alike = one_hot_splits = 0
    defaults: dict[int, Counter[bool]] = {}
    for tree in trees:
        nodes = zip(*(tree[name] for name in _NODE), strict=True)
        for left, column, threshold, default_left, kind in nodes:
            if left == _LEAF or kind == _CATEGORICAL:
                continue
            if column not in one_hot or 0 < threshold <= 1:
                defaults.setdefault(column, Counter())[bool(default_left)] += 1
            one_hot_splits += column in one_hot
            alike += column in one_hot and not 0 < threshold <= 1
            if column in one_hot and 0 < threshold <= 1:
                told_apart.add(column)
            elif column in one_hot and bool(default_left) == (threshold <= 0):
                missing.add(column)
    # A model that was trained on with another tree method has both defaults everywhere, and they say nothing.
    other = None if _rarer(defaults[column] for column in told_apart) is not None else _rarer(defaults.values())
    if other is not None:
        numbers = {column: counts for column, counts in defaults.items() if column not in one_hot}
        both = {column for column, counts in numbers.items() if len(counts) == 2}
        missing |= both or {column for column, counts in numbers.items() if counts[other]}
    certain = {
        column for column in missing if other is not None and defaults.get(column, Counter())[other] >= _OTHERS_MIN
    }
    return MissingSplits(frozenset(missing), frozenset(certain), frozenset(told_apart), alike, one_hot_splits, defaults)


def collect_thresholds(trees: Iterable[Mapping[str, Any]]) -> dict[int, NDArray[np.float64]]:
    """The thresholds of all splits, by column; trees are as in `find_missing_splits`."""
    found: dict[int, list[float]] = {}
    for tree in trees:
        for left, column, threshold, kind in zip(*(tree[name] for name in _SPLIT), strict=True):
            if left != _LEAF and kind != _CATEGORICAL:
                found.setdefault(column, []).append(threshold)
    return {column: np.array(thresholds) for column, thresholds in found.items()}


_SPLIT: Final = ("left_children", "split_indices", "split_conditions", "split_type")
_NODE: Final = ("left_children", "split_indices", "split_conditions", "default_left", "split_type")


def _rarer(defaults: "Iterable[Counter[bool]]") -> bool | None:
    """Which default is the rarer one; None if that is so rare that rounding explains it."""
    total = sum(defaults, Counter())
    rarer = total[True] < total[False]
    return rarer if total[rarer] >= max(_OTHERS_MIN, _OTHERS_SHARE_MIN * total.total()) else None
