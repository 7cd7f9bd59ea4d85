"""Reads part of a topic without joining a group: what is committed between two offsets of each partition."""

import time
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.records import Malformed
from schemas.rights import Operation, to_topic
from scorer.errors import BrokerError, ScorerError
from scorer.settings import Settings
from scorer.stream.explain import with_hint
from scorer.stream.faults import ATTEMPT_S, must_stop, raise_on_partition_error, read_committed
from scorer.stream.librdkafka import bounded_fetch, client_config, refuse_bad_config
from scorer.stream.partition import Event
from scorer.stream.reaching import ask, find_partitions
from scorer.stream.rights import to_own_group
from scorer.stream.unreadable import UNREADABLE_CODES, end_of_unreadable
from scorer.stream.worker import Record

Bounds = Mapping[int, tuple[int, int]]
"""By partition, the first offset and the one behind the last."""

ANSWER_S: Final = 15.0
"""For one answer of a broker's."""
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
        """Counts one; True if it is among those that are named."""
        self.count += 1
        if len(self.first) == self._NAMED_MAX:
            return False
        self.first.append(record)
        return True

    def __str__(self) -> str:
        """For people; empty if nothing was skipped."""
        if not self.count:
            return ""
        more = f"; and {self.count - len(self.first):,} more" if self.count > len(self.first) else ""
        records = "malformed record" if self.count == 1 else "malformed records"
        return f"{self.count:,} {records} skipped: {'; '.join(map(str, self.first))}{more}"

    def as_json(self) -> dict[str, object]:
        """For scripts."""
        return {"skipped": self.count, "skipped_first": [str(record) for record in self.first]}


def milliseconds(moment: datetime) -> int:
    """The first millisecond since 1970 that is not before a moment."""
    return -((_EPOCH - moment) // timedelta(milliseconds=1))


def connect_beside(
    settings: Settings,
    topic: str,
    options: Mapping[str, Any],
    wait_s: float,
    operation: Operation = Operation.READ,
) -> tuple[Consumer, list[int]]:
    """A consumer that joins no group and commits nothing, and the partitions of the topic that it is to read.

    Args:
        settings: the brokers.
        topic: what it is to read, read committed; it is told where partitions end.
        options: librdkafka's properties besides.
        wait_s: for how long to wait for a broker's answer.
        operation: what this client wants of the topic, for the message if the right to it is missing.

    Raises:
        SettingsError: a librdkafka property is wrong.
        TopicsError: the topic is missing.
        BrokerError: no broker answers.
    """
    config = (
        bounded_fetch(settings)
        | client_config(settings)
        | {
            "group.id": settings.group_id,  # librdkafka wants one; it is never joined
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "check.crcs": True,
            **options,
        }
    )
    with refuse_bad_config():
        consumer = Consumer(config)
    try:
        return consumer, find_partitions(consumer, settings, topic, wait_s, operation)
    except ScorerError:
        consumer.close()
        raise


def connect_to_offsets(settings: Settings) -> Consumer:
    """A consumer that asks how far the group has committed, and is not in it.

    Raises:
        SettingsError: a librdkafka property is wrong.
    """
    # Read committed would wait for a moment without an open transaction, and under load there is none.
    config = client_config(settings) | {"group.id": settings.group_id, "isolation.level": "read_uncommitted"}
    with refuse_bad_config():
        return Consumer(config)


def ask_committed(consumer: Consumer, topic: str, partitions: Collection[int], wait_s: float) -> list[TopicPartition]:
    """Where a consumer's group has come to in these partitions; below zero where it has not begun.

    Raises:
        KafkaException: the group cannot be asked, or not about one of the partitions.
    """
    if not partitions:
        return []
    wanted = [TopicPartition(topic, p) for p in partitions]
    return ask(lambda: read_committed(consumer, wanted, min(wait_s, ATTEMPT_S)), wait_s)


def offsets_refused(error: KafkaError, settings: Settings, operation: Operation = Operation.DESCRIBE) -> BrokerError:
    """The error for a group's offsets that cannot be read.

    Args:
        error: what the brokers said.
        settings: the group.
        operation: what the client wants of the group in the end.
    """
    needed = (
        to_own_group(settings, operation),
        to_topic(Operation.DESCRIBE, settings.applications_topic),
    )
    explained = with_hint(error, settings, *needed)
    return BrokerError(f"the offsets of group {settings.group_id} cannot be read: {explained}")


class TopicReader:
    """A reader of one topic that is in no group and commits nothing."""

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
            topic: what to read.
            skipped: counts batches that cannot be read at all, each as one.
            operation: what the caller wants of the topic, for the message if the right to it is missing.

        Raises:
            SettingsError: a librdkafka property is wrong.
            TopicsError: the topic is missing.
            BrokerError: no broker answers.
        """
        self._settings = settings
        self._topic = topic
        self._skipped = Skipped() if skipped is None else skipped
        self._unreadable_ends: dict[tuple[int, int], int] = {}
        """By partition and first offset, the offset behind a batch that cannot be read."""
        options = {"auto.offset.reset": "earliest", "fetch.queue.backoff.ms": "5"}
        self._consumer, self.partitions = connect_beside(settings, topic, options, ANSWER_S, operation)

    def bounds(self) -> dict[int, tuple[int, int]]:
        """What each partition has now.

        Raises:
            BrokerError: the broker does not answer.
        """
        try:
            return {p: self._ask_bounds(TopicPartition(self._topic, p)) for p in self.partitions}
        except KafkaException as error:
            raise self._unreadable(error.args[0]) from error

    def narrow(self, bounds: Bounds, at_ms: int) -> dict[int, tuple[int, int]]:
        """The same bounds without what is certain to have earlier timestamps.

        Timestamps are what publishers say, in any order. Only this much is certain: before the first record with a
        timestamp there is no record with that timestamp or a later one. After it anything can follow, so that each
        record's own timestamp has to be compared still.

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
        """The committed records within the bounds, some thousands at a time; of a partition in their order.

        Where retention has taken the first of them, it begins with the first that is there.

        Raises:
            BrokerError: they cannot be read.
        """
        still_open = {p: end for p, (first, end) in bounds.items() if first < end}
        positions = {p: bounds[p][0] for p in still_open}
        self._assign(positions)
        heard_at = time.monotonic()
        while still_open:
            messages = self._consume(1, 0.5)
            if messages:
                messages += self._consume(_BATCH_MAX - 1, 0)
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > _SILENCE_S:
                raise BrokerError(f"topic {self._topic} could not be read: nothing came for {_SILENCE_S:g} s")
            found = self._within(messages, still_open, positions)
            if found:
                yield found
        self._consumer.unassign()

    def close(self) -> None:
        """Leaves nothing behind."""
        self._consumer.close()

    def _ask_bounds(self, partition: TopicPartition) -> tuple[int, int]:
        return ask(lambda: self._consumer.get_watermark_offsets(partition, timeout=ANSWER_S), ANSWER_S)

    def _consume(self, most: int, wait_s: float) -> list[Event]:
        return cast("list[Event]", self._consumer.consume(most, wait_s))

    def _assign(self, positions: Mapping[int, int]) -> None:
        places = [TopicPartition(self._topic, p, position) for p, position in positions.items()]
        self._consumer.unassign()  # with what it holds of an earlier reading
        self._consumer.resume(places)  # what was paused stays so, assigned again or not
        self._consumer.assign(places)

    def _within(self, messages: list[Event], still_open: dict[int, int], positions: dict[int, int]) -> list[Record]:
        """The records before their partition's end; partitions that have come to it are no longer open."""
        found: list[Record] = [message for message in messages if message.error() is None]
        last = {message.partition(): message.offset() for message in found}  # of a partition given often the last stays
        positions.update({p: offset + 1 for p, offset in last.items()})
        ended, unreadable = set(), False
        if len(found) < len(messages):
            failures = [message for message in messages if message.error() is not None]
            ended = {message.partition() for message in failures if self._is_end(message.error())}
            unreadable = any(self._passes_unreadable(failure, positions) for failure in failures)
        ended |= {p for p, position in positions.items() if position >= still_open.get(p, 0)}
        if any(offset >= still_open.get(p, 0) for p, offset in last.items()):
            found = [message for message in found if message.offset() < still_open.get(message.partition(), 0)]
        self._end(ended & still_open.keys(), still_open)
        if unreadable:
            self._assign({p: positions[p] for p in still_open})
        return found

    def _is_end(self, error: KafkaError | None) -> bool:
        """Whether a message says that a partition has come to its end; raises what cannot be gone on from."""
        if error is None or error.code() in UNREADABLE_CODES:
            return False
        if must_stop(error):
            raise self._unreadable(error)
        return error.code() == KafkaError._PARTITION_EOF

    def _passes_unreadable(self, failure: Event, positions: dict[int, int]) -> bool:
        """Moves behind a batch that cannot be read, if a message says so: the consumer does not get past it."""
        error, partition, first = failure.error(), failure.partition(), failure.offset()
        if error is None or error.code() not in UNREADABLE_CODES:
            return False
        end = self._unreadable_ends.get((partition, first))
        if end is None:
            end = end_of_unreadable(self._settings, self._topic, partition, first)
            self._unreadable_ends[partition, first] = end
        if positions.get(partition, end) < end:  # it begins before where the reading began, perhaps
            why = f"the batch up to offset {end - 1} cannot be read: {error.str()}"
            self._skipped.add(Malformed(self._topic, partition, first, why))
            positions[partition] = end
        return True

    def _end(self, partitions: Collection[int], still_open: dict[int, int]) -> None:
        if partitions:
            self._consumer.pause([TopicPartition(self._topic, p) for p in partitions])
        for partition in partitions:
            del still_open[partition]

    def _unreadable(self, error: KafkaError) -> BrokerError:
        needed = to_topic(Operation.READ, self._topic), to_own_group(self._settings, Operation.DESCRIBE)
        return BrokerError(f"topic {self._topic} cannot be read: {with_hint(error, self._settings, *needed)}")
