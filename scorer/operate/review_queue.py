"""The review queue: which MAYBE decisions wait for a review, the oldest first; a fold of decisions and reviews."""

from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Condition
from typing import Final, NamedTuple

from schemas.review import REVIEWED_LABEL, Review, ReviewLabel
from scorer.operate.application_records import Written, choose_current_decision
from scorer.operate.reviews import CountingReview, Effect, PendingReview, ReviewFold

_RECENT_MAX: Final = 10_000


class _QueuePosition(NamedTuple):
    """A position in the queue: decisions written earlier come first, between partitions by timestamp."""

    at_ms: int
    partition: int
    offset: int
    application_id: str


@dataclass(slots=True)
class _Application:
    """An application with a MAYBE decision: its decisions from there on, and its position if the current one waits."""

    decisions: dict[tuple[int, int], Written]
    position: _QueuePosition | None = None


@dataclass(frozen=True, slots=True)
class QueueState:
    """The figures of the queue.

    Attributes:
        waiting: the number of decisions that wait for a review.
        oldest_ms: when the oldest one was made, in milliseconds since 1970; None if none waits.
        reviews: by label, the reviews that were written and count, since the queue is complete.
    """

    waiting: int
    oldest_ms: int | None
    reviews: dict[ReviewLabel, int]


class ReviewQueue:
    """The waiting decisions. One thread adds what it reads, others ask; a lock makes each call atomic.

    A decision that needs a second reviewer waits until two agree.

    To save memory, applications are kept from their first MAYBE decision until a review counts. So two decisions can
    wait that are not current: one whose correction was added earlier, because it is in another partition; and a
    correction of a reviewed decision whose application was sent again. They wait until all decisions on the application
    are added again, which is always possible. A review of such a decision changes nothing, as it is not current.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._applications: dict[str, _Application] = {}
        """By id. Written by the fold."""
        self._positions: list[_QueuePosition] = []
        """The positions of waiting decisions, sorted. Written by the fold."""
        self._fold = ReviewFold()
        """Replaced by `clear`."""
        self._reviews_end = 0
        """All reviews below this offset were added. Written by `add_reviews` and `clear`."""
        self._recent: deque[tuple[int, Effect]] = deque(maxlen=_RECENT_MAX)
        """Offsets of the last reviews that had an effect when they were written. Written by `add_reviews`."""
        self._is_complete = False
        """Written by `complete` and `clear`."""
        self._written: Counter[ReviewLabel] = Counter()
        """The reviews that count, since the queue was complete. Written by `add_reviews`."""

    # Written by the thread that reads the topics

    def clear(self) -> None:
        """Forgets everything but the number of reviews: the topics are read from the beginning again."""
        with self._changed:
            self._applications.clear()
            self._positions.clear()
            self._fold = ReviewFold()
            self._reviews_end = 0
            self._is_complete = False

    def add_decisions(self, decisions: Iterable[Written]) -> None:
        """Adds decisions; over several calls, those of one application and partition in the order of the partition."""
        maybe_first = sorted(decisions, key=lambda one: one.decision.decision != REVIEWED_LABEL)
        with self._changed:
            for application_id in {one.decision.application_id: None for one in maybe_first if self._remember(one)}:
                self._update(application_id)

    def add_reviews(self, reviews: Sequence[tuple[int, Review]], end: int) -> None:
        """Adds reviews with their offsets, in the order of the topic, of which all are added up to the offset `end`."""
        with self._changed:
            for offset, review in reviews:
                effect = self._fold.add(review, offset)
                if effect is Effect.COUNTS:
                    if self._is_complete:
                        self._written[review.label] += 1
                    self._update(review.application_id)
                if effect is not Effect.NONE:
                    self._recent.append((offset, effect))
            self._reviews_end = max(self._reviews_end, end)
            self._changed.notify_all()

    def complete(self) -> None:
        """Declares that everything up to the present was added."""
        with self._changed:
            self._is_complete = True

    # Read by requests

    @property
    def is_complete(self) -> bool:
        """Whether everything up to the present was added; before that, the queue would lack decisions."""
        return self._is_complete

    def state(self) -> QueueState:
        """The figures."""
        with self._changed:
            oldest_ms = self._positions[0].at_ms if self._positions else None
            return QueueState(len(self._positions), oldest_ms, dict(self._written))

    def page(self, first: int, count: int) -> list[Written]:
        """Some of the waiting decisions, the oldest first, from the one at this index on."""
        with self._changed:
            return [self._waiting_at(position) for position in self._positions[first : first + count]]

    def find(self, application_id: str, decision_id: str) -> Written | None:
        """A waiting decision; None if this decision does not wait."""
        with self._changed:
            application = self._applications.get(application_id)
            waiting = self._waiting_at(application.position) if application and application.position else None
            return waiting if waiting and waiting.decision.decision_id == decision_id else None

    def counting_review(self, application_id: str, decision_id: str) -> CountingReview | None:
        """The review of a decision that counts; None if it was not reviewed."""
        with self._changed:
            return self._fold.get(application_id, decision_id)

    def pending_reviews(self, application_id: str, decision_id: str) -> tuple[PendingReview, ...]:
        """The reviews of a decision with which another reviewer has not agreed yet."""
        with self._changed:
            return self._fold.pending(application_id, decision_id)

    def wait_for_review(self, offset: int, wait_s: float) -> Effect | None:
        """Waits until the review at this offset was added.

        Returns:
            Its effect when it was written; None if it was not added within `wait_s`.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._reviews_end > offset, wait_s):
                return None
            return dict(self._recent).get(offset, Effect.NONE)

    # The fold; the caller holds the lock

    def _remember(self, written: Written) -> bool:
        """Keeps a decision that can change which decisions wait; returns whether it can."""
        application = self._applications.get(written.decision.application_id)
        if application is None:
            if written.decision.decision != REVIEWED_LABEL:
                return False
            application = self._applications[written.decision.application_id] = _Application({})
        decisions, (partition, offset) = application.decisions, written.source
        # Of the records with this id in a partition, only the last one matters: with an id that all applications have,
        # which is a mistake of a publisher, all decisions would be compared again and again.
        sources = {number: one.source[1] for number, one in decisions.items() if one.source[0] == partition}
        if any(other > offset for other in sources.values()):
            return False
        for number in [number for number, other in sources.items() if other < offset]:
            del decisions[number]
        decisions[written.partition, written.offset] = written
        return True

    def _update(self, application_id: str) -> None:
        """Moves an application to its position, and forgets it if its current decision was reviewed."""
        application = self._applications.get(application_id)
        if application is None:
            return
        decisions = list(application.decisions.values())
        current = decisions[0] if len(decisions) == 1 else choose_current_decision(decisions)
        position = _QueuePosition(current.at_ms, current.partition, current.offset, application_id)
        is_reviewed = self._fold.get(application_id, current.decision.decision_id) is not None
        waits = current.decision.decision == REVIEWED_LABEL and not is_reviewed
        if application.position is not None and not (waits and application.position == position):
            del self._positions[bisect_left(self._positions, application.position)]
            application.position = None
        if is_reviewed:
            del self._applications[application_id]
        elif waits and application.position is None:
            insort(self._positions, position)
            application.position = position

    def _waiting_at(self, position: _QueuePosition) -> Written:
        return self._applications[position.application_id].decisions[position.partition, position.offset]
