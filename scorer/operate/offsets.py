"""Shows a group's offsets with the problem of each, and resets them."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.rights import Operation, to_topic
from scorer.errors import BrokerError, MisuseError, OffsetsError
from scorer.operate.group import describe_group
from scorer.settings import Settings
from scorer.stream.explain import refusal
from scorer.stream.faults import Deadline, raise_on_partition_error, retry_transient
from scorer.stream.group_offsets import CommittedOffsets
from scorer.stream.librdkafka import open_reader
from scorer.stream.metadata import CommittedMetadata, decode_metadata
from scorer.stream.requests import ask_bounds, find_partitions, metadata_of
from scorer.stream.rights import to_own_group
from scorer.stream.topic_ids import TopicIdentity
from scorer.stream.truncation import find_truncated

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

_ANSWER_S: Final = 15.0
_POLL_INTERVAL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class PartitionOffsets:
    """A partition of the applications topic and the group's committed offset in it."""

    partition: int
    committed: int
    """Below 0 if the group has committed nothing."""
    first: int
    """The first remaining offset."""
    end: int
    metadata: CommittedMetadata
    epoch: int
    """The leader epoch of the record before the committed offset; below 0 if it is not known."""
    recreated: bool
    """Whether the committed offset belongs to a deleted topic of the same name."""
    lost_from: int | None = None
    """The first offset of the processed records that the brokers lost; None if they lost none."""

    @property
    def lag(self) -> int:
        """Number of offsets that the group has not processed yet; some may have no record."""
        return max(0, self.end - max(self.committed, self.first))

    @property
    def problem(self) -> str:
        """Why a worker cannot continue from here; empty if it can."""
        if self.committed < 0:
            return ""
        if self.recreated:
            return "the topic was deleted and created again"
        if self.committed < self.first:
            return f"retention deleted {self.first - self.committed} records that were never processed"
        if self.lost_from is not None:
            return f"the brokers lost the processed records from {self.lost_from} on; newer ones reuse their offsets"
        if self.committed > self.end:
            return f"the partition ends {self.committed - self.end} records before the committed offset"
        return ""


@dataclass(frozen=True, slots=True)
class GroupOffsets:
    """All partitions, and the topics that were recreated since the group processed them."""

    partitions: tuple[PartitionOffsets, ...]
    recreated: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """The change that a reset makes to the offset of a partition."""

    partition: int
    before: int
    after: int
    problem: str


class OffsetsTool:
    """Shows and resets the offsets of a group, without joining it."""

    def __init__(self, settings: Settings) -> None:
        """Connects.

        Raises:
            SettingsError: a librdkafka property is invalid.
            BrokerError: no broker answers.
            TopicsError: the applications topic is missing.
        """
        self._settings = settings
        self._identity = TopicIdentity(settings)
        topic = settings.applications_topic
        self._numbers = find_partitions(self._identity.admin, settings, topic, _ANSWER_S)
        with self._explain_errors():
            self._identity.read(Deadline(_ANSWER_S))
        self._require_deployments()
        self._offsets = CommittedOffsets(settings, Operation.READ)
        self._consumer = open_reader(settings, {})

    def close(self) -> None:
        """Closes the consumers."""
        self._offsets.close()
        self._consumer.close()

    def read(self) -> GroupOffsets:
        """Returns the current offsets.

        Raises:
            BrokerError: the brokers do not answer, or return an error.
        """
        topic, deployments = self._settings.applications_topic, self._settings.deployments_topic
        requested = [TopicPartition(topic, number) for number in self._numbers]
        if deployments in self._identity.ids:
            requested.append(TopicPartition(deployments, 0))
        committed = {(tp.topic, tp.partition): tp for tp in self._offsets.read(requested, _ANSWER_S) if tp.offset >= 0}
        with self._explain_errors():
            ends = {number: ask_bounds(self._consumer, topic, number, _ANSWER_S) for number in self._numbers}
        not_expired = [tp for tp in committed.values() if tp.topic == topic and tp.offset >= ends[tp.partition][0]]
        lost_from, unanswered = find_truncated(self._settings, not_expired, Deadline(_ANSWER_S))
        if unanswered:
            raise BrokerError(
                f"the leaders of {topic}{sorted(unanswered)} did not report within {_ANSWER_S:g} s whether records "
                "were lost"
            )
        ids, recreated = self._identity.ids, set[str]()
        for tp in committed.values():
            committed_ids = decode_metadata(tp.metadata).topic_ids
            recreated |= {name for name in committed_ids if name in ids and committed_ids[name] != ids[name]}
        partitions = []
        for number in self._numbers:
            committed_tp = committed.get((topic, number))
            metadata = decode_metadata(None if committed_tp is None else committed_tp.metadata)
            is_recreated = topic in ids and metadata.topic_ids.get(topic, ids[topic]) != ids[topic]
            offset = -1 if committed_tp is None else committed_tp.offset
            epoch = -1 if committed_tp is None or committed_tp.leader_epoch is None else committed_tp.leader_epoch
            partitions.append(
                PartitionOffsets(number, offset, *ends[number], metadata, epoch, is_recreated, lost_from.get(number))
            )
        return GroupOffsets(tuple(partitions), tuple(sorted(recreated)))

    def plan(self, numbers: Collection[int], to_offset: int | None) -> list[Change]:
        """Returns the changes of a reset; without `to_offset`, only of partitions from which a worker cannot continue.

        Args:
            numbers: only these partitions; none means all.
            to_offset: the offset to continue at; None continues at the first remaining record, or after the last
                processed record that the brokers still have.

        Raises:
            MisuseError: a partition does not exist, or needs an explicit offset.
            BrokerError: the brokers do not answer, or return an error.
        """
        unknown = sorted(set(numbers) - set(self._numbers))
        if unknown:
            raise MisuseError(
                f"topic {self._settings.applications_topic} has partitions 0 to {self._numbers[-1]}, not "
                f"{', '.join(map(str, unknown))}"
            )
        changes = []
        for partition in self.read().partitions:
            if numbers and partition.partition not in numbers:
                continue
            if not partition.problem and to_offset is None:
                continue
            after = partition.first if to_offset is None else to_offset
            if to_offset is None and not partition.recreated and partition.lost_from is not None:
                after = max(partition.first, partition.lost_from)
            elif to_offset is None and not partition.recreated and partition.committed > partition.end:
                raise MisuseError(
                    f"partition {partition.partition} ends at {partition.end}, but the group has committed "
                    f"{partition.committed}: the brokers lost records, and newer ones may reuse their offsets. "
                    f"Choose where to continue: --partition {partition.partition} --to-offset N, with N from "
                    f"{partition.first} to {partition.end}"
                )
            if not partition.first <= after <= partition.end:
                raise MisuseError(
                    f"--to-offset {after}: partition {partition.partition} has offsets from {partition.first} to "
                    f"{partition.end}"
                )
            changes.append(Change(partition.partition, partition.committed, after, partition.problem))
        return changes

    def reset(self, changes: list[Change], wait_s: float) -> None:
        """Commits the changes, with the current ids of the topics.

        Args:
            changes: the result of `plan`.
            wait_s: how long to wait for the group to have no members, in seconds.

        Raises:
            OffsetsError: the group has members; brokers change offsets only for a group without members.
            BrokerError: the brokers do not answer, or return an error.
        """
        self._wait_until_empty(wait_s)
        topic, deployments = self._settings.applications_topic, self._settings.deployments_topic
        after = {change.partition: change.after for change in changes}
        offsets = []
        for partition in self.read().partitions:
            offset = after.get(partition.partition, partition.committed)
            if offset >= 0:
                bundle = "" if partition.partition in after else partition.metadata.bundle
                metadata = CommittedMetadata(bundle, self._identity.ids).encode()
                epoch = -1 if partition.partition in after else partition.epoch
                offsets.append(TopicPartition(topic, partition.partition, offset, metadata, epoch))
        if deployments in self._identity.ids:
            with self._explain_errors():
                _, end = ask_bounds(self._consumer, deployments, 0, _ANSWER_S)
            offsets.append(TopicPartition(deployments, 0, end, CommittedMetadata("", self._identity.ids).encode()))
        with self._explain_errors():
            retry_transient(
                lambda: raise_on_partition_error(self._consumer.commit(offsets=offsets, asynchronous=False)),
                Deadline(_ANSWER_S),
            )

    def _wait_until_empty(self, wait_s: float) -> None:
        ends_at = time.monotonic() + wait_s
        while members := self._members(self._identity.admin):
            if time.monotonic() > ends_at:
                raise OffsetsError(
                    f"group {self._settings.group_id} has {members} members: stop its workers and run this again. A "
                    "killed worker remains a member until its session.timeout.ms (20 s) has elapsed"
                )
            time.sleep(_POLL_INTERVAL_S)

    def _members(self, admin: "AdminClient") -> int:
        return len(describe_group(admin, self._settings, _ANSWER_S).members)

    def _require_deployments(self) -> None:
        """Checks the right to the deployments topic: without it, the topic looks missing, and a reset omits its offset.

        Raises:
            BrokerError: the right is missing.
        """
        deployments = self._settings.deployments_topic
        if deployments in self._identity.ids:
            return
        error = metadata_of(self._identity.admin, self._settings, _ANSWER_S, deployments).topics[deployments].error
        if error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            right = to_topic(Operation.READ, deployments)
            raise BrokerError(refusal(error, f"topic {deployments}", self._settings, right))

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as failure:
            what = f"the offsets of group {self._settings.group_id}"
            topics = self._settings.applications_topic, self._settings.deployments_topic
            needed = [to_own_group(self._settings, Operation.READ), *(to_topic(Operation.READ, t) for t in topics)]
            raise BrokerError(refusal(failure.args[0], what, self._settings, *needed)) from failure
