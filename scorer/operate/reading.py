"""Reads part of a topic without joining a group: the committed records between two offsets of each partition."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from confluent_kafka import TopicPartition

from schemas.records import Malformed
from schemas.rights import Operation
from scorer.errors import BrokerError
from scorer.settings import Settings
from scorer.stream.faults import raise_on_partition_error
from scorer.stream.reader import Reader
from scorer.stream.requests import ANSWER_S, ask
from scorer.stream.worker import Record

Bounds = Mapping[int, tuple[int, int]]
"""By partition, the first offset and the one after the last."""

_SILENCE_S: Final = 30.0
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
        rest = f"; and {self.count - len(self.first):,} more" if self.count > len(self.first) else ""
        records = "malformed record" if self.count == 1 else "malformed records"
        return f"{self.count:,} {records} skipped: {'; '.join(map(str, self.first))}{rest}"

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
        self._topic = topic
        self._skipped = Skipped() if skipped is None else skipped
        options = {"auto.offset.reset": "earliest", "fetch.queue.backoff.ms": "5"}
        self._reader = Reader(settings, [topic], options, operation=operation)
        self.partitions = self._reader.partitions[topic]

    def bounds(self) -> dict[int, tuple[int, int]]:
        """Returns the current bounds of each partition.

        Raises:
            BrokerError: the broker does not answer.
        """
        return self._reader.bounds(self._topic)

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
        requested = [TopicPartition(self._topic, p, at_ms) for p in bounds]
        look_up = partial(self._reader.consumer.offsets_for_times, requested, timeout=ANSWER_S)
        answers = self._reader.ask(self._topic, lambda: ask(lambda: raise_on_partition_error(look_up()), ANSWER_S))
        # Below zero: no record has such a timestamp.
        firsts = {tp.partition: tp.offset if tp.offset >= 0 else bounds[tp.partition][1] for tp in answers}
        return {p: (max(first, firsts[p]), end) for p, (first, end) in bounds.items()}

    def read(self, bounds: Bounds) -> Iterator[list[Record]]:
        """Yields the committed records within the bounds, some thousands at a time, in order per partition.

        If retention has deleted the first of them, it begins with the first remaining record.

        Raises:
            BrokerError: the topic cannot be read.
        """
        open_ends = {(self._topic, p): end for p, (first, end) in bounds.items() if first < end}
        self._reader.assign({(self._topic, p): bounds[p][0] for _, p in open_ends})
        received_at = time.monotonic()
        while open_ends:
            fetched = self._reader.fetch(0.5)
            if fetched.records or fetched.ended or fetched.skipped:
                received_at = time.monotonic()
            elif time.monotonic() - received_at > _SILENCE_S:
                raise BrokerError(f"topic {self._topic} could not be read: nothing was received for {_SILENCE_S:g} s")
            for batch in fetched.skipped:
                self._skipped.add(batch)
            records, positions = fetched.records, self._reader.positions
            if any(position > open_ends[partition] for partition, position in positions.items()):
                records = [r for r in records if r.offset() < open_ends[self._topic, r.partition()]]
            ended = fetched.ended | {p for p, position in positions.items() if position >= open_ends[p]}
            self._reader.leave(ended)
            for partition in ended:
                del open_ends[partition]
            if records:
                yield records
        self._reader.assign({})

    def close(self) -> None:
        """Closes the consumer."""
        self._reader.close()
