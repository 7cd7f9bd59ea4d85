"""Which models the compiled engine predicts with itself."""

from typing import Any

import numpy as np
import pytest
import xgboost

from scorer.bundle.tree_structure import read_document
from scorer.bundle.xgboost_runner import XGBoostModel
from scorer.bundle.xgboost_trees import read_trees

MATRIX = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
LABELS = (MATRIX[:, 0] > 0).astype(int)


def _train(rounds: int = 5, **parameters: Any) -> xgboost.Booster:
    depth = {} if parameters.get("booster") == "gblinear" else {"max_depth": 2}
    given = {"objective": "binary:logistic", "nthread": 1} | depth | parameters
    return xgboost.train(given, xgboost.DMatrix(MATRIX, LABELS), rounds)


def _sizes(booster: xgboost.Booster) -> int | None:
    """The number of trees, if the engine knows them."""
    trees = XGBoostModel(booster).trees()
    return None if trees is None else len(trees.sizes)


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ({}, 5),
        ({"num_parallel_tree": 3}, 15),
        ({"base_score": 0.2}, 5),
        ({"monotone_constraints": (1, 0, 0)}, 5),
        ({"grow_policy": "lossguide", "max_leaves": 4}, 5),
        ({"booster": "dart"}, None),
        ({"booster": "gblinear"}, None),
        ({"objective": "reg:squarederror"}, None),
        ({"objective": "binary:logitraw"}, None),
        ({"objective": "multi:softprob", "num_class": 2}, None),
    ],
)
def test_trees_of_binary_classifiers_are_read(parameters: dict[str, Any], count: int | None) -> None:
    """Other boosters and objectives are left to XGBoost."""
    assert _sizes(_train(**parameters)) == count


def test_splits_on_categories_are_left_to_xgboost() -> None:
    """They are sets, not thresholds."""
    matrix = np.random.default_rng(2).integers(0, 5, size=(200, 1)).astype(np.float32)
    train = xgboost.DMatrix(matrix, matrix[:, 0] == 3, feature_types=["c"], enable_categorical=True)
    parameters = {"objective": "binary:logistic", "max_depth": 2, "nthread": 1, "max_cat_to_onehot": 1}
    assert _sizes(xgboost.train(parameters, train, 3)) is None


def test_json_and_ubjson_have_the_same_trees() -> None:
    """Numbers in JSON are the shortest texts of 32-bit floats, and are read back exactly."""
    booster = _train()
    first, second = (read_trees(read_document(bytes(booster.save_raw(kind)))) for kind in ("ubj", "json"))
    assert first == second
    assert first is not None
    assert sum(first.sizes) * 4 == len(first.left) == len(first.value)
    assert sum(first.sizes) == len(first.default_left)
