"""The consumer: the partitions that the group gave this worker, the position in each, what a poll returns of them."""

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
from scorer.stream.unreadable import UNREADABLE_CODES, end_of_unreadable
from scorer.stream.worker import Batch, Record

# How long a poll waits for the first record. A stop is noticed after it at the latest.
_POLL_WAIT_S: Final = 0.2
_LAG_S: Final = 1.0
# Before a partition is asked for again whose leader does not know it yet.
_NEW_S: Final = 0.2
_OUT_OF_RANGE: Final = frozenset(
    {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION}
)


class Subscription:
    """A consumer in the group, and the state of each partition that it has."""

    def __init__(
        self,
        settings: Settings,
        observer: Observer,
        should_stop: Callable[[], bool],
        start_at: StartAt,
        identity: TopicIdentity,
    ) -> None:
        """Takes what it needs; `open` joins the group.

        Args:
            settings: the brokers, the group and its topic.
            observer: told of rebalances, lag and blocked partitions.
            should_stop: asked between two attempts of a call; True when a stop may wait no longer.
            start_at: where to start in each partition.
            identity: the topics' ids.
        """
        self._settings = settings
        self._topic = settings.applications_topic
        self._observer = observer
        self._should_stop = should_stop
        self._start_at = start_at
        self._identity = identity
        self._partitions = Assignment(self._topic)
        self._moved: set[int] = set()
        """Partitions that came, went or were rewound during the current poll: what it returns of them is dropped."""
        self._unvalidated: set[int] = set()
        """Assigned partitions of which no record was polled yet; only those that have a committed leader epoch."""
        self._given_up: set[int] = set()
        """Partitions that the consumer may fetch no more; the next poll assigns them again, at their positions."""
        self._held: set[int] = set()
        """Partitions that the consumer holds paused, also once they were taken away."""
        self._lag_told_at = 0.0
        self._leaving = False
        """Set by `close`: an assignment that is served inside of it starts nowhere."""

    def open(self, consumer: Consumer, settle: Callable[[], bool], incremental: bool) -> None:
        """Joins the group.

        Args:
            consumer: in the group, subscribed to nothing yet.
            settle: waits for what is in flight; called before partitions come or go.
            incremental: whether the consumer is told of the partitions that come and go, or of all anew.
        """
        self._consumer, self._settle, self._incremental = consumer, settle, incremental
        revoked, lost = partial(self._drop, "revoked"), partial(self._drop, "lost")
        consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=revoked, on_lost=lost)

    def poll(self) -> Batch:
        """Waits a moment for a record, then takes what is there."""
        self._moved.clear()
        self._start_again()
        messages = self._consume(1, _POLL_WAIT_S)
        most = self._settings.batch_records_max
        if messages and most > 1:
            messages += self._consume(most - 1, self._settings.linger_ms / 1_000)
        self._tell_lag()
        if self._moved:
            messages = self._without_moved(messages)
        if [message for message in messages if message.error() is not None]:
            return self._batch_to_ends(self._without_lost(self._without_failures(messages)))
        return self._batch(self._without_lost(messages))

    def behind(self, metadata: str) -> dict[int, int]:
        """The position of each partition whose committed offset does not have this metadata yet."""
        return {
            number: partition.position
            for number, partition in self._partitions.items()
            if partition.position >= 0 and partition.metadata != metadata
        }

    def advance(self, offsets_next: Mapping[int, int], metadata: str) -> list[TopicPartition]:
        """Moves the positions behind a batch that is about to be published; returns the offsets to commit."""
        for number, offset in offsets_next.items():
            partition = self._partitions.get(number)
            if partition is not None:
                partition.position, partition.metadata = offset, metadata
        return self._partitions.at(offsets_next, metadata)

    def rewind(self) -> None:
        """Continues from what the group has committed, in all partitions: what was polled since comes again.

        Raises:
            BrokerError, TopicRecreatedError: that cannot be known.
        """
        starts = self._starts(self._partitions)
        self._moved.update(starts)  # what this very poll may have returned of them comes again too
        self._seek({n: offset for n, offset in starts.items() if self._partitions[n].state is not State.BLOCKED})
        self._resume([n for n in starts if self._partitions[n].state is State.PAUSED])

    def pause(self, numbers: Iterable[int]) -> None:
        """Polls these partitions no more, until they are rewound or assigned again."""
        reading = [n for n in numbers if n in self._partitions and self._partitions[n].state is State.READING]
        if reading:
            self._hold(reading)
            for number in reading:
                self._partitions[number].state = State.PAUSED

    def blocked(self) -> dict[int, str]:
        """The partitions that cannot be read from where the group is, with the reason of each."""
        return {number: self._partitions[number].reason for number in self._partitions.in_state(State.BLOCKED)}

    def group_metadata(self) -> object:
        """What fences a transaction of a member that is no longer in the group."""
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Leaves the group (a static member keeps its partitions until its session ends)."""
        self._leaving = True
        self._consumer.close()

    # Polling

    def _consume(self, most: int, wait_s: float) -> list[Event]:
        return cast("list[Event]", self._consumer.consume(most, wait_s))

    def _batch(self, records: list[Event]) -> Batch:
        """Where each partition continues after these records."""
        last = dict(zip([record.partition() for record in records], records, strict=True))
        self._partitions.note_epochs(last)
        return Batch(records, {number: record.offset() + 1 for number, record in last.items()})

    def _batch_to_ends(self, messages: list[Event]) -> Batch:
        """A batch where some messages say that their partition's end is reached, possibly behind markers."""
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

    def _without_failures(self, messages: list[Event]) -> list[Event]:
        """Handles what the consumer reports; the records and the ends of partitions remain."""
        kept: list[Event] = []
        for message in messages:
            error, number = message.error(), message.partition()
            partition = self._partitions.get(number)
            if number in self._given_up or (partition is not None and partition.state is State.BLOCKED):
                continue  # it comes again
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                kept.append(message)
            elif partition is not None and (error.code() in _OUT_OF_RANGE or partition.is_new_to(error)):
                reason = self._out_of_range(number, error)
                if reason:
                    self._block(number, reason)
                else:
                    log(CONSUMER_FAILED, topic=self._topic, error=error.str())
                    self._given_up.add(number)
            elif partition is not None and error.code() in UNREADABLE_CODES:
                kept += self._unreadable(number, message.offset(), error)
                self._given_up.add(number)
            else:
                self._on_consumer_error(error, message.topic() or self._topic)
        return kept

    def _without_moved(self, messages: list[Event]) -> list[Event]:
        """Drops what was polled of partitions that came or went during this poll, and reads those again.

        The callbacks run inside `consume`, so that what it returns can hold records of a partition from before it was
        taken away, and again from after it came back. Nothing of them has been decided: rewinding loses nothing.
        """
        dropped = {message.partition() for message in messages} & self._moved
        self._seek({n: self._partitions[n].position for n in dropped & self._partitions.keys()})
        return [message for message in messages if message.partition() not in self._moved]

    def _without_lost(self, messages: list[Event]) -> list[Event]:
        """Blocks partitions whose records the brokers lost before this worker was assigned them.

        Where the leader has not changed since the offset was committed there is nothing to ask. When it changes while
        the worker reads, librdkafka asks itself, and reports that the offset is out of range.
        """
        if not self._unvalidated or self._unvalidated.isdisjoint({message.partition() for message in messages}):
            return messages
        first = {m.partition(): m for m in reversed(messages) if m.error() is None}
        known = {n: self._partitions[n].epoch for n in self._unvalidated & first.keys()}
        elected = [n for n, epoch in known.items() if (first[n].leader_epoch() or 0) > epoch]
        self._unvalidated -= known.keys()
        if not elected:
            return messages
        positions = self._partitions.at({n: self._partitions[n].position for n in elected})
        found = find_truncated(self._settings, positions, Deadline(ATTEMPT_S, self._should_stop))
        for at in positions:
            lost_from = found.lost_from.get(at.partition)
            if lost_from is not None:
                self._block(at.partition, offset_is_gone(records_lost(lost_from), at, self._settings))
        self._seek({number: self._partitions[number].position for number in found.unanswered})
        self._unvalidated |= found.unanswered
        dropped = found.unanswered | found.lost_from.keys()
        return [message for message in messages if message.partition() not in dropped]

    def _unreadable(self, number: int, first: int, error: KafkaError) -> list[Event]:
        """Stands in for the records of a batch that cannot be read, as many at a time as a batch has at most."""
        try:
            end = end_of_unreadable(self._settings, self._topic, number, first)
        except ScorerError as failure:
            self._block(number, str(failure))
            return []
        first = max(first, self._partitions[number].position)
        end = min(end, first + self._settings.batch_records_max)
        count, why = end - first, error.str()
        log(RECORDS_UNREADABLE, topic=self._topic, partition=number, offset=first, records=count, error=why)
        return [UnreadableRecord(self._topic, number, offset) for offset in range(first, end)]

    def _start_again(self) -> None:
        """Assigns partitions again that were given up, with what was fetched of them so far: a seek does not do.

        Between two polls: everything that was polled is behind the positions by then.
        """
        numbers = self._given_up & self._partitions.keys() - self._partitions.in_state(State.BLOCKED)
        self._given_up.clear()
        positions = self._partitions.positions()
        if numbers and self._incremental:
            again = self._partitions.at({number: positions[number] for number in numbers})
            self._consumer.incremental_unassign(again)
            self._consumer.incremental_assign(again)
        elif numbers:
            self._consumer.unassign()  # with what it has still to report
            self._consumer.assign(self._partitions.at(positions))
            self._hold(self._held & self._partitions.keys())

    def _on_consumer_error(self, error: KafkaError, topic: str) -> None:
        if triage(error) is Fault.FATAL:
            raise Fenced(error)
        if must_stop(error):
            raise BrokerError(refusal_of_member(error, f"topic {topic}", self._settings))
        log(CONSUMER_FAILED, topic=topic, error=error.str())

    # Partitions come and go

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._settle()
        numbers = [tp.partition for tp in partitions]
        # A consumer that closes serves the assignment that was under way, but answers for no offsets any more; nothing
        # will be polled from there.
        starts = self._first_starts(numbers) if self._leaving else self._starts(numbers)
        self._resume(numbers)  # before they start: a resume can make the consumer ignore the start (librdkafka#5591)
        take = self._consumer.incremental_assign if self._incremental else self._consumer.assign
        take(self._partitions.at(starts))
        self._rebalanced("assigned", partitions)

    def _drop(self, kind: str, _: Consumer, partitions: list[TopicPartition]) -> None:
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
        self._moved.update(numbers)
        log(PARTITIONS_CHANGED, topic=self._topic, kind=kind, partitions=numbers, assigned=sorted(self._partitions))
        self._observer.rebalanced(kind, frozenset(self._partitions))

    def _first_starts(self, numbers: Iterable[int]) -> dict[int, int]:
        for number in numbers:
            self._partitions[number] = Partition(OFFSET_END, "")
        return dict.fromkeys(numbers, OFFSET_END)

    def _starts(self, numbers: Iterable[int]) -> dict[int, int]:
        """The offset to start from in each partition: where the group left off, or the beginning."""
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
                # It is about to start, or has failed, which is about to be polled, with what was fetched before.
                if error.args[0].code() != KafkaError._STATE:
                    raise
                self._given_up.add(tp.partition)

    def _hold(self, numbers: Iterable[int]) -> None:
        self._held.update(numbers)
        self._consumer.pause(self._partitions.at(dict.fromkeys(numbers, 0)))

    def _resume(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._partitions[number].state, self._partitions[number].reason = State.READING, ""
        self._consumer.resume(self._partitions.at(dict.fromkeys(self._held.intersection(numbers), 0)))
        self._held.difference_update(numbers)

    # Partitions that cannot be read

    def _block(self, number: int, reason: str) -> None:
        """Reads nothing more of a partition; the others go on."""
        self._hold([number])
        partition = self._partitions[number]
        partition.state, partition.reason = State.BLOCKED, reason
        log(PARTITION_BLOCKED, topic=self._topic, partition=number, reason=reason)
        self._observer.blocked(self.blocked())

    def _out_of_range(self, number: int, error: KafkaError) -> str:
        """Why the records behind a partition's position are not there; empty if they are.

        Behind a damaged batch librdkafka can ask for an offset that never was, and report that one.

        Raises:
            TopicRecreatedError: because the topic is another one.
        """
        self._identity.begin_check()
        self._identity.finish_check()
        position = self._partitions[number].position
        if position < 0:
            time.sleep(_NEW_S)
            return ""
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout=ATTEMPT_S)
        except KafkaException:
            low = high = -1
        if truncation_point(error) is None and 0 <= low <= position <= high:
            return ""
        at = TopicPartition(self._topic, number, position)
        return offset_is_gone(why_gone(error, at, low, high), at, self._settings)

    def _tell_lag(self) -> None:
        now = time.monotonic()
        if now - self._lag_told_at < _LAG_S:
            return
        self._lag_told_at = now
        self._observer.lag(self._partitions.lag(partial(self._consumer.get_watermark_offsets, cached=True)))
