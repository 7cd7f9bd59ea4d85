"""Contributions to a higher PD, in fixed point: from a model's tables, or rounded from what its library computes."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scorer.core.contribution_tables import CONDITIONS_MAX, SCALE_BITS, ContributionTables

_CHUNK_NUMBERS: Final = 1 << 17  # they stay in the processor's cache


class TableContributions:
    """Evaluates tables of contributions on matrices."""

    def __init__(self, tables: ContributionTables, targets: int) -> None:
        """Prepares the evaluation.

        Args:
            tables: of the model.
            targets: the number of targets.
        """
        counts, widths = tables.condition_counts, tables.target_counts
        order, positions = _distinct_conditions(tables)
        self._columns = tables.columns[order]
        self._thresholds = tables.thresholds[order, None]
        self._less = int(np.count_nonzero(tables.is_less[order]))
        """The number of distinct conditions that hold for a smaller column; they come first."""
        blocks = np.repeat(np.arange(len(counts)), counts)
        self._bits = np.full((CONDITIONS_MAX, len(counts)), len(order))
        """Per bit of a pattern and block the distinct condition; after the last one is a condition that never holds."""
        self._bits[_count_within(counts), blocks] = positions
        self._widths = widths[:, None]
        sizes = widths << counts
        self._starts = (np.cumsum(sizes) - sizes)[:, None]
        by_target = np.argsort(tables.targets, kind="stable")
        self._block_of = np.repeat(np.arange(len(widths)), widths)[by_target]
        self._place_in = _count_within(widths)[by_target, None]
        self._targets, self._first = np.unique(tables.targets[by_target], return_index=True)
        self._values = tables.values
        self._count = targets

    def evaluate(self, matrix: NDArray[np.float32]) -> NDArray[np.int64]:
        """Returns the contributions of each row: shape (n, columns) to (n, targets), in units of 2 ** -26 log-odds."""
        contributions = np.zeros((self._count, len(matrix)), dtype=np.int64)
        rows = max(1, _CHUNK_NUMBERS // max(1, len(self._block_of)))
        for start in range(0, len(matrix) if len(self._first) else 0, rows):
            part = slice(start, start + rows)
            starts = self._patterns(matrix[part]) * self._widths + self._starts
            indexes = starts[self._block_of]
            indexes += self._place_in
            contributions[self._targets, part] = np.add.reduceat(
                self._values[indexes], self._first, axis=0, dtype=np.int64
            )
        return contributions.T

    def _patterns(self, matrix: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Returns the pattern of the conditions that hold, per block and row."""
        values = np.ascontiguousarray(matrix.T)[self._columns]
        holds = np.zeros((len(values) + 1, len(matrix)), dtype=np.bool_)
        less = slice(self._less)
        others = slice(self._less, len(values))
        np.less(values[less], self._thresholds[less], out=holds[less])
        np.greater_equal(values[others], self._thresholds[others], out=holds[others])
        bits = holds.view(np.uint8)
        patterns: NDArray[np.uint8] = bits[self._bits[0]]
        for bit in range(1, CONDITIONS_MAX):
            patterns |= bits[self._bits[bit]] << bit
        return patterns


def _distinct_conditions(tables: ContributionTables) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns the positions of distinct conditions, and for each condition its index among them."""
    keys = np.rec.fromarrays([1 - tables.is_less, tables.columns, tables.thresholds.view(np.int32)])
    _, order, positions = np.unique(keys, return_index=True, return_inverse=True)
    return order, positions


def _count_within(sizes: NDArray[np.int64]) -> NDArray[np.intp]:
    """Returns 0, 1, … for each of consecutive groups of these sizes."""
    return np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def round_contributions(contributions: NDArray[np.float32], targets: Sequence[int], count: int) -> NDArray[np.int64]:
    """Rounds contributions of columns to fixed point, and adds those of each target.

    Args:
        contributions: in log-odds, shape (n, columns).
        targets: the target of each column; -1 for none.
        count: the number of targets.

    Returns:
        Shape (n, targets), in units of 2 ** -26 log-odds.
    """
    rounded = np.rint(contributions.astype(np.float64) * (1 << SCALE_BITS)).astype(np.int64)
    sums = np.zeros((count, len(contributions)), dtype=np.int64)
    folded = np.flatnonzero(np.asarray(targets) >= 0)
    np.add.at(sums, np.asarray(targets)[folded], rounded.T[folded])
    return sums.T
