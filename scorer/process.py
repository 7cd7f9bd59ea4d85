"""A process that decides, a worker or a replay: put together, watched, and stopped well."""

import gc
import math
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from schemas.decision import BundleReference
from schemas.deployment import Slot
from scorer.core.score import Bundle, Scores
from scorer.errors import OffsetExpiredError, ReplayError, SettingsError
from scorer.logs import (
    BATCH_COMMITTED,
    BUNDLE_SWAPPED,
    CHALLENGER_CHANGED,
    STOP_ASKED,
    WORKER_STARTED,
    WORKER_STOPPED,
    log,
)
from scorer.monitor.health import Health
from scorer.monitor.http import MonitorServer
from scorer.monitor.metrics import WorkerMetrics, replay_progress
from scorer.replay.link import CorrectionHeaders, Pace, ReplayLink, start_within
from scorer.replay.plan import Plan
from scorer.replay.progress import ProgressReader, Standing
from scorer.settings import Settings
from scorer.stream.challenge import Challenger, ChallengeWatch, Comparison
from scorer.stream.delivery import Delivered
from scorer.stream.follow import Bundles, FollowWatch
from scorer.stream.kafka import KafkaLink, Watch
from scorer.stream.statistics import Statistics
from scorer.stream.worker import Batch, run

if TYPE_CHECKING:
    from scorer.monitor.tracing import BatchSpans

_GC_THRESHOLD = 100_000
_PROGRESS_S = 1.0


def collect_garbage_seldom() -> None:
    """Keeps the collector away from the loop: it looks through all that lives for cycles, and records make none."""
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)


class Stop:
    """SIGTERM or SIGINT: finish the batch in hand, and give up on it when the drain is over."""

    def __init__(self, drain_s: float) -> None:
        self._drain_s = drain_s
        self._asked_at: float | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, _: object) -> None:
        if self._asked_at is None:
            log(STOP_ASKED, signal=signal.Signals(number).name)
            self._asked_at = time.monotonic()

    def asked(self) -> bool:
        """Whether to stop between two batches."""
        return self._asked_at is not None

    def drained(self) -> bool:
        """Whether even the batch in hand may take no longer."""
        return self._asked_at is not None and time.monotonic() - self._asked_at > self._drain_s


class Monitoring(Watch, FollowWatch, ChallengeWatch):
    """Passes what happens on to the metrics and to the health."""

    def __init__(self, metrics: WorkerMetrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health

    def lap(self, stage: str) -> None:
        """A step ended."""
        self._metrics.lap(stage)

    def polled(self, batch: Batch) -> None:
        """A poll was completed."""
        self._health.polled_at = self._health.clock()
        self._metrics.polled(batch)

    def serving(self, reference: BundleReference) -> None:
        """Another bundle decides."""
        if reference != self._health.bundle:
            log(BUNDLE_SWAPPED, bundle=str(reference), previous=str(self._health.bundle))
        self._health.bundle = reference
        self._metrics.serving(reference)

    def refused(self, slot: Slot, reference: BundleReference, reason: str) -> None:
        """A deployed bundle could not be loaded."""
        told = f"{reference} was deployed and cannot be loaded: {reason}"
        if slot == "champion":
            self._health.refused = told
            self._metrics.refused()
        else:
            self._health.challenger_refused = told
            self._metrics.challenger_refused()

    def in_step(self, slot: Slot, reference: BundleReference | None) -> None:
        """What is deployed is loaded; a champion serves once the loop takes it over."""
        if slot == "champion":
            self._health.refused = ""
            return
        if reference != self._health.challenger:
            log(CHALLENGER_CHANGED, bundle=None if reference is None else str(reference))
        self._health.challenger, self._health.challenger_refused = reference, ""
        self._metrics.challenging(reference)

    def skipped(self, _: int) -> None:
        """A line of the history is no event."""
        self._metrics.skipped()

    def compared(self, comparison: Comparison) -> None:
        """The challenger scored a batch along."""
        self._metrics.compared(comparison)

    def challenge_failed(self) -> None:
        """The challenger could not score a batch."""
        self._metrics.challenge_failed()

    def committed(self, batch: Batch, scores: Scores, times: Delivered) -> None:
        """A batch is there for good."""
        self._metrics.committed(batch, scores, times)
        log(
            BATCH_COMMITTED,
            offsets_next=batch.offsets_next,
            records=len(batch.records),
            rejected=len(scores.outcomes) - len(scores.decided),
            bundle=str(scores.bundle),
            seconds=round(times.confirmed_at - times.began_at, 6),
        )

    def aborted(self) -> None:
        """A batch was wound back."""
        self._metrics.aborted()

    def rebalanced(self, kind: str, assigned: frozenset[int]) -> None:
        """Partitions came or went."""
        self._health.assigned = assigned
        self._metrics.rebalanced(kind, assigned)

    def lag(self, records: Mapping[int, int]) -> None:
        """How far behind each partition is."""
        self._metrics.lag(records)

    def reachable(self, yes: bool) -> None:
        """Whether any broker can be reached."""
        self._health.reachable = yes

    def statistics(self, found: Statistics) -> None:
        """A Kafka client reports on itself."""
        self._metrics.statistics(found)

    def close(self) -> None:
        """There is nothing to end."""


class TracedMonitoring(Monitoring):
    """Makes a span of each batch besides."""

    def __init__(self, metrics: WorkerMetrics, health: Health, spans: "BatchSpans") -> None:
        super().__init__(metrics, health)
        self._spans = spans

    def lap(self, stage: str) -> None:
        """A step ended."""
        super().lap(stage)
        self._spans.lap(stage)

    def polled(self, batch: Batch) -> None:
        """A poll was completed."""
        super().polled(batch)
        self._spans.polled(batch)

    def committed(self, batch: Batch, scores: Scores, times: Delivered) -> None:
        """A batch is there for good."""
        super().committed(batch, scores, times)
        self._spans.committed(scores, times)

    def aborted(self) -> None:
        """A batch was wound back."""
        super().aborted()
        self._spans.aborted()

    def close(self) -> None:
        """Sends the spans that are left."""
        self._spans.close()


def work(settings: Settings, bundles: Bundles) -> None:
    """Runs a worker until SIGTERM or SIGINT, or until it cannot go on.

    Args:
        settings: the brokers, the topics and how to deliver.
        bundles: what decides, and what scores along.

    Raises:
        ScorerError: what is wrong, and how to mend it.
    """
    stop = Stop(settings.drain_s)
    registry, health, metrics = _instruments(settings, bundles.current().reference)
    with closing(monitoring_of(settings, metrics, health)) as monitoring:
        with (
            closing(MonitorServer(settings.http_host, settings.http_port, registry, health)) as server,
            closing(KafkaLink(settings, monitoring, stop.drained)) as link,
        ):
            log(
                WORKER_STARTED,
                group=settings.group_id,
                instance=settings.instance_id,
                http=server.address,
                delivery=settings.delivery,
                bundle=str(bundles.current().reference),
            )
            bundles.start(monitoring)
            collect_garbage_seldom()
            challenger = Challenger(bundles.challenger, settings.record_bytes_max, monitoring)
            run(link, bundles.current, monitoring, settings.record_bytes_max, stop.asked, challenger.score_along)
        log(WORKER_STOPPED)


def monitoring_of(settings: Settings, metrics: WorkerMetrics, health: Health) -> Monitoring:
    """What a worker is watched by; where no traces are wanted, nothing of them is loaded and nothing asks for them.

    Raises:
        SettingsError: traces are wanted, and what makes them is not installed or set up for something else.
    """
    if settings.traces == "off":
        return Monitoring(metrics, health)
    try:
        from scorer.monitor.tracing import BatchSpans, otlp_provider
    except ImportError as missing:
        raise SettingsError(
            f"traces = {settings.traces} needs OpenTelemetry: pip install 'streaming-credit-scorer[otel]'"
        ) from missing
    return TracedMonitoring(metrics, health, BatchSpans(otlp_provider(settings), settings))


def _instruments(settings: Settings, reference: BundleReference) -> tuple[CollectorRegistry, Health, WorkerMetrics]:
    """What a process is watched by."""
    registry = CollectorRegistry()
    for collector in (GCCollector, PlatformCollector, ProcessCollector):
        collector(registry=registry)
    health = Health(reference, stalled_after_s=int(settings.kafka.get("max.poll.interval.ms", "300000")) / 1_000)
    return registry, health, WorkerMetrics(registry, reference, settings.applications_topic)


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How a replay is to run."""

    records_per_s: float
    """At most, in this process."""
    everything: bool
    """Whether to publish decisions too that come out the same."""
    http_port: int | None
    """Of /metrics, /healthz and /readyz; None serves none."""


def replay(
    settings: Settings, plan: Plan, bundle: Bundle, options: ReplayOptions, tell: Callable[[Standing], None]
) -> Standing:
    """Works on a replay until all of it is done, by whomever, or until SIGTERM or SIGINT.

    Args:
        settings: the brokers and the topics.
        plan: the replay.
        bundle: what decides.
        options: how to run.
        tell: told about once a second how far the replay has come.

    Returns:
        How far it has come at the end.

    Raises:
        ReplayError: retention has taken applications that were still to come.
        ScorerError: what else is wrong, and how to mend it.
    """
    stop = Stop(settings.drain_s)
    registry, health, metrics = _instruments(settings, bundle.reference)
    with ExitStack() as opened:
        progress = opened.enter_context(closing(ProgressReader(settings, plan)))
        gauge = replay_progress(plan.replay_id, registry)
        if options.http_port is not None:
            opened.enter_context(closing(MonitorServer(settings.http_host, options.http_port, registry, health)))

        def tell_all(standing: Standing) -> None:
            gauge.set(standing.done / standing.total)
            tell(standing)

        monitoring = _ReplayMonitoring(metrics, health, progress, tell_all)
        link = KafkaLink(
            _replay_settings(settings, plan, options.records_per_s),
            monitoring,
            stop.drained,
            start_within(plan),
            CorrectionHeaders(plan),
        )
        opened.enter_context(closing(link))
        collect_garbage_seldom()
        try:
            run(
                ReplayLink(link, plan, Pace(options.records_per_s), options.everything),
                lambda: bundle,
                monitoring,
                settings.record_bytes_max,
                lambda: stop.asked() or monitoring.complete(),
            )
        except OffsetExpiredError as error:
            raise ReplayError(
                "retention has taken applications of this replay while it ran. What is done is done; plan again for "
                "what is left, and the new plan says how many are gone"
            ) from error
        return progress.look()


def _replay_settings(settings: Settings, plan: Plan, records_per_s: float) -> Settings:
    """The same brokers and topics, in the replay's own group."""
    # What a killed process held is free again after these; both are short here because a replay is resumed by hand.
    quick = {"transaction.timeout.ms": "10000"}
    if settings.kafka.get("group.protocol", "classic").lower() != "consumer":
        quick |= {"session.timeout.ms": "6000", "heartbeat.interval.ms": "1500"}
    changes = {
        "group_id": plan.group_id,
        "instance_id": None,
        "delivery": "exactly-once",  # a correction that came twice would not be one
        # No batch is more than a second's work, so that the pace is kept without long waits.
        "batch_records_max": max(1, min(settings.batch_records_max, int(records_per_s))),
        "kafka": quick | settings.kafka,
    }
    return settings.model_copy(update=changes)


class _ReplayMonitoring(Monitoring):
    """Asks besides, about once a second, how far all of a replay has come."""

    def __init__(
        self, metrics: WorkerMetrics, health: Health, progress: ProgressReader, tell: Callable[[Standing], None]
    ) -> None:
        super().__init__(metrics, health)
        self._progress = progress
        self._tell = tell
        self._asked_at = -math.inf
        self._complete = False

    def complete(self) -> bool:
        """Whether nothing is left to do, for anybody."""
        if time.monotonic() - self._asked_at >= _PROGRESS_S:
            standing = self._progress.look()
            self._complete = standing.complete
            self._asked_at = time.monotonic()
            self._tell(standing)
        return self._complete
