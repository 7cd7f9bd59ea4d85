"""Validates an XGBoost model before XGBoost loads it, because XGBoost crashes on an invalid index in a file.

A tree is valid if its nodes' children are its nodes, each node except the root is the child of exactly one node, its
splits are on the model's columns, and its arrays have one entry per node. Then every path through it ends at a leaf.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scorer.bundle.ubjson import DEPTH_MAX, is_ubjson, read_ubjson

LEAF: Final = -1
_DELETED: Final = 2**31 - 1  # the column of a node that was removed by pruning
CATEGORICAL: Final = 1
_CATEGORIES_MAX: Final = 2**24  # XGBoost's limit
_TARGETS_MAX: Final = 10_000  # XGBoost allocates memory for each
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_NODE_ARRAYS: Final = (
    "left_children",
    "right_children",
    "parents",
    "split_indices",
    "split_conditions",
    "default_left",
)
_CATEGORY_ARRAYS: Final = ("split_type", "categories_nodes", "categories_segments", "categories_sizes", "categories")


def read_document(model: bytes) -> dict[str, Any]:
    """Parses a file written by XGBoost's `save_model`, in UBJSON or JSON.

    Raises:
        ValueError: it is truncated, nested too deeply, has a string that is not UTF-8, or has trailing data.
    """
    if is_ubjson(model):
        return read_ubjson(model)
    brackets = np.frombuffer(model.translate(None, _NOT_BRACKETS), np.uint8)
    if np.cumsum(np.where((brackets == ord("{")) | (brackets == ord("[")), 1, -1)).max(initial=0) > DEPTH_MAX:
        raise ValueError(f"it is nested deeper than {DEPTH_MAX} levels")
    try:
        document: dict[str, Any] = json.loads(model.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"the text at byte {error.start:,} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not valid JSON, or has trailing data: {error}") from None
    return document


def require_trees(document: Mapping[str, Any]) -> None:
    """Ensures that a model's trees are valid; a model without trees is not checked.

    Raises:
        ValueError: a tree is invalid (the message names the first one), or an entry is missing or has another type.
    """
    try:
        _check_trees(document["learner"])
    except KeyError as error:
        raise ValueError(f"the entry {error} is missing") from None
    except (AttributeError, TypeError, IndexError, OverflowError):
        raise ValueError("an entry has another type than in XGBoost's format") from None


def _check_trees(learner: Mapping[str, Any]) -> None:
    booster = learner["gradient_booster"]
    if booster["name"] == "gblinear":
        return
    model = booster.get("gbtree", booster)["model"]  # dart contains gbtree
    trees = model["trees"]
    parameters = learner["learner_model_param"]
    targets = int(parameters.get("num_target", "1"))
    groups = max(int(parameters["num_class"]), targets, 1)
    _check_range("num_target", np.array([targets]), 1, _TARGETS_MAX + 1)
    _check_range("tree_info", _integers(model["tree_info"]), len(trees), groups)
    if sorted(tree["id"] for tree in trees) != list(range(len(trees))):
        raise ValueError(f"the trees' ids are not 0 to {len(trees) - 1:,}")
    if "iteration_indptr" in model:
        bounds = _integers(model["iteration_indptr"])
        if bounds[0] != 0 or bounds[-1] != len(trees) or (np.diff(bounds) < 0).any():
            raise ValueError(f"iteration_indptr does not divide the {len(trees):,} trees into rounds")
    if len(booster.get("weight_drop", trees)) != len(trees):
        raise ValueError(f"weight_drop does not have one weight for each of the {len(trees):,} trees")
    columns = int(parameters["num_feature"])
    for number, tree in enumerate(trees):
        try:
            _check_tree(tree, columns, targets)
        except ValueError as error:
            raise ValueError(f"tree {number:,}: {error}") from None


def _check_tree(tree: Mapping[str, Any], columns: int, targets: int) -> None:
    parameters = tree["tree_param"]
    if int(parameters.get("size_leaf_vector", "1")) not in {0, 1, targets}:
        raise ValueError(f"the leaves do not have one value for each of {targets} targets")
    count = int(parameters["num_nodes"])
    if count < 1 or any(len(tree[name]) != count for name in _NODE_ARRAYS):
        raise ValueError(f"the arrays {', '.join(_NODE_ARRAYS)} do not have one entry for each of {count:,} nodes")
    left, right, parents, split = (_integers(tree[name]) for name in _NODE_ARRAYS[:4])
    inner = np.flatnonzero(left != LEAF)
    children = np.concatenate([left[inner], right[inner]])
    if ((children < 1) | (children >= count)).any():
        raise ValueError(f"a node has a child that is not one of the nodes 1 to {count - 1:,}")
    reached = np.bincount(children, minlength=count)
    if (reached > 1).any() or (reached[1:][split[1:] != _DELETED] == 0).any():
        raise ValueError("a node is not the child of exactly one other node")
    if (parents[children] != np.concatenate([inner, inner])).any():
        raise ValueError("a node's parent is not the node whose child it is")
    if ((split[inner] < 0) | (split[inner] >= columns)).any():
        raise ValueError(f"a split is not on one of the columns 0 to {columns - 1:,}")
    leaves = right[left == LEAF]  # with several targets: the index of each leaf's weights
    if (leaves != LEAF).any() and (
        not np.array_equal(np.sort(leaves), np.arange(len(leaves)))
        or len(tree["leaf_weights"]) != targets * len(leaves)
    ):
        raise ValueError("the leaves do not each have their own entries in leaf_weights")
    if "split_type" in tree:  # since XGBoost 1.3
        _check_categories(tree, count)


def _check_categories(tree: Mapping[str, Any], count: int) -> None:
    kinds, nodes, starts, sizes, categories = (_integers(tree[name]) for name in _CATEGORY_ARRAYS)
    _check_range("split_type", kinds, count, CATEGORICAL + 1)
    if not np.array_equal(np.flatnonzero(kinds == CATEGORICAL), nodes):
        raise ValueError("categories_nodes are not the nodes with a categorical split_type")
    _check_range("categories", categories, len(categories), _CATEGORIES_MAX)
    _check_range("categories_segments", starts, len(nodes), len(categories))
    _check_range("categories_sizes", sizes, len(nodes), len(categories) + 1)
    if (starts + sizes > len(categories)).any():
        raise ValueError("categories_segments and categories_sizes exceed the number of categories")


def _check_range(name: str, values: NDArray[np.int64], count: int, below: int) -> None:
    if len(values) != count or ((values < 0) | (values >= below)).any():
        raise ValueError(f"{name} does not have {count:,} numbers from 0 to {below - 1:,}")


def _integers(values: Any) -> NDArray[np.int64]:
    array = np.asarray(values)
    if len(array) and array.dtype.kind not in "iu":
        raise ValueError("an index of a node, column or category is not an integer")
    return array.astype(np.int64)
