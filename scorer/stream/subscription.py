"""The consumer: its assigned partitions, the position in each, and what a poll returns."""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, cast

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from scorer.core.score import UnreadableRecord
from scorer.errors import BrokerError, ScorerError
from scorer.logs import CONSUMER_FAILED, PARTITION_BLOCKED, PARTITIONS_CHANGED, RECORDS_UNREADABLE, log
from scorer.settings import Settings
from scorer.stream.explain import offset_is_gone, records_lost, refusal_of_member, why_gone
from scorer.stream.faults import (
    ATTEMPT_S,
    Deadline,
    Fault,
    Fenced,
    Report,
    classify,
    must_stop,
    raise_on_partition_error,
    retry_transient,
    triage,
)
from scorer.stream.metadata import decode_metadata
from scorer.stream.observer import Observer
from scorer.stream.partition import Assignment, Event, Partition, StartAt, State
from scorer.stream.topic_ids import TopicIdentity
from scorer.stream.truncation import find_truncated, truncation_point
from scorer.stream.unreadable import end_of_unreadable
from scorer.stream.worker import Batch, Record

# How long a poll waits for the first record, and so the longest that a shutdown goes unnoticed.
_POLL_WAIT_S: Final = 0.2
_LAG_S: Final = 1.0
# Pause before the retry of a new partition that its leader does not know yet.
_NEW_PARTITION_PAUSE_S: Final = 0.2


class Subscription:
    """A consumer in the group, and the state of each partition assigned to it."""

    def __init__(
        self,
        settings: Settings,
        observer: Observer,
        should_stop: Callable[[], bool],
        start_at: StartAt,
        identity: TopicIdentity,
    ) -> None:
        """Does not connect; `open` joins the group.

        Args:
            settings: the brokers, the group and its topic.
            observer: notified of rebalances, lag and blocked partitions.
            should_stop: checked between attempts of a call; True once the shutdown timeout has elapsed.
            start_at: returns the offset to start from in each partition.
            identity: the topics' ids.
        """
        self._settings = settings
        self._topic = settings.applications_topic
        self._observer = observer
        self._should_stop = should_stop
        self._start_at = start_at
        self._identity = identity
        self._partitions = Assignment(self._topic)
        self._repositioned: set[int] = set()
        """Partitions that were assigned, revoked or rewound during the current poll, which drops their records."""
        self._unvalidated: set[int] = set()
        """Assigned partitions with a committed leader epoch, of which no record was polled yet."""
        self._to_reassign: set[int] = set()
        """Partitions that the consumer no longer fetches; the next poll assigns them again, at their positions."""
        self._paused: set[int] = set()
        """Partitions that are paused in the consumer, which stays so after they are revoked."""
        self._lag_reported_at = 0.0
        self._closing = False
        """Set by `close`: partitions that are assigned while it runs are not read."""

    def open(self, consumer: Consumer, settle: Callable[[], bool], incremental: bool) -> None:
        """Joins the group.

        Args:
            consumer: has the group's id, and no subscription yet.
            settle: waits for the delivery in flight; called at the start of each rebalance.
            incremental: whether rebalances are incremental (cooperative), not eager.
        """
        self._consumer, self._settle, self._incremental = consumer, settle, incremental
        revoked, lost = partial(self._on_revoke, "revoked"), partial(self._on_revoke, "lost")
        consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=revoked, on_lost=lost)

    def poll(self) -> Batch:
        """Waits briefly for a record, then returns all available records, up to the batch limit."""
        self._repositioned.clear()
        self._reassign()
        messages = self._consume(1, _POLL_WAIT_S)
        records_max = self._settings.batch_records_max
        if messages and records_max > 1:
            messages += self._consume(records_max - 1, self._settings.linger_ms / 1_000)
        self._report_lag()
        if self._repositioned:
            messages = self._without_repositioned(messages)
        if [message for message in messages if message.error() is not None]:
            return self._batch_to_ends(self._without_truncated(self._handle_errors(messages)))
        return self._batch(self._without_truncated(messages))

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
        starts = self._starts(self._partitions)
        self._repositioned.update(starts)  # drops records of them that the current poll has returned
        self._seek({n: offset for n, offset in starts.items() if self._partitions[n].state is not State.BLOCKED})
        self._resume_consumer([n for n in starts if self._partitions[n].state is State.PAUSED])

    def pause(self, numbers: Iterable[int]) -> None:
        """Stops polling these partitions until they are rewound or assigned again."""
        reading = [n for n in numbers if n in self._partitions and self._partitions[n].state is State.READING]
        if reading:
            self._pause_consumer(reading)
            for number in reading:
                self._partitions[number].state = State.PAUSED

    def blocked(self) -> dict[int, str]:
        """Returns the partitions that cannot be read from their committed offset, each with its reason."""
        return {number: self._partitions[number].reason for number in self._partitions.in_state(State.BLOCKED)}

    def group_metadata(self) -> object:
        """Returns the group metadata, with which transactions of a member that has left the group are fenced."""
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Leaves the group (a static member keeps its partitions until its session ends)."""
        self._closing = True
        self._consumer.close()

    # Polling

    def _consume(self, count_max: int, wait_s: float) -> list[Event]:
        return cast("list[Event]", self._consumer.consume(count_max, wait_s))

    def _batch(self, records: list[Event]) -> Batch:
        """Returns the batch of these records, with the next offset of each partition."""
        last = dict(zip([record.partition() for record in records], records, strict=True))
        self._partitions.note_epochs(last)
        return Batch(records, {number: record.offset() + 1 for number, record in last.items()})

    def _batch_to_ends(self, messages: list[Event]) -> Batch:
        """Returns the batch if some messages report the end of a partition, which may follow transaction markers."""
        records: list[Record] = []
        offsets_next: dict[int, int] = {}
        last: dict[int, Event] = {}
        for message in messages:
            number, offset = message.partition(), message.offset()
            if message.error() is None:
                records.append(message)
                offsets_next[number] = offset + 1
                last[number] = message
            elif number in self._partitions and self._partitions[number].position != offset:
                offsets_next[number] = offset
        self._partitions.note_epochs(last)
        return Batch(records, offsets_next)

    def _handle_errors(self, messages: list[Event]) -> list[Event]:
        """Handles errors that the consumer reports; returns the records and the ends of partitions."""
        remaining: list[Event] = []
        for message in messages:
            error, number = message.error(), message.partition()
            partition = self._partitions.get(number)
            if number in self._to_reassign or (partition is not None and partition.state is State.BLOCKED):
                continue  # it is polled again
            report = None if error is None else classify(error)
            if error is None or report is Report.END:
                remaining.append(message)
            elif partition is not None and (report is Report.OUT_OF_RANGE or partition.is_new_to(error)):
                reason = self._why_out_of_range(number, error)
                if reason:
                    self._block(number, reason)
                else:
                    log(CONSUMER_FAILED, topic=self._topic, error=error.str())
                    self._to_reassign.add(number)
            elif partition is not None and report is Report.UNREADABLE:
                remaining += self._stand_ins_for_unreadable(number, message.offset(), error)
                self._to_reassign.add(number)
            else:
                self._on_consumer_error(error, message.topic() or self._topic)
        return remaining

    def _without_repositioned(self, messages: list[Event]) -> list[Event]:
        """Drops the records of partitions that were repositioned during this poll, and reads them again.

        The callbacks run inside `consume`, so it can return records of a partition that were fetched before it was
        revoked, and the same ones again after it was reassigned. None is decided yet, so rewinding loses nothing.
        """
        dropped = {message.partition() for message in messages} & self._repositioned
        self._seek({n: self._partitions[n].position for n in dropped & self._partitions.keys()})
        return [message for message in messages if message.partition() not in self._repositioned]

    def _without_truncated(self, messages: list[Event]) -> list[Event]:
        """Blocks partitions whose processed records the brokers lost before this worker was assigned them.

        If the leader has not changed since the offset was committed, no check is needed. If it changes while the worker
        reads, librdkafka itself checks, and reports that the offset is out of range.
        """
        if not self._unvalidated or self._unvalidated.isdisjoint({message.partition() for message in messages}):
            return messages
        first = {m.partition(): m for m in reversed(messages) if m.error() is None}
        epochs = {n: self._partitions[n].epoch for n in self._unvalidated & first.keys()}
        new_leaders = [n for n, epoch in epochs.items() if (first[n].leader_epoch() or 0) > epoch]
        self._unvalidated -= epochs.keys()
        if not new_leaders:
            return messages
        positions = self._partitions.at({n: self._partitions[n].position for n in new_leaders})
        truncations = find_truncated(self._settings, positions, Deadline(ATTEMPT_S, self._should_stop))
        for tp in positions:
            lost_from = truncations.lost_from.get(tp.partition)
            if lost_from is not None:
                self._block(tp.partition, offset_is_gone(records_lost(lost_from), tp, self._settings))
        self._seek({number: self._partitions[number].position for number in truncations.unanswered})
        self._unvalidated |= truncations.unanswered
        dropped = truncations.unanswered | truncations.lost_from.keys()
        return [message for message in messages if message.partition() not in dropped]

    def _stand_ins_for_unreadable(self, number: int, first: int, error: KafkaError) -> list[Event]:
        """Returns placeholders for the records of an unreadable batch, at most `batch_records_max` at a time."""
        try:
            end = end_of_unreadable(self._settings, self._topic, number, first)
        except ScorerError as failure:
            self._block(number, str(failure))
            return []
        first = max(first, self._partitions[number].position)
        end = min(end, first + self._settings.batch_records_max)
        count, reason = end - first, error.str()
        log(RECORDS_UNREADABLE, topic=self._topic, partition=number, offset=first, records=count, error=reason)
        return [UnreadableRecord(self._topic, number, offset) for offset in range(first, end)]

    def _reassign(self) -> None:
        """Reassigns partitions that the consumer no longer fetches, which discards fetched records; a seek does not.

        Called between polls, when the positions are past all polled records.
        """
        numbers = self._to_reassign & self._partitions.keys() - self._partitions.in_state(State.BLOCKED)
        self._to_reassign.clear()
        positions = self._partitions.positions()
        if numbers and self._incremental:
            partitions = self._partitions.at({number: positions[number] for number in numbers})
            self._consumer.incremental_unassign(partitions)
            self._consumer.incremental_assign(partitions)
        elif numbers:
            self._consumer.unassign()  # discards pending events
            self._consumer.assign(self._partitions.at(positions))
            self._pause_consumer(self._paused & self._partitions.keys())

    def _on_consumer_error(self, error: KafkaError, topic: str) -> None:
        if triage(error) is Fault.FATAL:
            raise Fenced(error)
        if must_stop(error):
            raise BrokerError(refusal_of_member(error, f"topic {topic}", self._settings))
        log(CONSUMER_FAILED, topic=topic, error=error.str())

    # Rebalances

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._settle()
        numbers = [tp.partition for tp in partitions]
        # A closing consumer still serves a pending assignment, but no longer returns committed offsets; nothing will be
        # polled from it.
        starts = self._starts_at_end(numbers) if self._closing else self._starts(numbers)
        # Before the assignment: resuming can make the consumer ignore the start offset (librdkafka#5591).
        self._resume_consumer(numbers)
        assign = self._consumer.incremental_assign if self._incremental else self._consumer.assign
        assign(self._partitions.at(starts))
        self._rebalanced("assigned", partitions)

    def _on_revoke(self, kind: str, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._settle()
        had_blocked = bool(self.blocked())
        for tp in partitions:
            self._partitions.pop(tp.partition, None)
            self._unvalidated.discard(tp.partition)
        if self._incremental:
            self._consumer.incremental_unassign(partitions)
        else:
            self._consumer.unassign()
        self._rebalanced(kind, partitions)
        if had_blocked:
            self._observer.blocked(self.blocked())

    def _rebalanced(self, kind: str, partitions: list[TopicPartition]) -> None:
        numbers = sorted(tp.partition for tp in partitions)
        self._repositioned.update(numbers)
        log(PARTITIONS_CHANGED, topic=self._topic, kind=kind, partitions=numbers, assigned=sorted(self._partitions))
        self._observer.rebalanced(kind, frozenset(self._partitions))

    def _starts_at_end(self, numbers: Iterable[int]) -> dict[int, int]:
        for number in numbers:
            self._partitions[number] = Partition(OFFSET_END, "")
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
            partition = self._partitions.setdefault(tp.partition, Partition(tp.offset, ""))
            partition.position, partition.metadata = self._start_at(tp.partition, tp.offset), tp.metadata or ""
            committed_epoch = -1 if tp.leader_epoch is None else tp.leader_epoch
            partition.epoch = committed_epoch if partition.position == tp.offset else -1
            if partition.epoch >= 0:
                self._unvalidated.add(tp.partition)
        return {tp.partition: self._partitions[tp.partition].position for tp in committed}

    def _seek(self, offsets: Mapping[int, int]) -> None:
        for tp in self._partitions.at(offsets):
            try:
                self._consumer.seek(tp)
            except KafkaException as error:
                # It is not started yet, or has failed; the next polls return its fetched records and the error.
                if error.args[0].code() != KafkaError._STATE:
                    raise
                self._to_reassign.add(tp.partition)

    def _pause_consumer(self, numbers: Iterable[int]) -> None:
        self._paused.update(numbers)
        self._consumer.pause(self._partitions.at(dict.fromkeys(numbers, 0)))

    def _resume_consumer(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._partitions[number].state, self._partitions[number].reason = State.READING, ""
        self._consumer.resume(self._partitions.at(dict.fromkeys(self._paused.intersection(numbers), 0)))
        self._paused.difference_update(numbers)

    # Partitions that cannot be read

    def _block(self, number: int, reason: str) -> None:
        """Stops reading a partition; the others continue."""
        self._pause_consumer([number])
        partition = self._partitions[number]
        partition.state, partition.reason = State.BLOCKED, reason
        log(PARTITION_BLOCKED, topic=self._topic, partition=number, reason=reason)
        self._observer.blocked(self.blocked())

    def _why_out_of_range(self, number: int, error: KafkaError) -> str:
        """Returns why the records after a partition's position are missing; empty if they exist.

        After a corrupt batch, librdkafka can request an offset that never existed, and report that one.

        Raises:
            TopicRecreatedError: they are missing because the topic was deleted and created again.
        """
        self._identity.begin_check()
        self._identity.finish_check()
        position = self._partitions[number].position
        if position < 0:
            time.sleep(_NEW_PARTITION_PAUSE_S)
            return ""
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout=ATTEMPT_S)
        except KafkaException:
            low = high = -1
        if truncation_point(error) is None and 0 <= low <= position <= high:
            return ""
        tp = TopicPartition(self._topic, number, position)
        return offset_is_gone(why_gone(error, tp, low, high), tp, self._settings)

    def _report_lag(self) -> None:
        now = time.monotonic()
        if now - self._lag_reported_at < _LAG_S:
            return
        self._lag_reported_at = now
        self._observer.lag(self._partitions.lag(partial(self._consumer.get_watermark_offsets, cached=True)))
