"""One worker process: put together, watched, and stopped well."""

import gc
import logging
import signal
import time
from collections.abc import Mapping
from contextlib import closing

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from schemas.decision import BundleReference
from scorer.core.score import Scores
from scorer.monitor.health import Health
from scorer.monitor.http import MonitorServer
from scorer.monitor.metrics import WorkerMetrics
from scorer.settings import Settings
from scorer.stream.delivery import Delivered
from scorer.stream.follow import Bundles, FollowWatch
from scorer.stream.kafka import KafkaLink, Watch
from scorer.stream.worker import Batch, run

log = logging.getLogger(__name__)

_GC_THRESHOLD = 100_000


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
            log.info("stopping on %s: finishing the batch in hand", signal.Signals(number).name)
            self._asked_at = time.monotonic()

    def asked(self) -> bool:
        """Whether to stop between two batches."""
        return self._asked_at is not None

    def drained(self) -> bool:
        """Whether even the batch in hand may take no longer."""
        return self._asked_at is not None and time.monotonic() - self._asked_at > self._drain_s


class Monitoring(Watch, FollowWatch):
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
            log.info("swapped: %s decides from here on, %s no more", reference, self._health.bundle)
        self._health.bundle = reference
        self._metrics.serving(reference)

    def refused(self, reference: BundleReference, reason: str) -> None:
        """A deployed bundle could not be loaded."""
        self._health.refused = f"{reference} was deployed and cannot be loaded: {reason}"
        self._metrics.refused()

    def in_step(self) -> None:
        """What is deployed is loaded."""
        self._health.refused = ""

    def skipped(self, _: int) -> None:
        """A line of the history is no event."""
        self._metrics.skipped()

    def committed(self, batch: Batch, scores: Scores, times: Delivered) -> None:
        """A batch is there for good."""
        self._metrics.committed(batch, scores, times)

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


def work(settings: Settings, bundles: Bundles) -> None:
    """Runs a worker until SIGTERM or SIGINT, or until it cannot go on.

    Args:
        settings: the brokers, the topics and how to deliver.
        bundles: what decides.

    Raises:
        ScorerError: what is wrong, and how to mend it.
    """
    registry = CollectorRegistry()
    for collector in (GCCollector, PlatformCollector, ProcessCollector):
        collector(registry=registry)
    stop = Stop(settings.drain_s)
    reference = bundles.current().reference
    health = Health(reference, stalled_after_s=int(settings.kafka.get("max.poll.interval.ms", "300000")) / 1_000)
    monitoring = Monitoring(WorkerMetrics(registry, reference, settings.applications_topic), health)
    with (
        closing(MonitorServer(settings.http_host, settings.http_port, registry, health)) as server,
        closing(KafkaLink(settings, monitoring, stop.drained)) as link,
    ):
        log.info(
            "worker ready to join group=%s http=%s delivery=%s", settings.group_id, server.address, settings.delivery
        )
        bundles.start(monitoring)
        collect_garbage_seldom()
        run(link, bundles.current, monitoring, settings.record_bytes_max, stop.asked)
    log.info("worker stopped: batch committed, group left")
