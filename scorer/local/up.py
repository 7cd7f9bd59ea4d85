"""Everything on this machine: a broker, topics, workers, applications, and an audit of what became of each."""

import re
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

from prometheus_client.parser import text_string_to_metric_families

from scorer.errors import LocalBrokerError, ScorerError
from scorer.local.audit import Audit
from scorer.local.broker import Broker, start_broker
from scorer.local.child import Child
from scorer.local.running import require_free_port
from scorer.settings import ENV_PREFIX, KAFKA_ENV_PREFIX, Settings
from scorer.stream import topics

_WORKERS_READY_S: Final = 60.0
# Nothing decided for so long after the last application, with workers up: what is missing then is lost.
_STILL_S: Final = 15.0
_STOP_S: Final = 30.0
_CONSOLE_S: Final = 20.0
_TICK_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """What to bring up."""

    workers: int
    rate: float
    load_s: float | None
    """Seconds of load; None goes on until Ctrl-C."""
    data: Path | None
    """A file to publish instead of made-up applications."""
    bad_share: float
    partitions: int
    bundle: str | None
    """What decides, whatever is deployed; None goes by the deployments."""
    broker: str
    """Which broker to start, of `scorer.local.broker.KINDS`."""
    broker_port: int
    servers: str | None
    """A broker that runs already, instead."""
    seed: int
    console: bool
    """Whether to serve the console too."""


@dataclass(slots=True)
class WorkerView:
    """One worker as its own metrics show it."""

    name: str
    state: str = "starting"
    partitions: int = 0
    records: int = 0
    lag: int = 0
    rate: float = 0.0
    batch_records: float = 0.0
    bundle: str = ""


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
    rate: float = 0.0
    p50_s: float | None = None
    p99_s: float | None = None
    decisions: dict[str, int] = field(default_factory=dict)
    rejects: dict[str, int] = field(default_factory=dict)
    workers: list[WorkerView] = field(default_factory=list)


class Up:
    """Brought up on entry, taken down on exit; `watch` runs it to its end."""

    def __init__(self, plan: Plan, settings: Settings, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._settings = settings
        self._say = say
        self._folder = Path(tempfile.mkdtemp(prefix="scorer-up-"))
        self._workers: list[Child] = []
        self._addresses: dict[str, str] = {}
        self._broker: Broker | None = None
        self._audit: Audit | None = None
        self._load: Child | None = None
        self._console: Child | None = None
        self._views: dict[str, WorkerView] = {}
        self._interrupted = False
        self._earlier = (time.monotonic(), 0)
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._interrupt)
        try:
            self._bring_up()
        except BaseException:
            self._take_down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_down()

    def watch(self, show: Callable[[Snapshot], None]) -> Snapshot:
        """Shows how it goes twice a second, until the load has ended and every application has its outcome.

        Raises:
            ScorerError: the broker or all workers died, or the load could not be published.
        """
        assert self._load is not None
        self._began = time.monotonic()
        self._earlier = (self._began, 0)
        still_since = outcomes = 0.0
        while True:
            time.sleep(_TICK_S)
            self._check_parts()
            if self._interrupted:
                self._load.ask_to_stop()
            snapshot = self.snapshot()
            show(snapshot)
            if self._load.exit_code() is None:
                continue
            now = time.monotonic()
            if snapshot.decided + snapshot.rejected != outcomes or not still_since:
                outcomes, still_since = snapshot.decided + snapshot.rejected, now
            if (not snapshot.waiting and now - still_since > 2 * _TICK_S) or now - still_since > _STILL_S:
                break
        self._stop_workers()
        return self.summary()

    def snapshot(self) -> Snapshot:
        """How things stand now; the rate is over the time since the last call, the latencies are of the whole run."""
        audit = self._audit
        assert audit is not None
        assert self._broker is not None
        now, outcomes = time.monotonic(), audit.outcomes
        earlier, earlier_outcomes = self._earlier
        self._earlier = (now, outcomes)
        return Snapshot(
            broker=f"{self._broker.kind} at {self._broker.bootstrap_servers}",
            bundle=" and ".join(sorted({view.bundle for view in self._views.values() if view.bundle})),
            elapsed_s=now - self._began,
            published=audit.published,
            decided=sum(audit.decisions.values()),
            rejected=sum(audit.rejects.values()),
            waiting=audit.lost,
            duplicated=audit.duplicated,
            rate=(outcomes - earlier_outcomes) / max(now - earlier, 1e-9),
            p50_s=audit.latencies.quantile(0.5),
            p99_s=audit.latencies.quantile(0.99),
            decisions=dict(audit.decisions),
            rejects=dict(audit.rejects),
            workers=[self._look_at(worker) for worker in self._workers],
        )

    def summary(self) -> Snapshot:
        """The whole run: what is still waiting now is lost; the rate is from first publish to last outcome."""
        assert self._audit is not None
        snapshot = self.snapshot()
        span_s = self._audit.last_outcome_at - self._audit.first_published_at
        snapshot.rate = self._audit.outcomes / span_s if span_s > 0 else 0.0
        return snapshot

    def load_failures(self) -> str:
        """What the publisher complained of; empty if it did its work."""
        assert self._load is not None
        return "" if self._load.exit_code() in (0, None) else self._load.last_lines()

    # Up

    def _bring_up(self) -> None:
        if (
            self._plan.servers is not None
        ):  # its TLS and password are under [kafka]; the topics will tell if it is there
            self._broker = Broker("given", self._plan.servers, "started by somebody else, left running")
        else:
            self._broker = start_broker(self._plan.broker, port=self._plan.broker_port, say=self._say)
        self._settings = self._settings.model_copy(
            update={"bootstrap_servers": self._broker.bootstrap_servers, "http_port": 0, "log_format": "text"}
        )
        self._make_topics()
        self._audit = Audit(self._settings)
        for number in range(self._plan.workers):
            self._workers.append(self._start_worker(number))
        self._wait_until_ready()
        if self._plan.console:
            self._console = self._start_console()
        self._load = self._start_load()

    def _make_topics(self) -> None:
        assert self._broker is not None
        if self._broker.kind == "mock":  # it creates a topic when it is first asked about it
            admin = topics.admin_client(self._settings)
            for topic in topics.contract(self._settings, self._plan.partitions):
                admin.list_topics(topic.name, timeout=10)
            return
        created = topics.ensure(self._settings, self._plan.partitions, replication=1)
        self._say(f"topics created: {', '.join(created)}" if created else "topics: all there")

    def _start_worker(self, number: int) -> Child:
        name = f"worker-{number}"
        environment = {**_environment_of(self._settings), "SCORER_INSTANCE_ID": f"{self._settings.group_id}-{name}"}
        pinned = ["--bundle", self._plan.bundle] if self._plan.bundle else []
        command = [sys.executable, "-m", "scorer", "worker", *pinned]
        self._views[name] = WorkerView(name)
        return Child(command, self._folder, name, environment)

    def _wait_until_ready(self) -> None:
        self._say(f"starting {self._plan.workers} workers with {self._plan.bundle or 'the bundle that is deployed'}")
        ends_at = time.monotonic() + _WORKERS_READY_S
        waiting = list(self._workers)
        while waiting and not self._interrupted:
            for worker in waiting:
                if worker.exit_code() is not None:
                    raise ScorerError(f"{worker.name} ended at once:\n{worker.last_lines()}")
            if time.monotonic() > ends_at:
                names = ", ".join(worker.name for worker in waiting)
                raise ScorerError(f"not ready after {_WORKERS_READY_S:.0f} s: {names}\n{waiting[0].last_lines()}")
            waiting = [worker for worker in waiting if not self._is_ready(worker)]
            time.sleep(0.1)

    def _is_ready(self, worker: Child) -> bool:
        found = re.search(r"http=(\S+)", worker.output())
        if not found:
            return False
        self._addresses[worker.name] = found.group(1)
        try:
            with urllib.request.urlopen(f"http://{found.group(1)}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _start_console(self) -> Child:
        """Serves the console beside all else, which goes on without it."""
        port = self._settings.console_port
        environment = _environment_of(self._settings) | {"SCORER_CONSOLE_PORT": str(port if _is_free(port) else 0)}
        console = Child([sys.executable, "-m", "scorer", "console"], self._folder, "console", environment)
        ends_at = time.monotonic() + _CONSOLE_S
        while not (found := re.search(r"^console (\S+)", console.output(), re.MULTILINE)):
            if console.exit_code() is not None or time.monotonic() > ends_at:
                self._say(f"going on without the console: {console.last_lines(1) or 'it does not start'}")
                return console
            time.sleep(0.1)
        self._say(f"console: {found.group(1)}")
        return console

    def _start_load(self) -> Child:
        producer = [sys.executable, "-m", "producer"]
        if self._plan.data is not None:
            command = [*producer, "publish", str(self._plan.data.resolve()), "--as-is", "--json"]
        else:
            load_s = f"{self._plan.load_s or 10 * 365 * 24 * 3600:g}s"
            made_up = ["--seed", str(self._plan.seed), "--bad", str(self._plan.bad_share)]
            command = [*producer, "load", "--rate", f"{self._plan.rate:g}", "--for", load_s, *made_up, "--json"]
        return Child(command, self._folder, "load", _environment_of(self._settings))

    # Watching

    def _check_parts(self) -> None:
        assert self._broker is not None
        self._broker.check()
        ended = [worker for worker in self._workers if worker.exit_code() is not None]
        if len(ended) == len(self._workers):
            raise ScorerError(f"all workers have ended; the last words of {ended[0].name}:\n{ended[0].last_lines()}")

    def _look_at(self, worker: Child) -> WorkerView:
        view = self._views[worker.name]
        code = worker.exit_code()
        if code is not None:
            view.state, view.rate, view.partitions = f"ended with {code}", 0.0, 0
            return view
        try:
            with urllib.request.urlopen(f"http://{self._addresses[worker.name]}/metrics", timeout=1) as answer:
                self._read_metrics(view, answer.read().decode())
        except (OSError, KeyError):
            view.state = "not answering"
        return view

    def _read_metrics(self, view: WorkerView, text: str) -> None:
        values: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                values[sample.name] = values.get(sample.name, 0.0) + sample.value
                if sample.name == "scorer_bundle_info":
                    view.bundle = f"{sample.labels['name']}:{sample.labels['version']}"
        records, batches = int(values["scorer_applications_consumed_total"]), values["scorer_batch_records_count"]
        view.rate = (records - view.records) / _TICK_S
        view.records, view.state = records, "working"
        view.partitions, view.lag = (
            int(values["scorer_assigned_partitions"]),
            int(values["scorer_consumer_lag_records"]),
        )
        view.batch_records = records / batches if batches else 0.0

    def _interrupt(self, _: int, __: FrameType | None) -> None:
        self._interrupted = True

    # Down

    def _stop_workers(self) -> None:
        for worker in self._workers:
            worker.ask_to_stop()
        for worker in self._workers:
            worker.wait(_STOP_S)

    def _take_down(self) -> None:
        for child in (self._load, self._console):
            if child is not None:
                child.kill()
        self._stop_workers()
        for worker in self._workers:
            worker.kill()
        if self._audit is not None:
            self._audit.close()
        if self._broker is not None:
            self._broker.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _is_free(port: int) -> bool:
    try:
        require_free_port(port)
    except LocalBrokerError:
        return False
    return True


def _environment_of(settings: Settings) -> dict[str, str]:
    """The settings as the environment of a child."""
    values = settings.model_dump(exclude={"kafka"}, exclude_none=True)
    plain = {f"{ENV_PREFIX}{name.upper()}": str(value) for name, value in values.items()}
    kafka = {f"{KAFKA_ENV_PREFIX}{n.upper().replace('.', '_')}": value for n, value in settings.kafka.items()}
    return {**plain, **kafka}
