"""Counts what became of every application, as an independent reader would: from the topics, read committed."""

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
from scorer.settings import Settings
from scorer.stream.librdkafka import client_config
from scorer.stream.reaching import ask, find_partitions
from scorer.stream.reading import Skipped
from scorer.stream.worker import Record

_TIMEOUT_S: Final = 15.0
_RESOLUTION: Final = math.log(1.02)  # of the latencies, 2 %
_SHORTEST_S: Final = 1e-4
# Of an offset of the applications topic: what was read there.
_NOTHING, _WAITING, _DONE, _FOREIGN = range(4)


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
    """Reads applications, decisions and dead letters from now on, in a thread of its own."""

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
        self._starts: dict[int, int] = {}
        self._read_so_far: dict[int, bytearray] = {}
        """By partition of the applications, what each offset from the start on holds, up to the last that was read."""
        self._undecided: dict[tuple[int, int], int] = {}
        """Applications without a result: when they were published, in milliseconds since 1970."""
        self._early: dict[tuple[int, int], list[_Result]] = {}
        """Results that were read before their applications."""
        self._strangers = 0
        self.skipped = Skipped()
        """Records that are neither decisions nor dead letters."""
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
        """Applications read so far without an outcome; while work goes on, those in flight."""
        return len(self._undecided)

    @property
    def outcomes(self) -> int:
        """Applications that have an outcome, each counted once."""
        return self.published - self.lost

    @property
    def unmatched(self) -> int:
        """Outcomes of applications that were not read; while work goes on, those that are still to come."""
        return self._strangers + sum(map(len, self._early.values()))

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
            for partition in find_partitions(self._consumer, self._settings, topic, _TIMEOUT_S):
                end = self._end(TopicPartition(topic, partition))
                found.append(TopicPartition(topic, partition, end))
                if topic == self._settings.applications_topic:
                    self._starts[partition] = end
                    self._read_so_far[partition] = bytearray()
        return found

    def _end(self, tp: TopicPartition) -> int:
        """The offset where a partition ends."""
        try:
            return ask(partial(self._consumer.get_watermark_offsets, tp, timeout=_TIMEOUT_S), _TIMEOUT_S)[1]
        except KafkaException as error:
            raise BrokerError(f"{tp.topic}[{tp.partition}] cannot be read: {error.args[0].str()}") from error

    def _read(self) -> None:
        while not self._stop.is_set():
            messages = self._consumer.consume(1, 0.1)
            if messages:
                messages += self._consumer.consume(5_000, 0)  # what is there: a timeout would be waited out
            now = time.time()
            waits = [self._take(message, now) for message in messages if message.error() is None]
            known = [wait for wait in waits if wait is not None]
            if known:
                self.latencies.add(known)

    def _take(self, message: Message, now: float) -> float | None:
        """Counts one record; the seconds from its application's timestamp to now if that is known."""
        topic = message.topic()
        if topic == self._settings.applications_topic:
            return self._application(message, now)
        return self._decision(message, now) if topic == self._settings.decisions_topic else self._letter(message, now)

    def _decision(self, message: Message, now: float) -> float | None:
        decision = read_decision(message)
        if isinstance(decision, Malformed):
            self.skipped.add(decision)
            return None
        if decision.is_correction or decision.source_topic != self._settings.applications_topic:
            return None  # a replay wrote it on purpose, or it is about somebody else's applications
        place = decision.source_partition, decision.source_offset
        return self._result(place, _Result(self.decisions, decision.decision, now))

    def _letter(self, message: Message, now: float) -> float | None:
        letter = read_dead_letter(message)
        if isinstance(letter, Malformed):
            self.skipped.add(letter)
        if not isinstance(letter, DeadLetter) or letter.topic not in {"", self._settings.applications_topic}:
            return None  # malformed, the mark of one that was requeued, or from somebody else's topic
        return self._result((letter.partition, letter.offset), _Result(self.rejects, letter.counted_as, now))

    def _application(self, message: Message, now: float) -> float | None:
        place = partition, offset = message.partition() or 0, message.offset() or 0
        read_so_far, index = self._read_so_far[partition], offset - self._starts[partition]
        read_so_far.extend(bytes(index + 1 - len(read_so_far)))
        early = self._early.pop(place, [])
        if not self._owns(cast("Record", message)):
            read_so_far[index] = _FOREIGN
            return None
        published_ms = timestamp_ms(message)
        self.published += 1
        if latency_s(published_ms, now) is not None:
            self.first_published_at = min(self.first_published_at, published_ms / 1_000)
        read_so_far[index] = _WAITING
        self._undecided[place] = published_ms
        waits = [self._result(place, result) for result in early]
        return waits[0] if waits else None

    def _result(self, place: tuple[int, int], result: _Result) -> float | None:
        """Counts a result, once its application is known to be one that counts."""
        partition, offset = place
        if partition not in self._starts or offset < 0:
            self._strangers += 1
            return None
        index, read_so_far = offset - self._starts[partition], self._read_so_far[partition]
        if index < 0:
            return None  # of an application from before we looked
        state = read_so_far[index] if index < len(read_so_far) else None
        if state is None:
            self._early.setdefault(place, []).append(result)
        elif state == _NOTHING:
            self._strangers += 1
        elif state == _DONE:
            self.duplicated += 1
        elif state == _WAITING:
            read_so_far[index] = _DONE
            result.counts[result.label] = result.counts.get(result.label, 0) + 1
            self.last_outcome_at = max(self.last_outcome_at, result.read_at)
            return latency_s(self._undecided.pop(place), result.read_at)
        return None
