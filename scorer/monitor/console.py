"""The console's metrics: its process, the consumer group, and the review queue if reviews are on."""

import time
from collections.abc import Callable, Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from schemas.review import ReviewLabel
from scorer.monitor.families import GROUP_LAG, GROUP_MEMBERS, OLDEST_REVIEW, REVIEWS, WAITING_REVIEWS
from scorer.monitor.http import encode_metrics
from scorer.operate.latest_lag import LatestLag
from scorer.operate.review_queue import ReviewQueue


def console_metrics(latest_lag: LatestLag, topic: str, queue: ReviewQueue | None) -> Callable[[str], tuple[str, bytes]]:
    """Returns a function that encodes the metrics, as content type and body, for an Accept header.

    Args:
        latest_lag: the newest figures of the consumer group.
        topic: the applications topic.
        queue: the decisions that wait for a review; None if reviews are off.
    """
    registry = CollectorRegistry()
    for collector in (GCCollector, ProcessCollector):
        collector(registry=registry)
    registry.register(GroupCollector(latest_lag, topic))
    if queue is not None:
        registry.register(QueueCollector(queue))
    return lambda accept: encode_metrics(registry, accept)


class GroupCollector(Collector):
    """The figures of the consumer group, which need no worker. If they are not known, there are none."""

    def __init__(self, latest_lag: LatestLag, topic: str) -> None:
        """Exposes the newest figures, with the name of the applications topic."""
        self._latest_lag = latest_lag
        self._topic = topic

    def collect(self) -> Iterator[Metric]:
        """The metric families."""
        figures = self._latest_lag.current()
        if figures is None:
            return
        lag = GaugeMetricFamily(GROUP_LAG.name, GROUP_LAG.help, labels=GROUP_LAG.labels)
        for partition, records in sorted(figures.lag_by_partition.items()):
            lag.add_metric((self._topic, str(partition)), records)
        yield lag
        yield GaugeMetricFamily(GROUP_MEMBERS.name, GROUP_MEMBERS.help, value=figures.members)


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
