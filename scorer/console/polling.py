"""Polls the consumer lag, the group and the deployment history once per second."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from threading import Event
from typing import Final

from confluent_kafka import TopicPartition

from scorer.console.deployed import newest, not_deployed
from scorer.console.live import GroupState, Live, Part
from scorer.console.unswitched import UnswitchedTracker
from scorer.operate.group import Group, describe_group
from scorer.operate.latest import GroupFigures, Latest
from scorer.operate.reading import TopicReader
from scorer.settings import Settings
from scorer.stream.admin import admin_client
from scorer.stream.group_offsets import CommittedOffsets
from scorer.stream.history import HistoryReader
from scorer.stream.history_record import Line
from scorer.stream.metadata import decode_metadata

_INTERVAL_S: Final = 1.0
_ANSWER_S: Final = 5.0
_DESCRIBE_INTERVAL_S: Final = 5.0


def poll_group(settings: Settings, live: Live, latest: Latest[GroupFigures], stop: Event) -> None:
    """Polls until `stop` is set.

    Args:
        settings: the topics and the group.
        live: receives the state.
        latest: receives the figures for the metrics.
        stop: ends the polling.

    Raises:
        SettingsError, TopicsError, BrokerError: a topic is missing, or a broker does not answer.
    """
    with closing(_Poller(settings)) as poller:
        while not stop.is_set():
            started_at = time.monotonic()
            live.group_state = state = poller.read_state()
            latest.set(GroupFigures(state.workers, state.lag_by_partition, state.end_offset))
            live.set_error(Part.GROUP, "")
            stop.wait(max(0.0, started_at + _INTERVAL_S - time.monotonic()))


class _Poller:
    """The clients that poll; none of them joins the group."""

    def __init__(self, settings: Settings) -> None:
        """Connects.

        Raises:
            SettingsError: a librdkafka property is wrong.
            TopicsError: a topic is missing.
            BrokerError: no broker answers.
        """
        self._settings = settings
        self._admin = admin_client(settings)
        with ExitStack() as opened:
            # Read committed: workers cannot read past an open transaction either, so what follows it is not lag.
            self._applications = opened.enter_context(closing(TopicReader(settings, settings.applications_topic)))
            self._history = opened.enter_context(closing(HistoryReader(settings)))
            self._offsets = opened.enter_context(closing(CommittedOffsets(settings)))
            self._lines: tuple[Line, ...] = ()
            self._deployed = not_deployed()
            self._add(self._history.read_to_end())
            self._opened = opened.pop_all()
        self._previous_ends: tuple[float, Mapping[int, int]] = (0.0, {})
        self._described = (-_DESCRIBE_INTERVAL_S, Group((), rebalancing=False))
        self._unswitched_tracker = UnswitchedTracker()

    def read_state(self) -> GroupState:
        """The current state.

        Raises:
            BrokerError: a broker does not answer.
        """
        if self._history.begin_again():
            self._lines, self._deployed = (), not_deployed()
            self._add(self._history.read_to_end())
        self._add(self._history.next(0))
        committed = self._committed()
        bounds = self._applications.bounds()  # read after the committed offsets, so that the lag is never negative
        lag_by_partition = {p: max(0, end - max(committed[p].offset, first)) for p, (first, end) in bounds.items()}
        group = self._describe_group()
        metadata_by_partition = {p: decode_metadata(tp.metadata) for p, tp in committed.items() if tp.offset >= 0}
        return GroupState(
            arriving=self._arriving({p: end for p, (_, end) in bounds.items()}),
            lag_by_partition=lag_by_partition,
            end_offset=sum(end for _, end in bounds.values()),
            workers=len(group.members),
            deciding=tuple(sorted({metadata.bundle for metadata in metadata_by_partition.values() if metadata.bundle})),
            deployments=self._lines,
            deployed=self._deployed,
            unswitched=self._unswitched_tracker.update(self._lines, group, metadata_by_partition),
        )

    def close(self) -> None:
        """Closes all clients."""
        self._opened.close()

    def _add(self, lines: Sequence[Line]) -> None:
        """Adds records of the history; of their contracts, only the newest one is kept."""
        self._deployed = newest(lines, self._deployed)
        self._lines += tuple(line.without_contract() for line in lines)

    def _committed(self) -> dict[int, TopicPartition]:
        """The committed offset of each partition; below zero if nothing was committed."""
        requested = [TopicPartition(self._settings.applications_topic, p) for p in self._applications.partitions]
        return {tp.partition: tp for tp in self._offsets.read(requested, _ANSWER_S)}

    def _arriving(self, ends: Mapping[int, int]) -> float:
        """Applications published per second since the last poll."""
        now = time.monotonic()
        polled_at, previous_ends = self._previous_ends
        self._previous_ends = (now, ends)
        count = sum(max(0, end - previous_ends[p]) for p, end in ends.items() if p in previous_ends)
        return count / (now - polled_at) if previous_ends else 0.0

    def _describe_group(self) -> Group:
        """The group, described every few seconds at most, to spare its coordinator."""
        described_at, group = self._described
        if time.monotonic() - described_at >= _DESCRIBE_INTERVAL_S:
            group = describe_group(self._admin, self._settings, _ANSWER_S)
            self._described = (time.monotonic(), group)
        return group
