"""Checks that an XGBoost model's categorical splits are on the columns of categories' indexes, and on their values."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from scorer.bundle.tree_structure import CATEGORICAL, LEAF
from scorer.errors import BundleError

_SEGMENTS: Final = ("categories_nodes", "categories_segments", "categories_sizes")


def require_categories(
    learner: Mapping[str, Any], columns: Sequence[str], categories: Mapping[str, Sequence[str]]
) -> None:
    """Ensures that a model reads categories' indexes as categories, and only those that the contract has.

    Args:
        learner: the entry of this name in XGBoost's JSON.
        columns: the matrix's columns, in order.
        categories: by column of category indexes, the category's values in order of their index.

    Raises:
        BundleError: the model reads such a column as a number, or has a category that the contract lacks.
    """
    booster = learner["gradient_booster"]
    types = learner.get("feature_types") or ["c"] * len(columns)
    kinds, largest = _collect_splits(booster.get("gbtree", booster)["model"]["trees"])
    for position, column in enumerate(columns):
        if column not in categories:
            continue
        if types[position] != "c" or kinds.get(position, set()) - {CATEGORICAL}:
            raise BundleError(
                f"the model reads {column} as a number, but its column has the indexes of categories: train it with "
                "the feature type c, as scorer train --categories native does, or with one column per value"
            )
        count = len(categories[column])
        if largest.get(position, 0) >= count:
            raise BundleError(
                f"the model has a split on category {largest[position]} of {column}, but the contract's are 0 to "
                f"{count - 1}: was it trained for another contract?"
            )


def _collect_splits(trees: Iterable[Mapping[str, Any]]) -> tuple[dict[int, set[int]], dict[int, int]]:
    """Returns the kinds of the splits on each column, and the largest category in them."""
    kinds: dict[int, set[int]] = {}
    largest: dict[int, int] = {}
    for tree in trees:
        columns = tree["split_indices"]
        for left_child, column, kind in zip(tree["left_children"], columns, tree["split_type"], strict=True):
            if left_child != LEAF:
                kinds.setdefault(column, set()).add(kind)
        for node, start, size in zip(*(tree[name] for name in _SEGMENTS), strict=True):
            column = columns[node]
            largest[column] = max(largest.get(column, 0), *tree["categories"][start : start + size])
    return kinds, largest
