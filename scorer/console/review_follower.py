"""Reads decisions and reviews into the review queue: those of the last days first, then new ones."""

import time
from collections.abc import Iterator
from contextlib import closing
from threading import Event
from typing import Final

from schemas.records import Malformed, ReadDecision, read_decision
from schemas.review import Review, read_review
from scorer.console.live import Live, Part
from scorer.errors import TopicsError
from scorer.logs import RECORD_SKIPPED, log
from scorer.operate.application_records import Written
from scorer.operate.reading import Skipped, TopicReader
from scorer.operate.review_queue import ReviewQueue
from scorer.settings import Settings
from scorer.stream.reader import Reader
from scorer.stream.worker import Record

_DAY_MS: Final = 86_400_000
_ANSWER_S: Final = 5.0
_WAIT_S: Final = 0.2
# A console that was started before partitions were added would lack their decisions; metadata are read this often.
_PARTITIONS_S: Final = 30.0


def follow_reviews(settings: Settings, live: Live, queue: ReviewQueue, stop: Event) -> None:
    """Reads until `stop` is set, or until partitions were added to a topic.

    Args:
        settings: the topics, and how many days of decisions the queue contains.
        live: shows an error once it is over.
        queue: receives decisions and reviews; it is cleared first.
        stop: ends the reading.

    Raises:
        SettingsError, TopicsError, BrokerError: a topic cannot be read.
    """
    queue.clear()
    with closing(_Follower(settings, queue)) as follower:
        live.set_error(Part.REVIEWS, "")
        while not stop.is_set() and not follower.has_new_partitions():
            follower.take()


class _Follower:
    """Reads both topics, read committed, without joining a group."""

    def __init__(self, settings: Settings, queue: ReviewQueue) -> None:
        """Starts at the first decision of the last days.

        Raises:
            SettingsError: a librdkafka property is wrong.
            TopicsError: a topic is missing.
            BrokerError: no broker answers.
        """
        self._settings = settings
        self._queue = queue
        self._skipped = Skipped()
        self._partitions_at = time.monotonic()
        """When partitions were last counted. Written by `has_new_partitions`."""
        positions = dict(_first_positions(settings))
        options = {"auto.offset.reset": "earliest", "fetch.queue.backoff.ms": "5"}
        topics = settings.decisions_topic, settings.reviews_topic
        self._reader = Reader(settings, topics, options, _ANSWER_S)
        if self._reader.partitions[settings.reviews_topic] != [0]:
            self._reader.close()
            fault = "must have one partition, whose order says which of two reviews was first"
            raise TopicsError(f"topic {settings.reviews_topic} {fault}")
        self._unread = {(topic, p): end for topic in topics for p, (_, end) in self._reader.bounds(topic).items()}
        """Of each partition that is not read up to where it ended at the start, that end. Written by `take`."""
        self._reader.assign(positions)

    def take(self) -> None:
        """Waits briefly for records, and adds those that arrived to the queue.

        Raises:
            BrokerError: a topic can no longer be read.
        """
        fetched = self._reader.fetch(_WAIT_S)
        for batch in fetched.skipped:
            self._skip(batch)
        self._queue.add_decisions(self._decisions(fetched.records))
        reviews_end = self._reader.positions[self._settings.reviews_topic, 0]
        self._queue.add_reviews(list(self._reviews(fetched.records)), reviews_end)
        if not self._queue.is_complete:
            positions = self._reader.positions
            # The markers of transactions occupy the last offsets, so the position alone does not reach the end.
            for numbered in [
                n for n, end in self._unread.items() if n in fetched.ended or positions.get(n, end) >= end
            ]:
                del self._unread[numbered]
            if not self._unread:
                self._queue.complete()

    def has_new_partitions(self) -> bool:
        """Whether partitions were added to the decisions topic; asks a broker every half minute.

        Raises:
            BrokerError: no broker answers.
        """
        if time.monotonic() - self._partitions_at < _PARTITIONS_S:
            return False
        self._partitions_at = time.monotonic()
        topic = self._settings.decisions_topic
        with closing(TopicReader(self._settings, topic)) as reader:
            return set(reader.partitions) != set(self._reader.partitions[topic])

    def close(self) -> None:
        """Closes the consumer."""
        self._reader.close()

    def _decisions(self, records: list[Record]) -> Iterator[Written]:
        for record in records:
            if record.topic() != self._settings.decisions_topic:
                continue
            decision = read_decision(record)
            if isinstance(decision, ReadDecision) and decision.source_topic == self._settings.applications_topic:
                yield Written.of(record, decision)  # the console's own counts say how many others there are

    def _reviews(self, records: list[Record]) -> Iterator[tuple[int, Review]]:
        for record in records:
            if record.topic() != self._settings.reviews_topic:
                continue
            review = read_review(record)
            if isinstance(review, Malformed):
                self._skip(review)
            else:
                yield record.offset(), review

    def _skip(self, record: Malformed) -> None:
        if self._skipped.add(record):
            log(RECORD_SKIPPED, topic=record.topic, partition=record.partition, offset=record.offset, error=record.why)


def _first_positions(settings: Settings) -> Iterator[tuple[tuple[str, int], int]]:
    """The first position of each partition: of decisions the first one of the last days, of reviews the first one."""
    since_ms = int(time.time() * 1_000) - settings.console_review_days * _DAY_MS
    with closing(TopicReader(settings, settings.decisions_topic)) as decisions:
        for partition, (first, _) in decisions.narrow(decisions.bounds(), since_ms).items():
            yield (settings.decisions_topic, partition), first
    with closing(TopicReader(settings, settings.reviews_topic)) as reviews:
        for partition, (first, _) in reviews.bounds().items():
            yield (settings.reviews_topic, partition), first
