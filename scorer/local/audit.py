"""Audits the results of all applications as an independent reader: from the topics, read committed."""

import math
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Final

import numpy as np

from schemas.records import DeadLetter, Malformed, ReadDecision, latency_s, read_result, timestamp_ms
from scorer.errors import BrokerError
from scorer.local.matching import Matching, Position, Result
from scorer.operate.reading import Skipped
from scorer.settings import Settings
from scorer.stream.reader import Fetched, Reader
from scorer.stream.worker import Record

_RESOLUTION: Final = math.log(1.02)  # 2 % of a latency
_SHORTEST_S: Final = 1e-4


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
    """Reads new applications, decisions and dead letters in a background thread.

    That thread alone changes the attributes, as it counts the records; any other thread may read them.
    """

    def __init__(
        self,
        settings: Settings,
        is_own: Callable[[Record], bool] = lambda _: True,
        report: Callable[[Malformed], object] = lambda _: None,
    ) -> None:
        """Starts reading at the ends of the three topics.

        Args:
            settings: the topics.
            is_own: returns whether an application's record counts; other publishers may use the same topic.
            report: called in the background thread with each of the first malformed records.

        Raises:
            BrokerError: a topic cannot be read.
        """
        self._settings = settings
        self._is_own = is_own
        self._report = report
        self._stop = Event()
        self.skipped = Skipped()
        """Malformed records: neither decisions nor dead letters."""
        self.published = 0
        """Applications that count."""
        self.decisions: Final[dict[str, int]] = {}
        """Applications that were decided, by label."""
        self.rejections: Final[dict[str, int]] = {}
        """Applications that were rejected, by code."""
        self.latencies = Latencies()
        """From an application's timestamp until its result was read."""
        self.first_published_at = math.inf
        """The earliest timestamp of an application that can be true, in seconds since 1970."""
        self.last_result_at = -math.inf
        """When the last first result of an application was read, in seconds since 1970."""
        topics = settings.applications_topic, settings.decisions_topic, settings.dead_letters_topic
        options = {"auto.offset.reset": "latest", "enable.partition.eof": False, "fetch.queue.backoff.ms": "5"}
        self._reader = Reader.at_the_ends(settings, topics, options)
        ends = self._reader.positions.items()
        self._matching = Matching({p: end for (topic, p), end in ends if topic == settings.applications_topic})
        self._failure: BrokerError | None = None
        """Why the thread has ended; set as its last action."""
        self._thread = Thread(target=self._read, name="audit", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Applications read so far without a result; during the run, those in flight."""
        return self._matching.pending

    @property
    def results(self) -> int:
        """Applications that have a result, each counted once."""
        return self.published - self.lost

    @property
    def unmatched(self) -> int:
        """Results of applications that were not read; during the run, also of those not read yet."""
        return self._matching.unmatched

    @property
    def duplicated(self) -> int:
        """Results of applications that had one already."""
        return self._matching.duplicates

    def close(self) -> None:
        """Stops reading."""
        self._stop.set()
        self._thread.join()
        self._reader.close()

    def require_running(self) -> None:
        """Checks that the topics are still read.

        Raises:
            BrokerError: they can no longer be read, so that the counts are incomplete.
        """
        if self._failure is not None:
            raise self._failure

    def _read(self) -> None:
        try:
            while not self._stop.is_set():
                self._count(self._reader.fetch(0.1))
        except BrokerError as error:
            self._failure = error

    def _count(self, fetched: Fetched) -> None:
        now = time.time()
        for batch in fetched.skipped:
            self._skip(batch)
        latencies = [self._count_record(record, now) for record in fetched.records]
        known = [latency for latency in latencies if latency is not None]
        if known:
            self.latencies.add(known)

    def _skip(self, record: Malformed) -> None:
        if self.skipped.add(record):
            self._report(record)

    def _count_record(self, record: Record, now: float) -> float | None:
        """Counts one record; returns the seconds from its application's timestamp to now, if known."""
        applications = self._settings.applications_topic
        if record.topic() == applications:
            return self._count_application(record, now)
        result = read_result(record, self._settings.dead_letters_topic)
        if isinstance(result, Malformed):
            self._skip(result)
        elif isinstance(result, ReadDecision) and result.source_topic == applications and not result.is_correction:
            position = result.source_partition, result.source_offset
            return self._count_result(position, Result(self.decisions, result.decision, now))
        elif isinstance(result, DeadLetter) and result.topic in {"", applications}:
            position = result.partition, result.offset
            return self._count_result(position, Result(self.rejections, result.counted_as, now))
        return None  # malformed, a requeue mark, a correction of a replay, or a result of another topic's record

    def _count_application(self, record: Record, now: float) -> float | None:
        position = record.partition(), record.offset()
        if not self._is_own(record):
            self._matching.add_foreign(position)
            return None
        published_ms = timestamp_ms(record)
        self.published += 1
        if latency_s(published_ms, now) is not None:
            self.first_published_at = min(self.first_published_at, published_ms / 1_000)
        early = self._matching.add(position, published_ms)
        latencies = [self._count_result(position, result) for result in early]
        return latencies[0] if latencies else None

    def _count_result(self, position: Position, result: Result) -> float | None:
        """Counts a result if it is its application's first one and the application counts."""
        published_ms = self._matching.match(position, result)
        if published_ms is None:
            return None
        result.counts[result.label] = result.counts.get(result.label, 0) + 1
        self.last_result_at = max(self.last_result_at, result.read_at)
        self._matching.settle(position)
        return latency_s(published_ms, result.read_at)
