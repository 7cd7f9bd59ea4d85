"""Compares a challenger's decisions with the champion's, for one batch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.decision import BundleReference
from scorer.core.score import Scores


@dataclass(frozen=True, slots=True)
class Comparison:
    """How often a challenger's decisions differ from the champion's, in one batch."""

    champion: BundleReference
    challenger: BundleReference
    applications: int
    """Number of applications that at least one of the two could decide."""
    disagreements: int
    """Number of these whose labels differ, or that only one of the two could decide."""


def compare(champion: Scores, challenger: Scores) -> Comparison:
    """Compares the results of two bundles for the same n records."""
    champion_labels, challenger_labels = _label_indexes(champion), _label_indexes(challenger)
    assert champion_labels.shape == challenger_labels.shape, "one result per record"
    return Comparison(
        champion=champion.bundle,
        challenger=challenger.bundle,
        applications=int(np.count_nonzero((champion_labels >= 0) | (challenger_labels >= 0))),
        disagreements=int(np.count_nonzero(champion_labels != challenger_labels)),
    )


def _label_indexes(scores: Scores) -> NDArray[np.intp]:
    """Returns, in shape (n,), the index in `LABELS` of each record's label; -1 if it has no decision."""
    n = len(scores.results)
    if len(scores.decided) == n:
        return scores.decided
    indexes = np.full(n, -1, dtype=np.intp)
    indexes[scores.is_decided] = scores.decided
    return indexes
