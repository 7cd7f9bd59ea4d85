"""Everything on this machine: a broker, topics, workers, applications, and an audit of what became of each."""

import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

from schemas.settings import ENV_PREFIX, KAFKA_ENV_PREFIX
from schemas.transport import SASL_PREFIXES, TLS_PREFIXES
from scorer.errors import BrokerError
from scorer.local import neighbours
from scorer.local.audit import Audit
from scorer.local.broker import Broker, start_broker
from scorer.local.child import Child
from scorer.local.load import Load, LoadPlan
from scorer.local.workers import Workers, WorkerView
from scorer.settings import Settings
from scorer.stream import topics
from scorer.stream.listening import require_listening
from scorer.stream.reaching import metadata_of

# No result for so long after the last application, with all workers up: what is missing then is lost.
_STILL_S: Final = 15.0
# No result for so long, with a load that never pauses: is the broker there?
_SILENT_S: Final = 5.0
_STOP_S: Final = 30.0
_CONSOLE_S: Final = 20.0
_TICK_S: Final = 0.5
_BROKER_S: Final = 2.0
# A killed worker's partitions wait for its next life, and at the end static members stay in the group: both this long.
_SESSION: Final = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "1500"}
# Properties under [kafka] that belong to somebody else's broker: one that is started here speaks plain text.
_SECURITY: Final = ("security.", *TLS_PREFIXES, *SASL_PREFIXES)


class Interrupted(Exception):  # noqa: N818  (no error: what was asked for)
    """Ctrl-C or SIGTERM came before everything was up; what was started is gone again.

    Attributes:
        signal: its number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


@dataclass(frozen=True, slots=True)
class Plan:
    """What to bring up."""

    workers: int
    load: LoadPlan
    partitions: int
    bundle: str | None
    """What decides, whatever is deployed; None goes by the deployments."""
    broker: str
    """Which broker to start, of `scorer.local.broker.KINDS`."""
    broker_port: int
    servers: str | None
    """A broker that runs already, instead."""
    console: bool
    """Whether to serve the console too."""


@dataclass(slots=True)
class Snapshot:
    """How things stand; the summary is the last one."""

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
    rejects: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    """Records on the topics of decisions and dead letters that are neither."""
    unmatched: int = 0
    """Outcomes of applications that were not read."""
    workers: list[WorkerView] = field(default_factory=list)


class Up:
    """Brought up on entry, taken down on exit; `watch` runs it to its end.

    Attributes:
        settings: those of everything that is started here, the broker's address included.
        folder: where the logs are, from the start of the workers to the end.
        console_url: where the console is served; empty if it is not.
    """

    def __init__(
        self, plan: Plan, settings: Settings, say: Callable[[str], None], notify: Callable[[str], None]
    ) -> None:
        """Starts nothing yet.

        Args:
            plan: what to bring up.
            settings: the topics, the group, and where the broker is if the plan names one.
            say: is given, line by line, what is done while everything is brought up.
            notify: is given, line by line, what goes wrong while it runs.
        """
        self._plan = plan
        self.settings = settings
        self._say = say
        self._notify = notify
        self._broker_was_away = False
        self._ask_broker_at = 0.0
        self.folder = Path()
        self._load = Load(plan.load)
        names = [f"worker-{number}" for number in range(plan.workers)]
        self._workers = Workers(names, self._launch_worker, notify)
        self._broker: Broker | None = None
        self._audit: Audit | None = None
        self._consoles: list[Child] = []
        self._is_up = False
        self._interrupts = 0
        self.console_url = ""
        self._earlier = (time.monotonic(), 0)
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._interrupt)
        try:
            self._bring_up()
        except BaseException:
            self._is_up = True  # from here on a signal hurries the end, and does not break into it
            self._take_down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_down()

    def watch(self, show: Callable[[Snapshot], None]) -> Snapshot:
        """Shows how it goes twice a second, until the load has ended and every application of its own has its result.

        It ends without them too, once none has come for a while.

        Raises:
            LocalBrokerError: the broker that was started here has died.
            ScorerError: a worker ends again and again.
        """
        assert self._broker is not None
        self._began = time.monotonic()
        self._earlier = (self._began, 0)
        still_since, results = self._began, -1
        while True:
            time.sleep(_TICK_S)
            self._broker.check()
            self._workers.supervise()
            if self._interrupts:
                self._load.ask_to_stop()
            if self._is_hurried():
                self._load.kill()
            self._load.end_in_time()
            snapshot = self.snapshot()
            show(snapshot)
            now = time.monotonic()
            if snapshot.decided + snapshot.rejected != results or self._workers.restarting:
                results, still_since = snapshot.decided + snapshot.rejected, now
            still_s = now - still_since
            if still_s > _SILENT_S:
                self._notify_if_broker_is_away()
            is_done = not snapshot.waiting and still_s > 2 * _TICK_S
            if self._load.ended() and (is_done or still_s > _STILL_S or self._is_hurried()):
                break
        self._workers.stop(_STOP_S, self._is_hurried)
        return self.summary()

    def snapshot(self) -> Snapshot:
        """How things stand now; the rate is over the time since the last call, the latencies are of the whole run."""
        audit = self._audit
        assert audit is not None
        assert self._broker is not None
        now, results = time.monotonic(), audit.outcomes
        earlier, earlier_results = self._earlier
        self._earlier = (now, results)
        workers = self._workers.look()
        unread = max(0, self._load.acknowledged() - audit.published)
        return Snapshot(
            broker=f"{self._broker.kind} at {self._broker.bootstrap_servers}",
            bundle=" and ".join(sorted({view.bundle for view in workers if view.bundle})),
            elapsed_s=now - self._began,
            published=audit.published,
            decided=sum(audit.decisions.values()),
            rejected=sum(audit.rejects.values()),
            waiting=audit.lost + unread,
            duplicated=audit.duplicated,
            restarts=sum(view.restarts for view in workers),
            rate=(results - earlier_results) / max(now - earlier, 1e-9),
            p50_s=audit.latencies.quantile(0.5),
            p99_s=audit.latencies.quantile(0.99),
            decisions=dict(audit.decisions),
            rejects=dict(audit.rejects),
            skipped=audit.skipped.count,
            unmatched=audit.unmatched,
            workers=workers,
        )

    def summary(self) -> Snapshot:
        """The whole run: what is still waiting now is lost; the rate is from first publish to last result."""
        assert self._audit is not None
        snapshot = self.snapshot()
        span_s = self._audit.last_outcome_at - self._audit.first_published_at
        snapshot.rate = self._audit.outcomes / span_s if span_s > 0 else 0.0
        return snapshot

    def notes(self) -> list[str]:
        """What to know of a file that was published, a line each, where nothing went wrong with it."""
        return self._load.notes()

    def failures(self, end: Snapshot) -> list[str]:
        """What went wrong, a line each: with the publisher, and where applications have no result."""
        failures = self._load.failures()
        if end.waiting and self._is_hurried():
            failures.append(
                f"{end.waiting:,} applications have no result: the second signal ended the waiting for them"
            )
        elif end.waiting:
            why = self._broker_fault() or "the broker answers; see the workers' state"
            failures.append(f"{end.waiting:,} applications have no result, and none came for {_STILL_S:g} s: {why}")
        return failures

    # Up

    def _bring_up(self) -> None:
        if self._plan.servers is None:
            self._broker = start_broker(self._plan.broker, port=self._plan.broker_port, say=self._say)
        else:  # its TLS and password are under [kafka]; describing the group shows whether it is there
            self._broker = Broker("given", self._plan.servers, "started by somebody else, left running")
        self.settings = self._settings_of_children(self._broker)
        if self._plan.servers is not None:
            require_listening(self.settings)
            neighbours.refuse_live_workers(self.settings)
        self._make_topics(self._broker)
        self._audit = Audit(self.settings, self._load.owns)
        self._say(f"starting {self._plan.workers} workers with {self._plan.bundle or 'the bundle that is deployed'}")
        # Not before: if this process is killed, the workers' guardians remove it.
        self.folder = Path(tempfile.mkdtemp(prefix="scorer-up-"))
        self._workers.start(lambda: self._interrupts > 0)
        for view in self._workers.look():
            self._say(f"{view.name}: metrics http://{view.http}/metrics, log {view.log}")
        if self._plan.console:
            self._start_console()
        self._load.start(self.folder, _environment_of(self.settings))
        self._is_up = True

    def _settings_of_children(self, broker: Broker) -> Settings:
        """The settings of all that is started here."""
        kafka = dict(self.settings.kafka)
        if self._plan.servers is None and (unused := [name for name in kafka if name.startswith(_SECURITY)]):
            self._say(f"the broker here speaks plain text: {', '.join(sorted(unused))} under [kafka] are not used")
            kafka = {name: value for name, value in kafka.items() if name not in unused}
        if kafka.get("group.protocol", "classic").lower() == "classic":
            kafka = {**_SESSION, **kafka}
        changes = {"bootstrap_servers": broker.bootstrap_servers, "http_port": 0, "log_format": "text", "kafka": kafka}
        return self.settings.model_copy(update=changes)

    def _make_topics(self, broker: Broker) -> None:
        if broker.kind == "mock":  # it creates a topic when it is first asked about it
            admin = topics.admin_client(self.settings)
            for topic in topics.contract(self.settings, self._plan.partitions):
                admin.list_topics(topic.name, timeout=10)
            return
        created = topics.ensure(self.settings, self._plan.partitions, replication=1)
        self._say(f"topics created: {', '.join(created)}" if created else "topics: all exist")

    def _launch_worker(self, name: str) -> Child:
        number = int(name.rpartition("-")[2])
        environment = _environment_of(self.settings) | {"SCORER_INSTANCE_ID": neighbours.instance_id(number)}
        pinned = ["--bundle", self._plan.bundle] if self._plan.bundle else []
        return Child([sys.executable, "-P", "-m", "scorer", "worker", *pinned], self.folder, name, environment)

    def _start_console(self) -> None:
        """Serves the console too; all else goes on without it."""
        for port in (self.settings.console_port, 0):  # another run may take the first one at the same moment
            environment = _environment_of(self.settings) | {"SCORER_CONSOLE_PORT": str(port)}
            console = Child([sys.executable, "-P", "-m", "scorer", "console"], self.folder, "console", environment)
            self._consoles.append(console)
            ends_at = time.monotonic() + _CONSOLE_S
            while console.exit_code() is None and time.monotonic() < ends_at:
                address = re.search(r"^console (\S+)", console.output(), re.MULTILINE)
                if address:
                    self.console_url = address.group(1)
                    self._say(f"console: {self.console_url}")
                    return
                time.sleep(0.1)
            if "Address already in use" not in console.output():
                break
        self._say(f"going on without the console: {console.last_lines(1) or 'it does not start'}")

    def _notify_if_broker_is_away(self) -> None:
        if self._broker_was_away or time.monotonic() < self._ask_broker_at:
            return
        self._ask_broker_at = time.monotonic() + _SILENT_S
        if fault := self._broker_fault():
            self._broker_was_away = True  # said once; the page shows that nothing comes
            self._notify(fault)

    def _broker_fault(self) -> str:
        """Why the broker does not answer; empty if it does."""
        try:
            require_listening(self.settings)
            metadata_of(topics.admin_client(self.settings), self.settings, _BROKER_S)
        except BrokerError as fault:
            return str(fault)
        return ""

    def _is_hurried(self) -> bool:
        return self._interrupts > 1

    def _interrupt(self, number: int, _: FrameType | None) -> None:
        self._interrupts += 1
        if not self._is_up:
            raise Interrupted(number)

    # Down

    def _take_down(self) -> None:
        self._load.kill()
        for console in self._consoles:
            console.kill()
        self._workers.stop(_STOP_S, self._is_hurried)
        self._workers.kill()
        if self._audit is not None:
            self._audit.close()
        if self._broker is not None:
            self._broker.stop()
        if self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)


def _environment_of(settings: Settings) -> dict[str, str]:
    """The settings as the environment of a child."""
    values = settings.model_dump(exclude={"kafka"}, exclude_none=True)
    plain = {f"{ENV_PREFIX}{name.upper()}": str(value) for name, value in values.items()}
    kafka = {f"{KAFKA_ENV_PREFIX}{n.upper().replace('.', '_')}": value for n, value in settings.kafka.items()}
    return {**plain, **kafka}
