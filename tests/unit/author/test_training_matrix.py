"""Zeros that were missing in training, in the columns of a lender's own contract: booleans and categories' indexes."""

from typing import Any, Final

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray

from scorer.author.boosters import check_booster
from scorer.author.model_input import ModelInput
from scorer.bundle.manifest import Features
from scorer.errors import BundleError
from tests.fakes import make_contract

ROWS: Final = 2_000
CONTRACT: Final = make_contract(
    "insured", "married", "kind", "amount",
    insured={"type": "boolean"},
    married={"type": "boolean"},
    employed={"type": ["boolean", "null"]},
    kind={"type": "string", "enum": ["car", "boat", "house", "other"]},
    amount={"type": "integer", "minimum": 1, "maximum": 1000},
)  # fmt: skip
ZEROS_MISSING: Final = "zeros taken for missing values"


def make_columns() -> dict[str, NDArray[np.float32]]:
    """Values by column, of which only amounts are never 0; employed is unknown (NaN) in a third of the rows."""
    random = np.random.default_rng(1)
    columns = {name: random.integers(2, size=ROWS) for name in ("insured", "married", "employed")}
    columns |= {"kind": random.integers(4, size=ROWS), "amount": random.integers(1, 1000, size=ROWS)}
    numbers = {name: values.astype(np.float32) for name, values in columns.items()}
    numbers["employed"][random.random(ROWS) < 0.33] = np.nan
    return numbers | {"kind=car": (numbers["kind"] == 0).astype(np.float32)}


VALUES: Final = make_columns()
LABELS: Final = (
    VALUES["insured"]
    + 1.5 * (VALUES["kind"] == 0)
    - (VALUES["kind"] == 1)
    + 0.7 * (VALUES["employed"] == 1)
    + VALUES["amount"] / 1000
    + np.random.default_rng(2).normal(0, 0.5, ROWS)
    > 1.6
).astype(np.int64)


def train(columns: tuple[str, ...], zeros: str, rounds: int = 40, **parameters: Any) -> bytes:
    """A model of these columns, whose zeros were as they are, or missing."""
    matrix = np.stack([VALUES[column] for column in columns], axis=1)
    types = ["c" if column == "kind" else "q" for column in columns]
    missing = 0.0 if zeros == "missing" else np.nan
    learnt = xgboost.DMatrix(matrix, LABELS, missing=missing, feature_types=types, enable_categorical=True)
    if zeros == "weighted":  # rounding may then prefer a direction for missing values, where there are none
        learnt.set_weight(np.random.default_rng(3).random(ROWS) ** 6 * 1e3 + 1e-6)
    given = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1, "seed": 1, **parameters}
    return bytes(xgboost.train(given, learnt, rounds).save_raw("ubj"))


def check(model: bytes, columns: tuple[str, ...], missing: float | None) -> None:
    """What every path from a model to a bundle checks."""
    check_booster(model, ModelInput(CONTRACT, Features(columns=columns, missing=missing)))


@pytest.mark.parametrize("method", ["hist", "approx", "exact"])
@pytest.mark.parametrize("rounds", [3, 40])
@pytest.mark.parametrize("missing", [None, 0.0])
def test_booleans_that_are_false_are_not_missing(method: str, rounds: int, missing: float | None) -> None:
    """A boolean is a column of 0 and 1 like one of a category's value.

    Half of the decisions of such a model differed, and a larger one was said to have another unit.
    """
    columns = ("insured", "married", "amount")
    check(train(columns, "kept", rounds, tree_method=method), columns, missing)
    with pytest.raises(BundleError, match=f"{ZEROS_MISSING}.*its splits on insured"):
        check(train(columns, "missing", rounds, tree_method=method), columns, missing)


@pytest.mark.parametrize("method", ["hist", "approx", "exact"])
def test_booleans_that_may_be_unknown(method: str) -> None:
    """Their missing values prove nothing, but a model that never separates false from true cannot have seen both."""
    columns = ("employed", "amount")
    check(train(columns, "kept", tree_method=method), columns, None)
    check(train(("employed", "kind=car"), "kept", tree_method=method), ("employed", "kind=car"), None)
    with pytest.raises(BundleError, match=f"{ZEROS_MISSING}.*its splits on employed"):
        check(train(columns, "missing", tree_method=method), columns, None)


@pytest.mark.parametrize("method", ["hist", "approx"])
@pytest.mark.parametrize("one_hot_below", [1, 4, 100])
def test_the_first_value_of_a_category_is_not_missing(method: str, one_hot_below: int) -> None:
    """Its index is 0, so a sparse matrix has no entry there; the decisions of such a model differed.

    By splits on one category each, and by those on several, which have both default directions in dense models, too, if
    max_cat_threshold is lower than the number of categories: then the number that a split names decides.
    """
    columns = ("kind", "amount")
    for threshold in (2, 3, 64):
        given: dict[str, Any] = {
            "tree_method": method,
            "max_cat_to_onehot": one_hot_below,
            "max_cat_threshold": threshold,
        }
        check(train(columns, "kept", **given), columns, 0.0)
    with pytest.raises(BundleError, match=r"trained with missing values of kind, which every application has.*sparse"):
        check(train(columns, "missing", tree_method=method, max_cat_to_onehot=one_hot_below), columns, 0.0)


@pytest.mark.parametrize("zeros", ["kept", "weighted"])
@pytest.mark.parametrize("method", ["hist", "approx"])
@pytest.mark.parametrize(
    "parameters",
    [
        {"max_depth": 12, "min_child_weight": 0, "subsample": 0.3},
        {"grow_policy": "lossguide", "max_leaves": 60, "max_depth": 0},
        {"num_parallel_tree": 4, "colsample_bynode": 0.5},
        {"max_cat_to_onehot": 1, "max_depth": 8},
        {"max_cat_to_onehot": 1, "max_cat_threshold": 2},
        {"max_cat_to_onehot": 100, "max_depth": 8},
    ],
    ids="-".join,
)
def test_dense_rows_are_accepted(zeros: str, method: str, parameters: dict[str, Any]) -> None:
    """However trees grow, those that saw every zero pass."""
    columns = ("insured", "married", "kind", "amount")
    check(train(columns, zeros, tree_method=method, **parameters), columns, None)
