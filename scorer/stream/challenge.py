"""The challenger: scores what was decided along, changes nothing of it, and tells how often it would have differed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.decision import BundleReference
from scorer.core.score import Bundle, Record, Scores, score_batch
from scorer.errors import BundleUnusableError
from scorer.logs import CHALLENGER_FAILED, log
from scorer.stream.observer import Observer


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a challenger made of a batch that a champion has decided."""

    champion: BundleReference
    challenger: BundleReference
    applications: int
    """Those that at least one of the two could decide."""
    disagreements: int
    """Of these, those that came out otherwise, or that only one of the two could decide."""


class Challenger:
    """Scores batches along, after their decisions are on their way; what goes wrong in it concerns nobody else."""

    def __init__(self, current: Callable[[], Bundle | None], record_bytes_max: int, observer: Observer) -> None:
        """Takes what it needs.

        Args:
            current: what scores the next batch along; None if nothing does.
            record_bytes_max: the longest application that is read, in bytes.
            observer: told what was found.
        """
        self._current = current
        self._record_bytes_max = record_bytes_max
        self._observer = observer
        self._failing: BundleReference | None = None

    def score_along(self, records: Sequence[Record], scores: Scores) -> None:
        """Scores a batch that was decided, unless what decided it is the challenger itself.

        Args:
            records: n records of one topic.
            scores: what became of each.
        """
        challenger = self._current()
        if challenger is None or challenger.reference == scores.bundle or not records:
            return
        try:
            found = score_batch(records, challenger, self._record_bytes_max)
        except Exception as error:  # noqa: BLE001  (whatever a bundle on trial does, it must not stop who decides)
            self._observer.challenge_failed()
            self._complain_once(challenger.reference, scores.bundle, error)
        else:
            self._observer.compared(compare(scores, found))

    def _complain_once(self, challenger: BundleReference, champion: BundleReference, error: Exception) -> None:
        if challenger == self._failing:
            return
        self._failing = challenger
        # What a runner raises that is none of our errors may hold an applicant's figures: only its kind is told.
        reason = error.__cause__ if isinstance(error, BundleUnusableError) else type(error).__name__
        log(CHALLENGER_FAILED, challenger=str(challenger), bundle=str(champion), error=str(reason))


def compare(decided: Scores, along: Scores) -> Comparison:
    """Compares what two bundles made of the same n records."""
    ours, theirs = _places(decided), _places(along)
    assert ours.shape == theirs.shape, "one outcome a record"
    return Comparison(
        champion=decided.bundle,
        challenger=along.bundle,
        applications=int(np.count_nonzero((ours >= 0) | (theirs >= 0))),
        disagreements=int(np.count_nonzero(ours != theirs)),
    )


def _places(scores: Scores) -> NDArray[np.intp]:
    """Shape (n,): of each record its decision's place in `OUTCOMES`, -1 where it has none."""
    n = len(scores.outcomes)
    if len(scores.decided) == n:
        return scores.decided
    places = np.full(n, -1, dtype=np.intp)
    places[scores.is_decided] = scores.decided
    return places
