"""The console's metrics: its process, the consumer group, the cluster, and the review queue if reviews are on."""

import time
from collections.abc import Callable, Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from schemas.review import ReviewLabel
from scorer.monitor.families import (
    BROKERS,
    END_OFFSET,
    GROUP_LAG,
    GROUP_MEMBERS,
    MISSING_BROKERS,
    OLDEST_REVIEW,
    REPLICA_METRICS,
    REVIEWS,
    WAITING_REVIEWS,
)
from scorer.monitor.http import encode_metrics
from scorer.operate.cluster import ClusterState, TopicReplicas
from scorer.operate.latest import GroupFigures, Latest, LatestFigures
from scorer.operate.review_queue import ReviewQueue


def console_metrics(latest: LatestFigures, topic: str, queue: ReviewQueue | None) -> Callable[[str], tuple[str, bytes]]:
    """Returns a function that encodes the metrics, as content type and body, for an Accept header.

    Args:
        latest: the newest figures of the consumer group and of the cluster.
        topic: the applications topic.
        queue: the decisions that wait for a review; None if reviews are off.
    """
    registry = CollectorRegistry()
    for collector in (GCCollector, ProcessCollector):
        collector(registry=registry)
    registry.register(GroupCollector(latest.group, topic))
    registry.register(ClusterCollector(latest.cluster))
    if queue is not None:
        registry.register(QueueCollector(queue))
    return lambda accept: encode_metrics(registry, accept)


class GroupCollector(Collector):
    """The figures of the consumer group, which need no worker. If they are not known, there are none."""

    def __init__(self, latest: Latest[GroupFigures], topic: str) -> None:
        """Exposes the newest figures, with the name of the applications topic."""
        self._latest = latest
        self._topic = topic

    def collect(self) -> Iterator[Metric]:
        """The metric families."""
        figures = self._latest.current()
        if figures is None:
            return
        lag = GaugeMetricFamily(GROUP_LAG.name, GROUP_LAG.help, labels=GROUP_LAG.labels)
        for partition, records in sorted(figures.lag_by_partition.items()):
            lag.add_metric((self._topic, str(partition)), records)
        yield lag
        yield GaugeMetricFamily(GROUP_MEMBERS.name, GROUP_MEMBERS.help, value=figures.members)
        end_offset = GaugeMetricFamily(END_OFFSET.name, END_OFFSET.help, labels=END_OFFSET.labels)
        end_offset.add_metric((self._topic,), figures.end_offset)
        yield end_offset


class ClusterCollector(Collector):
    """The brokers and the replicas of the topics. If they are not known, there are none."""

    def __init__(self, latest: Latest[ClusterState]) -> None:
        """Exposes the newest state."""
        self._latest = latest

    def collect(self) -> Iterator[Metric]:
        """The metric families."""
        state = self._latest.current()
        if state is None:
            return
        yield GaugeMetricFamily(BROKERS.name, BROKERS.help, value=len(state.brokers))
        yield GaugeMetricFamily(MISSING_BROKERS.name, MISSING_BROKERS.help, value=len(state.missing_brokers))
        families = [GaugeMetricFamily(metric.name, metric.help, labels=metric.labels) for metric in REPLICA_METRICS]
        for topic in state.topics:
            for family, count in zip(families, _counts(topic), strict=True):
                if count is not None:
                    family.add_metric((topic.topic,), count)
        yield from families


def _counts(topic: TopicReplicas) -> tuple[int | None, ...]:
    """The values of REPLICA_METRICS; None for what is not known."""
    return (
        topic.partitions,
        len(topic.offline),
        len(topic.under_replicated),
        None if topic.below_min_insync is None else len(topic.below_min_insync),
        len(topic.not_preferred),
    )


class QueueCollector(Collector):
    """The figures of the review queue. An incomplete queue has none, because it would seem short."""

    def __init__(self, queue: ReviewQueue, now: Callable[[], float] = time.time) -> None:
        """Exposes the figures of a queue; `now` returns seconds since 1970."""
        self._queue = queue
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """The metric families."""
        if not self._queue.is_complete:
            return
        state = self._queue.state()
        age_s = 0.0 if state.oldest_ms is None else max(0.0, self._now() - state.oldest_ms / 1_000)
        yield GaugeMetricFamily(WAITING_REVIEWS.name, WAITING_REVIEWS.help, value=state.waiting)
        yield GaugeMetricFamily(OLDEST_REVIEW.name, OLDEST_REVIEW.help, value=age_s)
        reviews = CounterMetricFamily(REVIEWS.name, REVIEWS.help, labels=REVIEWS.labels)
        for label in get_args(ReviewLabel):
            reviews.add_metric((label,), state.reviews.get(label, 0))
        yield reviews
