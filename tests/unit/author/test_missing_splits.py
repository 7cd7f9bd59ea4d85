"""Missing values in training, found in the trees: in every column that had them, and in none that had not."""

import json
from typing import Any

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from scorer.author.missing_splits import MissingSplits, find_missing_splits
from tests.unit.bundle.making import PLAIN, WITH_MARITAL

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("opens_here")]

ROWS = 3_000
ONE_HOT = {0, 1, 2, 3}
NUMBERS = {4, 5, 6, 7}


def make_rows() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Four columns that are 0 or 1, three numbers of which many are 0, and one that never is; and labels."""
    random = np.random.default_rng(1)
    category = np.eye(4, dtype=np.float32)[random.integers(4, size=ROWS)]
    numbers = np.where(random.random((ROWS, 3)) < 0.4, 0, random.integers(1, 100, (ROWS, 3)))
    matrix = np.hstack([category, numbers, random.uniform(1, 9, (ROWS, 1))]).astype(np.float32)
    odds = matrix[:, 1] + 0.8 * (matrix[:, 4] == 0) + matrix[:, 5] / 100 + matrix[:, 7] / 20
    return matrix, (odds + random.normal(0, 0.5, ROWS) > 1).astype(np.int64)


MATRIX, LABELS = make_rows()


def find(learnt: xgboost.DMatrix, rounds: int = 20, **parameters: Any) -> MissingSplits:
    """What the trees of a model say that is trained on these rows."""
    given = {"objective": "binary:logistic", "nthread": 1, "seed": 1, **parameters}
    return find_in(xgboost.train(given, learnt, rounds))


def find_in(booster: xgboost.Booster, one_hot: set[int] = ONE_HOT) -> MissingSplits:
    """What a booster's trees say."""
    return find_missing_splits(xgboost_trees(booster), one_hot)


def xgboost_trees(booster: xgboost.Booster) -> list[dict[str, Any]]:
    """The trees as its JSON has them."""
    trees: list[dict[str, Any]] = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    return trees


ORDINARY: dict[str, dict[str, Any]] = {
    "stumps": {"max_depth": 1},
    "shallow": {"max_depth": 2},
    "deep": {"max_depth": 12, "min_child_weight": 0, "reg_lambda": 0},
    "sampled": {"subsample": 0.3, "colsample_bytree": 0.4, "max_depth": 8},
    "monotone": {"monotone_constraints": "(0,1,0,0,-1,1,0,0)", "max_depth": 8, "min_child_weight": 0},
    "few bins": {"max_bin": 4, "max_depth": 8},
    "penalised": {"reg_alpha": 3, "gamma": 0.1, "max_delta_step": 1, "max_depth": 8},
    "forests": {"num_parallel_tree": 4, "subsample": 0.5, "max_depth": 8},
}


@pytest.mark.parametrize("method", ["hist", "approx", "exact"])
@pytest.mark.parametrize("name", ORDINARY)
def test_dense_rows_have_no_missing_splits(method: str, name: str) -> None:
    """Trees that never saw a missing value are never taken for others, however they grow."""
    splits = find(xgboost.DMatrix(MATRIX, LABELS), tree_method=method, **ORDINARY[name])
    assert splits.missing == frozenset()
    assert splits.separated


@pytest.mark.parametrize("method", ["hist", "approx", "exact"])
@pytest.mark.parametrize("name", ORDINARY)
def test_rows_of_very_different_weights_have_no_missing_splits(method: str, name: str) -> None:
    """With them sums are rounded, and some splits are made for nothing: too few to be taken for more."""
    weights = np.random.default_rng(2).random(ROWS) ** 6 * 1e3 + 1e-6
    splits = find(xgboost.DMatrix(MATRIX, LABELS, weight=weights), tree_method=method, **ORDINARY[name])
    assert splits.missing <= ONE_HOT
    assert splits.separated


@pytest.mark.parametrize("method", ["hist", "approx"])
def test_trees_grown_by_loss_have_no_missing_splits(method: str) -> None:
    """Nor with as many leaves as one likes."""
    splits = find(xgboost.DMatrix(MATRIX, LABELS), tree_method=method, grow_policy="lossguide", max_leaves=200)
    assert splits.missing == frozenset()


@pytest.mark.parametrize("sentinel", [-1.0, -999.0, 99_999_999.0])
def test_numbers_that_stand_for_unknown_are_numbers(sentinel: float) -> None:
    """A number that stands for what is unknown, below all others or above, is no missing value to the trees."""
    matrix = MATRIX.copy()
    matrix[np.random.default_rng(3).random(ROWS) < 0.2, 5] = sentinel
    for method in ("hist", "approx", "exact"):
        assert find(xgboost.DMatrix(matrix, LABELS), tree_method=method, max_depth=8).missing == frozenset()


@pytest.mark.parametrize("method", ["hist", "approx", "exact"])
@pytest.mark.parametrize("depth", [2, 4, 10])
def test_the_columns_with_unknown_numbers(method: str, depth: int) -> None:
    """Only those in which some were missing: the other numbers and the categories are as they were."""
    matrix = MATRIX.copy()
    matrix[np.random.default_rng(3).random(ROWS) < 0.3, 5] = np.nan
    splits = find(xgboost.DMatrix(matrix, LABELS), tree_method=method, max_depth=depth)
    assert splits.missing == {5}
    assert splits.separated


@pytest.mark.parametrize("method", ["hist", "approx", "exact"])
@pytest.mark.parametrize("depth", [2, 4, 10])
@pytest.mark.parametrize("how", ["sparse", "missing=0"])
def test_zeros_that_were_missing(method: str, depth: int, how: str) -> None:
    """No split tells 0 from 1; the columns with zeros had missing values, and the one without any had none."""
    if how == "sparse":
        learnt = xgboost.DMatrix(csr_matrix(MATRIX), LABELS)  # type: ignore[no-untyped-call]
    else:
        learnt = xgboost.DMatrix(MATRIX, LABELS, missing=0.0)
    splits = find(learnt, tree_method=method, max_depth=depth)
    assert splits.separated == frozenset()
    assert splits.missing & ONE_HOT
    assert 7 not in splits.missing
    assert depth == 2 or {4, 5} <= splits.missing, "a number's splits are enough to tell"


def test_categories_with_missing_values_are_distinguished_from_missing_zeros() -> None:
    """Where some one-hot values were missing and others 0, some split tells 0 from 1."""
    matrix = MATRIX.copy()
    matrix[np.random.default_rng(3).random(ROWS) < 0.3, :4] = np.nan
    splits = find(xgboost.DMatrix(matrix, LABELS), max_depth=8)
    assert splits.missing & ONE_HOT
    assert splits.separated


def test_a_change_of_the_tree_method_is_no_missing_value() -> None:
    """A model that was trained on with another method has both defaults in every column."""
    given = {"objective": "binary:logistic", "nthread": 1, "max_depth": 6}
    learnt = xgboost.DMatrix(MATRIX, LABELS)
    first = xgboost.train(given | {"tree_method": "exact"}, learnt, 20)
    both = xgboost.train(given | {"tree_method": "hist"}, learnt, 20, xgb_model=first)
    assert find_in(both).missing == frozenset()


def test_the_shipped_models_have_none() -> None:
    """They were trained on a dense matrix without missing values."""
    for bundle in (PLAIN, WITH_MARITAL):
        booster = xgboost.Booster(model_file=bundle / "model.ubj")
        names = booster.feature_names
        assert names is not None
        splits = find_in(booster, {index for index, name in enumerate(names) if "=" in name})
        assert splits.missing == frozenset()
        assert len(splits.separated) > 10


@pytest.mark.parametrize(
    ("threshold", "default_left", "is_missing"),
    [
        (2.00001, 0, True),  # hist, approx: what is there left, missing right
        (2.00001, 1, False),
        (-9.5e-07, 1, True),  # exact: missing left, what is there right
        (-9.5e-07, 0, False),
        (0.0, 1, True),
        (float("-inf"), 1, True),
        (float("inf"), 0, True),
        (1.0, 0, False),
        (0.5, 1, False),
        (1.0000001, 0, True),
    ],
)
def test_a_single_split(threshold: float, default_left: int, is_missing: bool) -> None:
    """Of 0 and 1, by where they go and where a missing value goes."""
    tree = {
        "left_children": [1, -1, -1],
        "right_children": [2, -1, -1],
        "split_indices": [0, 0, 0],
        "split_conditions": [threshold, 0.1, -0.1],
        "default_left": [default_left, 0, 0],
        "split_type": [0, 0, 0],
    }
    assert find_missing_splits([tree], {0}).missing == ({0} if is_missing else set())
    assert find_missing_splits([tree], set()).missing == set(), "of a number nothing is known"
