"""Reads topics without joining a group: passes over unreadable record batches, and explains errors that end it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self, TypeVar, cast

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.records import Malformed
from schemas.rights import Operation, to_topic
from schemas.unreadable import passed_batch
from scorer.errors import BrokerError, ScorerError
from scorer.settings import Settings
from scorer.stream.faults import Report, classify
from scorer.stream.librdkafka import open_reader
from scorer.stream.partition import Event
from scorer.stream.requests import ANSWER_S, ask_bounds, cannot_be_read, find_partitions
from scorer.stream.rights import to_own_group
from scorer.stream.unreadable import end_of_unreadable
from scorer.stream.worker import Record

T = TypeVar("T")

Numbered = tuple[str, int]
"""A partition: its topic and its number."""

_BATCH_MAX: Final = 5_000


class Fetched(NamedTuple):
    """What was received since the last call."""

    records: list[Record]
    """In order per partition."""
    ended: set[Numbered]
    """The partitions that have no more records for now."""
    skipped: list[Malformed]
    """Unreadable record batches, each at the offset of its first record."""
    transient: list[KafkaError]
    """Errors after which the consumer continues by itself."""


class Reader:
    """A consumer that reads partitions from given positions; it joins no group and commits nothing."""

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[str],
        options: Mapping[str, Any],
        wait_s: float = ANSWER_S,
        operation: Operation = Operation.READ,
        group_operation: Operation = Operation.DESCRIBE,
    ) -> None:
        """Connects.

        Args:
            settings: the brokers.
            topics: the topics to read.
            options: additional librdkafka properties.
            wait_s: how long to wait for a broker's answer, in seconds.
            operation: the operation on the topics that the caller needs, for the message if its right is missing.
            group_operation: the same for the group, whose id librdkafka requires.

        Raises:
            SettingsError: a librdkafka property is invalid.
            TopicsError: a topic is missing.
            BrokerError: no broker answers.
        """
        self._settings = settings
        self._wait_s = wait_s
        self._group_right = to_own_group(settings, group_operation)
        self._unreadable_ends: dict[tuple[Numbered, int], int] = {}
        """By partition and first offset, the offset after an unreadable record batch."""
        self.positions: dict[Numbered, int] = {}
        """Of each partition that is read, the offset after its last record."""
        self.consumer = open_reader(settings, options)
        try:
            self.partitions = {t: find_partitions(self.consumer, settings, t, wait_s, operation) for t in topics}
        except ScorerError:
            self.consumer.close()
            raise

    @classmethod
    def at_the_ends(
        cls, settings: Settings, topics: Sequence[str], options: Mapping[str, Any], wait_s: float = ANSWER_S
    ) -> Self:
        """Connects, and reads all partitions from their current ends; see the constructor."""
        reader = cls(settings, topics, options, wait_s)
        try:
            reader.assign({(topic, p): end for topic in topics for p, (_, end) in reader.bounds(topic).items()})
        except BrokerError:
            reader.close()
            raise
        return reader

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Returns the first offset of each partition, and the end of its committed records.

        Raises:
            BrokerError: the broker does not answer.
        """
        return self.ask(
            topic, lambda: {p: ask_bounds(self.consumer, topic, p, self._wait_s) for p in self.partitions[topic]}
        )

    def ask(self, topic: str, call: Callable[[], T]) -> T:
        """Sends a request about a topic.

        Raises:
            BrokerError: it failed; the message says what to do.
        """
        try:
            return call()
        except KafkaException as failure:
            error = failure.args[0]
        raise self._explain(error, topic)

    def assign(self, positions: Mapping[Numbered, int]) -> None:
        """Reads these partitions and no others, from these positions."""
        partitions = [TopicPartition(*numbered, offset) for numbered, offset in positions.items()]
        self.positions = dict(positions)
        self.consumer.unassign()  # discards records that were fetched earlier
        self.consumer.resume(partitions)  # a new assignment does not resume paused partitions
        self.consumer.assign(partitions)

    def leave(self, partitions: Collection[Numbered]) -> None:
        """Stops reading some of the partitions."""
        if partitions:
            self.consumer.pause([TopicPartition(*numbered) for numbered in partitions])
        for numbered in partitions:
            del self.positions[numbered]

    def fetch(self, wait_s: float) -> Fetched:
        """Waits up to `wait_s` seconds for a first record, and returns it with those that follow without a wait.

        Raises:
            BrokerError: the topics can no longer be read.
        """
        messages = cast("list[Event]", self.consumer.consume(1, wait_s))
        if messages:
            messages += cast("list[Event]", self.consumer.consume(_BATCH_MAX - 1, 0))
        fetched = Fetched([message for message in messages if message.error() is None], set(), [], [])
        if len(fetched.records) < len(messages):
            return self._handle_errors(messages)
        last = {(message.topic(), message.partition()): message.offset() for message in fetched.records}
        if not last.keys() <= self.positions.keys():  # fetched before the partition was left
            return self._handle_errors(messages)
        self.positions.update({numbered: offset + 1 for numbered, offset in last.items()})
        return fetched

    def close(self) -> None:
        """Closes the consumer."""
        self.consumer.close()

    def _handle_errors(self, messages: list[Event]) -> Fetched:
        fetched = Fetched([], set(), [], [])
        passed: set[Numbered] = set()
        for message in messages:
            error, numbered = message.error(), (message.topic(), message.partition())
            report = None if error is None else classify(error)
            if error is not None and report is Report.TRANSIENT:
                fetched.transient.append(error)
            elif error is not None and report is Report.FINAL:
                raise self._explain(error, message.topic())
            elif numbered not in self.positions or numbered in passed:
                continue  # it was left, or is read again from behind the unreadable batch
            elif error is None:
                fetched.records.append(message)
                self.positions[numbered] = message.offset() + 1
            elif report is Report.END:
                fetched.ended.add(numbered)
            elif report is Report.UNREADABLE:
                fetched.skipped.extend(self._pass(numbered, message.offset(), error))
                passed.add(numbered)
            else:
                raise self._explain(error, message.topic())
        if passed:
            self.assign(self.positions)  # the consumer itself does not get past the batch
        return fetched

    def _pass(self, numbered: Numbered, first: int, error: KafkaError) -> Iterator[Malformed]:
        """Moves the position past an unreadable batch, which may begin before the first position."""
        end = self._unreadable_ends.get((numbered, first))
        if end is None:
            end = end_of_unreadable(self._settings, *numbered, first)
            self._unreadable_ends[numbered, first] = end
        if self.positions[numbered] < end:
            self.positions[numbered] = end
            yield passed_batch(*numbered, first, end, error)

    def _explain(self, error: KafkaError, topic: str | None) -> BrokerError:
        topics = [topic] if topic else list(self.partitions)
        needed = *(to_topic(Operation.READ, name) for name in topics), self._group_right
        return cannot_be_read(f"topic {', '.join(topics)}", error, self.consumer, self._settings, *needed)
