"""Runs everything on this machine: a broker, topics, workers, a publisher, and an audit of all results."""

import math
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

from schemas.transport import SASL_PREFIXES, TLS_PREFIXES
from scorer.errors import BrokerError
from scorer.local import live_workers
from scorer.local.audit import Audit
from scorer.local.broker import Broker, start_broker
from scorer.local.child import Child
from scorer.local.console_process import ConsoleProcess, environment_of
from scorer.local.load import Load, LoadPlan
from scorer.local.workers import Workers, WorkerView
from scorer.operate import topics
from scorer.operate.listening import require_listening
from scorer.settings import Settings
from scorer.store.store import BundleStore
from scorer.stream.admin import admin_client
from scorer.stream.requests import metadata_of

# If no result arrives for this long after the last application, with all workers running, the missing ones are lost.
_LOST_AFTER_S: Final = 15.0
# If no result arrives for this long under continuous load, the broker is checked.
_CHECK_BROKER_AFTER_S: Final = 5.0
_STOP_S: Final = 30.0
_TICK_S: Final = 0.5
_BROKER_S: Final = 2.0
# How long the partitions of a killed worker wait for its restart, and a static member stays in the group.
_SESSION: Final = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "1500"}
# Properties under [kafka] that are for another broker: one that is started here uses PLAINTEXT.
_SECURITY: Final = ("security.", *TLS_PREFIXES, *SASL_PREFIXES)


class Interrupted(Exception):  # noqa: N818  (not an error: requested by the user)
    """Ctrl-C or SIGTERM arrived during startup; everything that was started has been stopped.

    Attributes:
        signal: the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts to start."""

    workers: int
    load: LoadPlan
    partitions: int
    bundle: str | None
    """Bundle to pin the workers to; None follows the deployments."""
    broker: str
    """Kind of broker to start, one of `scorer.local.broker.KINDS`."""
    broker_port: int | None
    """Port of that broker; 0 chooses a free one, None prefers clients' default."""
    servers: str | None
    """Address of a running broker to use instead."""
    console: bool
    """Whether to serve the console, too."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a run; the last snapshot is the summary."""

    broker: str
    bundle: str
    elapsed_s: float = 0.0
    published: int = 0
    decided: int = 0
    rejected: int = 0
    waiting: int = 0
    duplicated: int = 0
    restarts: int = 0
    rate: float = 0.0
    p50_s: float | None = None
    p99_s: float | None = None
    decisions: dict[str, int] = field(default_factory=dict)
    rejections: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    """Malformed records on the topics of decisions and dead letters."""
    unmatched: int = 0
    """Results of applications that were not read."""
    workers: list[WorkerView] = field(default_factory=list)


class Up:
    """Starts everything on entry and stops it on exit; `watch` waits until the load has ended.

    Attributes:
        settings: the settings of everything that is started here, including the broker's address.
        folder: the folder of the logs, from the start of the workers to the end.
    """

    def __init__(
        self, plan: Plan, settings: Settings, say: Callable[[str], None], notify: Callable[[str], None]
    ) -> None:
        """Creates the object; entering the context starts everything.

        Args:
            plan: what to start.
            settings: the topics, the group, and access to the broker if the plan names one.
            say: called with each line of progress during startup.
            notify: called with each line about a problem during the run, also in the audit's thread.
        """
        self._plan = plan
        self.settings = settings
        self._say = say
        self._notify = notify
        self.folder = Path()
        self._load = Load(plan.load)
        self._workers = Workers([f"worker-{i}" for i in range(plan.workers)], self._launch_worker, notify)
        self._broker: Broker | None = None
        self._audit: Audit | None = None
        self._console = ConsoleProcess(say)
        self._is_up = False
        self._interrupts = 0
        self._previous_results = (time.monotonic(), 0)
        self._started_at = time.monotonic()

    def __enter__(self) -> Self:
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._interrupt)
        try:
            self._start_all()
        except BaseException:
            self._is_up = True  # from here on a signal speeds up the shutdown instead of interrupting it
            self._stop_all()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_all()

    @property
    def console_url(self) -> str:
        """The console's URL; empty if it is not served."""
        return self._console.url

    def watch(self, show: Callable[[Snapshot], None]) -> Snapshot:
        """Shows a snapshot twice per second, until the load has ended and each of its applications has a result.

        It also ends if no result arrives for a while.

        Raises:
            LocalBrokerError: the broker that was started here has exited.
            ScorerError: a worker keeps exiting.
        """
        assert self._broker is not None
        self._started_at = time.monotonic()
        self._previous_results = (self._started_at, 0)
        broker_watch = _BrokerWatch(self.settings, self._notify)
        last_change_at, results = self._started_at, -1
        while True:
            time.sleep(_TICK_S)
            self._broker.check()
            self._workers.supervise()
            if self._interrupts:
                self._load.request_stop()
            if self._is_forced():
                self._load.kill()
            self._load.end_in_time()
            snapshot = self.snapshot()
            show(snapshot)
            now = time.monotonic()
            if snapshot.decided + snapshot.rejected != results or self._workers.restarting:
                results, last_change_at = snapshot.decided + snapshot.rejected, now
            idle_s = now - last_change_at
            if idle_s > _CHECK_BROKER_AFTER_S:
                broker_watch.check()
            is_done = not snapshot.waiting and idle_s > 2 * _TICK_S
            if self._load.ended() and (is_done or idle_s > _LOST_AFTER_S or self._is_forced()):
                break
        self._workers.stop(_STOP_S, self._is_forced)
        return self.summary()

    def snapshot(self) -> Snapshot:
        """The current state; the rate is that since the last call, the latencies are those of the whole run.

        Raises:
            BrokerError: the audit can no longer read the topics.
        """
        audit = self._audit
        assert audit is not None
        assert self._broker is not None
        audit.require_running()
        now, results = time.monotonic(), audit.results
        (previous_at, previous_results), self._previous_results = self._previous_results, (now, results)
        workers = self._workers.view()
        unread = max(0, self._load.acknowledged() - audit.published)
        return Snapshot(
            broker=f"{self._broker.kind} at {self._broker.bootstrap_servers}",
            bundle=" and ".join(sorted({view.bundle for view in workers if view.bundle})),
            elapsed_s=now - self._started_at,
            published=audit.published,
            decided=sum(audit.decisions.values()),
            rejected=sum(audit.rejections.values()),
            waiting=audit.lost + unread,
            duplicated=audit.duplicated,
            restarts=sum(view.restarts for view in workers),
            rate=(results - previous_results) / max(now - previous_at, 1e-9),
            p50_s=audit.latencies.quantile(0.5),
            p99_s=audit.latencies.quantile(0.99),
            decisions=dict(audit.decisions),
            rejections=dict(audit.rejections),
            skipped=audit.skipped.count,
            unmatched=audit.unmatched,
            workers=workers,
        )

    def summary(self) -> Snapshot:
        """The whole run: applications without a result are lost; the rate is from first publish to last result."""
        assert self._audit is not None
        snapshot = self.snapshot()
        span_s = self._audit.last_result_at - self._audit.first_published_at
        return replace(snapshot, rate=self._audit.results / span_s if span_s > 0 else 0.0)

    def notes(self) -> list[str]:
        """Hints on a file that was published without errors, one per line."""
        return self._load.notes()

    def failures(self, end: Snapshot) -> list[str]:
        """Errors, one per line: of the publisher, and about applications without a result."""
        failures = self._load.failures()
        if end.waiting and self._is_forced():
            failures.append(f"{end.waiting:,} applications have no result: the second signal ended the wait for them")
        elif end.waiting:
            why = _broker_fault(self.settings) or "the broker answers; see the state of the workers"
            failures.append(
                f"{end.waiting:,} applications have no result, and none arrived for {_LOST_AFTER_S:g} s: {why}"
            )
        return failures

    def _start_all(self) -> None:
        pinned = BundleStore(self.settings.store).find(self._plan.bundle) if self._plan.bundle else None
        if self._plan.servers is None:
            self._broker = start_broker(self._plan.broker, port=self._plan.broker_port, say=self._say)
        else:  # TLS and login are under [kafka]; describing the group checks the connection
            self._broker = Broker("given", self._plan.servers, "already running, not stopped on exit")
        self.settings = _settings_of_children(self.settings, self._broker, self._say)
        if self._plan.servers is not None:
            require_listening(self.settings)
            live_workers.require_no_live_workers(self.settings)
        _make_topics(self.settings, self._broker, self._plan.partitions, self._say)
        self._audit = Audit(self.settings, self._load.is_own, lambda record: self._notify(f"skipped: {record}"))
        self._say(f"starting {self._plan.workers} workers with {self._plan.bundle or 'the champion'}")
        # Not created earlier: if this process is killed, the workers' guardians remove it.
        self.folder = Path(tempfile.mkdtemp(prefix="scorer-up-"))
        self._workers.start(lambda: self._interrupts > 0)
        for view in self._workers.view():
            self._say(f"{view.name}: metrics http://{view.http}/metrics, log {view.log}")
        if self._plan.console:
            self._console.start(self.settings, self.folder)
        self._load.start(self.folder, environment_of(self.settings), pinned)
        self._is_up = True

    def _launch_worker(self, name: str) -> Child:
        number = int(name.rpartition("-")[2])
        environment = environment_of(self.settings) | {"SCORER_INSTANCE_ID": live_workers.instance_id(number)}
        pinned = ["--bundle", self._plan.bundle] if self._plan.bundle else []
        return Child([sys.executable, "-P", "-m", "scorer", "worker", *pinned], self.folder, name, environment)

    def _is_forced(self) -> bool:
        return self._interrupts > 1

    def _interrupt(self, number: int, _: FrameType | None) -> None:
        self._interrupts += 1
        if not self._is_up:
            raise Interrupted(number)

    # Shutdown

    def _stop_all(self) -> None:
        self._load.kill()
        self._console.kill()
        self._workers.stop(_STOP_S, self._is_forced)
        self._workers.kill()
        if self._audit is not None:
            self._audit.close()
        if self._broker is not None:
            self._broker.stop()
        if self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)


class _BrokerWatch:
    """Reports once that the broker does not answer; the live view shows that no results arrive."""

    def __init__(self, settings: Settings, notify: Callable[[str], None]) -> None:
        self._settings = settings
        self._notify = notify
        self._check_at = 0.0

    def check(self) -> None:
        """Checks the broker, at most once per interval, and no longer after it has reported a fault."""
        if time.monotonic() < self._check_at:
            return
        fault = _broker_fault(self._settings)
        self._check_at = math.inf if fault else time.monotonic() + _CHECK_BROKER_AFTER_S
        if fault:
            self._notify(fault)


def _settings_of_children(settings: Settings, broker: Broker, say: Callable[[str], None]) -> Settings:
    """The settings of all child processes."""
    kafka = dict(settings.kafka)
    if broker.kind != "given" and (unused := [name for name in kafka if name.startswith(_SECURITY)]):
        say(f"the started broker uses PLAINTEXT: ignoring {', '.join(sorted(unused))} under [kafka]")
        kafka = {name: value for name, value in kafka.items() if name not in unused}
    if kafka.get("group.protocol", "classic").lower() == "classic":
        kafka = {**_SESSION, **kafka}
    servers = broker.bootstrap_servers
    changes = {"bootstrap_servers": servers, "http_port": 0, "log_format": "text", "kafka": kafka}
    return settings.model_copy(update=changes)


def _broker_fault(settings: Settings) -> str:
    """Why the broker does not answer; empty if it does."""
    try:
        require_listening(settings)
        metadata_of(admin_client(settings), settings, _BROKER_S)
    except BrokerError as fault:
        return str(fault)
    return ""


def _make_topics(settings: Settings, broker: Broker, partitions: int, say: Callable[[str], None]) -> None:
    if broker.kind == "mock":  # it creates a topic on the first metadata request
        admin = admin_client(settings)
        for topic in topics.contract(settings, partitions):
            admin.list_topics(topic.name, timeout=10)
        return
    created = topics.ensure(settings, partitions, replication=1)
    say(f"topics created: {', '.join(created)}" if created else "topics: all exist")
