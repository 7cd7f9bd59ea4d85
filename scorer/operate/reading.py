"""Reads part of a topic without joining a group: the committed records between two offsets of each partition."""

import time
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.records import Malformed
from schemas.rights import Operation, to_topic
from scorer.errors import BrokerError
from scorer.settings import Settings
from scorer.stream.explain import with_hint
from scorer.stream.faults import must_stop, raise_on_partition_error
from scorer.stream.partition import Event
from scorer.stream.reaching import ANSWER_S, ask, connect_beside
from scorer.stream.rights import to_own_group
from scorer.stream.unreadable import UNREADABLE_CODES, end_of_unreadable
from scorer.stream.worker import Record

Bounds = Mapping[int, tuple[int, int]]
"""By partition, the first offset and the one after the last."""

_SILENCE_S: Final = 30.0
_BATCH_MAX: Final = 5_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Skipped:
    """Malformed records that a reader skipped: all are counted, the first ones are named."""

    _NAMED_MAX: Final = 10

    def __init__(self) -> None:
        self.count = 0
        self.first: list[Malformed] = []

    def add(self, record: Malformed) -> bool:
        """Counts a record; True if it is among those that are named."""
        self.count += 1
        if len(self.first) == self._NAMED_MAX:
            return False
        self.first.append(record)
        return True

    def __str__(self) -> str:
        """Returns a summary for people; empty if nothing was skipped."""
        if not self.count:
            return ""
        more = f"; and {self.count - len(self.first):,} more" if self.count > len(self.first) else ""
        records = "malformed record" if self.count == 1 else "malformed records"
        return f"{self.count:,} {records} skipped: {'; '.join(map(str, self.first))}{more}"

    def as_json(self) -> dict[str, object]:
        """Returns a summary for scripts."""
        return {"skipped": self.count, "skipped_first": [str(record) for record in self.first]}


def milliseconds(moment: datetime) -> int:
    """Returns a time in milliseconds since 1970, rounded up."""
    return -((_EPOCH - moment) // timedelta(milliseconds=1))


class TopicReader:
    """Reads one topic, without joining a group or committing offsets."""

    def __init__(
        self,
        settings: Settings,
        topic: str,
        skipped: Skipped | None = None,
        operation: Operation = Operation.READ,
    ) -> None:
        """Connects.

        Args:
            settings: the brokers.
            topic: the topic to read.
            skipped: counts unreadable record batches, each as one record.
            operation: the operation on the topic that the caller needs, for the message if its right is missing.

        Raises:
            SettingsError: a librdkafka property is invalid.
            TopicsError: the topic is missing.
            BrokerError: no broker answers.
        """
        self._settings = settings
        self._topic = topic
        self._skipped = Skipped() if skipped is None else skipped
        self._unreadable_ends: dict[tuple[int, int], int] = {}
        """By partition and first offset, the offset after an unreadable record batch."""
        options = {"auto.offset.reset": "earliest", "fetch.queue.backoff.ms": "5"}
        self._consumer, self.partitions = connect_beside(settings, topic, options, ANSWER_S, operation)

    def bounds(self) -> dict[int, tuple[int, int]]:
        """Returns the current bounds of each partition.

        Raises:
            BrokerError: the broker does not answer.
        """
        try:
            return {p: self._ask_bounds(TopicPartition(self._topic, p)) for p in self.partitions}
        except KafkaException as error:
            raise self._unreadable(error.args[0]) from error

    def narrow(self, bounds: Bounds, at_ms: int) -> dict[int, tuple[int, int]]:
        """Returns the same bounds without offsets that are certain to have earlier timestamps.

        Publishers set timestamps, in any order. Only this is certain: before the first record with a timestamp of at
        least `at_ms` there is no such record. After it there can be any timestamp, so each record's timestamp still has
        to be compared.

        Args:
            bounds: by partition, the first offset and the one after the last.
            at_ms: milliseconds since 1970.

        Raises:
            BrokerError: the broker does not answer.
        """
        if at_ms < 0 or not bounds:  # to a broker, negative numbers mean the ends of a partition
            return dict(bounds)
        wanted = [TopicPartition(self._topic, p, at_ms) for p in bounds]
        try:
            answers = ask(
                lambda: raise_on_partition_error(self._consumer.offsets_for_times(wanted, timeout=ANSWER_S)), ANSWER_S
            )
        except KafkaException as error:
            raise self._unreadable(error.args[0]) from error
        # Below zero: no record has such a timestamp.
        firsts = {tp.partition: tp.offset if tp.offset >= 0 else bounds[tp.partition][1] for tp in answers}
        return {p: (max(first, firsts[p]), end) for p, (first, end) in bounds.items()}

    def read(self, bounds: Bounds) -> Iterator[list[Record]]:
        """Yields the committed records within the bounds, some thousands at a time, in order per partition.

        If retention has deleted the first of them, it begins with the first remaining record.

        Raises:
            BrokerError: the topic cannot be read.
        """
        open_ends = {p: end for p, (first, end) in bounds.items() if first < end}
        positions = {p: bounds[p][0] for p in open_ends}
        self._assign(positions)
        received_at = time.monotonic()
        while open_ends:
            messages = self._consume(1, 0.5)
            if messages:
                messages += self._consume(_BATCH_MAX - 1, 0)
                received_at = time.monotonic()
            elif time.monotonic() - received_at > _SILENCE_S:
                raise BrokerError(f"topic {self._topic} could not be read: nothing was received for {_SILENCE_S:g} s")
            records = self._within(messages, open_ends, positions)
            if records:
                yield records
        self._consumer.unassign()

    def close(self) -> None:
        """Closes the consumer."""
        self._consumer.close()

    def _ask_bounds(self, partition: TopicPartition) -> tuple[int, int]:
        return ask(lambda: self._consumer.get_watermark_offsets(partition, timeout=ANSWER_S), ANSWER_S)

    def _consume(self, count_max: int, wait_s: float) -> list[Event]:
        return cast("list[Event]", self._consumer.consume(count_max, wait_s))

    def _assign(self, positions: Mapping[int, int]) -> None:
        partitions = [TopicPartition(self._topic, p, position) for p, position in positions.items()]
        self._consumer.unassign()  # discards records of an earlier read
        self._consumer.resume(partitions)  # a new assignment does not resume paused partitions
        self._consumer.assign(partitions)

    def _within(self, messages: list[Event], open_ends: dict[int, int], positions: dict[int, int]) -> list[Record]:
        """Returns the records within the bounds; removes partitions that have reached their end from `open_ends`."""
        records: list[Record] = [message for message in messages if message.error() is None]
        last = {message.partition(): message.offset() for message in records}  # the last offset of each partition
        positions.update({p: offset + 1 for p, offset in last.items()})
        ended, unreadable = set(), False
        if len(records) < len(messages):
            failures = [message for message in messages if message.error() is not None]
            ended = {message.partition() for message in failures if self._is_end(message.error())}
            unreadable = any(self._skip_unreadable(failure, positions) for failure in failures)
        ended |= {p for p, position in positions.items() if position >= open_ends.get(p, 0)}
        if any(offset >= open_ends.get(p, 0) for p, offset in last.items()):
            records = [message for message in records if message.offset() < open_ends.get(message.partition(), 0)]
        self._stop_reading(ended & open_ends.keys(), open_ends)
        if unreadable:
            self._assign({p: positions[p] for p in open_ends})
        return records

    def _is_end(self, error: KafkaError | None) -> bool:
        """Whether a message reports the end of a partition; raises errors after which it cannot continue."""
        if error is None or error.code() in UNREADABLE_CODES:
            return False
        if must_stop(error):
            raise self._unreadable(error)
        return error.code() == KafkaError._PARTITION_EOF

    def _skip_unreadable(self, failure: Event, positions: dict[int, int]) -> bool:
        """Moves the position past an unreadable batch, if a message reports one: the consumer itself cannot."""
        error, partition, first = failure.error(), failure.partition(), failure.offset()
        if error is None or error.code() not in UNREADABLE_CODES:
            return False
        end = self._unreadable_ends.get((partition, first))
        if end is None:
            end = end_of_unreadable(self._settings, self._topic, partition, first)
            self._unreadable_ends[partition, first] = end
        if positions.get(partition, end) < end:  # the batch may begin before the bounds
            reason = f"unreadable record batch up to offset {end - 1}: {error.str()}"
            self._skipped.add(Malformed(self._topic, partition, first, reason))
            positions[partition] = end
        return True

    def _stop_reading(self, partitions: Collection[int], open_ends: dict[int, int]) -> None:
        if partitions:
            self._consumer.pause([TopicPartition(self._topic, p) for p in partitions])
        for partition in partitions:
            del open_ends[partition]

    def _unreadable(self, error: KafkaError) -> BrokerError:
        needed = to_topic(Operation.READ, self._topic), to_own_group(self._settings, Operation.DESCRIBE)
        return BrokerError(f"topic {self._topic} cannot be read: {with_hint(error, self._settings, *needed)}")
