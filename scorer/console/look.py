"""A look once a second at how the group and the history stand."""

import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from threading import Event
from typing import Final

from confluent_kafka import TopicPartition

from scorer.console.live import Live, Part, Standing
from scorer.console.unswitched import Unfollowed
from scorer.settings import Settings
from scorer.stream.deployments import HistoryReader
from scorer.stream.group import Group, describe_group
from scorer.stream.line import Line
from scorer.stream.metadata import decode_metadata
from scorer.stream.reading import TopicReader, ask_committed, connect_to_offsets
from scorer.stream.topics import admin_client

_EVERY_S: Final = 1.0
_ANSWER_S: Final = 5.0
_MEMBERS_EVERY_S: Final = 5.0


def keep_looking(settings: Settings, live: Live, stop: Event) -> None:
    """Looks until it is told to stop.

    Args:
        settings: the topics and the group.
        live: is told what is seen.
        stop: ends it.

    Raises:
        SettingsError, TopicsError, BrokerError, KafkaException: somebody does not answer.
    """
    with closing(_Look(settings)) as look:
        while not stop.is_set():
            began_at = time.monotonic()
            live.standing = look.standing()
            live.trouble(Part.STANDING, "")
            stop.wait(max(0.0, began_at + _EVERY_S - time.monotonic()))


class _Look:
    """The clients that ask; none of them is in the group."""

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
            # Read committed: where an unfinished transaction stands, workers wait too, and it is no lag of theirs.
            self._applications = opened.enter_context(closing(TopicReader(settings, settings.applications_topic)))
            self._history = opened.enter_context(closing(HistoryReader(settings)))
            self._group = opened.enter_context(closing(connect_to_offsets(settings)))
            self._lines: tuple[Line, ...] = tuple(self._history.to_the_end())
            self._opened = opened.pop_all()
        self._earlier: tuple[float, Mapping[int, int]] = (0.0, {})
        self._described = (-_MEMBERS_EVERY_S, Group((), rebalancing=False))
        self._unfollowed = Unfollowed()

    def standing(self) -> Standing:
        """How things stand now.

        Raises:
            KafkaException, BrokerError: somebody does not answer.
        """
        if self._history.begin_again():
            self._lines = tuple(self._history.to_the_end())
        self._lines += tuple(self._history.next(0))
        committed = self._committed()
        bounds = self._applications.bounds()  # after the group's offsets: what comes between is waiting, never below 0
        waiting = 0
        for partition, (first, end) in bounds.items():
            done = committed[partition].offset if partition in committed else -1
            waiting += max(0, end - (max(done, first) if done >= 0 else first))
        group = self._describe_group()
        says = {partition: decode_metadata(tp.metadata) for partition, tp in committed.items()}
        return Standing(
            arriving=self._arriving({p: end for p, (_, end) in bounds.items()}),
            waiting=waiting,
            workers=len(group.members),
            deciding=tuple(sorted({metadata.bundle for metadata in says.values() if metadata.bundle})),
            deployments=self._lines,
            unswitched=self._unfollowed.look(self._lines, group, says),
        )

    def close(self) -> None:
        """Leaves nothing behind."""
        self._opened.close()

    def _committed(self) -> dict[int, TopicPartition]:
        """By partition, where the group goes on; partitions in which it has not begun are not there."""
        topic, partitions = self._settings.applications_topic, self._applications.partitions
        committed = ask_committed(self._group, topic, partitions, _ANSWER_S)
        return {tp.partition: tp for tp in committed if tp.offset >= 0}

    def _arriving(self, ends: Mapping[int, int]) -> float:
        """Applications a second since the look before."""
        now = time.monotonic()
        looked_at, before = self._earlier
        self._earlier = (now, ends)
        came = sum(max(0, end - before[p]) for p, end in ends.items() if p in before)
        return came / (now - looked_at) if before else 0.0

    def _describe_group(self) -> Group:
        """The group as of some seconds ago: its coordinator need not be asked every second."""
        asked_at, group = self._described
        if time.monotonic() - asked_at >= _MEMBERS_EVERY_S:
            group = describe_group(self._admin, self._settings, _ANSWER_S)
            self._described = (time.monotonic(), group)
        return group
