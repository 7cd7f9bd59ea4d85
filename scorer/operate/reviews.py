"""Determines which review of each decision counts, from the order of the reviews topic."""

from collections.abc import Iterable
from typing import NamedTuple

from schemas.review import Review, ReviewLabel

ReviewedDecision = tuple[str, str]
"""A decision that has reviews: its application's id and its decision_id."""


class CountingReview(NamedTuple):
    """A review that counts, without its texts: there can be many."""

    review_id: str
    label: ReviewLabel
    reviewer: str


class ReviewFold:
    """The reviews that count, by decision: the first one, until another one names it in `supersedes`.

    The rule needs nothing but the order of the topic, so all readers agree, however many writers there are.
    """

    def __init__(self) -> None:
        self._counting: dict[ReviewedDecision, CountingReview] = {}
        """Written by `add`."""
        self._offset_next = 0
        """Reviews below were added already. Written by `add`."""

    def add(self, review: Review, offset: int) -> bool:
        """Adds the next review of the topic; returns whether it counts. One that was added before changes nothing."""
        if offset < self._offset_next:
            return False
        self._offset_next = offset + 1
        decision = review.application_id, review.decision_id
        current = self._counting.get(decision)
        if review.supersedes != (current.review_id if current else None):
            return False
        self._counting[decision] = CountingReview(review.review_id, review.label, review.reviewer)
        return True

    def get(self, application_id: str, decision_id: str) -> CountingReview | None:
        """The review that counts; None if the decision was not reviewed."""
        return self._counting.get((application_id, decision_id))


def mark_counting(reviews: Iterable[tuple[int, Review]]) -> list[tuple[Review, bool]]:
    """Returns reviews in the order of the topic, each with whether it counted when it was written.

    Args:
        reviews: offset and review, in the order of the topic, from the first review of each of their decisions on.
    """
    fold = ReviewFold()
    return [(review, fold.add(review, offset)) for offset, review in reviews]
