"""The metrics, declared once, and the watch on the loop that feeds them: per batch, never per record."""

import time
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from schemas.decision import BundleReference
from schemas.deployment import Slot
from schemas.records import AGE_MAX_S, CLOCK_AHEAD_S
from schemas.rejection import RejectionCode
from scorer.core.policy import OUTCOMES
from scorer.core.score import Scores
from scorer.core.wire import Rejection
from scorer.stream.challenge import Comparison
from scorer.stream.delivery import Delivered
from scorer.stream.observer import Observer
from scorer.stream.statistics import FAULT_COUNTERS, Statistics
from scorer.stream.worker import Batch

STAGES: Final = ("decode", "features", "predict", "encode", "publish", "commit")
_STAGE_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_BATCH_BUCKETS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 100_000)
_PROBABILITY_BUCKETS: Final = tuple(round(0.05 * i, 2) for i in range(1, 21))
# The loop looks at the lag once per second; a lag that is so old is no longer the present one.
_LAG_STALE_S: Final = 15.0


class Metric(NamedTuple):
    """A metric as it is declared; a counter's name is exposed with `_total`, bounds are in the name's unit."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def exposed_name(self) -> str:
        """As Prometheus reads it; of a histogram, what its parts' names begin with."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


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
TIMESTAMPS = Metric(
    "scorer_timestamps_out_of_range",
    "counter",
    "Records whose timestamp is older than ten years or more than an hour in the future; they have no latency.",
)
LAG = Metric(
    "scorer_consumer_lag_records",
    "gauge",
    "Records not processed yet, per assigned partition; absent while the worker does not poll.",
    ("topic", "partition"),
)
LAG_AGE = Metric("scorer_lag_age_seconds", "gauge", "Seconds since the worker last looked at its lag.")
COMMITTED = Metric(
    "scorer_committed_offset",
    "gauge",
    "Where the group goes on, of the partitions that this worker has.",
    ("topic", "partition"),
)
REBALANCES = Metric("scorer_rebalances", "counter", "Changes of this worker's partitions.", ("kind",))
ASSIGNED = Metric("scorer_assigned_partitions", "gauge", "Partitions that this worker has.")
BLOCKED = Metric(
    "scorer_blocked_partitions", "gauge", "Assigned partitions that cannot be read from where the group is."
)
LAST_POLL = Metric(
    "scorer_last_poll_timestamp_seconds", "gauge", "When the last poll was completed, in seconds since 1970."
)
BUNDLE = Metric("scorer_bundle_info", "gauge", "1 for the bundle in the slot.", ("slot", "name", "version", "digest"))
SWAPS = Metric("scorer_bundle_swaps", "counter", "Deployed champions taken over, or not loadable.", ("outcome",))
FAULTS = Metric("scorer_deployment_faults", "counter", "Lines of the deployments' history that are no events.")
COMPARED = Metric(
    "scorer_challenger_compared",
    "counter",
    "Applications that the challenger scored along; those of a batch that was wound back count again.",
    ("champion", "challenger"),
)
DISAGREEMENTS = Metric(
    "scorer_challenger_disagreements",
    "counter",
    "Of those compared, what the challenger would have decided otherwise, or only one of the two could decide.",
    ("champion", "challenger"),
)
CHALLENGER_FAILURES = Metric(
    "scorer_challenger_failures",
    "counter",
    "Challengers that could not be loaded, and batches that one could not score.",
    ("step",),
)
PROBABILITY = Metric(
    "scorer_probability_of_default",
    "histogram",
    "Probabilities of default that were decided on.",
    ("bundle",),
    _PROBABILITY_BUCKETS,
)

CONNECTIONS = Metric("scorer_kafka_connections", "gauge", "Connections to brokers that are up.", ("client",))
QUEUED = Metric(
    "scorer_kafka_queued_records",
    "gauge",
    "Consumer: records fetched and not polled yet. Producer: records handed over and not confirmed yet.",
    ("client",),
)
ROUND_TRIP = Metric(
    "scorer_kafka_round_trip_seconds",
    "gauge",
    "99th percentile of the seconds that a broker took to answer the producer, over the last few.",
    ("broker",),
)
THROTTLE = Metric(
    "scorer_kafka_throttle_seconds",
    "gauge",
    "The longest wait that a broker's quota put on a request, over the last few seconds.",
    ("client",),
)
CLIENT_FAULTS = Metric(
    "scorer_kafka_faults",
    "counter",
    "Connections lost, and requests that failed, were retried or timed out.",
    ("client", "kind"),
)

REPLAY_PROGRESS = Metric(
    "scorer_replay_progress_ratio",
    "gauge",
    "Share of a replay's applications that are decided again, by whomever.",
    ("replay_id",),
)

METRICS: Final = (
    CONSUMED, DECISIONS, REJECTS, BATCH, STAGE, LATENCY, TIMESTAMPS, TRANSACTIONS, LAG, LAG_AGE, COMMITTED,
    REBALANCES, ASSIGNED, BLOCKED, LAST_POLL, BUNDLE, SWAPS, FAULTS, COMPARED, DISAGREEMENTS, CHALLENGER_FAILURES,
    PROBABILITY, CONNECTIONS, QUEUED, ROUND_TRIP, THROTTLE, CLIENT_FAULTS,
)  # fmt: skip
"""All of a worker's; docs and dashboards are compared with this table."""
REPLAY_METRICS: Final = (REPLAY_PROGRESS,)
"""What a replay has besides."""


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


class _ClientMetrics:
    """What the two Kafka clients report of themselves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        gauges = (CONNECTIONS, QUEUED, THROTTLE, ROUND_TRIP)
        self._connections, self._queued, self._throttle, self._round_trip = (_gauge(m, registry) for m in gauges)
        self._faults = _counter(CLIENT_FAULTS, registry)
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


class WorkerMetrics(Observer):
    """The worker's metrics, and the observer that keeps them."""

    def __init__(self, registry: CollectorRegistry, bundle: BundleReference, topic: str) -> None:
        """Declares every metric, with its series at 0.

        Args:
            registry: where they are collected from.
            bundle: what decides.
            topic: the applications topic.
        """
        self._topic = topic
        self._lap_at = time.perf_counter()
        self._consumed = _counter(CONSUMED, registry)
        self._decisions = _counter(DECISIONS, registry)
        rejects = _counter(REJECTS, registry)
        self._rejects = {code: rejects.labels(code.value) for code in RejectionCode}
        self._batch_records = Histogram(BATCH.name, BATCH.help, buckets=BATCH.bounds, registry=registry)
        stages = Histogram(STAGE.name, STAGE.help, STAGE.labels, buckets=STAGE.bounds, registry=registry)
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        transactions = _counter(TRANSACTIONS, registry)
        self._transactions = {outcome: transactions.labels(outcome) for outcome in ("committed", "aborted")}
        rebalances = _counter(REBALANCES, registry)
        self._rebalances = {kind: rebalances.labels(kind) for kind in ("assigned", "revoked", "lost")}
        gauges = (COMMITTED, ASSIGNED, BLOCKED, LAST_POLL)
        self._committed, self._assigned, self._blocked, self._last_poll = (_gauge(m, registry) for m in gauges)
        self._committed_partitions: set[int] = set()
        """Those with a series of committed offsets."""
        self._lag = LagGauge(topic)
        swaps = _counter(SWAPS, registry)
        self._swaps = {outcome: swaps.labels(outcome) for outcome in ("swapped", "failed")}
        self._faults = _counter(FAULTS, registry)
        self._compared, self._disagreements = _counter(COMPARED, registry), _counter(DISAGREEMENTS, registry)
        failures = _counter(CHALLENGER_FAILURES, registry)
        self._challenger_failures = {step: failures.labels(step) for step in ("load", "score")}
        self._clients = _ClientMetrics(registry)
        self._timestamps = _counter(TIMESTAMPS, registry)
        self._latency = BatchHistogram(LATENCY)
        self._latency.observe(np.empty(0))
        self._probability = BatchHistogram(PROBABILITY)
        for collector in (self._lag, self._latency, self._probability):
            registry.register(collector)
        self._bundle = _gauge(BUNDLE, registry)
        self._slots: dict[Slot, BundleReference | None] = {}
        self._declare(bundle)

    # The loop

    def lap(self, stage: str) -> None:
        """A step ended."""
        now = time.perf_counter()
        self._stages[stage].observe(now - self._lap_at)
        self._lap_at = now

    def polled(self, batch: Batch) -> None:  # noqa: ARG002
        """A poll was completed."""
        self._last_poll.set_to_current_time()
        self._lap_at = time.perf_counter()

    def serving(self, reference: BundleReference) -> None:
        """Another bundle decides from here on; the first one was there from the start."""
        if reference != self._slots["champion"]:
            self._declare(reference)
            self._swaps["swapped"].inc()

    # The follower

    def refused(self, slot: Slot, reference: BundleReference, reason: str) -> None:  # noqa: ARG002
        """A deployed bundle could not be loaded."""
        if slot == "champion":
            self._swaps["failed"].inc()
        else:
            self._challenger_failures["load"].inc()

    def in_step(self, slot: Slot, reference: BundleReference | None) -> None:
        """The deployed bundle is loaded; a champion counts once it decides."""
        if slot == "challenger":
            self._fill("challenger", reference)

    def skipped(self, offset: int) -> None:  # noqa: ARG002
        """A record of the deployment history is malformed."""
        self._faults.inc()

    # The challenger

    def compared(self, comparison: Comparison) -> None:
        """A batch was scored by the challenger."""
        pair = _label(comparison.champion), _label(comparison.challenger)
        self._compared.labels(*pair).inc(comparison.applications)
        self._disagreements.labels(*pair).inc(comparison.disagreements)

    def challenge_failed(self) -> None:
        """A batch could not be scored by the challenger."""
        self._challenger_failures["score"].inc()

    # The link

    def committed(self, batch: Batch, scores: Scores, times: Delivered) -> None:
        """A batch is committed; only what is committed counts."""
        self._transactions["committed"].inc()
        self._stages["publish"].observe(times.handed_over_at - times.began_at)
        self._stages["commit"].observe(times.confirmed_at - times.handed_over_at)
        for partition, offset in batch.offsets_next.items():
            self._committed.labels(self._topic, str(partition)).set(offset)
        self._committed_partitions |= batch.offsets_next.keys()
        if not batch.records:
            return
        self._consumed.inc(len(batch.records))
        self._batch_records.observe(len(batch.records))
        label = _label(scores.bundle)
        for decision, count in zip(OUTCOMES, np.bincount(scores.decided, minlength=len(OUTCOMES)), strict=True):
            self._decisions.labels(decision, label).inc(int(count))
        if len(scores.decided) < len(scores.outcomes):
            for outcome in scores.outcomes:
                if isinstance(outcome, Rejection):
                    self._rejects[outcome.code].inc()
        self._probability.observe(scores.probabilities, label)
        self._observe_latency(batch, times.confirmed_at)

    def _observe_latency(self, batch: Batch, confirmed_at: float) -> None:
        """Of the records whose timestamps can be believed; a single one in microseconds would ruin the sum for ever."""
        published_ms = np.array([record.timestamp()[1] for record in batch.records], dtype=np.float64)
        latencies = confirmed_at - published_ms / 1_000
        plausible = (latencies > -CLOCK_AHEAD_S) & (latencies < AGE_MAX_S)
        self._latency.observe(np.maximum(latencies[plausible], 0))
        self._timestamps.inc(int(np.count_nonzero(~plausible)))

    def rebalanced(self, kind: str, assigned: frozenset[int]) -> None:
        """Partitions came or went."""
        self._rebalances[kind].inc()
        self._assigned.set(len(assigned))
        self._lag.keep(assigned)
        for partition in self._committed_partitions - assigned:
            self._committed.remove(self._topic, str(partition))  # another worker reports it now
        self._committed_partitions &= assigned

    def blocked(self, partitions: Mapping[int, str]) -> None:
        """These partitions cannot be read."""
        self._blocked.set(len(partitions))

    def aborted(self) -> None:
        """A batch was aborted."""
        self._transactions["aborted"].inc()

    def lag(self, records: Mapping[int, int]) -> None:
        """How far behind each partition is."""
        self._lag.see(records)

    def statistics(self, statistics: Statistics) -> None:
        """A Kafka client reports on itself."""
        self._clients.take(statistics)

    def _declare(self, reference: BundleReference) -> None:
        """The series of a bundle that decides, at 0, and that it is the one."""
        self._fill("champion", reference)
        for outcome in OUTCOMES:
            self._decisions.labels(outcome, _label(reference))
        self._probability.observe(np.empty(0), _label(reference))

    def _fill(self, slot: Slot, reference: BundleReference | None) -> None:
        """Says what is in a slot, and what the two slots have between them at 0."""
        before = self._slots.get(slot)
        if reference == before:
            return
        self._slots[slot] = reference
        if before is not None:
            self._bundle.remove(slot, before.name, before.version, before.digest)
        if reference is not None:
            self._bundle.labels(slot, reference.name, reference.version, reference.digest).set(1)
        champion, challenger = self._slots.get("champion"), self._slots.get("challenger")
        if champion is not None and challenger is not None and champion != challenger:
            for counter in (self._compared, self._disagreements):
                counter.labels(_label(champion), _label(challenger))


def replay_progress(replay_id: str, registry: CollectorRegistry) -> Gauge:
    """Declares how far a replay has come, at 0."""
    return _gauge(REPLAY_PROGRESS, registry).labels(replay_id)


def _label(reference: BundleReference) -> str:
    return f"{reference.name}:{reference.version}"


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


def _gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    return Gauge(metric.name, metric.help, metric.labels, registry=registry)
