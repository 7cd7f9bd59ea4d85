"""Readers of decisions and dead letters: one that notes when each came, and one that counts when all is over."""

import time
from collections.abc import Sequence
from contextlib import suppress
from threading import Event as Flag
from threading import Thread
from typing import Final, cast

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas import rejection
from tests.chaos.history import Arrival, Recorder, Result
from tests.chaos.ledger import Ledger
from tests.chaos.publisher import ID_HEADER, number_of
from tests.reading import read_to_the_end

_CALL_S: Final = 10.0
_NEW_PARTITIONS_S: Final = 2.0


Headers = Sequence[tuple[str, str | bytes | None]]


class _Source(msgspec.Struct, gc=False):
    partition: int
    offset: int


class _Decision(msgspec.Struct, gc=False):
    application_id: str
    source: _Source


_decode = msgspec.json.Decoder(_Decision).decode


class LiveReader:
    """Reads both topics from their beginning, as it grows, in a thread of its own."""

    def __init__(self, servers: str, decisions: str, dead_letters: str, recorder: Recorder, ledger: Ledger) -> None:
        self._topics = (decisions, dead_letters)
        self._recorder = recorder
        self._ledger = ledger
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "live-reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.queue.backoff.ms": 5,
                # A broker that is frozen is given up after so long.
                "socket.timeout.ms": 10_000,
                "topic.metadata.refresh.interval.ms": 1_000,
                "log_level": 0,
            }
        )
        self._known: set[tuple[str, int]] = set()
        self._stop = Flag()
        self._thread = Thread(target=self._read, name="live reader", daemon=True)
        self.count = 0
        """Decisions and dead letters so far."""
        self._thread.start()

    def stop(self) -> None:
        """Reads no more."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _read(self) -> None:
        looked_at = 0.0
        while not self._stop.is_set():
            if time.monotonic() - looked_at > _NEW_PARTITIONS_S:
                self._add_partitions()
                looked_at = time.monotonic()
            if not self._known:
                self._stop.wait(0.1)
                continue
            for message in self._consumer.consume(2_000, 0.05):
                if message.error() is None:
                    self._take(message)

    def _add_partitions(self) -> None:
        with suppress(KafkaException):
            for topic in self._topics:
                partitions = self._consumer.list_topics(topic, timeout=1.0).topics[topic].partitions
                new = {(topic, partition) for partition in partitions} - self._known
                self._consumer.incremental_assign([TopicPartition(topic, p, OFFSET_BEGINNING) for _, p in new])
                self._known |= new

    def _take(self, message: Message) -> None:
        result = result_of(message, self._topics[0])
        if result is None:
            return
        self._recorder.write(Arrival(result.kind, result.partition, result.offset, self._recorder.now()))
        self._ledger.decided(result.number)
        self.count += 1


def read_results(admin: AdminClient, servers: str, decisions: str, dead_letters: str, recorder: Recorder) -> None:
    """Records every decision and dead letter that is committed, as a reader who comes when all is over finds them."""
    topics = admin.list_topics(timeout=_CALL_S).topics
    for topic in (decisions, dead_letters):
        for message in read_to_the_end(servers, topic, len(topics[topic].partitions)):
            result = result_of(message, decisions)
            if result is not None:
                recorder.write(result)


def result_of(message: Message, decisions_topic: str) -> Result | None:
    """What a record says of an application; None of a record that is not a result."""
    partition, offset = message.partition() or 0, message.offset() or 0
    key = (message.key() or b"").decode()
    if message.topic() == decisions_topic:
        decision = _decode(message.value() or b"")
        source = decision.source
        number = number_of(decision.application_id)
        return Result("decision", partition, offset, number, key, source.partition, source.offset)
    headers = {name: _text(value) for name, value in cast("Headers", message.headers() or ())}
    if rejection.CODE_HEADER not in headers:
        return None  # the mark that a dead letter was requeued
    return Result(
        "dead letter",
        partition,
        offset,
        # A pointer to a record that does not fit has no headers of the record's own.
        number_of(headers.get(ID_HEADER, key)),
        key,
        int(headers[rejection.PARTITION_HEADER]),
        int(headers[rejection.OFFSET_HEADER]),
    )


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
