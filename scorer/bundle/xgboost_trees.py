"""Reads the trees of a loaded XGBoost model, for the compiled engine and for tables of contributions."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike

from scorer.core.trees import TreesTable

_NUMERICAL: Final = 0


def read_trees(document: Mapping[str, Any]) -> TreesTable | None:
    """Returns the trees in a document that XGBoost has saved.

    Args:
        document: the model as `scorer.bundle.tree_structure.read_document` returns it.

    Returns:
        The trees; None if they are not those of a binary classifier, drop out (dart), or split on categories.
    """
    learner = document["learner"]
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree" or learner["objective"]["name"] != "binary:logistic":
        return None
    model, parameters = booster["model"], learner["learner_model_param"]
    trees = sorted(model["trees"], key=lambda tree: int(tree["id"]))
    base_scores = str(parameters["base_score"]).strip("[]").split(",")
    if len(base_scores) != 1 or np.any(model["tree_info"]) or not trees or not all(map(_is_numerical, trees)):
        return None
    return TreesTable(
        [len(tree["left_children"]) for tree in trees],
        _concatenate(trees, "left_children", np.int32),
        _concatenate(trees, "right_children", np.int32),
        _concatenate(trees, "split_indices", np.int32),
        _concatenate(trees, "split_conditions", np.float32),
        _concatenate(trees, "default_left", np.uint8),
        _concatenate(trees, "sum_hessian", np.float32),
        float(np.float32(base_scores[0])),
    )


def _is_numerical(tree: Mapping[str, Any]) -> bool:
    """Whether the tree compares numbers only, and each of its leaves has one value."""
    return bool(np.all(np.asarray(tree["split_type"]) == _NUMERICAL)) and int(
        tree["tree_param"].get("size_leaf_vector", "1")
    ) in {0, 1}


def _concatenate(trees: list[Any], name: str, type_: DTypeLike) -> bytes:
    return np.concatenate([np.asarray(tree[name]) for tree in trees]).astype(type_).tobytes()
