"""Metrics without a class in prometheus_client: histograms of arrays, lag with an age, Kafka client statistics."""

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

# The loop measures the lag once per second; a lag of this age is no longer current.
_LAG_STALE_S: Final = 15.0


class BatchHistogram(Collector):
    """A histogram that observes whole arrays; prometheus_client's own observes one value per call."""

    def __init__(self, metric: Metric) -> None:
        """Declares it; a series exists once an array, which may be empty, was observed for its labels."""
        self._metric = metric
        self._bounds = np.asarray(metric.bounds, dtype=np.float64)
        self._series: dict[tuple[str, ...], tuple[NDArray[np.int64], float]] = {}
        self._lock = Lock()

    def observe(self, values: NDArray[np.floating], *label_values: str) -> None:
        """Observes values, shape (n,), for these label values."""
        # Sorting takes less time than a search for the bucket of each value.
        ends = np.searchsorted(np.sort(values), self._bounds, side="right")
        counts = np.diff(ends, prepend=0, append=len(values))
        total = float(values.sum(dtype=np.float64))
        with self._lock:
            if label_values in self._series:
                counts_before, total_before = self._series[label_values]
                counts, total = counts + counts_before, total + total_before
            self._series[label_values] = counts, total

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The metric family, with cumulative buckets."""
        family = HistogramMetricFamily(self._metric.name, self._metric.help, labels=self._metric.labels)
        bounds = [*(str(bound) for bound in self._bounds.tolist()), "+Inf"]
        with self._lock:
            series = list(self._series.items())
        for label_values, (counts, total) in series:
            buckets = list(zip(bounds, np.cumsum(counts).tolist(), strict=True))
            family.add_metric(label_values, buckets=buckets, sum_value=total)
        yield family


class LagGauge(Collector):
    """The lag and its age. A stale lag is not exposed, because it would be taken for the current one."""

    def __init__(self, topic: str) -> None:
        """Exposes no lag yet, and the age from now on."""
        self._topic = topic
        self._measured: tuple[float, Mapping[int, int]] = time.monotonic(), {}
        """When the lag was measured, and the lag by partition; replaced as a whole."""

    def see(self, records: Mapping[int, int]) -> None:
        """Sets the current lag, by partition."""
        self._measured = time.monotonic(), dict(records)

    def keep(self, assigned: frozenset[int]) -> None:
        """Drops all other partitions: they are assigned to other workers."""
        at, records = self._measured
        self._measured = at, {partition: lag for partition, lag in records.items() if partition in assigned}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The two metric families."""
        at, records = self._measured
        age_s = time.monotonic() - at
        lag = GaugeMetricFamily(LAG.name, LAG.help, labels=LAG.labels)
        if age_s < _LAG_STALE_S:
            for partition, count in records.items():
                lag.add_metric((self._topic, str(partition)), count)
        yield lag
        yield GaugeMetricFamily(LAG_AGE.name, LAG_AGE.help, value=age_s)


class ClientMetrics:
    """Statistics that the two Kafka clients report."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Declares every metric, with its series at 0."""
        gauges = (CONNECTIONS, QUEUED, THROTTLE, ROUND_TRIP)
        self._connections, self._queued, self._throttle, self._round_trip = (m.gauge(registry) for m in gauges)
        self._faults = CLIENT_FAULTS.counter(registry)
        self._counted: dict[tuple[str, str, str], int] = {}
        """By client, broker and fault, the number counted already: each report has the total since the start."""
        for client in ("consumer", "producer"):
            for gauge in (self._connections, self._queued, self._throttle):
                gauge.labels(client)
            for fault in FAULT_COUNTERS:
                self._faults.labels(client, fault)

    def take(self, statistics: Statistics) -> None:
        """Records a report."""
        self._connections.labels(statistics.client).set(statistics.connections)
        self._queued.labels(statistics.client).set(statistics.queued_records)
        self._throttle.labels(statistics.client).set(statistics.throttled_s)
        if statistics.client == "producer":  # a fetch waits at the broker for records, so its time says nothing
            self._round_trip.clear()  # a broker without requests has no round trip
            for broker, round_trip_s in statistics.round_trips_s.items():
                self._round_trip.labels(str(broker)).set(round_trip_s)
        for (broker_name, fault), count in statistics.faults.items():
            key = statistics.client, broker_name, fault
            self._faults.labels(statistics.client, fault).inc(max(0, count - self._counted.get(key, 0)))
            self._counted[key] = count
