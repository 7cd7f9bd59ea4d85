"""The challenger: scores batches in shadow mode, and reports how often its decisions would have differed."""

from collections.abc import Callable, Sequence

from schemas.decision import BundleReference
from scorer.core.records import Record
from scorer.core.score import Bundle, Scores, score_batch
from scorer.errors import BundleUnusableError
from scorer.logs import CHALLENGER_FAILED, log
from scorer.stream.comparison import Comparison, compare
from scorer.stream.observer import Observer

__all__ = ["Challenger", "Comparison"]


class Challenger:
    """Scores batches in shadow mode, once their results are being delivered; its errors do not affect the champion."""

    def __init__(self, current: Callable[[], Bundle | None], record_bytes_max: int, observer: Observer) -> None:
        """Starts without a challenger.

        Args:
            current: returns the challenger for the next batch; None if there is no challenger.
            record_bytes_max: maximum size of an application, in bytes; a larger one is rejected.
            observer: notified of comparisons and failures.
        """
        self._current = current
        self._record_bytes_max = record_bytes_max
        self._observer = observer
        self._failed: BundleReference | None = None

    def score_in_shadow(self, records: Sequence[Record], scores: Scores) -> None:
        """Scores a decided batch in shadow mode, unless the challenger itself has decided it.

        Args:
            records: n records of one topic.
            scores: the champion's n results.
        """
        challenger = self._current()
        if challenger is None or challenger.reference == scores.bundle or not records:
            return
        try:
            challenger_scores = score_batch(records, challenger, self._record_bytes_max)
        except Exception as error:  # noqa: BLE001  (no error of a challenger may stop the champion)
            self._observer.challenge_failed()
            self._log_once(challenger.reference, scores.bundle, error)
        else:
            self._observer.compared(compare(scores, challenger_scores))

    def _log_once(self, challenger: BundleReference, champion: BundleReference, error: Exception) -> None:
        if challenger == self._failed:
            return
        self._failed = challenger
        # An unexpected error of a runner may contain an applicant's data: only its type is logged.
        reason = error.__cause__ if isinstance(error, BundleUnusableError) else type(error).__name__
        log(CHALLENGER_FAILED, challenger=str(challenger), bundle=str(champion), error=str(reason))
