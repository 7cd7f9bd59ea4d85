"""The history of one application, read from the topics on request: its decisions, reviews and dead letters."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from schemas.records import DeadLetter, timestamp_ms
from schemas.review import REVIEWED_LABEL, Review
from scorer.console.bundle_texts import BundleTexts
from scorer.console.times import known_ms
from scorer.errors import ExplanationError
from scorer.operate.application_records import Written, choose_current_decision, read_application, read_decisions
from scorer.operate.dead_letters import read_dead_letters
from scorer.operate.review_records import read_reviews
from scorer.operate.reviews import Effect, PendingReview, ReviewFold
from scorer.settings import Settings

LETTERS_MAX: Final = 20_000
"""Newest offsets of the dead-letter topic that are searched: it has one partition for all applications."""
RECORDS_MAX: Final = 20
"""Decided records and dead letters that are shown, the newest of each: an id that all applications have is a mistake of
a publisher, and each record is read on its own."""
_VALUE_BYTES_MAX: Final = 65_536


class History:
    """The history of one application.

    Attributes:
        decisions: its decisions, in the order in which they were written.
        current: the current decision; None without decisions.
    """

    def __init__(self, settings: Settings, application_id: str) -> None:
        """Reads it.

        Args:
            settings: the brokers and topics.
            application_id: the application's id.

        Raises:
            ExplanationError: there is neither a decision nor a dead letter with this id.
            TopicsError, BrokerError: a topic cannot be read.
        """
        self._settings = settings
        self._id = application_id
        read = read_decisions(settings, application_id.encode(), lambda one: one.application_id == application_id)
        self.decisions = sorted((written for written, _ in read), key=lambda one: one.at_ms)
        self.current = choose_current_decision(self.decisions) if self.decisions else None
        self._fold = ReviewFold()
        self._reviews = list(self._read_reviews())
        self._letters = list(self._read_letters())
        sources = dict.fromkeys(written.source for written in reversed(self.decisions))
        newest = [self.current.source] if self.current else []
        newest += [source for source in sources if source not in newest][: RECORDS_MAX - 1]
        self._shown = [written for written in self.decisions if written.source in newest]
        self._omitted = len(sources) - len(newest) + max(0, len(self._letters) - RECORDS_MAX)
        if not self.decisions and not self._letters:
            raise ExplanationError(
                "no decision and no dead letter with this application id: it was not decided yet, or retention has "
                f"deleted both, or its dead letter is older than the newest {LETTERS_MAX:,} that are searched"
            )

    def as_json(self, texts: BundleTexts) -> dict[str, Any]:
        """The history, oldest first, with the decision of record; without any value of the application.

        Of more than `RECORDS_MAX` records, older ones are omitted, and counted.
        """
        events = [*self._published(), *self._decided(texts), *self._reviewed(), *self._letters[-RECORDS_MAX:]]
        known = [{**event, "at_ms": known_ms(event["at_ms"])} for event in events]
        return {
            "application_id": self._id,
            "record": self._of_record(),
            # A publisher may use another unit; the application comes before its decision all the same.
            "events": sorted(known, key=lambda event: event["at_ms"] or 0),
            "omitted": self._omitted,
            "letters_searched": LETTERS_MAX,
        }

    def _of_record(self) -> dict[str, Any] | None:
        """The decision of record: its label, and the review from which this is; None without a decision."""
        if self.current is None:
            return None
        decision = self.current.decision
        is_reviewed = decision.decision == REVIEWED_LABEL
        counting = self._fold.get(self._id, decision.decision_id) if is_reviewed else None
        pending = self._fold.pending(self._id, decision.decision_id) if is_reviewed else ()
        return {
            "decision_id": decision.decision_id,
            "decision": decision.decision,
            "label": counting.label if counting else decision.decision,
            "review_id": counting.review_id if counting else None,
            "reviewer": counting.reviewer if counting else None,
            "agrees_with": (counting.agrees_with or None) if counting else None,
            "pending": [one.reviewer for one in pending],
        }

    def _published(self) -> Iterator[dict[str, Any]]:
        """When each of its records was published; a record that retention deleted has no time of its own."""
        first_decisions: dict[tuple[int, int], Written] = {}
        for written in self._shown:
            first_decisions.setdefault(written.source, written)
        for (partition, offset), decided in first_decisions.items():
            event: dict[str, Any] = {"kind": "published", "topic": self._settings.applications_topic}
            event |= {"partition": partition, "offset": offset}
            try:
                at_ms = timestamp_ms(read_application(self._settings, (partition, offset)))
            except ExplanationError:
                yield event | {"at_ms": decided.at_ms, "is_deleted": True}
            else:
                yield event | {"at_ms": at_ms, "is_deleted": False}

    def _decided(self, texts: BundleTexts) -> Iterator[dict[str, Any]]:
        for written in self._shown:
            decision, text = written.decision, texts.of(written.decision.bundle)
            yield {
                "kind": "corrected" if decision.is_correction else "decided",
                "at_ms": written.at_ms,
                "decision_id": decision.decision_id,
                "decision": decision.decision,
                "probability_of_default": decision.probability_of_default,
                "bundle": decision.bundle.model_dump(),
                "source": decision.as_model().source.model_dump(),
                "reasons": text.explain(decision.reasons),
                "policy": list(text.policy),
                "bundle_fault": text.fault,
                "replay_id": decision.replay_id,
                "supersedes": decision.supersedes,
                "is_current": written is self.current,
            }

    def _reviewed(self) -> Iterator[dict[str, Any]]:
        for at_ms, review, effect in self._reviews:
            yield {"kind": "reviewed", "at_ms": at_ms, "effect": effect, **review.model_dump(mode="json")}

    def _read_reviews(self) -> Iterator[tuple[int, Review, Effect]]:
        """The application's reviews in the order of the topic: timestamp, review, its effect when it was written."""
        if not self.decisions:
            return
        for review, offset, at_ms in read_reviews(self._settings, self._id, self.decisions[0].at_ms):
            yield at_ms, review, self._fold.add(review, offset)

    def _read_letters(self) -> Iterator[dict[str, Any]]:
        """Its dead letters among the newest ones, and whether they were requeued."""
        letters: dict[Any, dict[str, Any]] = {}
        key = self._id.encode()
        for record in read_dead_letters(self._settings, newest=LETTERS_MAX):
            if not isinstance(record, DeadLetter):
                if record.position in letters:
                    letters[record.position]["requeued"] = {"actor": record.actor, "at": record.at}
            elif record.key == key:
                letters[record.position] = {
                    "kind": "rejected",
                    "at_ms": record.timestamp_ms,
                    "code": record.code,
                    "reason": record.reason,
                    "position": str(record.position),
                    "source": {"topic": record.topic, "partition": record.partition, "offset": record.offset},
                    "bundle": record.bundle,
                    "requeued": None,
                }
        yield from letters.values()


def read_value(settings: Settings, source: tuple[int, int]) -> dict[str, Any]:
    """The value of an application's record as JSON text; a long one is cut.

    Raises:
        ExplanationError: the record does not exist, or retention has deleted it.
        TopicsError, BrokerError: the topic cannot be read.
    """
    value = read_application(settings, source).value() or b""
    return {
        "value": value[:_VALUE_BYTES_MAX].decode(errors="backslashreplace"),
        "bytes": len(value),
        "cut": len(value) > _VALUE_BYTES_MAX,
    }


def waiting_as_json(
    waiting: Sequence[Written], pending: Callable[[str, str], Sequence[PendingReview]], texts: BundleTexts
) -> list[dict[str, Any]]:
    """Waiting decisions for the pages.

    Args:
        waiting: the decisions.
        pending: returns the reviews of a decision with which another reviewer has not agreed yet.
        texts: the sentences of reasons.
    """
    return [
        {
            "application_id": one.decision.application_id,
            "decision_id": one.decision.decision_id,
            "at_ms": known_ms(one.at_ms),
            "probability_of_default": one.decision.probability_of_default,
            "bundle": one.decision.bundle.model_dump(),
            "reasons": texts.of(one.decision.bundle).explain(one.decision.reasons),
            "source": {"partition": one.decision.source_partition, "offset": one.decision.source_offset},
            # Their labels are not shown, so that the next reviewer decides independently.
            "pending": [by.reviewer for by in pending(one.decision.application_id, one.decision.decision_id)],
        }
        for one in waiting
    ]
