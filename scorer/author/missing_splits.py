"""Finds the columns for which an XGBoost model saw missing values in training, from its trees alone.

A split sends values below its threshold left, the others right, and missing values in its default direction.

- XGBoost never makes a split that leaves one side without training rows. So a split that sends 0 and 1 in the same
  direction, and missing values in the other, was made for missing values: in a column of 0 and 1 nothing else could be
  on that side.
- A default direction is learned only where there were missing values. Without them, all splits of a number have the
  same one: left with the tree method exact, right with hist and approx. A split of a category has the left one if it
  names fewer categories than max_cat_threshold, which the model file does not contain, and otherwise the right one.

Rounding causes exceptions to both, in about one of a thousand splits if rows have very different weights.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scorer.bundle.tree_structure import CATEGORICAL, LEAF

# Fewer splits with the other default direction, or a smaller share of them, may be rounding errors.
_RARER_MIN: Final = 3
_RARER_SHARE_MIN: Final = 0.01
_UNSEPARATED_MAX: Final = 2


@dataclass(frozen=True, slots=True)
class MissingSplits:
    """Evidence of missing values in the trees; columns are identified by index. Flags are columns of 0 and 1."""

    missing: frozenset[int]
    """Columns with missing values in training; number columns only if they have enough splits to tell."""
    certain: frozenset[int]
    """Columns in `missing` with evidence in several splits, which rounding cannot explain."""
    missing_categories: frozenset[int]
    """Columns with missing values in training, according to their categorical splits."""
    separated: frozenset[int]
    """Flags with at least one split that separates 0 from 1."""
    unseparated: int
    """Number of splits on flags that send 0 and 1 in the same direction."""
    flag_splits: int
    """Number of splits on flags."""
    defaults: Mapping[int, Counter[bool]]
    """Per column, the number of splits that send missing values left (True) and right (False).

    Categorical splits are not counted; of the splits on flags, only those that separate 0 from 1.
    """

    @property
    def fits_flags(self) -> bool:
        """Whether the flags had only 0 and 1 in training; then no split is made between other values."""
        return self.unseparated <= max(_UNSEPARATED_MAX, _RARER_SHARE_MIN * self.flag_splits)


def find_missing_splits(trees: Iterable[Mapping[str, Any]], flags: Collection[int]) -> MissingSplits:
    """Analyzes the splits of trees.

    Args:
        trees: as in XGBoost's JSON, each with `left_children`, `split_indices`, `split_conditions`, `default_left` and
            `split_type`, one entry per node.
        flags: the indices of the columns that are 0 or 1 unless they are missing.
    """
    missing, separated = set(), set()
    unseparated = flag_splits = 0
    defaults: dict[int, Counter[bool]] = {}
    of_categories: dict[int, Counter[tuple[int, bool]]] = {}
    for tree in trees:
        for node, size in zip(tree.get("categories_nodes", ()), tree.get("categories_sizes", ()), strict=True):
            counts = of_categories.setdefault(tree["split_indices"][node], Counter())
            counts[size, bool(tree["default_left"][node])] += 1
        nodes = zip(*(tree[name] for name in _NODE), strict=True)
        for left_child, column, threshold, default_left, kind in nodes:
            if left_child == LEAF or kind == CATEGORICAL:
                continue
            if column not in flags or 0 < threshold <= 1:
                defaults.setdefault(column, Counter())[bool(default_left)] += 1
            flag_splits += column in flags
            unseparated += column in flags and not 0 < threshold <= 1
            if column in flags and 0 < threshold <= 1:
                separated.add(column)
            elif column in flags and bool(default_left) == (threshold <= 0):
                missing.add(column)
    # A model whose training was continued with another tree method has both defaults everywhere, which is no evidence.
    rarer = (
        None
        if _rarer_default(defaults[column] for column in separated) is not None
        else _rarer_default(defaults.values())
    )
    if rarer is not None:
        numbers = {column: counts for column, counts in defaults.items() if column not in flags}
        both = {column for column, counts in numbers.items() if len(counts) == 2}
        missing |= both or {column for column, counts in numbers.items() if counts[rarer]}
    certain = {
        column for column in missing if rarer is not None and defaults.get(column, Counter())[rarer] >= _RARER_MIN
    }
    return MissingSplits(
        frozenset(missing),
        frozenset(certain),
        frozenset(column for column, counts in of_categories.items() if _are_learned(counts)),
        frozenset(separated),
        unseparated,
        flag_splits,
        defaults,
    )


def collect_thresholds(trees: Iterable[Mapping[str, Any]]) -> dict[int, NDArray[np.float64]]:
    """Returns the thresholds of all splits, per column; trees are as in `find_missing_splits`."""
    thresholds_by_column: dict[int, list[float]] = {}
    for tree in trees:
        for left_child, column, threshold, kind in zip(*(tree[name] for name in _SPLIT), strict=True):
            if left_child != LEAF and kind != CATEGORICAL:
                thresholds_by_column.setdefault(column, []).append(threshold)
    return {column: np.array(thresholds) for column, thresholds in thresholds_by_column.items()}


_SPLIT: Final = ("left_children", "split_indices", "split_conditions", "split_type")
_NODE: Final = ("left_children", "split_indices", "split_conditions", "default_left", "split_type")


def _rarer_default(defaults: "Iterable[Counter[bool]]") -> bool | None:
    """Returns the rarer default direction; None if it is so rare that rounding may explain it."""
    total = sum(defaults, Counter())
    rarer = total[True] < total[False]
    return rarer if _are_many(total[rarer], total.total()) else None


def _are_learned(splits: Counter[tuple[int, bool]]) -> bool:
    """Whether no threshold on the number of categories explains the default directions of a column's splits.

    Args:
        splits: the number of splits, by how many categories they name and whether missing values go left.
    """
    thresholds = {0, *(size + 1 for size, _ in splits)}
    exceptions = min(
        sum(count for (size, left), count in splits.items() if left != (size < threshold)) for threshold in thresholds
    )
    return _are_many(exceptions, splits.total())


def _are_many(exceptions: int, total: int) -> bool:
    """Whether rounding cannot explain so many exceptions among all splits."""
    return exceptions >= max(_RARER_MIN, _RARER_SHARE_MIN * total)
