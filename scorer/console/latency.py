"""Measures the latency of recent decisions: from an application's timestamp to the time its decision is read."""

import time
from collections.abc import Mapping
from contextlib import closing
from threading import Event
from typing import Final

from schemas.records import latency_s, timestamp_ms
from scorer.console.live import Live, Part
from scorer.console.tail import Sample
from scorer.operate.reading import TopicReader
from scorer.settings import Settings

_INTERVAL_S: Final = 1.0
# Range of offsets per partition in which applications are looked up; recent ones are close together.
_SPAN_MAX: Final = 1_000


def measure_latency(settings: Settings, live: Live, sample: Sample, stop: Event) -> None:
    """Looks up the applications of some decisions, about once per second, until `stop` is set.

    Decisions do not contain their applications' timestamps, so a few applications per partition are read.

    Args:
        settings: the topics.
        live: receives the latencies.
        sample: the decisions.
        stop: ends the measuring.

    Raises:
        SettingsError, TopicsError, BrokerError: the applications cannot be read.
    """
    with closing(TopicReader(settings, settings.applications_topic)) as applications:
        live.set_error(Part.LATENCY, "")
        while not stop.wait(_INTERVAL_S):
            live.add_latencies(time.time(), _measure(applications, sample.take()))


def _measure(applications: TopicReader, read_times_by_partition: Mapping[int, Mapping[int, float]]) -> list[float]:
    """The latency of each of these decisions, in seconds.

    Args:
        applications: their topic.
        read_times_by_partition: by partition, when the decision on each offset was read, in seconds since 1970.

    Raises:
        BrokerError: the applications cannot be read.
    """
    topic_bounds = applications.bounds() if read_times_by_partition else {}
    bounds = {}
    for partition, read_times in read_times_by_partition.items():
        first, end = topic_bounds.get(partition, (0, 0))
        # A decision can name any offset, including one that does not exist.
        offsets = [offset for offset in read_times if first <= offset < end]
        if offsets:
            last = max(offsets)
            bounds[partition] = (min(offset for offset in offsets if last - offset < _SPAN_MAX), last + 1)
    latencies = []
    for records in applications.read(bounds):
        for record in records:
            read_at = read_times_by_partition[record.partition()].get(record.offset())
            if read_at is not None:
                latencies.append(latency_s(timestamp_ms(record), read_at))
    return [latency for latency in latencies if latency is not None]
