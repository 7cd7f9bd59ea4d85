"""The delivery of a batch: its results published, its offsets committed, all or none, in a thread of its own.

At most one delivery is in flight. It has a time limit: the transaction's own and a margin. Past it the coordinator has
aborted the transaction, so nothing is lost by giving up; and the thread may hang inside librdkafka, where nothing else
ends it (librdkafka#5456).
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from itertools import repeat
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas.decision import TRACE_HEADERS
from schemas.records import Headers, read_headers
from scorer.core.score import Bundle, Outcome
from scorer.core.wire import Rejection, id_of
from scorer.errors import BrokerError
from scorer.logs import HEADERS_UNREADABLE, log
from scorer.stream.faults import ATTEMPT_S, retry_transient
from scorer.stream.letters import COPIED_BYTES_MAX, dead_letter
from scorer.stream.topic_ids import TopicIdentity
from scorer.stream.worker import Batch, Record

AddHeaders = Callable[[Sequence[Record]], Sequence[Headers]]
"""Given n records, the headers that their n results have besides those that they carry on."""

# What a decision carries on is an identifier of some hundred bytes (W3C Trace Context); what is longer is none.
_TRACE_BYTES_MAX: Final = 8_192
# A decision has its application's key. A key that is longer than any id is replaced by the application's id.
_KEY_BYTES_MAX: Final = 65_536
# Of records that were not sent, or whose answer was not waited for, because the transaction is aborted.
_DROPPED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
# What a dead letter has besides the record: its headers, of which the reason is the longest, and Kafka's framing.
_LETTER_OVERHEAD_BYTES: Final = 8_192


class Delivered(NamedTuple):
    """When a batch's delivery began, when all was handed to the producer, and when it was committed."""

    began_at: float
    handed_over_at: float
    confirmed_at: float
    headers: Sequence[Headers] = ()
    """Of each record. The records themselves must not be asked for them again."""


class Refused(NamedTuple):
    """A record that the brokers, or the producer itself, refused."""

    topic: str
    error: KafkaError
    size_bytes: int
    """Of its value and its headers."""


class Outputs(NamedTuple):
    """Where results go, and how large a record each topic takes, in bytes."""

    decisions_topic: str
    dead_letters_topic: str
    decision_bytes_max: int
    dead_letter_bytes_max: int


class DeliveryThread:
    """Runs deliveries one after another; a daemon, so that one that hangs inside C does not hold up the process."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[tuple[Future[Delivered], Callable[[], Delivered]] | None] = SimpleQueue()
        threading.Thread(target=self._run, name="delivery", daemon=True).start()

    def submit(self, task: Callable[[], Delivered]) -> Future[Delivered]:
        """Runs a task once those before have ended."""
        future: Future[Delivered] = Future()
        self._tasks.put((future, task))
        return future

    def close(self) -> None:
        """Ends the thread after the task in hand; does not wait for it."""
        self._tasks.put(None)

    def _run(self) -> None:
        while (submitted := self._tasks.get()) is not None:
            future, task = submitted
            try:
                future.set_result(task())
            except BaseException as failure:  # noqa: BLE001  (whoever waits for the result gets it)
                future.set_exception(failure)


class Delivery:
    """The producer, and what it takes until a batch is committed."""

    def __init__(
        self,
        producer: Producer,
        outputs: Outputs,
        transactional: bool,
        identity: TopicIdentity,
        should_stop: Callable[[], bool],
        add_headers: AddHeaders | None,
    ) -> None:
        self.producer = producer
        self.transactional = transactional
        self.refused: list[Refused] = []
        """Of the last batch. Written by the thread of the delivery, read by the loop once that has ended."""
        self._outputs = outputs
        self._identity = identity
        self._should_stop = should_stop
        self._add_headers = add_headers
        self._copied_bytes_max = COPIED_BYTES_MAX
        self._unreadable_headers_logged = False

    def deliver(
        self, batch: Batch, outcomes: Sequence[Outcome], bundle: Bundle, offsets: list[TopicPartition], group: object
    ) -> Delivered:
        """Publishes one result per record and waits until all are committed; in a transaction, the offsets too.

        It uses the producer alone, so that it can run while the loop polls.

        Args:
            batch: the records.
            outcomes: the result of each, in order.
            bundle: what decided.
            offsets: where the group continues.
            group: the consumer's group metadata as of the poll.

        Raises:
            KafkaException: they are not committed, and will not be.
            TopicRecreatedError: the records may be of another topic than the offsets.
            BrokerError: the stop that was asked for may wait no longer.
        """
        assert len(outcomes) == len(batch.records), "one result per record"
        began_at = time.time()
        self.refused.clear()
        # The answer comes while the batch is published. It is of a moment after the poll, so it is about its records.
        self._identity.begin_check()
        if self.transactional:
            self.producer.begin_transaction()
            # First of all: while the coordinator still ends the transaction before, librdkafka asks again for the
            # offsets after a moment (retry.backoff.ms), for the decisions' partitions after 20 ms.
            retry_transient(
                lambda: self.producer.send_offsets_to_transaction(offsets, group, ATTEMPT_S), self._should_stop
            )
        headers = self._produce(batch, outcomes, bundle)
        handed_over_at = time.time()
        self._identity.finish_check()
        if self.transactional:
            retry_transient(lambda: self.producer.commit_transaction(ATTEMPT_S), self._should_stop)
        else:
            self._flush()
        return Delivered(began_at, handed_over_at, time.time(), headers)

    def serve(self) -> None:
        """Takes what the producer has to report, between two deliveries; during one, the delivery does."""
        self.producer.poll(0)

    def cause(self, error: KafkaError) -> Refused:
        """What made a batch fail, once it was aborted: the largest record that was refused, else the error itself.

        Records that were dropped from the producer's queue because the batch was aborted are no cause of that.
        """
        self.producer.poll(0)
        refused = [refused for refused in self.refused if refused.error.code() not in _DROPPED]
        return max(refused, key=lambda refused: refused.size_bytes, default=Refused("", error, 0))

    def point_to_large_letters(self) -> bool:
        """From here on copies no dead letter that only fits when it is compressed; False if that was so already."""
        limit = self._outputs.dead_letter_bytes_max - _LETTER_OVERHEAD_BYTES
        changed, self._copied_bytes_max = limit < self._copied_bytes_max, limit
        return changed

    def abort(self) -> None:
        """Takes back what was produced since the last commit, where that is possible.

        Raises:
            KafkaException: the producer cannot continue.
            BrokerError: the stop that was asked for may wait no longer.
        """
        if self.transactional:
            retry_transient(lambda: self.producer.abort_transaction(ATTEMPT_S), self._should_stop)

    def _produce(self, batch: Batch, outcomes: Sequence[Outcome], bundle: Bundle) -> list[Headers]:
        """Hands the results to the producer; returns the records' headers, which can be read but once."""
        # One call for many decisions is quicker and takes no headers; a decision with headers ends the run before it,
        # or it would overtake an earlier one of the same key.
        run: list[dict[str, Any]] = []
        all_headers = [headers_of(record, self._log_unreadable_headers) for record in batch.records]
        added = repeat(()) if self._add_headers is None else self._add_headers(batch.records)
        for record, outcome, headers, more in zip(batch.records, outcomes, all_headers, added, strict=False):
            if isinstance(outcome, Rejection):
                self._produce_dead_letter(record, outcome, [*headers, *more], bundle)
                continue
            key = record.key()
            if key is None or len(key) > _KEY_BYTES_MAX:
                key = id_of(outcome)
            carried: list[tuple[str, str | bytes | None]] = [*_trace(headers), *more] if headers or more else []
            if carried:
                self._produce_run(run)
                run = []
                self.producer.produce(
                    self._outputs.decisions_topic, outcome, key, headers=carried, on_delivery=self._on_delivery
                )
            else:
                run.append({"value": outcome, "key": key})
        self._produce_run(run)
        return all_headers

    def _log_unreadable_headers(self, record: Record) -> None:
        if not self._unreadable_headers_logged:  # a publisher of such headers sends them always
            self._unreadable_headers_logged = True
            log(HEADERS_UNREADABLE, topic=record.topic(), partition=record.partition(), offset=record.offset())

    def _flush(self) -> None:
        while self.producer.flush(ATTEMPT_S):
            if self._should_stop():
                raise BrokerError(
                    "the time to finish the batch (drain_s) is over and not every decision is confirmed: nothing was "
                    "committed, and it will be processed again"
                )
        if self.refused:
            raise KafkaException(self.refused[0].error)

    def _produce_run(self, decisions: list[dict[str, Any]]) -> None:
        if not decisions:
            return
        topic = self._outputs.decisions_topic
        queued = self.producer.produce_batch(topic, decisions, on_delivery=self._on_delivery)
        if queued != len(decisions):
            failed = next(d for d in decisions if "_error" in d)
            self.refused.append(Refused(topic, failed["_error"], len(failed["value"])))
            raise KafkaException(failed["_error"])

    def _produce_dead_letter(self, record: Record, rejected: Rejection, headers: Headers, bundle: Bundle) -> None:
        letter = dead_letter(record, rejected, headers, bundle.reference, datetime.now(UTC), self._copied_bytes_max)
        self.producer.produce(
            self._outputs.dead_letters_topic,
            letter.value,
            letter.key,
            headers=list(letter.headers),
            on_delivery=self._on_delivery,
        )

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            headers_bytes = sum(len(name) + len(value or b"") for name, value in read_headers(message) or ())
            self.refused.append(Refused(message.topic() or "", error, len(message) + headers_bytes))


def headers_of(record: Record, when_unreadable: Callable[[Record], None] = lambda _: None) -> Headers:
    """A record's headers, none if they cannot be read; to be asked once, the second answer is broken unseen."""
    headers = read_headers(record)
    if headers is None:
        when_unreadable(record)
        return ()
    return headers


def _trace(headers: Headers) -> Headers:
    """The headers that a decision carries on."""
    carried = [(name, value) for name, value in headers if name in TRACE_HEADERS]
    return carried if sum(len(value or b"") for _, value in carried) <= _TRACE_BYTES_MAX else []
