"""Metrics that prometheus_client has no class for: of whole arrays, with an age, and of the Kafka clients' reports."""

import time
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from scorer.monitor.families import CLIENT_FAULTS, CONNECTIONS, LAG, LAG_AGE, QUEUED, ROUND_TRIP, THROTTLE, Metric
from scorer.stream.statistics import FAULT_COUNTERS, Statistics

# The loop looks at the lag once per second; a lag that is so old is no longer the present one.
_LAG_STALE_S: Final = 15.0


class BatchHistogram(Collector):
    """A histogram that takes a whole array at once; prometheus_client's own takes a value a call."""

    def __init__(self, metric: Metric) -> None:
        """Declares it; a series is there once something was observed for it, if it was an empty array."""
        self._metric = metric
        self._bounds = np.asarray(metric.bounds, dtype=np.float64)
        self._series: dict[tuple[str, ...], tuple[NDArray[np.int64], float]] = {}
        self._lock = Lock()

    def observe(self, values: NDArray[np.floating], *label_values: str) -> None:
        """Counts the values, shape (n,), for these values of the labels."""
        places = np.searchsorted(self._bounds, values, side="left")
        counts = np.bincount(places, minlength=len(self._bounds) + 1).astype(np.int64)
        total = float(values.sum(dtype=np.float64))
        with self._lock:
            if label_values in self._series:
                counts_before, total_before = self._series[label_values]
                counts, total = counts + counts_before, total + total_before
            self._series[label_values] = counts, total

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The family as Prometheus wants it: cumulative buckets."""
        family = HistogramMetricFamily(self._metric.name, self._metric.help, labels=self._metric.labels)
        bounds = [*(str(bound) for bound in self._bounds.tolist()), "+Inf"]
        with self._lock:
            series = list(self._series.items())
        for label_values, (counts, total) in series:
            buckets = list(zip(bounds, np.cumsum(counts).tolist(), strict=True))
            family.add_metric(label_values, buckets=buckets, sum_value=total)
        yield family


class LagGauge(Collector):
    """The lag and its age. A lag that is no longer refreshed is not shown: it would be taken for the present one."""

    def __init__(self, topic: str) -> None:
        """Shows nothing yet, and the age from now on."""
        self._topic = topic
        self._seen: tuple[float, Mapping[int, int]] = time.monotonic(), {}
        """When, and the lag by partition; replaced whole."""

    def see(self, records: Mapping[int, int]) -> None:
        """The lag now, by partition."""
        self._seen = time.monotonic(), dict(records)

    def keep(self, assigned: frozenset[int]) -> None:
        """Shows only these partitions: the others are another worker's."""
        at, records = self._seen
        self._seen = at, {partition: lag for partition, lag in records.items() if partition in assigned}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The two families."""
        at, records = self._seen
        age_s = time.monotonic() - at
        lag = GaugeMetricFamily(LAG.name, LAG.help, labels=LAG.labels)
        if age_s < _LAG_STALE_S:
            for partition, count in records.items():
                lag.add_metric((self._topic, str(partition)), count)
        yield lag
        yield GaugeMetricFamily(LAG_AGE.name, LAG_AGE.help, value=age_s)


class ClientMetrics:
    """What the two Kafka clients report of themselves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Declares every metric, with its series at 0."""
        gauges = (CONNECTIONS, QUEUED, THROTTLE, ROUND_TRIP)
        self._connections, self._queued, self._throttle, self._round_trip = (m.gauge(registry) for m in gauges)
        self._faults = CLIENT_FAULTS.counter(registry)
        self._counted: dict[tuple[str, str, str], int] = {}
        """By client, broker and fault, how many are counted already: each report tells of all since the beginning."""
        for client in ("consumer", "producer"):
            for gauge in (self._connections, self._queued, self._throttle):
                gauge.labels(client)
            for fault in FAULT_COUNTERS:
                self._faults.labels(client, fault)

    def take(self, found: Statistics) -> None:
        """A report."""
        self._connections.labels(found.client).set(found.connections)
        self._queued.labels(found.client).set(found.queued_records)
        self._throttle.labels(found.client).set(found.throttled_s)
        if found.client == "producer":  # a fetch waits at the broker for records, which is no slowness
            self._round_trip.clear()  # a broker that was asked nothing has no time
            for broker, round_trip_s in found.round_trips_s.items():
                self._round_trip.labels(str(broker)).set(round_trip_s)
        for (broker_name, fault), count in found.faults.items():
            place = found.client, broker_name, fault
            self._faults.labels(found.client, fault).inc(max(0, count - self._counted.get(place, 0)))
            self._counted[place] = count
