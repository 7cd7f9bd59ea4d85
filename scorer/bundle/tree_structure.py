"""Checks an XGBoost model before XGBoost loads it: it trusts every index that a file has, and crashes on a wrong one.

A tree is sound if its nodes' children are its nodes, each but the root is the child of one node, its splits are on the
model's columns, and its arrays are as long as it has nodes. So whatever a row's way, it ends at a leaf.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scorer.bundle.ubjson import is_ubjson, read_ubjson

_LEAF: Final = -1
_DELETED: Final = 2**31 - 1  # as the column of a node that pruning took away
_CATEGORICAL: Final = 1
_CATEGORIES_MAX: Final = 2**24  # as XGBoost's
_TARGETS_MAX: Final = 10_000  # for which XGBoost makes room
_DEPTH_MAX: Final = 64  # XGBoost's models have eight levels or so
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_PER_NODE: Final = (
    "left_children",
    "right_children",
    "parents",
    "split_indices",
    "split_conditions",
    "default_left",
)
_OF_CATEGORIES: Final = ("split_type", "categories_nodes", "categories_segments", "categories_sizes", "categories")


def read_document(model: bytes) -> dict[str, Any]:
    """The object in a file that XGBoost's `save_model` wrote, in UBJSON or JSON.

    Raises:
        ValueError: it is cut off, nested too deeply, has a text that is not UTF-8, or is followed by something else.
    """
    if is_ubjson(model):
        return read_ubjson(model)
    brackets = np.frombuffer(model.translate(None, _NOT_BRACKETS), np.uint8)
    if np.cumsum(np.where((brackets == ord("{")) | (brackets == ord("[")), 1, -1)).max(initial=0) > _DEPTH_MAX:
        raise ValueError(f"it has more than {_DEPTH_MAX} levels")
    try:
        document: dict[str, Any] = json.loads(model.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"the text at byte {error.start:,} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON, or followed by something else: {error}") from None
    return document


def require_trees(document: Mapping[str, Any]) -> None:
    """Makes sure that a model's trees are sound; of a model without trees, nothing is checked.

    Raises:
        ValueError: they are not, with the first one that is not; or what describes them is missing or of another type.
    """
    try:
        _require_trees(document["learner"])
    except KeyError as error:
        raise ValueError(f"it lacks {error}") from None
    except (AttributeError, TypeError, IndexError, OverflowError):
        raise ValueError("something in it has another type than XGBoost gives it") from None


def _require_trees(learner: Mapping[str, Any]) -> None:
    booster = learner["gradient_booster"]
    if booster["name"] == "gblinear":
        return
    inner = booster.get("gbtree", booster)["model"]  # dart has gbtree within
    trees = inner["trees"]
    parameters = learner["learner_model_param"]
    targets = int(parameters.get("num_target", "1"))
    groups = max(int(parameters["num_class"]), targets, 1)
    _require("num_target", np.array([targets]), 1, _TARGETS_MAX + 1)
    _require("tree_info", _integers(inner["tree_info"]), len(trees), groups)
    if sorted(tree["id"] for tree in trees) != list(range(len(trees))):
        raise ValueError(f"the trees' ids are not the numbers 0 to {len(trees) - 1:,}")
    if "iteration_indptr" in inner:
        bounds = _integers(inner["iteration_indptr"])
        if bounds[0] != 0 or bounds[-1] != len(trees) or (np.diff(bounds) < 0).any():
            raise ValueError(f"iteration_indptr does not divide its {len(trees):,} trees into rounds")
    if len(booster.get("weight_drop", trees)) != len(trees):
        raise ValueError(f"weight_drop has not one weight for each of its {len(trees):,} trees")
    columns = int(parameters["num_feature"])
    for number, tree in enumerate(trees):
        try:
            _require_tree(tree, columns, targets)
        except ValueError as fault:
            raise ValueError(f"tree {number:,}: {fault}") from None


def _require_tree(tree: Mapping[str, Any], columns: int, targets: int) -> None:
    parameters = tree["tree_param"]
    if int(parameters.get("size_leaf_vector", "1")) not in {0, 1, targets}:
        raise ValueError(f"its leaves have not one value for each of {targets} targets")
    count = int(parameters["num_nodes"])
    if count < 1 or any(len(tree[name]) != count for name in _PER_NODE):
        raise ValueError(f"the arrays {', '.join(_PER_NODE)} have not one entry for each of {count:,} nodes")
    left, right, parents, split = (_integers(tree[name]) for name in _PER_NODE[:4])
    inner = np.flatnonzero(left != _LEAF)
    children = np.concatenate([left[inner], right[inner]])
    if ((children < 1) | (children >= count)).any():
        raise ValueError(f"a node has a child that is none of the nodes 1 to {count - 1:,}")
    reached = np.bincount(children, minlength=count)
    if (reached > 1).any() or (reached[1:][split[1:] != _DELETED] == 0).any():
        raise ValueError("a node is not the child of exactly one other")
    if (parents[children] != np.concatenate([inner, inner])).any():
        raise ValueError("a node's parent is another than the node that it is the child of")
    if ((split[inner] < 0) | (split[inner] >= columns)).any():
        raise ValueError(f"a split is on none of the columns 0 to {columns - 1:,}")
    leaves = right[left == _LEAF]  # of several targets, which of the leaves' weights each has
    if (leaves != _LEAF).any() and (
        not np.array_equal(np.sort(leaves), np.arange(len(leaves)))
        or len(tree["leaf_weights"]) != targets * len(leaves)
    ):
        raise ValueError("its leaves have not each their own of the leaf_weights")
    if "split_type" in tree:  # since XGBoost 1.3
        _require_categories(tree, count)


def _require_categories(tree: Mapping[str, Any], count: int) -> None:
    kinds, nodes, starts, sizes, categories = (_integers(tree[name]) for name in _OF_CATEGORIES)
    _require("split_type", kinds, count, _CATEGORICAL + 1)
    if not np.array_equal(np.flatnonzero(kinds == _CATEGORICAL), nodes):
        raise ValueError("categories_nodes are not the nodes that split_type says have categories")
    _require("categories", categories, len(categories), _CATEGORIES_MAX)
    _require("categories_segments", starts, len(nodes), len(categories))
    _require("categories_sizes", sizes, len(nodes), len(categories) + 1)
    if (starts + sizes > len(categories)).any():
        raise ValueError("categories_segments and categories_sizes go beyond the categories")


def _require(name: str, found: NDArray[np.int64], count: int, below: int) -> None:
    if len(found) != count or ((found < 0) | (found >= below)).any():
        raise ValueError(f"{name} has not {count:,} numbers from 0 to {below - 1:,}")


def _integers(values: Any) -> NDArray[np.int64]:
    found = np.asarray(values)
    if len(found) and found.dtype.kind not in "iu":
        raise ValueError("it has something else where numbers of nodes, columns or categories are")
    return found.astype(np.int64)
