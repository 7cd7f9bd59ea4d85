"""Watches where the group stands in each partition, and where the partitions end, once per second."""

from threading import Event as Flag
from threading import Thread
from typing import Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.chaos import topics
from tests.chaos.history import Offsets, Recorder

_EVERY_S: Final = 1.0
_CALL_S: Final = 5.0


class OffsetsWatch:
    """Asks the brokers, not the workers: a worker that hangs goes on reporting its last lag.

    Attributes:
        ends: where each partition ends, as of the last answer.
        lag: records by partition that are not decided yet.
        answered_at_s: when that was, in the history's time; below 0 before the first answer.
    """

    def __init__(self, servers: str, group: str, topic: str, recorder: Recorder) -> None:
        # A short timeout, so that a frozen broker costs a sample or two and not the whole outage.
        self._admin = AdminClient(
            {"bootstrap.servers": servers, "socket.timeout.ms": 5_000, "log_level": 0, "retries": 2}
        )
        self._group = group
        self._topic = topic
        self._recorder = recorder
        self.ends: dict[int, int] = {}
        self.lag: dict[int, int] = {}
        self.answered_at_s = -1.0
        self._stop = Flag()
        self._thread = Thread(target=self._watch, name="offsets watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Asks no more."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY_S):
            try:
                offsets = self._look()
            except (KafkaException, TimeoutError):
                continue  # a broker is away
            for entry in offsets:
                self._recorder.write(entry)
            self.ends = {o.partition: o.end for o in offsets}
            self.lag = {o.partition: o.end - max(o.committed, 0) for o in offsets}
            self.answered_at_s = self._recorder.now()

    def _look(self) -> list[Offsets]:
        partitions = self._admin.list_topics(self._topic, timeout=_CALL_S).topics[self._topic].partitions
        wanted = [TopicPartition(self._topic, partition) for partition in partitions]
        ends = topics.ends(self._admin, self._topic, partitions, _CALL_S)
        (asked,) = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(self._group, wanted)], request_timeout=_CALL_S
        ).values()
        now = self._recorder.now()
        return [
            Offsets(now, tp.partition, tp.offset, ends[tp.partition]) for tp in asked.result(_CALL_S).topic_partitions
        ]
