"""Runs a process that decides, a worker or a replay: sets it up, observes it, and stops it cleanly."""

import gc
import math
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector

from schemas.decision import BundleReference
from schemas.deployment import Slot
from scorer.bundle.engine import NOT_INSTALLED
from scorer.core.score import Bundle, EngineName, Scores
from scorer.errors import SettingsError
from scorer.extras import install_command
from scorer.logs import (
    BATCH_COMMITTED,
    BUNDLE_SWITCHED,
    CHALLENGER_CHANGED,
    ENGINE_FAILED,
    ENGINE_UNUSED,
    WORKER_STARTED,
    WORKER_STOPPED,
    log,
)
from scorer.monitor.health import Health
from scorer.monitor.http import MonitorServer
from scorer.monitor.metrics import WorkerMetrics, replay_progress
from scorer.replay.link import CorrectionHeaders, RateLimit, ReplayLink, start_within
from scorer.replay.plan import Plan
from scorer.replay.progress import Progress, ProgressReader
from scorer.settings import Settings
from scorer.stop import Stop
from scorer.stream.challenge import Challenger
from scorer.stream.delivery import Delivered
from scorer.stream.follow import Bundles
from scorer.stream.kafka import KafkaLink
from scorer.stream.librdkafka import limits, stalled_after
from scorer.stream.observer import Observer, Observers
from scorer.stream.worker import Batch, run
from scorer.watchdog import Limits, Watchdog

if TYPE_CHECKING:
    from scorer.monitor.tracing import BatchSpans

# The link itself gives up a delivery and leaves the group cleanly; the watchdog acts only if the loop hangs, too.
_LATER_S: Final = 10.0
_GC_THRESHOLD = 100_000
_PROGRESS_S = 1.0


def reduce_garbage_collection() -> None:
    """Keeps garbage collection out of the loop: it searches all objects for cycles, and records have none."""
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)


class EventLog(Observer):
    """Logs what happens to batches and bundles."""

    def __init__(self, bundle: BundleReference) -> None:
        self._champion = bundle
        self._challenger: BundleReference | None = None
        self._engine_failed: BundleReference | None = None
        """The last bundle whose engine failed. Written by the loop."""

    def serving(self, reference: BundleReference) -> None:
        """The worker has switched to this bundle."""
        if reference != self._champion:
            log(BUNDLE_SWITCHED, bundle=str(reference), previous=str(self._champion))
        self._champion = reference

    def deciding(self, engine: EngineName, fault: str) -> None:  # noqa: ARG002
        """The worker decides with this engine."""
        if fault and fault != NOT_INSTALLED:
            log(ENGINE_UNUSED, bundle=str(self._champion), error=fault)

    def in_step(self, slot: Slot, reference: BundleReference | None) -> None:
        """The deployed bundle is loaded."""
        if slot == "challenger":
            if reference != self._challenger:
                log(CHALLENGER_CHANGED, bundle=None if reference is None else str(reference))
            self._challenger = reference

    def committed(self, batch: Batch, scores: Scores, times: Delivered) -> None:
        """A batch is committed."""
        if scores.engine_failed and scores.bundle != self._engine_failed:
            self._engine_failed = scores.bundle
            log(ENGINE_FAILED, bundle=str(scores.bundle))
        log(
            BATCH_COMMITTED,
            offsets_next=batch.offsets_next,
            records=len(batch.records),
            rejected=len(scores.results) - len(scores.decided),
            bundle=str(scores.bundle),
            seconds=round(times.confirmed_at - times.began_at, 6),
        )


class Liveness(Observer):
    """Reports the progress of the loop and the delivery to the watchdog."""

    def __init__(self, watchdog: Watchdog, within: Limits) -> None:
        self._watchdog = watchdog
        self._within = within

    def polled(self, batch: Batch) -> None:  # noqa: ARG002
        """The time limit for the next poll starts."""
        self._watchdog.begin("poll", self._within.poll_s)

    def delivering(self) -> None:
        """A delivery began."""
        self._watchdog.begin("delivery", self._within.delivery_s + _LATER_S)

    def committed(self, batch: Batch, scores: Scores, times: Delivered) -> None:  # noqa: ARG002
        """The delivery was committed."""
        self._watchdog.done("delivery")

    def aborted(self) -> None:
        """The delivery was aborted."""
        self._watchdog.done("delivery")


def work(settings: Settings, bundles: Bundles, stop: Stop, watchdog: Watchdog) -> None:
    """Runs a worker until SIGTERM or SIGINT, or until it cannot continue.

    Args:
        settings: the brokers, the topics and the delivery mode.
        bundles: the champion and the challenger.
        stop: handles the signals.
        watchdog: ends the process if this worker hangs.

    Raises:
        ScorerError: the worker cannot continue; the message says why, and how to fix it.
    """
    within = limits(settings)
    champion = bundles.current().reference
    registry, health, metrics = _instruments(settings, champion)
    with (
        closing(MonitorServer(settings.http_host, settings.http_port, registry, health)) as server,
        ExitStack() as opened,
    ):
        observers: list[Observer] = [metrics, health, EventLog(champion), Liveness(watchdog, within)]
        if (spans := _spans(settings)) is not None:
            observers.append(opened.enter_context(closing(spans)))
        observer = Observers(*observers)
        watchdog.begin("start", within.start_s)
        link = KafkaLink(settings, observer, stop.timed_out, refused=bundles.refused)
        stop.begin(settings.shutdown_timeout_s)
        opened.enter_context(closing(link))
        opened.callback(watchdog.begin, "leaving", within.shutdown_s)  # runs before the link is closed
        watchdog.done("start")
        log(
            WORKER_STARTED,
            group=settings.group_id,
            instance=settings.instance_id,
            http=server.address,
            delivery=settings.delivery,
            bundle=str(champion),
            engine=bundles.current().engine_name,
        )
        bundles.start(observer)
        reduce_garbage_collection()
        challenger = Challenger(bundles.challenger, settings.record_bytes_max, observer)
        run(link, bundles.current, observer, settings.record_bytes_max, stop.requested, challenger.score_in_shadow)
    log(WORKER_STOPPED)


def _spans(settings: Settings) -> "BatchSpans | None":
    """The observer that creates spans; None, without loading OpenTelemetry, if traces are off.

    Raises:
        SettingsError: traces are on, and OpenTelemetry is not installed, or configured for another exporter.
    """
    if settings.traces == "off":
        return None
    try:
        from scorer.monitor.tracing import BatchSpans, otlp_provider
    except ImportError as missing:
        raise SettingsError(f"traces = {settings.traces} needs OpenTelemetry: {install_command('otel')}") from missing
    return BatchSpans(otlp_provider(settings), settings)


def _instruments(settings: Settings, reference: BundleReference) -> tuple[CollectorRegistry, Health, WorkerMetrics]:
    """Registry, health and metrics of a process."""
    registry = CollectorRegistry()
    for collector in (GCCollector, ProcessCollector):
        collector(registry=registry)
    poll_s, delivery_s = stalled_after(settings)
    health = Health(reference, poll_stalled_after_s=poll_s, delivery_stalled_after_s=delivery_s)
    return registry, health, WorkerMetrics(registry, reference, settings.applications_topic)


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Options of a replay."""

    records_per_s: float
    """Maximum rate of this process."""
    publish_unchanged: bool
    """Whether to publish decisions that did not change, too."""
    http_port: int | None
    """Port for /metrics, /healthz and /readyz; None does not serve them."""


def replay(  # noqa: PLR0913, PLR0917  (the replay, and the process's own objects)
    settings: Settings,
    plan: Plan,
    bundle: Bundle,
    options: ReplayOptions,
    on_progress: Callable[[Progress], None],
    stop: Stop,
    watchdog: Watchdog,
) -> Progress:
    """Works on a replay until it is complete, over all processes, or until SIGTERM or SIGINT.

    Args:
        settings: the brokers and the topics.
        plan: the replay.
        bundle: the bundle to rescore with.
        options: the options.
        on_progress: called about once per second with the progress of the replay.
        stop: handles the signals.
        watchdog: ends the process if it hangs.

    Returns:
        The progress at the end.

    Raises:
        ReplayError: retention has deleted applications that were not rescored yet.
        ScorerError: the replay cannot continue; the message says why, and how to fix it.
    """
    replay_settings = _replay_settings(settings, plan, options.records_per_s)
    time_limits = limits(replay_settings)
    registry, health, metrics = _instruments(replay_settings, bundle.reference)
    with ExitStack() as opened:
        progress_reader = opened.enter_context(closing(ProgressReader(settings, plan)))
        gauge = replay_progress(plan.replay_id, registry)
        if options.http_port is not None:
            opened.enter_context(closing(MonitorServer(settings.http_host, options.http_port, registry, health)))

        def report(progress: Progress) -> None:
            gauge.set(progress.done / progress.total)
            on_progress(progress)

        observer = Observers(metrics, health, EventLog(bundle.reference), Liveness(watchdog, time_limits))
        watchdog.begin("start", time_limits.start_s)
        link = KafkaLink(replay_settings, observer, stop.timed_out, start_within(plan), CorrectionHeaders(plan))
        stop.begin(settings.shutdown_timeout_s)
        opened.enter_context(closing(link))
        opened.callback(watchdog.begin, "leaving", time_limits.shutdown_s)
        watchdog.done("start")
        reduce_garbage_collection()
        completion = _Completion(progress_reader, report)
        run(
            ReplayLink(link, plan, RateLimit(options.records_per_s), options.publish_unchanged),
            lambda: bundle,
            observer,
            settings.record_bytes_max,
            lambda: stop.requested() or completion.reached(),
        )
        return progress_reader.read()


def _replay_settings(settings: Settings, plan: Plan, records_per_s: float) -> Settings:
    """The settings with the replay's own group."""
    # What a killed process held is released after these timeouts; they are short because a replay is resumed by hand.
    quick = {"transaction.timeout.ms": "10000"}
    if settings.kafka.get("group.protocol", "classic").lower() != "consumer":
        quick |= {"session.timeout.ms": "6000", "heartbeat.interval.ms": "1500"}
    changes = {
        "group_id": plan.group_id,
        "instance_id": None,
        "delivery": "exactly-once",  # corrections must not be published twice
        # A batch is at most one second's work, so that the rate is kept without long pauses.
        "batch_records_max": max(1, min(settings.batch_records_max, int(records_per_s))),
        "kafka": quick | settings.kafka,
    }
    return settings.model_copy(update=changes)


class _Completion:
    """Polls the progress of a replay over all of its processes, about once per second."""

    def __init__(self, progress_reader: ProgressReader, on_progress: Callable[[Progress], None]) -> None:
        self._progress_reader = progress_reader
        self._on_progress = on_progress
        self._polled_at = -math.inf
        self._complete = False

    def reached(self) -> bool:
        """Whether the replay is complete."""
        if time.monotonic() - self._polled_at >= _PROGRESS_S:
            progress = self._progress_reader.read()
            self._complete = progress.complete
            self._polled_at = time.monotonic()
            self._on_progress(progress)
        return self._complete
