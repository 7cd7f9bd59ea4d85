"""Finds a decision on one application, its review, and the application's record, by the id of either."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from schemas.printable import printable
from schemas.records import ReadDecision
from schemas.review import REVIEWED_LABEL, Review
from scorer.errors import ExplanationError, MisuseError
from scorer.operate.application_records import (
    WHY_NO_DECISION,
    Written,
    choose_current_decision,
    read_application,
    read_decisions,
)
from scorer.operate.review_records import read_reviews
from scorer.operate.reviews import Effect, ReviewFold
from scorer.settings import Settings
from scorer.stream.worker import Record

_DECISION_ID: Final = re.compile(
    r"(?P<topic>[A-Za-z0-9._-]+):(?P<partition>\d{1,10}):(?P<offset>\d{1,19})@[0-9a-f]{12}"
)
_LISTED_MAX: Final = 10

_Read = tuple[Written, Record]


class Lookup(NamedTuple):
    """A decision, the record that it is about, its review, and the other decisions on the same application.

    Attributes:
        application: the application's record.
        decision: the requested decision, or the current one.
        value: the bytes of the decision's record.
        current_id: the id of the current decision.
        others: the other decisions with this application id, in the order in which they were read.
        review: the review of the decision that counts; None if it was not reviewed.
    """

    application: Record
    decision: ReadDecision
    value: bytes
    current_id: str
    others: tuple[ReadDecision, ...]
    review: Review | None


def look_up(settings: Settings, sought_id: str) -> Lookup:
    """Finds a decision by its id, or the current decision on an application by the application's id.

    Args:
        settings: the brokers and topics.
        sought_id: a decision's id (topic:partition:offset@digest), or an application's id.

    Raises:
        MisuseError: the decision's id is about another topic.
        ExplanationError: no decision has this id, or retention has deleted the application's record.
        TopicsError: a topic is missing.
        BrokerError: it cannot be read.
    """
    match = _DECISION_ID.fullmatch(sought_id)
    if match is None:
        return _look_up_application(settings, sought_id)
    if match["topic"] != settings.applications_topic:
        raise MisuseError(
            f"{sought_id} is about a record of topic {match['topic']}, but applications_topic is "
            f"{settings.applications_topic}: set applications_topic and decisions_topic of that environment"
        )
    source = int(match["partition"]), int(match["offset"])
    application = read_application(settings, source)
    read = read_decisions(settings, application.key(), lambda one: (one.source_partition, one.source_offset) == source)
    requested = [(written, record) for written, record in read if written.decision.decision_id == sought_id]
    if not requested:
        listed = ", ".join(sorted({printable(one.decision.decision_id, 300) for one, _ in read})[:_LISTED_MAX])
        raise ExplanationError(
            f"no decision {sought_id} on topic {settings.decisions_topic}; "
            + (f"the decisions on this record are {listed}" if listed else WHY_NO_DECISION)
        )
    return _make(settings, application, requested[-1], _choose_current(read), read)


def _look_up_application(settings: Settings, application_id: str) -> Lookup:
    read = read_decisions(settings, application_id.encode(), lambda one: one.application_id == application_id)
    if not read:
        raise ExplanationError(
            f"no decision with the application id {printable(application_id, 300)} on topic "
            f"{settings.decisions_topic}: {WHY_NO_DECISION}"
        )
    current = _choose_current(read)
    return _make(settings, read_application(settings, current[0].source), current, current, read)


def _make(settings: Settings, application: Record, chosen: _Read, current: _Read, read: Sequence[_Read]) -> Lookup:
    written, record = chosen
    others = tuple(one.decision for one, _ in read if one is not written)
    review = _read_counting_review(settings, written.decision, [one for one, _ in read])
    return Lookup(application, written.decision, record.value() or b"", current[0].decision.decision_id, others, review)


def _read_counting_review(settings: Settings, decision: ReadDecision, written: Sequence[Written]) -> Review | None:
    """Returns the review of a decision that counts; only MAYBE decisions are reviewed."""
    if decision.decision != REVIEWED_LABEL:
        return None
    # A correction can revert to the decision, with the same id: its review counts again.
    since_ms = min(one.at_ms for one in written if one.decision.decision_id == decision.decision_id)
    fold, counting = ReviewFold(), None
    for review, offset, _ in read_reviews(settings, decision.application_id, since_ms):
        if fold.add(review, offset) is Effect.COUNTS and review.decision_id == decision.decision_id:
            counting = review  # and not one with the same id that another writer adds later
    return counting


def _choose_current(read: Sequence[_Read]) -> _Read:
    current = choose_current_decision([written for written, _ in read])
    return next(one for one in read if one[0] is current)
