"""How long the latest decisions have taken: from an application's timestamp to its decision in this reader's hands."""

import time
from collections.abc import Mapping
from contextlib import closing
from threading import Event
from typing import Final

from schemas.records import latency_s, timestamp_ms
from scorer.console.live import Live, Part
from scorer.console.tail import Sample
from scorer.settings import Settings
from scorer.stream.reading import TopicReader

_EVERY_S: Final = 1.0
# Offsets of one partition within which applications are looked up: those decided last lie close together.
_SPAN_MAX: Final = 1_000


def keep_measuring(settings: Settings, live: Live, sample: Sample, stop: Event) -> None:
    """Looks up the applications of some decisions, about once a second, until it is told to stop.

    Decisions do not say when their applications were published, so those are read too: a few of each partition.

    Args:
        settings: the topics.
        live: is told how long they took.
        sample: the decisions.
        stop: ends it.

    Raises:
        SettingsError, TopicsError, BrokerError, KafkaException: the applications cannot be read.
    """
    with closing(TopicReader(settings, settings.applications_topic)) as applications:
        live.trouble(Part.WAITS, "")
        while not stop.wait(_EVERY_S):
            live.waited(time.time(), _measure(applications, sample.take()))


def _measure(applications: TopicReader, seen: Mapping[int, Mapping[int, float]]) -> list[float]:
    """Seconds that each of these applications waited for its decision.

    Args:
        applications: their topic.
        seen: by partition, when the decision on each offset was read, in seconds since 1970.

    Raises:
        BrokerError: the applications cannot be read.
    """
    existing = applications.bounds() if seen else {}
    bounds = {}
    for partition, of_partition in seen.items():
        first, end = existing.get(partition, (0, 0))
        # A decision can name any offset: where nothing is, nobody waits for it.
        offsets = [offset for offset in of_partition if first <= offset < end]
        if offsets:
            last = max(offsets)
            bounds[partition] = (min(offset for offset in offsets if last - offset < _SPAN_MAX), last + 1)
    waits = []
    for records in applications.read(bounds):
        for record in records:
            read_at = seen[record.partition()].get(record.offset())
            if read_at is not None:
                waits.append(latency_s(timestamp_ms(record), read_at))
    return [wait for wait in waits if wait is not None]
