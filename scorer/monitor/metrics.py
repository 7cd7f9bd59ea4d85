"""The metrics, declared once, and the watch on the loop that feeds them: per batch, never per record."""

import time
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from schemas.decision import BundleReference
from schemas.rejection import RejectionCode
from scorer.core.policy import OUTCOMES
from scorer.core.score import Scores
from scorer.core.wire import Rejection
from scorer.stream.delivery import Delivered
from scorer.stream.worker import Batch

STAGES: Final = ("decode", "features", "predict", "encode", "publish", "commit")
_STAGE_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_BATCH_BUCKETS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 100_000)
_PROBABILITY_BUCKETS: Final = tuple(round(0.05 * i, 2) for i in range(1, 21))


class Metric(NamedTuple):
    """A metric as it is declared; a counter's name is exposed with `_total`, bounds are in the name's unit."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


CONSUMED = Metric("scorer_applications_consumed", "counter", "Records taken from the applications topic and committed.")
DECISIONS = Metric("scorer_decisions", "counter", "Decisions committed.", ("decision", "bundle"))
REJECTS = Metric("scorer_rejects", "counter", "Records set aside on the dead-letter topic.", ("code",))
BATCH = Metric("scorer_batch_records", "histogram", "Records in a batch.", bounds=_BATCH_BUCKETS)
STAGE = Metric("scorer_stage_seconds", "histogram", "Seconds a step took on a batch.", ("stage",), _STAGE_BUCKETS)
LATENCY = Metric(
    "scorer_decision_latency_seconds",
    "histogram",
    "Seconds from an application's timestamp to the commit of its decision.",
    bounds=_LATENCY_BUCKETS,
)
TRANSACTIONS = Metric(
    "scorer_transactions", "counter", "Batches committed or aborted, with or without a transaction.", ("outcome",)
)
LAG = Metric(
    "scorer_consumer_lag_records",
    "gauge",
    "Records not decided yet, of the partitions that this worker has.",
    ("topic", "partition"),
)
REBALANCES = Metric("scorer_rebalances", "counter", "Changes of this worker's partitions.", ("kind",))
ASSIGNED = Metric("scorer_assigned_partitions", "gauge", "Partitions that this worker has.")
LAST_POLL = Metric(
    "scorer_last_poll_timestamp_seconds", "gauge", "When the last poll was completed, in seconds since 1970."
)
BUNDLE = Metric("scorer_bundle_info", "gauge", "1 for the bundle in the slot.", ("slot", "name", "version", "digest"))
PROBABILITY = Metric(
    "scorer_probability_of_default",
    "histogram",
    "Probabilities of default that were decided on.",
    ("bundle",),
    _PROBABILITY_BUCKETS,
)

METRICS: Final = (
    CONSUMED, DECISIONS, REJECTS, BATCH, STAGE, LATENCY, TRANSACTIONS, LAG, REBALANCES, ASSIGNED, LAST_POLL, BUNDLE,
    PROBABILITY,
)  # fmt: skip
"""All of them; docs and dashboards are compared with this table."""


class BatchHistogram(Collector):
    """A histogram that takes a whole array at once; prometheus_client's own takes a value a call."""

    def __init__(self, metric: Metric, label_values: tuple[str, ...] = ()) -> None:
        """Declares it, for these values of its labels."""
        self._metric = metric
        self._label_values = label_values
        self._bounds = np.asarray(metric.bounds, dtype=np.float64)
        self._counts = np.zeros(len(metric.bounds) + 1, dtype=np.int64)
        self._sum = 0.0
        self._lock = Lock()

    def observe(self, values: NDArray[np.floating]) -> None:
        """Counts the values, shape (n,)."""
        places = np.searchsorted(self._bounds, values, side="left")
        counts = np.bincount(places, minlength=len(self._counts))
        with self._lock:
            self._counts += counts
            self._sum += float(values.sum(dtype=np.float64))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The family as Prometheus wants it: cumulative buckets."""
        family = HistogramMetricFamily(self._metric.name, self._metric.help, labels=self._metric.labels)
        with self._lock:
            cumulative, total = np.cumsum(self._counts).tolist(), self._sum
        bounds = [*(str(bound) for bound in self._bounds.tolist()), "+Inf"]
        family.add_metric(self._label_values, buckets=list(zip(bounds, cumulative, strict=True)), sum_value=total)
        yield family


class WorkerMetrics:
    """The worker's metrics, and the watch that keeps them: the loop's Monitor and the link's Watch in one."""

    def __init__(self, registry: CollectorRegistry, bundle: BundleReference, topic: str) -> None:
        """Declares every metric, with its series at 0.

        Args:
            registry: where they are collected from.
            bundle: what decides.
            topic: the applications topic.
        """
        label = f"{bundle.name}:{bundle.version}"
        self._topic = topic
        self._lap_at = time.perf_counter()
        self._lag_partitions: set[int] = set()
        self._consumed = _counter(CONSUMED, registry)
        decisions = _counter(DECISIONS, registry)
        self._decisions = [decisions.labels(outcome, label) for outcome in OUTCOMES]
        rejects = _counter(REJECTS, registry)
        self._rejects = {code: rejects.labels(code.value) for code in RejectionCode}
        self._batch_records = Histogram(BATCH.name, BATCH.help, buckets=BATCH.bounds, registry=registry)
        stages = Histogram(STAGE.name, STAGE.help, STAGE.labels, buckets=STAGE.bounds, registry=registry)
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        transactions = _counter(TRANSACTIONS, registry)
        self._transactions = {outcome: transactions.labels(outcome) for outcome in ("committed", "aborted")}
        rebalances = _counter(REBALANCES, registry)
        self._rebalances = {kind: rebalances.labels(kind) for kind in ("assigned", "revoked", "lost")}
        self._lag, self._assigned, self._last_poll = (_gauge(m, registry) for m in (LAG, ASSIGNED, LAST_POLL))
        _gauge(BUNDLE, registry).labels("champion", bundle.name, bundle.version, bundle.digest).set(1)
        self._latency = BatchHistogram(LATENCY)
        self._probability = BatchHistogram(PROBABILITY, (label,))
        registry.register(self._latency)
        registry.register(self._probability)

    # The loop's Monitor

    def lap(self, stage: str) -> None:
        """A step ended."""
        now = time.perf_counter()
        self._stages[stage].observe(now - self._lap_at)
        self._lap_at = now

    def polled(self, _: Batch) -> None:
        """A poll was completed."""
        self._last_poll.set_to_current_time()
        self._lap_at = time.perf_counter()

    # The link's Watch

    def committed(self, batch: Batch, scores: Scores, times: Delivered) -> None:
        """A batch is there for good; only what is committed counts."""
        self._transactions["committed"].inc()
        self._stages["publish"].observe(times.handed_over_at - times.began_at)
        self._stages["commit"].observe(times.confirmed_at - times.handed_over_at)
        if not batch.records:
            return
        self._consumed.inc(len(batch.records))
        self._batch_records.observe(len(batch.records))
        for counter, count in zip(self._decisions, np.bincount(scores.decided, minlength=len(OUTCOMES)), strict=True):
            counter.inc(int(count))
        if len(scores.decided) < len(scores.outcomes):
            for outcome in scores.outcomes:
                if isinstance(outcome, Rejection):
                    self._rejects[outcome.code].inc()
        self._probability.observe(scores.probabilities)
        published_ms = np.array([record.timestamp()[1] for record in batch.records], dtype=np.float64)
        self._latency.observe(np.maximum(times.confirmed_at - published_ms / 1_000, 0))

    def rebalanced(self, kind: str, assigned: frozenset[int]) -> None:
        """Partitions came or went."""
        self._rebalances[kind].inc()
        self._assigned.set(len(assigned))
        for partition in self._lag_partitions - assigned:
            self._lag.remove(self._topic, str(partition))  # another worker reports it now
        self._lag_partitions &= assigned

    def aborted(self) -> None:
        """A batch was wound back."""
        self._transactions["aborted"].inc()

    def lag(self, records: Mapping[int, int]) -> None:
        """How far behind each partition is."""
        for partition, behind in records.items():
            self._lag.labels(self._topic, str(partition)).set(behind)
        self._lag_partitions |= records.keys()


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


def _gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    return Gauge(metric.name, metric.help, metric.labels, registry=registry)
