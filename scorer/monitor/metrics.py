"""The observer of the loop that updates the metrics, once per batch and never per record."""

import time
from collections.abc import Mapping
from itertools import permutations

import numpy as np
from prometheus_client import CollectorRegistry, Gauge

from schemas.decision import BundleReference
from schemas.deployment import Slot
from schemas.records import AGE_MAX_S, CLOCK_AHEAD_S
from schemas.rejection import RejectionCode
from scorer.core.decide import NO_RULE
from scorer.core.policy import LABELS
from scorer.core.score import ENGINES, EngineName, Scores
from scorer.core.slow_decode import Rejection
from scorer.monitor.collectors import BatchHistogram, ClientMetrics, LagGauge
from scorer.monitor.families import (
    ACCEPTED_BY_ONE,
    ASSIGNED,
    BATCH,
    BLOCKED,
    BUNDLE,
    CHALLENGER_FAILURES,
    COMMITTED,
    COMPARED,
    CONSUMED,
    DECISIONS,
    DISAGREEMENTS,
    ENGINE,
    ENGINE_RECORDS,
    FAULTS,
    FLIPS,
    LAST_POLL,
    LATENCY,
    PROBABILITY,
    REASONS,
    REBALANCES,
    REJECTS,
    REPLAY_PROGRESS,
    RULES,
    SLOW_DECODES,
    STAGE,
    STAGES,
    SWAPS,
    TIMESTAMPS,
    TRANSACTIONS,
)
from scorer.stream.comparison import Comparison
from scorer.stream.delivery import Delivered
from scorer.stream.observer import Observer
from scorer.stream.statistics import Statistics
from scorer.stream.worker import Batch


class WorkerMetrics(Observer):
    """The worker's metrics, and the observer that updates them."""

    def __init__(self, registry: CollectorRegistry, bundle: BundleReference, topic: str) -> None:
        """Declares every metric, with its series at 0.

        Args:
            registry: the registry for the metrics.
            bundle: the champion.
            topic: the applications topic.
        """
        self._topic = topic
        self._lap_at = time.perf_counter()
        self._consumed = CONSUMED.counter(registry)
        self._decisions = DECISIONS.counter(registry)
        self._reasons = REASONS.counter(registry)
        self._rules = RULES.counter(registry)
        rejects = REJECTS.counter(registry)
        self._rejects = {code: rejects.labels(code.value) for code in RejectionCode}
        self._batch_records = BATCH.histogram(registry)
        stages = STAGE.histogram(registry)
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        transactions = TRANSACTIONS.counter(registry)
        self._transactions = {outcome: transactions.labels(outcome) for outcome in ("committed", "aborted")}
        rebalances = REBALANCES.counter(registry)
        self._rebalances = {kind: rebalances.labels(kind) for kind in ("assigned", "revoked", "lost")}
        gauges = (COMMITTED, ASSIGNED, BLOCKED, LAST_POLL)
        self._committed, self._assigned, self._blocked, self._last_poll = (m.gauge(registry) for m in gauges)
        self._committed_partitions: set[int] = set()
        """Partitions with a series of committed offsets."""
        self._lag = LagGauge(topic)
        swaps = SWAPS.counter(registry)
        self._swaps = {outcome: swaps.labels(outcome) for outcome in ("switched", "failed")}
        self._faults = FAULTS.counter(registry)
        self._compared, self._disagreements = COMPARED.counter(registry), DISAGREEMENTS.counter(registry)
        self._flips, self._accepted_by_one = FLIPS.counter(registry), ACCEPTED_BY_ONE.counter(registry)
        failures = CHALLENGER_FAILURES.counter(registry)
        self._challenger_failures = {step: failures.labels(step) for step in ("load", "score")}
        self._clients = ClientMetrics(registry)
        self._timestamps = TIMESTAMPS.counter(registry)
        self._slow_decodes = SLOW_DECODES.counter(registry)
        engines, records = ENGINE.gauge(registry), ENGINE_RECORDS.counter(registry)
        self._engines = {engine: engines.labels(engine) for engine in ENGINES}
        self._engine_records = {engine: records.labels(engine) for engine in ENGINES}
        self._latency = BatchHistogram(LATENCY)
        self._latency.observe(np.empty(0))
        self._probability = BatchHistogram(PROBABILITY)
        for collector in (self._lag, self._latency, self._probability):
            registry.register(collector)
        self._bundle = BUNDLE.gauge(registry)
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
        """The worker has switched to another bundle; the first one is declared at the start."""
        if reference != self._slots["champion"]:
            self._declare(reference)
            self._swaps["switched"].inc()

    def deciding(self, engine: EngineName, fault: str) -> None:  # noqa: ARG002
        """The worker decides with this engine."""
        for name, gauge in self._engines.items():
            gauge.set(name == engine)

    # The follower

    def refused(self, slot: Slot, reference: BundleReference, reason: str) -> None:  # noqa: ARG002
        """A deployed bundle could not be loaded."""
        if slot == "champion":
            self._swaps["failed"].inc()
        else:
            self._challenger_failures["load"].inc()

    def in_step(self, slot: Slot, reference: BundleReference | None) -> None:
        """The deployed bundle is loaded; a champion is counted once it decides."""
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
        for labels in permutations(LABELS, 2):
            self._flips.labels(*pair, *labels).inc(comparison.flips.get(labels, 0))
        self._accepted_by_one.labels(*pair, "champion").inc(comparison.only_champion)
        self._accepted_by_one.labels(*pair, "challenger").inc(comparison.only_challenger)

    def challenge_failed(self) -> None:
        """A batch could not be scored by the challenger."""
        self._challenger_failures["score"].inc()

    # The Kafka link

    def committed(self, batch: Batch, scores: Scores, times: Delivered) -> None:
        """A batch is committed; only committed batches are counted."""
        self._transactions["committed"].inc()
        self._stages["publish"].observe(times.produced_at - times.began_at)
        self._stages["commit"].observe(times.confirmed_at - times.produced_at)
        for partition, offset in batch.offsets_next.items():
            self._committed.labels(self._topic, str(partition)).set(offset)
        self._committed_partitions |= batch.offsets_next.keys()
        if not batch.records:
            return
        self._consumed.inc(len(batch.records))
        self._batch_records.observe(len(batch.records))
        self._slow_decodes.inc(scores.slow_decodes)
        self._engine_records["compiled"].inc(scores.by_engine)
        self._engine_records["python"].inc(len(scores.decided) - scores.by_engine)
        label = _label(scores.bundle)
        for decision, count in zip(LABELS, np.bincount(scores.decided, minlength=len(LABELS)), strict=True):
            self._decisions.labels(decision, label).inc(int(count))
        if scores.reasons is not None:
            counts = np.bincount(scores.reasons.ravel(), minlength=len(scores.codes))
            for code, count in zip(scores.codes, counts.tolist(), strict=False):  # the last count is of no reason
                self._reasons.labels(code, label).inc(count)
        by_rule = np.bincount(scores.rules - NO_RULE, minlength=len(scores.rule_ids) + 1)[1:]
        for rule, count in zip(scores.rule_ids, by_rule.tolist(), strict=True):
            self._rules.labels(rule, label).inc(count)
        if len(scores.decided) < len(scores.results):
            for result in scores.results:
                if isinstance(result, Rejection):
                    self._rejects[result.code].inc()
        self._probability.observe(scores.probabilities, label)
        self._observe_latency(batch, times.confirmed_at)

    def _observe_latency(self, batch: Batch, confirmed_at: float) -> None:
        """Observes plausible latencies only: a single timestamp in microseconds would ruin the sum permanently."""
        timestamps = [record.timestamp()[1] for record in batch.records]
        published_ms = np.fromiter(timestamps, dtype=np.int64, count=len(timestamps))
        latencies = confirmed_at - published_ms / 1_000
        plausible = (latencies > -CLOCK_AHEAD_S) & (latencies < AGE_MAX_S)
        self._latency.observe(np.maximum(latencies[plausible], 0))
        self._timestamps.inc(int(np.count_nonzero(~plausible)))

    def rebalanced(self, kind: str, assigned: frozenset[int]) -> None:
        """Partitions were assigned or revoked."""
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
        """The consumer lag per partition."""
        self._lag.see(records)

    def statistics(self, statistics: Statistics) -> None:
        """A Kafka client reports on itself."""
        self._clients.take(statistics)

    def _declare(self, reference: BundleReference) -> None:
        """Declares the series of a new champion, at 0."""
        self._fill("champion", reference)
        for decision in LABELS:
            self._decisions.labels(decision, _label(reference))
        self._probability.observe(np.empty(0), _label(reference))

    def _fill(self, slot: Slot, reference: BundleReference | None) -> None:
        """Sets the bundle of a slot, and declares the comparison of the two slots at 0."""
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
            self.compared(Comparison(champion, challenger, 0, 0, 0, 0))


def replay_progress(replay_id: str, registry: CollectorRegistry) -> Gauge:
    """Declares the progress of a replay, at 0."""
    return REPLAY_PROGRESS.gauge(registry).labels(replay_id)


def _label(reference: BundleReference) -> str:
    return f"{reference.name}:{reference.version}"
