"""Determines which review of each decision counts, from the order of the reviews topic."""

from enum import StrEnum
from typing import NamedTuple

from schemas.review import Review, ReviewLabel

ReviewedDecision = tuple[str, str]
"""A decision that has reviews: its application's id and its decision_id."""


class Effect(StrEnum):
    """What a review changed when it was written."""

    COUNTS = "counts"
    PENDING = "pending"
    """It counts for nothing until another reviewer agrees, whose review then counts."""
    NONE = "none"


class PendingReview(NamedTuple):
    """A review with which another reviewer has not agreed yet."""

    reviewer: str
    label: ReviewLabel


class CountingReview(NamedTuple):
    """A review that counts, without its texts: there can be many."""

    review_id: str
    label: ReviewLabel
    reviewer: str
    agrees_with: str = ""
    """The first of two reviewers; empty if one was enough."""


class ReviewFold:
    """The reviews that count, by decision: the first one, until another one names it in `supersedes`.

    Of reviews that need a second one and name the same review, the first one counts that has the label of an earlier
    one by another reviewer; of each reviewer only the first one has an effect. The rule needs nothing but the order of
    the topic, so all readers agree, however many writers there are.
    """

    def __init__(self) -> None:
        self._counting: dict[ReviewedDecision, CountingReview] = {}
        """Written by `add`."""
        self._pending: dict[ReviewedDecision, tuple[PendingReview, ...]] = {}
        """Those that name the review that counts now. Written by `add`."""
        self._seen: set[tuple[ReviewedDecision, str | None, str]] = set()
        """Decision, `supersedes` and reviewer of each review that needs a second one. Written by `add`."""
        self._offset_next = 0
        """Reviews below were added already. Written by `add`."""

    def add(self, review: Review, offset: int) -> Effect:
        """Adds the next review of the topic; returns its effect. One that was added before changes nothing."""
        if offset < self._offset_next:
            return Effect.NONE
        self._offset_next = offset + 1
        decision = review.application_id, review.decision_id
        current = self._counting.get(decision)
        is_repeated = review.needs_second and self._is_repeated(decision, review)
        if is_repeated or review.supersedes != (current.review_id if current else None):
            return Effect.NONE
        agrees_with = ""
        if review.needs_second:
            pending = self._pending.get(decision, ())
            agreeing = [one.reviewer for one in pending if one.label == review.label]
            if not agreeing:
                self._pending[decision] = (*pending, PendingReview(review.reviewer, review.label))
                return Effect.PENDING
            agrees_with = agreeing[0]
        self._pending.pop(decision, None)
        self._counting[decision] = CountingReview(review.review_id, review.label, review.reviewer, agrees_with)
        return Effect.COUNTS

    def get(self, application_id: str, decision_id: str) -> CountingReview | None:
        """The review that counts; None if the decision was not reviewed."""
        return self._counting.get((application_id, decision_id))

    def pending(self, application_id: str, decision_id: str) -> tuple[PendingReview, ...]:
        """The reviews with which nobody has agreed yet: none, one, or two with different labels."""
        return self._pending.get((application_id, decision_id), ())

    def _is_repeated(self, decision: ReviewedDecision, review: Review) -> bool:
        """Whether the reviewer has written one before that names the same review."""
        key = decision, review.supersedes, review.reviewer
        if key in self._seen:
            return True
        self._seen.add(key)
        return False
