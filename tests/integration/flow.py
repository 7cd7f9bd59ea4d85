"""Publishes applications at a steady rate while a test does something else."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from confluent_kafka import KafkaError, Message, Producer

from tests.integration.worker_process import WAIT_S, Topics

_BURST = 40


class Flow:
    """A publisher of applications at a steady rate, each to the partition of its key."""

    def __init__(self, topics: Topics, records: Iterable[tuple[bytes, bytes]], per_s: int) -> None:
        """Starts it.

        Args:
            topics: where they are published.
            records: keys and values, without end.
            per_s: applications per second.
        """
        self._published: Counter[int] = Counter()
        self._topics = topics
        self._records = records
        self._per_s = per_s
        self._stop = Event()
        self._thread = Thread(target=self._publish, daemon=True)
        self._thread.start()

    def stop(self) -> dict[int, int]:
        """Stops it; returns the number of records per partition."""
        self._stop.set()
        self._thread.join()
        return dict(self._published)

    def _publish(self) -> None:
        # The partitioner of our own publishers, and of the workers: an application and its result have one partition.
        producer = Producer(
            {"bootstrap.servers": self._topics.servers, "linger.ms": 5, "partitioner": "murmur2_random"}
        )
        began_at = time.monotonic()
        for number, (key, value) in enumerate(self._records):
            if number % _BURST == 0:
                if self._stop.is_set():
                    break
                time.sleep(max(0.0, began_at + number / self._per_s - time.monotonic()))
                producer.poll(0)
            producer.produce(self._topics.applications, value=value, key=key, on_delivery=self._count)
        assert producer.flush(WAIT_S) == 0

    def _count(self, error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        self._published[message.partition() or 0] += 1


@contextmanager
def flowing(topics: Topics, records: Iterable[tuple[bytes, bytes]], per_s: int) -> Iterator[Flow]:
    """A flow that stops at the end of the block."""
    flow = Flow(topics, records, per_s)
    try:
        yield flow
    finally:
        flow.stop()
