"""Tests reasons on applications: with typical values of approved applicants in a reason's fields, does the PD fall?

A reason says that its fields raised the PD. If that is so, then the PD falls when these fields, and no others, have the
values that approved applications usually have.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scorer.author.finding import Finding
from scorer.bundle.golden import EXAMPLE_BYTES_MAX
from scorer.core.catalogue import Entry, Reasons
from scorer.core.decide import NO_RULE
from scorer.core.features import FeatureEncoding
from scorer.core.policy import LABELS
from scorer.core.reasons import Explainer
from scorer.core.score import Bundle, checked_predict

ROWS_MIN: Final = 20  # of an entry: a share of fewer rows says little
FALLING_SHARE_MIN: Final = 0.8
_BATCHES_MAX: Final = 25  # of 20,000 rows, whose matrix is kept in memory
_APPROVED: Final = LABELS.index("APPROVED")


class _Decided(NamedTuple):
    """Decided applications: their matrix, shape (n, columns), and by row PD, label and rule, shape (n,)."""

    matrix: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    labels: NDArray[np.intp]
    rules: NDArray[np.intp]


def check_counterfactuals(
    reasons: Reasons, explainer: Explainer, bundle: Bundle, batches: Iterable[Sequence[bytes]]
) -> Iterator[Finding]:
    """Finds entries whose fields often do not raise the PD of decisions of which they are the first reason.

    Decisions by rules are left out, because another PD would not change them. Entries with fewer than 20 decisions are
    not judged.

    Args:
        reasons: the bundle's catalogue.
        explainer: the bundle's explainer.
        bundle: the bundle.
        batches: applications; invalid ones are skipped.

    Raises:
        ModelError: the model fails on the applications.
    """
    parts = [_decide(bundle, values) for values in islice(batches, _BATCHES_MAX)]
    if not parts:
        return
    decided = _Decided(*map(np.concatenate, zip(*parts, strict=True)))
    approved = decided.matrix[decided.labels == _APPROVED]
    rows = np.flatnonzero((decided.labels != _APPROVED) & (decided.rules == NO_RULE))
    if not len(approved) or not len(rows):
        return
    first = explainer.explain(decided.matrix[rows], decided.labels[rows])[:, 0]
    for index, entry in enumerate(reasons.catalogue):
        own = rows[first == index]
        if len(own) < ROWS_MIN:
            continue
        moved = _move(decided.matrix[own], approved, entry, bundle.encoding)
        share = np.mean(checked_predict(bundle.model, moved) < decided.probabilities[own])
        if share < FALLING_SHARE_MIN:
            yield _describe(entry, float(share), len(own))


def _decide(bundle: Bundle, values: Sequence[bytes]) -> _Decided:
    columns = bundle.decoder.decode_batch(values, EXAMPLE_BYTES_MAX).columns
    matrix = bundle.encoding.matrix(columns)
    probabilities = checked_predict(bundle.model, matrix) if len(matrix) else np.empty(0, dtype=np.float32)
    return _Decided(matrix, probabilities, *bundle.policy.decide(probabilities, columns.values))


def _move(
    matrix: NDArray[np.float32], approved: NDArray[np.float32], entry: Entry, encoding: FeatureEncoding
) -> NDArray[np.float32]:
    """Returns the matrix with an entry's fields at the median of approved rows, categories at the most frequent one."""
    moved = matrix.copy()
    for name in entry.fields:
        positions = [position for position, field in enumerate(encoding.column_fields) if field == name]
        if not positions:
            continue
        is_number = encoding.columns[positions[0]] == name and name not in encoding.categories
        typical = _median(approved[:, positions]) if is_number else _most_frequent(approved[:, positions])
        moved[:, positions] = typical
    return moved


def _median(column: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the lower median of known values, which is a value of the column; NaN if none is known. Shape (1,)."""
    known = np.sort(column[~np.isnan(column)])
    return known[[(len(known) - 1) // 2]] if len(known) else np.full(1, np.nan, dtype=np.float32)


def _most_frequent(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the most frequent row, shape (columns,); the smallest one of equally frequent ones."""
    _, first, counts = np.unique(np.nan_to_num(columns, nan=-1), axis=0, return_index=True, return_counts=True)
    row: NDArray[np.float32] = columns[first[counts.argmax()]]
    return row


def _describe(entry: Entry, share: float, rows: int) -> Finding:
    return Finding(
        "warning",
        "counterfactual",
        f"reasons: {entry.code}",
        f"of {rows:,} decisions with this as the first reason, only {int(share * 100)}% would have a lower probability "
        f"of default with typical values of approved applications in its fields ({FALLING_SHARE_MIN:.0%} expected)",
        "join entries of fields that go together, such as a sum and its parts, or leave the field out of the model",
    )
