"""Delivers a batch in a background thread: publishes its results and commits its offsets, all or none.

At most one delivery is in flight. Its time limit is the transaction's timeout plus a margin. After it the coordinator
has aborted the transaction, so giving up loses nothing; and the thread may hang inside librdkafka, where nothing else
ends it (librdkafka#5456).
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas.record_headers import Headers, read_all_headers, read_headers
from scorer.core.score import Scores
from scorer.errors import BrokerError
from scorer.logs import HEADERS_UNREADABLE, log
from scorer.stream.faults import ATTEMPT_S, retry_transient
from scorer.stream.letters import COPIED_BYTES_MAX
from scorer.stream.outputs import Outputs, output_records
from scorer.stream.topic_ids import TopicIdentity
from scorer.stream.worker import Batch, Record

AddHeaders = Callable[[Sequence[Record]], Sequence[Headers]]
"""Given n records, returns headers for their n results, in addition to those copied from the records."""

# The producer chooses the partition, by the key.
_ANY_PARTITION: Final = -1
# Errors of records that were purged, before or after they were sent, because the transaction is aborted.
_DROPPED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
# Size of a dead letter in addition to the record: its headers, the longest being the reason, and Kafka's framing.
_LETTER_OVERHEAD_BYTES: Final = 8_192


class Delivered(NamedTuple):
    """When a batch's delivery began, when all its results were passed to the producer, and when it was committed."""

    began_at: float
    produced_at: float
    confirmed_at: float
    headers: Sequence[Headers] = ()
    """The headers of each record. They must not be read from the records again."""


class Refused(NamedTuple):
    """A record that the brokers, or the producer itself, rejected."""

    topic: str
    error: KafkaError
    size_bytes: int
    """Size of its value and headers."""


class Delivery:
    """The producer, and the steps until a batch is committed."""

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
        """Rejected records of the last batch. Written by the delivery thread, read by the loop after the delivery."""
        self._outputs = outputs
        self._identity = identity
        self._should_stop = should_stop
        self._add_headers = add_headers
        self._copied_bytes_max = COPIED_BYTES_MAX
        self._unreadable_headers_logged = False

    def deliver(self, batch: Batch, scores: Scores, offsets: list[TopicPartition], group: object) -> Delivered:
        """Publishes one result per record and waits until all are committed; in a transaction, the offsets too.

        It uses only the producer, so it can run while the loop polls.

        Args:
            batch: the records.
            scores: the result of each, in order, and the bundle that decided.
            offsets: the offsets to commit.
            group: the consumer's group metadata as of the poll.

        Raises:
            KafkaException: the batch was not committed, and will not be.
            TopicRecreatedError: records and offsets may belong to different topics of the same name.
            BrokerError: the shutdown timeout has elapsed.
        """
        assert len(scores.results) == len(batch.records), "one result per record"
        began_at = time.time()
        self.refused.clear()
        # The answer comes while the batch is published. The request is sent after the poll, so it covers its records.
        self._identity.begin_check()
        if self.transactional:
            self.producer.begin_transaction()
            # The first request: while the coordinator still ends the previous transaction, librdkafka retries the
            # offsets after retry.backoff.ms, but the decisions' partitions after 20 ms.
            retry_transient(
                lambda: self.producer.send_offsets_to_transaction(offsets, group, ATTEMPT_S), self._should_stop
            )
        headers = self._produce(batch, scores)
        produced_at = time.time()
        self._identity.finish_check()
        if self.transactional:
            retry_transient(lambda: self.producer.commit_transaction(ATTEMPT_S), self._should_stop)
        else:
            self._flush()
        return Delivered(began_at, produced_at, time.time(), headers)

    def serve(self) -> None:
        """Serves the producer's callbacks between deliveries; a delivery serves its own."""
        self.producer.poll(0)

    def cause(self, error: KafkaError) -> Refused:
        """Returns why a batch failed, once it is aborted: the largest record that was rejected, else the error itself.

        Records that were purged from the producer's queue because the batch was aborted are not a cause.
        """
        self.producer.poll(0)
        refused = [refused for refused in self.refused if refused.error.code() not in _DROPPED]
        return max(refused, key=lambda refused: refused.size_bytes, default=Refused("", error, 0))

    def point_to_large_records(self) -> bool:
        """Stops copying records into dead letters that fit only when compressed; False if it had stopped already."""
        limit = self._outputs.dead_letter_bytes_max - _LETTER_OVERHEAD_BYTES
        changed, self._copied_bytes_max = limit < self._copied_bytes_max, limit
        return changed

    def abort(self) -> None:
        """Aborts the transaction, if the producer is transactional.

        Raises:
            KafkaException: the producer cannot continue.
            BrokerError: the shutdown timeout has elapsed.
        """
        if self.transactional:
            retry_transient(lambda: self.producer.abort_transaction(ATTEMPT_S), self._should_stop)

    def _produce(self, batch: Batch, scores: Scores) -> list[Headers]:
        """Passes the results to the producer, in order; returns the records' headers, which can be read only once."""
        headers, unreadable = read_all_headers(batch.records)
        if unreadable:
            self._log_unreadable_headers(batch.records[unreadable[0]])
        added = None if self._add_headers is None else self._add_headers(batch.records)
        records = output_records(batch.records, scores, headers, added, self._outputs, self._copied_bytes_max)
        # A call for each record: produce_batch takes no headers, and a dictionary for each record, which takes longer.
        produce, on_delivery = self.producer.produce, self._on_delivery
        for topic, value, key, copied in zip(*records, strict=True):
            try:
                if copied is None:
                    produce(topic, value, key, _ANY_PARTITION, on_delivery)  # keywords take a third of its time
                else:
                    produce(topic, value, key, headers=list(copied), on_delivery=on_delivery)
            except BufferError as full:
                raise KafkaException(KafkaError(KafkaError._QUEUE_FULL)) from full
            except KafkaException as failure:
                self.refused.append(Refused(topic, failure.args[0], len(value or b"") + _size_of(copied or ())))
                raise
        return headers

    def _log_unreadable_headers(self, record: Record) -> None:
        if not self._unreadable_headers_logged:  # a publisher of such headers sends them with every record
            self._unreadable_headers_logged = True
            log(HEADERS_UNREADABLE, topic=record.topic(), partition=record.partition(), offset=record.offset())

    def _flush(self) -> None:
        while self.producer.flush(ATTEMPT_S):
            if self._should_stop():
                raise BrokerError(
                    "shutdown_timeout_s elapsed before every result was acknowledged: the batch was not committed; it "
                    "will be processed again"
                )
        if self.refused:
            raise KafkaException(self.refused[0].error)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            headers_bytes = _size_of(read_headers(message) or ())
            self.refused.append(Refused(message.topic() or "", error, len(message) + headers_bytes))


def _size_of(headers: Headers) -> int:
    return sum(len(name) + len(value or b"") for name, value in headers)
