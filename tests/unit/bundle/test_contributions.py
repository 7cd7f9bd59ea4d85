"""Tables of contributions have what XGBoost computes (`pred_contribs`), in fixed point."""

from itertools import combinations
from math import factorial
from typing import Any, Final

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray

from scorer.bundle.load import load_bundle
from scorer.bundle.tree_structure import read_document
from scorer.bundle.xgboost_runner import XGBoostModel
from scorer.bundle.xgboost_trees import read_trees
from scorer.core import contribution_tables
from scorer.core.contribution_tables import SCALE_BITS, ContributionTables, build_tables
from scorer.core.contributions import TableContributions, round_contributions
from tests.unit.bundle.making import PLAIN

DIFFERENCE_MAX: Final = 1e-5
"""In log-odds; XGBoost computes with 32-bit floats."""


def _matrix(seed: int, rows: int, columns: int) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(rows, columns)).astype(np.float32)
    matrix[generator.random(matrix.shape) < 0.1] = np.nan
    matrix[:, 0] = np.round(matrix[:, 0])  # values that equal thresholds
    return matrix


def _train(matrix: NDArray[np.float32], rounds: int, **parameters: Any) -> xgboost.Booster:
    generator = np.random.default_rng(len(matrix))
    labels = np.nansum(matrix[:, :3], axis=1) + generator.normal(size=len(matrix)) > 0
    given = {"objective": "binary:logistic", "nthread": 1, "eta": 0.3} | parameters
    return xgboost.train(given, xgboost.DMatrix(matrix, labels), rounds)


def _tables(booster: xgboost.Booster, targets: list[int]) -> ContributionTables | None:
    trees = read_trees(read_document(bytes(booster.save_raw("ubj"))))
    assert trees is not None
    return build_tables(trees, targets)


def _evaluate(booster: xgboost.Booster, matrix: NDArray[np.float32], targets: list[int]) -> NDArray[np.int64]:
    tables = _tables(booster, targets)
    assert tables is not None
    return TableContributions(tables, max(targets) + 1).evaluate(matrix)


def _predict(booster: xgboost.Booster, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    contributions: NDArray[np.float32] = booster.predict(
        xgboost.DMatrix(matrix, feature_names=booster.feature_names), pred_contribs=True, approx_contribs=False
    )
    return contributions[:, :-1]


def _require_close(booster: xgboost.Booster, matrix: NDArray[np.float32], targets: list[int]) -> None:
    expected = round_contributions(_predict(booster, matrix), targets, max(targets) + 1)
    differences = np.abs(_evaluate(booster, matrix, targets) - expected) / 2**SCALE_BITS
    assert differences.max() <= DIFFERENCE_MAX


@pytest.mark.parametrize("depth", range(1, 9))
def test_contributions_are_xgboosts(depth: int) -> None:
    """Of trees of any depth up to eight, with unknown values and repeated columns on the way to a leaf."""
    columns = 3 + depth % 4
    matrix = _matrix(depth, 1_500, columns)
    booster = _train(matrix, 12, max_depth=depth)
    _require_close(booster, matrix, list(range(columns)))


@pytest.mark.parametrize(
    "parameters",
    [
        {"num_parallel_tree": 3, "subsample": 0.5},
        {"grow_policy": "lossguide", "max_leaves": 24, "max_depth": 8},
        {"base_score": 0.2, "monotone_constraints": (1, 0, -1, 0)},
        {"min_child_weight": 40},
        {"tree_method": "exact"},
    ],
)
def test_contributions_of_other_trees(parameters: dict[str, Any]) -> None:
    """Of forests, of lopsided trees, and of trees without a split."""
    matrix = _matrix(1, 800, 4)
    _require_close(_train(matrix, 15, **parameters), matrix, [0, 1, 2, 3])


def test_columns_are_folded_to_their_entries() -> None:
    """The contributions of an entry's columns are added; columns without an entry are left out."""
    matrix = _matrix(2, 500, 6)
    booster = _train(matrix, 20, max_depth=4)
    _require_close(booster, matrix, [0, 1, 0, -1, 1, 2])


def test_the_shipped_model() -> None:
    """The course's model, on its golden examples and on rows around every threshold."""
    bundle = load_bundle(PLAIN)
    booster = xgboost.Booster(model_file=PLAIN / "model.ubj")
    fields = sorted(set(bundle.encoding.column_fields))
    targets = [fields.index(name) for name in bundle.encoding.column_fields]
    tables = _tables(booster, targets)
    assert tables is not None
    rows = np.repeat(bundle.golden_matrix, 20, axis=0)
    generator = np.random.default_rng(3)
    for row in rows:
        changed = generator.integers(0, len(tables.columns), 3)
        row[tables.columns[changed]] = tables.thresholds[changed]
    _require_close(booster, rows, targets)


def test_the_definition() -> None:
    """Shapley values by their definition: the mean over all orders in which a tree learns the row's columns."""
    matrix = _matrix(5, 300, 4)
    booster = _train(matrix, 1, max_depth=3)
    tree = read_document(bytes(booster.save_raw("ubj")))["learner"]["gradient_booster"]["model"]["trees"][0]
    left, right, column, cover = (tree[n] for n in ("left_children", "right_children", "split_indices", "sum_hessian"))

    def value(row: NDArray[np.float32], known: frozenset[int], node: int = 0) -> float:
        if left[node] == -1:
            return float(tree["split_conditions"][node])
        children = left[node], right[node]
        if column[node] not in known:
            return sum(float(cover[child]) * value(row, known, child) for child in children) / float(cover[node])
        number = row[column[node]]
        is_left = tree["default_left"][node] if np.isnan(number) else number < tree["split_conditions"][node]
        return value(row, known, children[0 if is_left else 1])

    def shapley(row: NDArray[np.float32], player: int) -> float:
        others = [other for other in range(4) if other != player]
        return sum(
            factorial(size) * factorial(3 - size) / factorial(4)
            * (value(row, frozenset({*known, player})) - value(row, frozenset(known)))
            for size in range(4)
            for known in combinations(others, size)
        )  # fmt: skip

    expected = np.array([[shapley(row, player) for player in range(4)] for row in matrix[:40]])
    actual = _evaluate(booster, matrix[:40], [0, 1, 2, 3]) / 2**SCALE_BITS
    assert np.abs(actual - expected).max() <= 1e-7


@pytest.mark.parametrize("count", [1, 2, 7, 64, 300])
def test_a_row_has_the_same_numbers_in_every_batch(count: int) -> None:
    """Alone, together and in reverse order."""
    matrix = _matrix(4, 300, 5)
    booster = _train(matrix, 60, max_depth=5)
    targets = [0, 1, 2, 3, 4]
    whole = _evaluate(booster, matrix, targets)
    assert (_evaluate(booster, matrix[:count], targets) == whole[:count]).all()
    assert (_evaluate(booster, matrix[::-1], targets)[::-1] == whole).all()
    assert _evaluate(booster, matrix[:0], targets).shape == (0, 5)


def test_equal_columns_have_equal_contributions() -> None:
    """Two trees that differ in their column alone give a tie, to the last bit."""
    matrix = _matrix(6, 400, 2)
    matrix[:, 1] = matrix[:, 0]
    first, second = (
        _train(np.where(np.arange(2) == column, matrix, np.nan).astype(np.float32), 5, max_depth=3)
        for column in range(2)
    )
    one = _evaluate(first, matrix, [0, 1])
    other = _evaluate(second, matrix, [0, 1])
    assert (one[:, 0] == other[:, 1]).all()
    assert (one[:, 0] != 0).any()


def test_models_without_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees that are too deep, leaves that are too large, and tables above the limit are left to XGBoost."""
    matrix = _matrix(7, 2_000, 4)
    deep = _train(matrix, 1, max_depth=9, min_child_weight=0)
    assert _tables(deep, [0, 1, 2, 3]) is None
    large = _train(matrix, 1, max_depth=2, eta=1e6)
    assert _tables(large, [0, 1, 2, 3]) is None
    plain = _train(matrix, 3, max_depth=3)
    tables = _tables(plain, [0, 1, 2, 3])
    assert tables is not None
    monkeypatch.setattr(contribution_tables, "TABLE_BYTES_MAX", tables.values.nbytes - 4)
    assert _tables(plain, [0, 1, 2, 3]) is None


def test_a_model_without_covers_is_an_error() -> None:
    """Contributions are means over training rows: a model must say how many reached each node."""
    document = read_document(bytes(_train(_matrix(8, 200, 2), 2, max_depth=2).save_raw("ubj")))
    for tree in document["learner"]["gradient_booster"]["model"]["trees"]:
        tree["sum_hessian"] = np.zeros(len(tree["left_children"]))
    trees = read_trees(document)
    assert trees is not None
    with pytest.raises(ValueError, match="how many training rows reached each node"):
        build_tables(trees, [0, 1])


def test_nothing_is_kept_of_columns_without_an_entry() -> None:
    """Trees of which no column has an entry need no tables."""
    tables = _tables(_train(_matrix(9, 200, 3), 5), [-1, -1, -1])
    assert tables is not None
    assert (len(tables.condition_counts), len(tables.values)) == (0, 0)


def test_infinite_numbers_are_explained() -> None:
    """A derived column can be too large for the matrix: the model predicts with it, so it is explained, too."""
    matrix = _matrix(10, 300, 3)
    booster = _train(matrix, 5, max_depth=9)
    model = XGBoostModel(booster)
    rows = matrix[:4].copy()
    rows[:2, 0], rows[2:, 0] = np.inf, -np.inf
    largest = np.where(np.isinf(rows), np.sign(rows) * np.float32(1e30), rows)
    assert model.contributions(rows).tolist() == model.contributions(largest).tolist()
    assert model.predict(rows).tolist() == model.predict(largest).tolist()
