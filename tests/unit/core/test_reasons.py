"""Which reasons a decision gets, and in which order."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scorer.core.reasons import NONE, Explainer, choose

ALL = np.ones(6, dtype=np.bool_)


def _choose(*rows: list[int], is_used: NDArray[np.bool_] = ALL, leading: list[list[int]] | None = None) -> Any:
    first = None if leading is None else np.array(leading, dtype=np.uint8)
    chosen = choose(np.array(rows, dtype=np.int64), is_used[: len(rows[0])], first)
    assert chosen.shape == (len(rows), 4)
    assert chosen.dtype == np.uint8
    return [[entry for entry in row if entry != NONE] for row in chosen.tolist()]


def test_the_largest_contributions_come_first() -> None:
    """At most four, and only those to a higher PD."""
    assert _choose([1, 5, -2, 3, 2, 4], [0, 0, 7, 0, -1, 0]) == [[1, 5, 3, 4], [2]]


def test_equal_contributions_are_in_the_catalogues_order() -> None:
    """So that the order depends on nothing but the catalogue."""
    assert _choose([3, 3, 3, 3, 3, 3], [1, 2, 2, 1, 2, 1]) == [[0, 1, 2, 3], [1, 2, 4, 0]]


def test_without_a_positive_contribution_the_largest_one_is_the_reason() -> None:
    """A decision that is not APPROVED always has one."""
    assert _choose([-3, -1, -1, -9, -2, -4], [0, 0, 0, 0, 0, 0]) == [[1], [0]]


def test_what_the_model_does_not_use_is_not_a_reason() -> None:
    """An entry for rules alone, or about a field that no tree compares, contributes nothing."""
    is_used = np.array([False, True, True, False, False, False])
    assert _choose([9, -5, -4, 0, 0, 0], [9, 1, 2, 0, 0, 0], is_used=is_used) == [[2], [2, 1]]


@pytest.mark.parametrize(
    ("leading", "expected"),
    [
        ([NONE, NONE], [1, 5, 3, 4]),
        ([2, NONE], [2, 1, 5, 3]),
        ([5, NONE], [5, 1, 3, 4]),
        ([5, 5], [5, 1, 3, 4]),
        ([NONE, 0], [0, 1, 5, 3]),
        ([0, 2], [0, 2, 1, 5]),
        ([0, 2, 1, 5], [0, 2, 1, 5]),
        ([4, 1, 4, 1], [4, 1, 5, 3]),
    ],
)
def test_rules_come_first_and_nothing_twice(leading: list[int], expected: list[int]) -> None:
    """The entries of rules that fired are followed by contributions, up to four in all."""
    assert _choose([1, 5, -2, 3, 2, 4], leading=[leading]) == [expected]


def test_a_rule_is_reason_enough() -> None:
    """Where a rule fired, a contribution that is not positive is not needed."""
    assert _choose([-1, -2, -3], [-1, -2, -3], leading=[[2, NONE], [NONE, NONE]]) == [[2], [0]]


def test_the_smallest_number_is_a_contribution_like_others() -> None:
    """It has no negative in 64 bits."""
    smallest = np.iinfo(np.int64).min
    assert _choose([smallest, smallest + 1]) == [[1]]


def test_a_catalogue_of_one_entry() -> None:
    """Fewer entries than places."""
    assert _choose([5], [-5]) == [[0], [0]]


class _Model:
    """Contributions that a test gives; counts rows."""

    def __init__(self, contributions: NDArray[np.float32]) -> None:
        self.contributions_by_row = contributions
        self.rows = 0

    def contributions(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        self.rows += len(matrix)
        contributions: NDArray[np.float32] = self.contributions_by_row[matrix[:, 0].astype(int)]
        return contributions


def test_a_model_without_tables_is_asked_for_explained_rows_only() -> None:
    """Contributions of columns are rounded to fixed point and added per entry; APPROVED decisions have no reasons."""
    model = _Model(np.array([[0.25, 0.5, 0.125, 9], [0.1, -0.2, 0.3, 9]], dtype=np.float32))
    explainer = Explainer(("A", "B"), (0, 1, 0, -1), None, model)
    matrix = np.array([[0], [1], [1]], dtype=np.float32)
    reasons = explainer.explain(matrix, np.array([1, 0, 2]))
    assert reasons.tolist() == [[1, 0, NONE, NONE], [NONE] * 4, [0, NONE, NONE, NONE]]
    assert model.rows == 2
    exact = np.rint(np.array([0.1, -0.2, 0.3], dtype=np.float32).astype(float) * 2**26)
    assert explainer.contributions(matrix).tolist()[1] == [exact[0] + exact[2], exact[1]]
    assert explainer.explain(matrix[:0], np.array([], dtype=np.intp)).shape == (0, 4)


def test_a_catalogue_that_the_model_does_not_use_is_an_error() -> None:
    """No decision could be explained."""
    with pytest.raises(ValueError, match="no reason in the catalogue is about a field that the model uses"):
        Explainer(("A", "B"), (-1, -1), None, _Model(np.empty((0, 2), dtype=np.float32)))
