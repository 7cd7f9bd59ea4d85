"""What the errors that a poll returns mean: they are passed over, block their partition, or end the worker."""

import time
from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from scorer.core.records import UnreadableRecord
from scorer.errors import BrokerError, ScorerError
from scorer.logs import CONSUMER_FAILED, PARTITION_BLOCKED, RECORDS_UNREADABLE, log
from scorer.settings import Settings
from scorer.stream.explain import offset_is_gone, records_lost, refusal_of_member, why_gone
from scorer.stream.faults import ATTEMPT_S, Deadline, Fault, Fenced, Report, classify, must_stop, triage
from scorer.stream.fetching import Fetching
from scorer.stream.observer import Observer
from scorer.stream.partition import Event, State
from scorer.stream.topic_ids import TopicIdentity
from scorer.stream.truncation import find_truncated, truncation_point
from scorer.stream.unreadable import end_of_unreadable

# Pause before the retry of a new partition that its leader does not know yet.
_NEW_PARTITION_PAUSE_S: Final = 0.2


class PollErrors:
    """Handles errors of assigned partitions and of the consumer."""

    def __init__(
        self,
        settings: Settings,
        observer: Observer,
        should_stop: Callable[[], bool],
        identity: TopicIdentity,
        fetching: Fetching,
    ) -> None:
        self._settings = settings
        self._topic = settings.applications_topic
        self._observer = observer
        self._should_stop = should_stop
        self._identity = identity
        self._fetching = fetching
        self._partitions = fetching.partitions

    def handle(self, messages: list[Event]) -> list[Event]:
        """Handles errors that the consumer reports; returns the records and the ends of partitions.

        Raises:
            Fenced: the consumer was replaced by another member of the group.
            BrokerError: a right, a setting or the client is wrong.
            TopicRecreatedError: records are missing because the topic was deleted and created again.
        """
        remaining: list[Event] = []
        for message in messages:
            error, number = message.error(), message.partition()
            partition = self._partitions.get(number)
            if partition is not None and (partition.is_to_reassign or partition.state is State.BLOCKED):
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
                    partition.is_to_reassign = True
            elif partition is not None and report is Report.UNREADABLE:
                remaining += self._stand_ins_for_unreadable(number, message.offset(), error)
                partition.is_to_reassign = True
            else:
                self._on_consumer_error(error, message.topic() or self._topic)
        return remaining

    def without_truncated(self, messages: list[Event]) -> list[Event]:
        """Blocks partitions whose processed records the brokers lost before this worker was assigned them.

        If the leader has not changed since the offset was committed, no check is needed. If it changes while the worker
        reads, librdkafka itself checks, and reports that the offset is out of range.
        """
        unvalidated = {number for number, partition in self._partitions.items() if partition.is_unvalidated}
        if not unvalidated or unvalidated.isdisjoint({message.partition() for message in messages}):
            return messages
        first = {m.partition(): m for m in reversed(messages) if m.error() is None}
        epochs = {n: self._partitions[n].epoch for n in unvalidated & first.keys()}
        new_leaders = [n for n, epoch in epochs.items() if (first[n].leader_epoch() or 0) > epoch]
        for number in epochs:
            self._partitions[number].is_unvalidated = False
        if not new_leaders:
            return messages
        positions = self._partitions.at({n: self._partitions[n].position for n in new_leaders})
        truncations = find_truncated(self._settings, positions, Deadline(ATTEMPT_S, self._should_stop))
        for tp in positions:
            lost_from = truncations.lost_from.get(tp.partition)
            if lost_from is not None:
                self._block(tp.partition, offset_is_gone(records_lost(lost_from), tp, self._settings))
        self._fetching.seek({number: self._partitions[number].position for number in truncations.unanswered})
        for number in truncations.unanswered:
            self._partitions[number].is_unvalidated = True
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

    def _on_consumer_error(self, error: KafkaError, topic: str) -> None:
        if triage(error) is Fault.FATAL:
            raise Fenced(error)
        if must_stop(error):
            raise BrokerError(refusal_of_member(error, f"topic {topic}", self._settings))
        log(CONSUMER_FAILED, topic=topic, error=error.str())

    def _block(self, number: int, reason: str) -> None:
        """Stops reading a partition; the others continue."""
        self._fetching.pause([number], State.BLOCKED, reason)
        log(PARTITION_BLOCKED, topic=self._topic, partition=number, reason=reason)
        self._observer.blocked(self._partitions.blocked())

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
        tp = TopicPartition(self._topic, number, position)
        try:
            low, high = self._fetching.consumer.get_watermark_offsets(tp, timeout=ATTEMPT_S)
        except KafkaException:
            low = high = -1
        if truncation_point(error) is None and 0 <= low <= position <= high:
            return ""
        return offset_is_gone(why_gone(error, tp, low, high), tp, self._settings)
