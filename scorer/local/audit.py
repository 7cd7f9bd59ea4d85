"""Audits the results of all applications as an independent reader: from the topics, read committed."""

import math
import time
from collections.abc import Callable
from functools import partial
from threading import Event, Thread
from typing import Final, NamedTuple, cast

import numpy as np
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas.records import DeadLetter, Malformed, latency_s, read_dead_letter, read_decision, timestamp_ms
from scorer.errors import BrokerError
from scorer.operate.reading import Skipped
from scorer.settings import Settings
from scorer.stream.librdkafka import client_config
from scorer.stream.reaching import ask, find_partitions
from scorer.stream.worker import Record

_TIMEOUT_S: Final = 15.0
_RESOLUTION: Final = math.log(1.02)  # of the latencies, 2 %
_SHORTEST_S: Final = 1e-4
# States of an offset of the applications topic.
_NO_RECORD, _PENDING, _HAS_RESULT, _FOREIGN = range(4)


class _Result(NamedTuple):
    """A decision or a dead letter that was read before its application."""

    counts: dict[str, int]
    label: str
    read_at: float


class Latencies:
    """A histogram of latencies with a resolution of 2 %, whose memory use does not grow with the run."""

    def __init__(self) -> None:
        self._counts = np.zeros(1_000, dtype=np.int64)

    def add(self, seconds: list[float]) -> None:
        """Adds latencies, in seconds."""
        sizes = np.log(np.maximum(seconds, _SHORTEST_S) / _SHORTEST_S) / _RESOLUTION
        self._counts += np.bincount(np.minimum(sizes.astype(np.intp), len(self._counts) - 1), minlength=1_000)

    def quantile(self, share: float) -> float | None:
        """The latency in seconds at a quantile (0 to 1); None without latencies."""
        cumulative = np.cumsum(self._counts)
        if not cumulative[-1]:
            return None
        bucket = int(np.searchsorted(cumulative, math.ceil(share * cumulative[-1])))
        return float(_SHORTEST_S * math.exp((bucket + 0.5) * _RESOLUTION))


class Audit:
    """Reads new applications, decisions and dead letters in a background thread."""

    def __init__(self, settings: Settings, owns: Callable[[Record], bool] = lambda _: True) -> None:
        """Starts reading at the ends of the three topics.

        Args:
            settings: the topics.
            owns: tells whether an application's record counts; other publishers may use the same topic.

        Raises:
            BrokerError: a topic cannot be read.
        """
        self._settings = settings
        self._owns = owns
        self._stop = Event()
        self._starts: dict[int, int] = {}
        self._read_so_far: dict[int, bytearray] = {}
        """By partition of the applications topic: the state of each offset, from the start to the last one read."""
        self._pending: dict[tuple[int, int], int] = {}
        """Applications without a result: their timestamps, in milliseconds since 1970."""
        self._early_results: dict[tuple[int, int], list[_Result]] = {}
        """Results read before their applications."""
        self._unknown_applications = 0
        self.skipped = Skipped()
        """Malformed records: neither decisions nor dead letters."""
        self.published = 0
        self.duplicated = 0
        self.decisions: dict[str, int] = {}
        self.rejects: dict[str, int] = {}
        self.latencies = Latencies()
        self.first_published_at = math.inf
        self.last_outcome_at = -math.inf
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
        """Applications read so far without a result; during the run, those in flight."""
        return len(self._pending)

    @property
    def outcomes(self) -> int:
        """Applications that have a result, each counted once."""
        return self.published - self.lost

    @property
    def unmatched(self) -> int:
        """Results of applications that were not read; during the run, also of those not read yet."""
        return self._unknown_applications + sum(map(len, self._early_results.values()))

    def close(self) -> None:
        """Stops reading."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _ends(self) -> list[TopicPartition]:
        positions = []
        for topic in (
            self._settings.applications_topic,
            self._settings.decisions_topic,
            self._settings.dead_letters_topic,
        ):
            for partition in find_partitions(self._consumer, self._settings, topic, _TIMEOUT_S):
                end = self._end(TopicPartition(topic, partition))
                positions.append(TopicPartition(topic, partition, end))
                if topic == self._settings.applications_topic:
                    self._starts[partition] = end
                    self._read_so_far[partition] = bytearray()
        return positions

    def _end(self, tp: TopicPartition) -> int:
        """The end offset of a partition."""
        try:
            return ask(partial(self._consumer.get_watermark_offsets, tp, timeout=_TIMEOUT_S), _TIMEOUT_S)[1]
        except KafkaException as error:
            raise BrokerError(f"{tp.topic}[{tp.partition}] cannot be read: {error.args[0].str()}") from error

    def _read(self) -> None:
        while not self._stop.is_set():
            messages = self._consumer.consume(1, 0.1)
            if messages:
                messages += self._consumer.consume(5_000, 0)  # a timeout would be waited for in full
            now = time.time()
            latencies = [self._count_record(message, now) for message in messages if message.error() is None]
            known = [latency for latency in latencies if latency is not None]
            if known:
                self.latencies.add(known)

    def _count_record(self, message: Message, now: float) -> float | None:
        """Counts one record; returns the seconds from its application's timestamp to now, if known."""
        topic = message.topic()
        if topic == self._settings.applications_topic:
            return self._count_application(message, now)
        if topic == self._settings.decisions_topic:
            return self._count_decision(message, now)
        return self._count_dead_letter(message, now)

    def _count_decision(self, message: Message, now: float) -> float | None:
        decision = read_decision(message)
        if isinstance(decision, Malformed):
            self.skipped.add(decision)
            return None
        if decision.is_correction or decision.source_topic != self._settings.applications_topic:
            return None  # a correction of a replay, or a decision on an application of another topic
        position = decision.source_partition, decision.source_offset
        return self._count_result(position, _Result(self.decisions, decision.decision, now))

    def _count_dead_letter(self, message: Message, now: float) -> float | None:
        letter = read_dead_letter(message)
        if isinstance(letter, Malformed):
            self.skipped.add(letter)
        if not isinstance(letter, DeadLetter) or letter.topic not in {"", self._settings.applications_topic}:
            return None  # malformed, a requeue mark, or a dead letter of another topic's record
        return self._count_result((letter.partition, letter.offset), _Result(self.rejects, letter.counted_as, now))

    def _count_application(self, message: Message, now: float) -> float | None:
        position = partition, offset = message.partition() or 0, message.offset() or 0
        read_so_far, index = self._read_so_far[partition], offset - self._starts[partition]
        read_so_far.extend(bytes(index + 1 - len(read_so_far)))
        early = self._early_results.pop(position, [])
        if not self._owns(cast("Record", message)):
            read_so_far[index] = _FOREIGN
            return None
        published_ms = timestamp_ms(message)
        self.published += 1
        if latency_s(published_ms, now) is not None:
            self.first_published_at = min(self.first_published_at, published_ms / 1_000)
        read_so_far[index] = _PENDING
        self._pending[position] = published_ms
        latencies = [self._count_result(position, result) for result in early]
        return latencies[0] if latencies else None

    def _count_result(self, position: tuple[int, int], result: _Result) -> float | None:
        """Counts a result if its application counts; keeps it if the application was not read yet."""
        partition, offset = position
        if partition not in self._starts or offset < 0:
            self._unknown_applications += 1
            return None
        index, read_so_far = offset - self._starts[partition], self._read_so_far[partition]
        if index < 0:
            return None  # of an application from before the audit
        state = read_so_far[index] if index < len(read_so_far) else None
        if state is None:
            self._early_results.setdefault(position, []).append(result)
        elif state == _NO_RECORD:
            self._unknown_applications += 1
        elif state == _HAS_RESULT:
            self.duplicated += 1
        elif state == _PENDING:
            read_so_far[index] = _HAS_RESULT
            result.counts[result.label] = result.counts.get(result.label, 0) + 1
            self.last_outcome_at = max(self.last_outcome_at, result.read_at)
            return latency_s(self._pending.pop(position), result.read_at)
        return None
