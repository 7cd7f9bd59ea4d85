"""Compares a challenger's results with the champion's, for one batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from schemas.decision import BundleReference, Label
from schemas.rejection import RejectionCode
from scorer.core.policy import LABELS
from scorer.core.score import Scores


@dataclass(frozen=True, slots=True)
class Comparison:
    """How often a challenger's results differ from the champion's, in one batch."""

    champion: BundleReference
    challenger: BundleReference
    applications: int
    """Number of applications that at least one of the two could decide."""
    disagreements: int
    """Number of these whose labels differ, or that only one of the two could decide."""
    only_champion: int
    """Number of records that only the champion's contract accepts, whether or not its model could decide them."""
    only_challenger: int
    """Number of records that only the challenger's contract accepts."""
    flips: Mapping[tuple[Label, Label], int] = field(default_factory=dict)
    """By the champion's label and the challenger's, the number of applications that they decide differently, if any."""


def compare(champion: Scores, challenger: Scores) -> Comparison:
    """Compares the results of two bundles for the same n records, which each has decoded with its own contract."""
    champion_labels, challenger_labels = _label_indexes(champion), _label_indexes(challenger)
    assert champion_labels.shape == challenger_labels.shape, "one result per record"
    champion_accepts, challenger_accepts = _is_accepted(champion), _is_accepted(challenger)
    return Comparison(
        champion=champion.bundle,
        challenger=challenger.bundle,
        applications=int(np.count_nonzero((champion_labels >= 0) | (challenger_labels >= 0))),
        disagreements=int(np.count_nonzero(champion_labels != challenger_labels)),
        only_champion=int(np.count_nonzero(champion_accepts & ~challenger_accepts)),
        only_challenger=int(np.count_nonzero(challenger_accepts & ~champion_accepts)),
        flips=_count_flips(champion_labels, challenger_labels),
    )


def _count_flips(champion: NDArray[np.intp], challenger: NDArray[np.intp]) -> dict[tuple[Label, Label], int]:
    """Counts the records that both have decided, differently, by the two labels; indexes as of `_label_indexes`."""
    differ = (champion >= 0) & (challenger >= 0) & (champion != challenger)
    counts = np.bincount(champion[differ] * len(LABELS) + challenger[differ], minlength=len(LABELS) ** 2)
    pairs = zip(product(LABELS, LABELS), counts.tolist(), strict=True)
    return {pair: count for pair, count in pairs if count}


def _label_indexes(scores: Scores) -> NDArray[np.intp]:
    """Returns, in shape (n,), the index in `LABELS` of each record's label; -1 if it has no decision."""
    n = len(scores.results)
    if len(scores.decided) == n:
        return scores.decided
    indexes = np.full(n, -1, dtype=np.intp)
    indexes[scores.is_decided] = scores.decided
    return indexes


def _is_accepted(scores: Scores) -> NDArray[np.bool_]:
    """Returns, in shape (n,), whether the contract accepts each record: if its model fails on one, it is valid."""
    n = len(scores.results)
    if len(scores.decided) == n:
        return np.ones(n, dtype=np.bool_)
    accepted = (isinstance(r, bytes) or r.code is RejectionCode.MODEL_ERROR for r in scores.results)
    return np.fromiter(accepted, dtype=np.bool_, count=n)
