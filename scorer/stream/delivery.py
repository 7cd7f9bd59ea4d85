"""A batch's outcomes on their way to the topics, until they are there for good; in a transaction, the offsets too."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import repeat
from operator import methodcaller
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas import rejection
from schemas.decision import TRACE_HEADERS
from scorer.core.score import Bundle, Outcome
from scorer.core.wire import Rejection, key_of
from scorer.errors import BrokerError
from scorer.logs import HEADERS_UNREADABLE, log
from scorer.settings import Settings
from scorer.stream.faults import ATTEMPT_S, retry_transient
from scorer.stream.librdkafka import producer_config
from scorer.stream.worker import Batch, Record

Headers = Sequence[tuple[str, bytes | None]]
AddHeaders = Callable[[Sequence[Record]], Sequence[Headers]]
"""Given n records, the headers that their n outcomes have besides those that they carry on."""


class Delivered(NamedTuple):
    """When a batch's delivery began, when all was handed to the producer, and when it was there for good."""

    began_at: float
    handed_over_at: float
    confirmed_at: float
    headers: Sequence[Headers] = ()
    """Of each record. The records themselves must not be asked for them again."""


class Delivery:
    """The producer, and what it takes until a batch is there for good."""

    def __init__(
        self,
        settings: Settings,
        giving_up: Callable[[], bool],
        add_headers: AddHeaders | None,
        on_statistics: Callable[[str], None],
    ) -> None:
        self.producer: Producer = Producer({**producer_config(settings), "stats_cb": on_statistics})
        self.transactional = settings.delivery == "exactly-once"
        self.undelivered: list[tuple[str, KafkaError]] = []
        """Topic and error of each delivery of the last batch that failed."""
        self._decisions_topic = settings.decisions_topic
        self._dead_letters_topic = settings.dead_letters_topic
        self._giving_up = giving_up
        self._add_headers = add_headers
        self._told_of_headers = False

    def deliver(
        self, batch: Batch, outcomes: Sequence[Outcome], bundle: Bundle, offsets: list[TopicPartition], group: object
    ) -> Delivered:
        """Publishes one outcome a record and waits until all are there for good; in a transaction, the offsets too.

        It uses the producer alone, so that it can run beside a loop that polls.

        Args:
            batch: the records.
            outcomes: what became of each, in order.
            bundle: what decided.
            offsets: where the group goes on.
            group: the consumer's group metadata as of the poll.

        Raises:
            KafkaException: they are not there, and will not be.
            BrokerError: they are not known to be, and the stop that was asked for may wait no longer.
        """
        assert len(outcomes) == len(batch.records), "one outcome a record"
        began_at = time.time()
        self.undelivered.clear()
        if self.transactional:
            self.producer.begin_transaction()
            # First of all: while the coordinator still ends the transaction before, librdkafka asks again for the
            # offsets after a moment (retry.backoff.ms), for the decisions' partitions after 20 ms.
            retry_transient(
                lambda: self.producer.send_offsets_to_transaction(offsets, group, ATTEMPT_S), self._giving_up
            )
        headers = self._produce(batch, outcomes, bundle)
        handed_over_at = time.time()
        if self.transactional:
            retry_transient(lambda: self.producer.commit_transaction(ATTEMPT_S), self._giving_up)
        else:
            self._flush()
        return Delivered(began_at, handed_over_at, time.time(), headers)

    def serve(self) -> None:
        """Hears what the producer has to report, between two deliveries; during one, the delivery does."""
        self.producer.poll(0)

    def first_failure(self, error: KafkaError) -> tuple[str, KafkaError]:
        """The delivery that brought an error about, with its topic; the error itself if it was none of a delivery."""
        self.producer.poll(0)  # a transaction can fail before the report of its cause is read
        return next(iter(self.undelivered), ("", error))

    def abort(self) -> None:
        """Takes back what was produced since the last commit, where that is possible.

        Raises:
            KafkaException: another producer has this one's place.
        """
        if self.transactional:
            retry_transient(lambda: self.producer.abort_transaction(ATTEMPT_S), self._giving_up)

    def _produce(self, batch: Batch, outcomes: Sequence[Outcome], bundle: Bundle) -> list[Headers]:
        """Hands the outcomes to the producer; returns the records' headers, which can be read but once."""
        # One call for many decisions is quicker and takes no headers; a decision with headers ends the run before it,
        # or it would overtake an earlier one of the same key.
        run: list[dict[str, Any]] = []
        all_headers = [headers_of(record, self._tell_of_headers) for record in batch.records]
        added = repeat(()) if self._add_headers is None else self._add_headers(batch.records)
        for record, outcome, headers, more in zip(batch.records, outcomes, all_headers, added, strict=False):
            if isinstance(outcome, Rejection):
                self._produce_dead_letter(record, outcome, [*headers, *more], bundle)
                continue
            key = record.key()
            if key is None:
                key = key_of(outcome)
            carried: list[tuple[str, str | bytes | None]] = [*_trace(headers), *more] if headers or more else []
            if carried:
                self._produce_run(run)
                run = []
                self.producer.produce(
                    self._decisions_topic, value=outcome, key=key, headers=carried, on_delivery=self._on_delivery
                )
            else:
                run.append({"value": outcome, "key": key})
        self._produce_run(run)
        return all_headers

    def _tell_of_headers(self, record: Record) -> None:
        if not self._told_of_headers:  # a publisher of such headers sends them always
            self._told_of_headers = True
            log(HEADERS_UNREADABLE, topic=record.topic(), partition=record.partition(), offset=record.offset())

    def _flush(self) -> None:
        while self.producer.flush(ATTEMPT_S):
            if self._giving_up():
                raise BrokerError("the drain is over and not every decision is confirmed; nothing was committed")
        if self.undelivered:
            raise KafkaException(self.undelivered[0][1])

    def _produce_run(self, decisions: list[dict[str, Any]]) -> None:
        if not decisions:
            return
        topic = self._decisions_topic
        queued = self.producer.produce_batch(topic, decisions, on_delivery=self._on_delivery)
        if queued != len(decisions):
            raise KafkaException(next(d["_error"] for d in decisions if "_error" in d))

    def _produce_dead_letter(self, record: Record, outcome: Rejection, headers: Headers, bundle: Bundle) -> None:
        added = {
            rejection.CODE_HEADER: outcome.code.value,
            rejection.REASON_HEADER: outcome.reason,
            rejection.TOPIC_HEADER: record.topic(),
            rejection.PARTITION_HEADER: str(record.partition()),
            rejection.OFFSET_HEADER: str(record.offset()),
            rejection.TIMESTAMP_HEADER: str(record.timestamp()[1]),
            rejection.BUNDLE_HEADER: str(bundle.reference),
            rejection.AT_HEADER: datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        self.producer.produce(
            self._dead_letters_topic,
            value=record.value(),
            key=record.key(),
            headers=[*headers, *((name, text.encode()) for name, text in added.items())],
            on_delivery=self._on_delivery,
        )

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.undelivered.append((message.topic() or "", error))


# confluent-kafka 2.16 returns a broken list, with an exception set, where a header's name is not UTF-8. Called through
# this, Python sees the exception; a plain call in a hot loop is specialised, does not look, and the process crashes.
_read_headers = methodcaller("headers")


def headers_of(record: Record, when_unreadable: Callable[[Record], None] = lambda _: None) -> Headers:
    """A record's headers, none if they cannot be read; to be asked once, the second answer is broken unseen."""
    try:
        return _read_headers(record) or ()
    except SystemError:
        when_unreadable(record)
        return ()


def _trace(headers: Headers) -> Headers:
    """The headers that a decision carries on."""
    return [(name, value) for name, value in headers if name in TRACE_HEADERS]
