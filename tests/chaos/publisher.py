"""Publishes known applications, one in twenty of them invalid, and records what the brokers acknowledged."""

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Event as Flag
from threading import Thread
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

from producer.generator import GeneratedRecord, generate_applications
from tests.chaos.history import UNKNOWN, Published, Recorder
from tests.chaos.ledger import Ledger

ID_HEADER: Final = "application-id"
"""Dead letters keep it, also where the value holds no id that can be read."""
_CUSTOMERS: Final = 997
"""Keys of a publisher: each has many applications, so that their order can be judged."""
_TICK_S: Final = 0.01
_FLUSH_S: Final = 200.0


@dataclass(frozen=True, slots=True)
class Load:
    """What is published, and how fast."""

    per_s: float = 400.0
    invalid_share: float = 0.05
    padding_bytes: int = 0
    """Added to each valid application in a field that no contract knows."""
    random_padding: bool = False
    """Padding that does not compress."""
    settings: tuple[tuple[str, str], ...] = ()
    """Of the producer, such as compression.type."""


class Publisher:
    """One idempotent producer; its applications are called `BASE-N`, and BASE + N is their number in the ledger.

    Attributes:
        load: what is published, and how fast.
        refused: records that the brokers did not take, by the name of the error.
    """

    def __init__(self, servers: str, topic: str, load: Load, recorder: Recorder, ledger: Ledger) -> None:
        self._topic = topic
        self.load = load
        self._recorder = recorder
        self._ledger = ledger
        self._base = ledger.open_page()
        self._stop = Flag()
        self._producer = Producer(producer_settings(servers) | dict(load.settings))
        self._thread = Thread(target=self._publish, name="publisher", daemon=True)
        self.refused = Counter[str]()

    def start(self) -> None:
        """Publishes at the load's rate, in the background."""
        self._thread.start()

    def stop(self) -> int:
        """Publishes no more and waits for the acknowledgements; returns how many records have none."""
        self._stop.set()
        self._thread.join()
        return self._producer.flush(_FLUSH_S)

    def abandon(self) -> None:
        """Publishes no more, and forgets what is not acknowledged."""
        self._stop.set()
        self._thread.join()
        self._producer.purge()
        self._producer.flush(1)

    def publish_now(self, count: int) -> int:
        """Publishes so many records as fast as the brokers take them; returns how many were not acknowledged."""
        for number, record in itertools.islice(self._records(), count):
            self._send(number, record)
        return self._producer.flush(_FLUSH_S)

    def _publish(self) -> None:
        began_at, sent = time.monotonic(), 0
        records = self._records()
        while not self._stop.is_set():
            due = int((time.monotonic() - began_at) * self.load.per_s)
            for number, record in itertools.islice(records, max(0, due - sent)):
                self._send(number, record)
                sent += 1
                if self._stop.is_set():
                    return
            self._producer.poll(0)
            self._stop.wait(_TICK_S)

    def _records(self) -> Iterator[tuple[int, GeneratedRecord]]:
        """Records with their numbers, without end."""
        made = generate_applications(self._base + 1, str(self._base), self.load.invalid_share)
        pad = Padding(self.load.padding_bytes, compressible=not self.load.random_padding)
        for number, record in enumerate(made, self._base):
            yield number, record if record.code else record._replace(value=pad.added_to(record.value, number))

    def _send(self, number: int, record: GeneratedRecord) -> None:
        key = f"customer-{self._base}-{number % _CUSTOMERS}"
        confirm = partial(self._confirm, number, key, self._recorder.now(), record.code is None)
        while not self._stop.is_set():
            try:
                self._producer.produce(
                    self._topic, record.value, key, on_delivery=confirm, headers=[(ID_HEADER, record.key)]
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def _confirm(
        self, number: int, key: str, sent_s: float, valid: bool, error: KafkaError | None, message: Message
    ) -> None:
        partition, offset = message.partition() or 0, message.offset()
        if error is not None:
            self.refused[error.name()] += 1
            return
        offset = UNKNOWN if offset is None else offset
        self._recorder.write(Published(number, key, partition, offset, sent_s, self._recorder.now(), valid))
        self._ledger.acked(number, partition, offset)


class Padding:
    """A field that no contract knows, to make records long."""

    def __init__(self, size_bytes: int, *, compressible: bool) -> None:
        self._size_bytes = size_bytes
        if compressible:
            self._pool = b"x" * size_bytes
        else:
            from random import Random

            self._pool = Random(1).randbytes(1_000_000).hex().encode() if size_bytes else b""

    def added_to(self, value: bytes, number: int) -> bytes:
        """An application with the field."""
        if not self._size_bytes:
            return value
        begin = number * 7_919 % max(1, len(self._pool) - self._size_bytes)
        return b'%b,"padding":"%b"}' % (value[:-1], self._pool[begin : begin + self._size_bytes])


def producer_settings(servers: str) -> dict[str, Any]:
    """A publisher that gives no record up and sends none twice."""
    settings: Mapping[str, Any] = {
        "bootstrap.servers": servers,
        "enable.idempotence": True,
        "acks": "all",
        # With several, librdkafka can report as written what a new leader refused.
        "max.in.flight.requests.per.connection": 1,
        "linger.ms": 5,
        # Longer than any outage here lasts.
        "message.timeout.ms": 300_000,
        "queue.buffering.max.messages": 500_000,
        "topic.metadata.refresh.interval.ms": 1_000,
        "log_level": 0,
    }
    return dict(settings)


def number_of(application_id: str) -> int:
    """The number in the ledger of an application called `BASE-N`."""
    base, _, index = application_id.partition("-")
    return int(base) + int(index)
