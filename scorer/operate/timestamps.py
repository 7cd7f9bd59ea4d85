"""Checks the timestamps of the newest applications: clocks that differ, and publishers that use another unit."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Final

from scorer.operate.finding import Finding
from scorer.operate.reading import TopicReader
from scorer.settings import Settings

_CLOCK_OFF_S: Final = 2.0
# Number of offsets to read per partition; transaction markers take up some of them.
_NEWEST: Final = 20
# No record that is published now has an older timestamp; in another unit a time is off by far more.
_PLAUSIBLE_MS: Final = 10 * 365 * 24 * 3_600_000
_UNITS: Final = {"milliseconds": 1.0, "seconds": 1e-3, "microseconds": 1e3, "nanoseconds": 1e6}


def unit_of(timestamp: int, now_ms: float) -> str:
    """Returns the unit in which a record's timestamp is near the present; empty if there is no such unit.

    Args:
        timestamp: the record's timestamp, for which Kafka expects milliseconds since 1970.
        now_ms: milliseconds since 1970.
    """
    for unit, per_ms in _UNITS.items():
        if abs(timestamp / per_ms - now_ms) < _PLAUSIBLE_MS:
            return unit
    return ""


def check_timestamps(settings: Settings) -> Iterator[Finding]:
    """Checks the newest applications of each partition, without joining a group.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: the topic cannot be read.
    """
    with closing(TopicReader(settings, settings.applications_topic)) as reader:
        bounds = {p: (max(first, end - _NEWEST), end) for p, (first, end) in reader.bounds().items()}
        timestamps = [record.timestamp()[1] for records in reader.read(bounds) for record in records]
    yield from judge(timestamps, time.time() * 1_000)


def judge(timestamps: Iterable[int], now_ms: float) -> Iterator[Finding]:
    """Checks timestamps.

    Args:
        timestamps: the timestamps of the newest records.
        now_ms: milliseconds since 1970.
    """
    by_unit: dict[str, list[int]] = {}
    for timestamp in timestamps:
        by_unit.setdefault(unit_of(timestamp, now_ms), []).append(timestamp)
    fitting = by_unit.pop("milliseconds", [])
    counts = Counter({unit: len(values) for unit, values in by_unit.items()})
    for unit, count in sorted(counts.items()):
        what = f"are in {unit}" if unit else "are not near the present in any unit"
        text = (
            f"{count} of the newest {counts.total() + len(fitting)} applications have timestamps that {what}: Kafka "
            "expects milliseconds since 1970. Fix the publisher: latencies and time ranges of replays depend on them"
        )
        yield Finding("clock", "warning", text)
    ahead_s = (max(fitting, default=0) - now_ms) / 1_000
    if ahead_s > _CLOCK_OFF_S:
        text = (
            f"the newest application is {ahead_s:,.0f} s in the future: synchronize this clock or the publisher's (NTP)"
        )
        yield Finding("clock", "warning", text)
    elif not counts:
        yield Finding("clock", "ok", "no application has a timestamp in the future")
