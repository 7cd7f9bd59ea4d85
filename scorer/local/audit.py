"""Counts what became of every application, as a reader who trusts nobody would: from the topics, read committed."""

import math
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Final, NamedTuple, cast

import msgspec
import numpy as np
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas import rejection
from schemas.decision import SUPERSEDES_HEADER
from scorer.errors import BrokerError
from scorer.settings import Settings
from scorer.stream.librdkafka import client_config
from scorer.stream.worker import Record

_TIMEOUT_S: Final = 15.0
_RESOLUTION: Final = math.log(1.02)  # of the latencies, 2 %
_SHORTEST_S: Final = 1e-4
# What is known of an application's place: nothing, that its result was read, or that somebody else published it.
_UNKNOWN, _RESULT_READ, _FOREIGN = range(3)


class _Source(msgspec.Struct, gc=False):
    partition: int
    offset: int


class _Decided(msgspec.Struct, gc=False):
    decision: str
    source: _Source


class _Result(NamedTuple):
    """A decision or a dead letter that was read before its application."""

    counts: dict[str, int]
    label: str
    read_at: float


class Latencies:
    """Counts of latencies, by size within 2 %; so an hour takes no more memory than a second."""

    def __init__(self) -> None:
        self._counts = np.zeros(1_000, dtype=np.int64)

    def add(self, seconds: list[float]) -> None:
        """Counts them."""
        sizes = np.log(np.maximum(seconds, _SHORTEST_S) / _SHORTEST_S) / _RESOLUTION
        self._counts += np.bincount(np.minimum(sizes.astype(np.intp), len(self._counts) - 1), minlength=1_000)

    def quantile(self, share: float) -> float | None:
        """The latency, in seconds, that this share (0 to 1) did not pass; None if there is none."""
        cumulative = np.cumsum(self._counts)
        if not cumulative[-1]:
            return None
        place = int(np.searchsorted(cumulative, math.ceil(share * cumulative[-1])))
        return float(_SHORTEST_S * math.exp((place + 0.5) * _RESOLUTION))


class Audit:
    """Reads applications, decisions and dead letters from now on, in a thread beside whoever made it."""

    def __init__(self, settings: Settings, owns: Callable[[Record], bool] = lambda _: True) -> None:
        """Starts at the ends of the three topics.

        Args:
            settings: the topics.
            owns: given the record of an application, whether it counts; others may publish to the same topic.

        Raises:
            BrokerError: a topic cannot be read.
        """
        self._settings = settings
        self._owns = owns
        self._stop = Event()
        self._seen: dict[int, bytearray] = {}
        self._starts: dict[int, int] = {}
        self._undecided: dict[tuple[int, int], float] = {}
        self._early: dict[tuple[int, int], list[_Result]] = {}
        self.published = 0
        self.duplicated = 0
        self.decisions: dict[str, int] = {}
        self.rejects: dict[str, int] = {}
        self.latencies = Latencies()
        self.first_published_at = math.inf
        self.last_outcome_at = -math.inf
        self._decode = msgspec.json.Decoder(_Decided).decode
        self._consumer = Consumer(
            {
                **client_config(settings),
                "group.id": f"{settings.group_id}-audit",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.queue.backoff.ms": "5",
            }
        )
        self._consumer.assign(self._ends())
        self._thread = Thread(target=self._read, name="audit", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Applications read so far without an outcome; while work goes on, those in flight."""
        return len(self._undecided)

    @property
    def outcomes(self) -> int:
        """Applications that have an outcome, each counted once."""
        return self.published - self.lost

    def close(self) -> None:
        """Stops reading."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _ends(self) -> list[TopicPartition]:
        found = []
        for topic in (
            self._settings.applications_topic,
            self._settings.decisions_topic,
            self._settings.dead_letters_topic,
        ):
            metadata = self._consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic]
            if metadata.error is not None:
                raise BrokerError(f"topic {topic} cannot be read: {metadata.error.str()}")
            for partition in metadata.partitions:
                tp = TopicPartition(topic, partition)
                end = self._end(tp)
                found.append(TopicPartition(topic, partition, end))
                if topic == self._settings.applications_topic:
                    self._starts[partition] = end
                    self._seen[partition] = bytearray()
        return found

    def _end(self, tp: TopicPartition) -> int:
        """The offset where a partition ends; one that was created a moment ago may have no leader yet."""
        ends_at = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                return int(self._consumer.get_watermark_offsets(tp, timeout=_TIMEOUT_S)[1])
            except KafkaException as error:
                if time.monotonic() > ends_at:
                    raise BrokerError(f"{tp.topic}[{tp.partition}] cannot be read: {error.args[0].str()}") from error
                time.sleep(0.1)

    def _read(self) -> None:
        while not self._stop.is_set():
            messages = self._consumer.consume(1, 0.1)
            if messages:
                messages += self._consumer.consume(5_000, 0)  # what is there: a timeout would be waited out
            now = time.time()
            waited = [w for message in messages if message.error() is None and (w := self._take(message, now))]
            if waited:
                self.latencies.add(waited)

    def _take(self, message: Message, now: float) -> float | None:
        """Counts one record; the seconds from its application's timestamp to now if that is known."""
        topic = message.topic()
        if topic == self._settings.applications_topic:
            return self._application(message)
        if topic == self._settings.decisions_topic:
            if SUPERSEDES_HEADER in dict(message.headers() or ()):
                return None  # a correction, which a replay wrote on purpose
            decided = self._decode(message.value() or b"")
            place = (decided.source.partition, decided.source.offset)
            return self._result(place, _Result(self.decisions, decided.decision, now))
        headers = dict(message.headers() or ())
        if rejection.CODE_HEADER not in headers:
            return None  # a mark that a dead letter was put back
        source = int(_text(headers[rejection.PARTITION_HEADER])), int(_text(headers[rejection.OFFSET_HEADER]))
        return self._result(source, _Result(self.rejects, _text(headers[rejection.CODE_HEADER]), now))

    def _application(self, message: Message) -> float | None:
        place = (message.partition() or 0, message.offset() or 0)
        early = self._early.pop(place, [])
        if not self._owns(cast("Record", message)):
            self._mark(place, _FOREIGN)
            return None
        published_at = message.timestamp()[1] / 1_000
        self.published += 1
        self.first_published_at = min(self.first_published_at, published_at)
        self._undecided[place] = published_at
        waits = [self._result(place, result) for result in early]
        return waits[0] if waits else None

    def _result(self, place: tuple[int, int], result: _Result) -> float | None:
        """Counts a result, once its application is known to be one that counts."""
        partition, offset = place
        if offset < self._starts[partition]:
            return None  # of an application from before we looked
        published_at = self._undecided.pop(place, None)
        if published_at is not None:
            self._mark(place, _RESULT_READ)
            result.counts[result.label] = result.counts.get(result.label, 0) + 1
            self.last_outcome_at = max(self.last_outcome_at, result.read_at)
            return result.read_at - published_at
        known = self._known(place)
        if known == _RESULT_READ:
            self.duplicated += 1
        elif known == _UNKNOWN:
            self._early.setdefault(place, []).append(result)
        return None

    def _known(self, place: tuple[int, int]) -> int:
        partition, offset = place
        known, index = self._seen[partition], offset - self._starts[partition]
        return known[index] if index < len(known) else _UNKNOWN

    def _mark(self, place: tuple[int, int], what: int) -> None:
        partition, offset = place
        known, index = self._seen[partition], offset - self._starts[partition]
        if index >= len(known):
            known.extend(bytes(max(index + 1 - len(known), 4_096)))
        known[index] = what


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
