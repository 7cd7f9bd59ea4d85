"""The consumer in the group: rebalances, where each partition starts, and what a poll returns."""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, cast

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from scorer.errors import BrokerError
from scorer.logs import CONSUMER_NOT_CLOSED, PARTITIONS_CHANGED, log
from scorer.settings import Settings
from scorer.stream.batch_size import BatchSize
from scorer.stream.explain import refusal_of_member
from scorer.stream.faults import ATTEMPT_S, Fault, Fenced, raise_on_partition_error, retry_transient, triage
from scorer.stream.fetching import Fetching
from scorer.stream.librdkafka import batch_bytes
from scorer.stream.metadata import decode_metadata
from scorer.stream.observer import Observer
from scorer.stream.partition import Event, StartAt, State
from scorer.stream.poll_errors import PollErrors
from scorer.stream.task_thread import TaskThread
from scorer.stream.topic_ids import TopicIdentity
from scorer.stream.worker import Batch

# How long a poll waits for the first record, and so the longest that a shutdown goes unnoticed.
_POLL_WAIT_S: Final = 0.2
_LAG_S: Final = 1.0
# For the last callbacks, and for the request to leave the group, which librdkafka gives 5 s.
_CLOSE_S: Final = 6.0


class Subscription:
    """A consumer in the group, and the partitions assigned to it."""

    def __init__(
        self,
        settings: Settings,
        observer: Observer,
        should_stop: Callable[[], bool],
        start_at: StartAt,
        identity: TopicIdentity,
        fetching: Fetching,
    ) -> None:
        """Does not connect; `open` joins the group.

        Args:
            settings: the brokers, the group and its topic.
            observer: notified of rebalances, lag and blocked partitions.
            should_stop: checked between attempts of a call; True once the shutdown timeout has elapsed.
            start_at: returns the offset to start from in each partition.
            identity: the topics' ids.
            fetching: a consumer that has not joined the group yet.
        """
        self._settings = settings
        self._topic = settings.applications_topic
        self._observer = observer
        self._should_stop = should_stop
        self._start_at = start_at
        self._identity = identity
        self._fetching = fetching
        self._consumer = fetching.consumer
        self._partitions = fetching.partitions
        self._errors = PollErrors(settings, observer, should_stop, identity, fetching)
        self.size = BatchSize(settings.batch_records_max, batch_bytes(settings))
        self._lag_reported_at = 0.0
        """Set by a poll, once per `_LAG_S`."""
        self._closing = False
        """Set by `close`: partitions that are assigned while it runs are not read."""

    def open(self, settle: Callable[[], bool]) -> None:
        """Joins the group.

        Args:
            settle: waits for the delivery in flight; called at the start of each rebalance.
        """
        self._settle = settle
        revoked, lost = partial(self._on_revoke, "revoked"), partial(self._on_revoke, "lost")
        self._consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=revoked, on_lost=lost)

    def poll(self) -> Batch:
        """Waits briefly for a record, then returns all available records, up to the limit of `size`."""
        self._fetching.reassign(self._partitions.begin_poll())
        messages = self._consume(1, _POLL_WAIT_S)
        if messages and self.size.limit > 1:
            messages += self._consume(self.size.limit - 1, self._settings.linger_ms / 1_000)
        self.size.count(messages, time.monotonic())
        self._report_lag()
        messages = self._without_repositioned(messages)
        if [message for message in messages if message.error() is not None]:
            return self._partitions.batch_to_ends(self._errors.without_truncated(self._errors.handle(messages)))
        return self._partitions.batch(self._errors.without_truncated(messages))

    def behind(self, metadata: str) -> dict[int, int]:
        """Returns the position of each partition whose committed offset does not have this metadata yet."""
        return {
            number: partition.position
            for number, partition in self._partitions.items()
            if partition.position >= 0 and partition.metadata != metadata
        }

    def advance(self, offsets_next: Mapping[int, int], metadata: str) -> list[TopicPartition]:
        """Moves the positions past a batch that is about to be published; returns the offsets to commit."""
        for number, offset in offsets_next.items():
            partition = self._partitions.get(number)
            if partition is not None:
                partition.position, partition.metadata = offset, metadata
        return self._partitions.at(offsets_next, metadata)

    def rewind(self) -> None:
        """Rewinds all partitions to their committed offsets; records polled since then are polled again.

        Raises:
            BrokerError, TopicRecreatedError: the committed offsets cannot be read, or belong to a deleted topic.
        """
        self.size.reset()
        starts = self._starts(self._partitions)
        self._partitions.reposition(starts)  # drops records of them that the current poll has returned
        self._fetching.seek({n: start for n, start in starts.items() if self._partitions[n].state is not State.BLOCKED})
        self._fetching.resume([n for n in starts if self._partitions[n].state is State.PAUSED])

    def pause(self, numbers: Iterable[int]) -> None:
        """Stops polling these partitions until they are rewound or assigned again."""
        reading = [n for n in numbers if n in self._partitions and self._partitions[n].state is State.READING]
        if reading:
            self._fetching.pause(reading, State.PAUSED)

    def blocked(self) -> dict[int, str]:
        """Returns the partitions that cannot be read from their committed offset, each with its reason."""
        return self._partitions.blocked()

    def group_metadata(self) -> object:
        """Returns the group metadata, with which transactions of a member that has left the group are fenced."""
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Leaves the group (a static member keeps its partitions until its session ends).

        During a rebalance, librdkafka can hang in it after it has left the group (librdkafka#4884). Nothing is lost
        then, because the offsets are committed, and the process ends.
        """
        self._closing = True
        thread = TaskThread[None]("close")
        closed = thread.submit(self._consumer.close)
        thread.close()
        try:
            closed.result(_CLOSE_S)
        except TimeoutError:
            log(CONSUMER_NOT_CLOSED, topic=self._topic, seconds=_CLOSE_S)

    # Polling

    def _consume(self, count_max: int, wait_s: float) -> list[Event]:
        return cast("list[Event]", self._consumer.consume(count_max, wait_s))

    def _without_repositioned(self, messages: list[Event]) -> list[Event]:
        """Drops the records of partitions that were repositioned during this poll, and reads them again.

        The callbacks run inside `consume`, so it can return records of a partition that were fetched before it was
        revoked, and the same ones again after it was reassigned. None is decided yet, so rewinding loses nothing.
        """
        repositioned = self._partitions.repositioned()
        if not repositioned:
            return messages
        dropped = {message.partition() for message in messages} & repositioned
        self._fetching.seek({n: self._partitions[n].position for n in dropped & self._partitions.keys()})
        return [message for message in messages if message.partition() not in repositioned]

    def _report_lag(self) -> None:
        now = time.monotonic()
        if now - self._lag_reported_at < _LAG_S:
            return
        self._lag_reported_at = now
        self._observer.lag(self._partitions.lag(partial(self._consumer.get_watermark_offsets, cached=True)))

    # Rebalances

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._settle()
        numbers = [tp.partition for tp in partitions]
        # A closing consumer still serves a pending assignment, but no longer returns committed offsets; nothing will be
        # polled from it.
        starts = self._starts_at_end(numbers) if self._closing else self._starts(numbers)
        self._fetching.assign(starts)
        self._rebalanced("assigned", numbers)

    def _on_revoke(self, kind: str, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._settle()
        numbers = [tp.partition for tp in partitions]
        had_blocked = bool(self.blocked())
        for number in numbers:
            self._partitions.revoke(number)
        self._fetching.unassign(partitions)
        self._rebalanced(kind, numbers)
        if had_blocked:
            self._observer.blocked(self.blocked())

    def _rebalanced(self, kind: str, numbers: list[int]) -> None:
        self._partitions.reposition(numbers)
        assigned = sorted(self._partitions)
        log(PARTITIONS_CHANGED, topic=self._topic, kind=kind, partitions=sorted(numbers), assigned=assigned)
        self._observer.rebalanced(kind, frozenset(self._partitions))

    def _starts_at_end(self, numbers: Iterable[int]) -> dict[int, int]:
        for number in numbers:
            partition = self._partitions.add(number)
            partition.position, partition.metadata, partition.epoch = OFFSET_END, "", -1
        return dict.fromkeys(numbers, OFFSET_END)

    def _starts(self, numbers: Iterable[int]) -> dict[int, int]:
        """Returns the offset to start from in each partition, given the group's committed offsets."""
        wanted = [TopicPartition(self._topic, number) for number in numbers]
        try:
            committed = retry_transient(
                lambda: raise_on_partition_error(self._consumer.committed(wanted, timeout=ATTEMPT_S)), self._should_stop
            )
        except KafkaException as failure:
            error = failure.args[0]
            if triage(error) is Fault.FATAL:
                raise Fenced(error) from failure
            what = f"the offsets of group {self._settings.group_id}"
            raise BrokerError(refusal_of_member(error, what, self._settings)) from failure
        for tp in committed:
            self._identity.compare(decode_metadata(tp.metadata).topic_ids, self._identity.ids)
            partition = self._partitions.add(tp.partition)
            partition.position, partition.metadata = self._start_at(tp.partition, tp.offset), tp.metadata or ""
            committed_epoch = -1 if tp.leader_epoch is None else tp.leader_epoch
            partition.epoch = committed_epoch if partition.position == tp.offset else -1
            if partition.epoch >= 0:
                partition.is_unvalidated = True
        return {tp.partition: self._partitions[tp.partition].position for tp in committed}
