"""Watches where the group stands in each partition, and where the partitions end, once per second."""

import time
from contextlib import suppress
from threading import Event as Flag
from threading import Thread
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.chaos import topics
from tests.chaos.history import Offsets, Recorder

_EVERY_S: Final = 1.0
_CALL_S: Final = 3.0
"""Short, so that a broker that is away costs a sample or two and not the whole outage."""


class OffsetsWatch:
    """Asks the brokers, not the workers: a worker that hangs goes on reporting its last lag.

    Attributes:
        ends: where each partition ends, as of the last answer.
        lag: records by partition that are not decided yet.
        answered_at_s: when that was, in the history's time; below 0 before the first answer.
    """

    def __init__(self, servers: str, group: str, topic: str, recorder: Recorder) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": group,
                # It never joins the group. Read committed would wait for a moment without an open transaction.
                "isolation.level": "read_uncommitted",
                "enable.auto.commit": False,
                "socket.timeout.ms": 5_000,
                "log_level": 0,
            }
        )
        self._topic = topic
        self._recorder = recorder
        self.ends: dict[int, int] = {}
        self.lag: dict[int, int] = {}
        self.answered_at_s = -1.0
        self._stop = Flag()
        self._thread = Thread(target=self._watch, name="offsets watch", daemon=True)
        self._thread.start()

    def ends_now(self, limit_s: float) -> dict[int, int]:
        """Where each partition ends; asks until all have a leader.

        Raises:
            AssertionError: one has none after `limit_s` seconds.
        """
        ends_at = time.monotonic() + limit_s
        while time.monotonic() < ends_at:
            with suppress(KafkaException):
                return {entry.partition: entry.end for entry in self._look()}
        raise AssertionError(f"a partition of {self._topic} has no leader after {limit_s:g} s")

    def stop(self) -> None:
        """Asks no more."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY_S):
            try:
                offsets = self._look()
            except KafkaException:
                continue  # a broker is away
            for entry in offsets:
                self._recorder.write(entry)
            self.ends = {entry.partition: entry.end for entry in offsets}
            self.lag = {entry.partition: entry.end - max(entry.committed, 0) for entry in offsets}
            self.answered_at_s = self._recorder.now()

    def _look(self) -> list[Offsets]:
        partitions = sorted(self._consumer.list_topics(self._topic, timeout=_CALL_S).topics[self._topic].partitions)
        # The offsets first, so that what is published meanwhile is not taken for progress.
        committed = self._consumer.committed([TopicPartition(self._topic, p) for p in partitions], timeout=_CALL_S)
        ends = topics.ends(self._consumer, self._topic, partitions, _CALL_S)
        now = self._recorder.now()
        return [Offsets(now, tp.partition, tp.offset, ends[tp.partition]) for tp in committed]
