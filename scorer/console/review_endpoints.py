"""The endpoints of the review queue: its pages, and the reviews that reviewers write."""

import time
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from schemas.fault_words import describe_fault
from schemas.printable import NO_CONTROLS
from schemas.review import (
    COMMENT_CHARACTERS_MAX,
    DECISION_ID_CHARACTERS_MAX,
    ID_CHARACTERS_MAX,
    REASON_CHARACTERS_MAX,
    REVIEWED_LABEL,
    Review,
    ReviewLabel,
)
from scorer.console.applications import History, waiting_as_json
from scorer.console.bundle_texts import BundleTexts
from scorer.console.guard import Sessions, session_of
from scorer.console.publish import RecordPublisher
from scorer.console.requests import client_of, parse_index, read_body
from scorer.console.second_reviewer import SecondReviewers
from scorer.errors import MisuseError
from scorer.logs import REVIEW_WRITTEN, log
from scorer.operate.application_records import Written
from scorer.operate.review_queue import ReviewQueue
from scorer.operate.reviews import Effect, PendingReview
from scorer.settings import Settings

PAGE_MAX: Final = 100
"""Waiting decisions per response."""
_BODY_BYTES_MAX: Final = 32_768
_READ_BACK_S: Final = 10.0
_NUMBER_CHARACTERS_MAX: Final = 9


class _Request(BaseModel):
    """What a page sends for a review; the reviewer's name is never part of it."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    application_id: str
    decision_id: str = Field(min_length=1, max_length=DECISION_ID_CHARACTERS_MAX, pattern=NO_CONTROLS)
    label: ReviewLabel
    reason: str = Field(min_length=1, max_length=REASON_CHARACTERS_MAX, pattern=NO_CONTROLS)
    comment: str = Field(default="", max_length=COMMENT_CHARACTERS_MAX, pattern=NO_CONTROLS)
    supersedes: str | None = Field(default=None, min_length=1, max_length=ID_CHARACTERS_MAX, pattern=NO_CONTROLS)

    @field_validator("reason")
    @classmethod
    def _require_visible(cls, reason: str) -> str:
        if reason.isspace():
            msg = "must not be blank"
            raise ValueError(msg)
        return reason


class ReviewEndpoints:
    """The endpoints, one method each. Several threads may write reviews: the order of the topic says which count."""

    def __init__(
        self, settings: Settings, sessions: Sessions | None, queue: ReviewQueue | None, texts: BundleTexts
    ) -> None:
        """Connects in the background.

        Args:
            settings: the topics.
            sessions: the open sessions; None if no login is required, so that nobody may review.
            queue: the waiting decisions; None if reviews are off.
            texts: the sentences of reasons.

        Raises:
            SettingsError: a librdkafka property is wrong.
        """
        self._settings = settings
        self._sessions = sessions
        self._queue = queue
        self._texts = texts
        self._second_reviewers = SecondReviewers(settings)
        self._publisher = None if queue is None else RecordPublisher(settings, settings.reviews_topic, "the review")

    def figures(self) -> dict[str, Any] | None:
        """The figures of the queue as JSON; None if reviews are off, or the topics are still being read."""
        if self._queue is None or not self._queue.is_complete:
            return None
        state = self._queue.state()
        return {"waiting": state.waiting, "oldest_ms": state.oldest_ms}

    async def waiting(self, request: Request) -> JSONResponse:
        """A page of the waiting decisions, the oldest first, from the index `first` on."""
        queue, reviewer = self._require_reviewer(request)
        first = parse_index(request.query_params.get("first", "0"))
        count = min(PAGE_MAX, _parse_count(request.query_params.get("count", "")))
        decisions = await run_in_threadpool(self._page, queue, first, count)
        return JSONResponse(
            {
                "reviewer": reviewer,
                "now_ms": round(time.time() * 1_000),
                "first": first,
                "decisions": decisions,
                **(self.figures() or {}),
            }
        )

    async def review(self, request: Request) -> JSONResponse:
        """Writes a review, reads it back, and says whether it counts or waits for another reviewer."""
        queue, reviewer = self._require_reviewer(request)
        submitted = _parse(await read_body(request, _BODY_BYTES_MAX))
        reviewed = await run_in_threadpool(self._find_reviewed, queue, submitted, reviewer)
        needs_second = await run_in_threadpool(self._second_reviewers.is_needed, reviewed)
        review = Review(
            review_id=uuid.uuid4().hex,
            application_id=submitted.application_id,
            decision_id=submitted.decision_id,
            label=submitted.label,
            reason=submitted.reason,
            comment=submitted.comment or None,
            reviewer=reviewer,
            at=datetime.now(UTC),
            supersedes=submitted.supersedes,
            needs_second=needs_second,
        )
        offset = await run_in_threadpool(self._publish, review)
        effect = await run_in_threadpool(queue.wait_for_review, offset, _READ_BACK_S)
        if effect is None:
            error = "the review was written, but could not be read back yet: reload the page to see whether it counts"
            return JSONResponse({"error": error}, 503)
        counts = effect is Effect.COUNTS
        log(REVIEW_WRITTEN, client=client_of(request), reviewer=reviewer, decision_id=review.decision_id, counts=counts)
        if effect is Effect.NONE:
            return JSONResponse({"error": _describe_conflict(queue, submitted, reviewer)}, 409)
        content = {"review_id": review.review_id, "label": review.label}
        if effect is Effect.PENDING:
            return JSONResponse({**content, "pending": _describe_pending(queue, submitted, reviewer)}, 202)
        return JSONResponse(content, 201)

    def _page(self, queue: ReviewQueue, first: int, count: int) -> list[dict[str, Any]]:
        return waiting_as_json(queue.page(first, count), queue.pending_reviews, self._texts)

    def _require_reviewer(self, request: Request) -> tuple[ReviewQueue, str]:
        """The queue, and the reviewer of the request's session.

        Raises:
            HTTPException: the session may not review, reviews are off, or the topics are still being read.
        """
        if self._queue is None or self._sessions is None:
            raise HTTPException(404, "reviews are off: console_reviewers_file names no reviewers")
        reviewer = self._sessions.reviewer(session_of(request.headers))
        if reviewer is None:
            raise HTTPException(403, "only reviewers may do this: log in with a token of console_reviewers_file")
        if not self._queue.is_complete:
            raise HTTPException(503, "still reading the decisions: try again in a moment")
        return self._queue, reviewer

    def _publish(self, review: Review) -> int:
        """Publishes a review; returns its offset."""
        assert self._publisher is not None, "there is a queue"
        record = self._publisher.publish(review.application_id, review.model_dump_json().encode())
        return int(record["offset"])

    def _find_reviewed(self, queue: ReviewQueue, submitted: _Request, reviewer: str) -> Written:
        """The decision that is reviewed.

        Raises:
            HTTPException: the review would have no effect, as far as is known before it is written.
            ExplanationError: no application has this id.
            TopicsError, BrokerError: a topic cannot be read.
        """
        counting = queue.counting_review(submitted.application_id, submitted.decision_id)
        if submitted.supersedes != (counting.review_id if counting else None) or _own(queue, submitted, reviewer):
            raise HTTPException(409, _describe_conflict(queue, submitted, reviewer))
        waiting = queue.find(submitted.application_id, submitted.decision_id)
        if waiting is not None:
            return waiting
        # A decision that was reviewed, or is older than the queue: the topics say whether it is current.
        current = History(self._settings, submitted.application_id).current
        if current is None or current.decision.decision_id != submitted.decision_id:
            fault = "the decision is not current any more: a replay corrected it, or the application was sent again"
            raise HTTPException(409, fault)
        if current.decision.decision != REVIEWED_LABEL:
            fault = f"only {REVIEWED_LABEL} decisions are reviewed; this one is {current.decision.decision}"
            raise HTTPException(409, fault)
        return current


def _own(queue: ReviewQueue, submitted: _Request, reviewer: str) -> PendingReview | None:
    """The reviewer's own review of the decision with which nobody has agreed yet."""
    pending = queue.pending_reviews(submitted.application_id, submitted.decision_id)
    return next((one for one in pending if one.reviewer == reviewer), None)


def _describe_conflict(queue: ReviewQueue, submitted: _Request, reviewer: str) -> str:
    counting = queue.counting_review(submitted.application_id, submitted.decision_id)
    own = _own(queue, submitted, reviewer)
    if own is not None and submitted.supersedes == (counting.review_id if counting else None):
        return f"you have reviewed this decision already ({own.label}): it waits for another reviewer to agree"
    if counting is None:
        return "your review does not count: the review that it replaces does not exist; reload the page"
    return f"your review does not count: {counting.reviewer} reviewed the decision first ({counting.label})"


def _describe_pending(queue: ReviewQueue, submitted: _Request, reviewer: str) -> str:
    pending = queue.pending_reviews(submitted.application_id, submitted.decision_id)
    other = next((one for one in pending if one.reviewer != reviewer), None)
    if other is not None:
        return (
            f"your review was recorded, but {other.reviewer} chose {other.label}: the decision waits for a third "
            "reviewer, who agrees with one of you"
        )
    recorded = "your review was recorded: the policy requires a second reviewer"
    counting = queue.counting_review(submitted.application_id, submitted.decision_id)
    if counting is not None:
        return f"{recorded}, and until one agrees, the review by {counting.reviewer} counts ({counting.label})"
    return f"{recorded}, and the decision waits until one agrees"


def _parse(body: bytes) -> _Request:
    """Parses the review that a page sent.

    Raises:
        MisuseError: it is invalid; the message names the field, without its value.
    """
    try:
        return _Request.model_validate_json(body)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, fault["loc"]))
        if fault["type"] == "string_pattern_mismatch":
            raise MisuseError(f"{name}: must be one line without control characters") from None
        if not name or fault["type"] in {"json_invalid", "extra_forbidden"}:
            raise MisuseError("the review must be a JSON object with the fields of a review") from None
        raise MisuseError(f"{name}: {describe_fault(fault)}") from None


def _parse_count(text: str) -> int:
    """The number of decisions of a page."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _NUMBER_CHARACTERS_MAX else PAGE_MAX
