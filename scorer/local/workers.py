"""Starts the workers of `scorer up`, polls their HTTP servers, and restarts those that exit, within a limit."""

import json
import re
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from prometheus_client.parser import text_string_to_metric_families

from scorer.errors import ScorerError
from scorer.local.child import SHELL_SIGNAL_BASE, describe_exit

READY_S: Final = 60.0
"""Time for all workers to start; each takes some seconds on an idle machine."""
RESTARTS_PER_MINUTE_MAX: Final = 5
"""After more restarts than this, the worker would only exit again."""
_MINUTE_S: Final = 60.0
# The pause before a restart doubles from 1 s: a transient cause has time to pass, and the log stays readable.
_PAUSE_S_MAX: Final = 8.0
_HTTP_S: Final = 1.0


class Process(Protocol):
    """A worker's process, such as a `Child`."""

    log_path: Path

    def exit_code(self) -> int | None: ...
    def output(self) -> str: ...
    def last_lines(self, count: int = 5) -> str: ...
    def request_stop(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker, as its HTTP server reports it.

    Attributes:
        name: `worker-0` and so on.
        state: its state, in a few words.
        restarts: how often it was restarted.
        records: applications it has read, including before restarts.
        rate: applications per second since the last poll.
        bundle: the bundle it decides with, as `name:version`.
        challenger: the bundle that scores in shadow mode, as `name:version`; empty if there is none.
        compared: applications that the challenger has scored, since the worker's last start.
        differing: those for which its decision differs.
        load_failure: why it has not switched to a deployed bundle; empty if it has.
        http: `host:port` of its metrics and probes; empty until it is known.
        log: its log file.
    """

    name: str
    state: str = "starting"
    restarts: int = 0
    partitions: int = 0
    records: int = 0
    lag: int = 0
    rate: float = 0.0
    batch_records: float = 0.0
    bundle: str = ""
    challenger: str = ""
    compared: int = 0
    differing: int = 0
    load_failure: str = ""
    http: str = ""
    log: str = ""


@dataclass(slots=True)
class _Worker:
    """A worker across restarts.

    Attributes:
        view: its public state.
        child: its current process; None between two processes.
        start_at: when to start the next process, by `time.monotonic`; the first one is started at once.
        started_at: when the current process was started.
        was_ready: whether the current process has been ready.
        exits: when earlier processes exited, for as long as they count towards the limit.
        records_before: applications read by earlier processes.
        polled_at: when its metrics were last read.
    """

    view: WorkerView
    child: Process | None = None
    start_at: float = 0.0
    started_at: float = 0.0
    was_ready: bool = False
    exits: list[float] = field(default_factory=list)
    records_before: int = 0
    polled_at: float = 0.0


class Workers:
    """Several workers by name; to be used by one thread."""

    def __init__(self, names: Sequence[str], launch: Callable[[str], Process], notify: Callable[[str], None]) -> None:
        """Creates the object; `start` starts the workers.

        Args:
            names: one per worker.
            launch: starts the process of a worker, given its name.
            notify: called with each line about a worker that exited, and why, or that is ready again.
        """
        self._launch = launch
        self._notify = notify
        self._workers = [_Worker(WorkerView(name)) for name in names]
        self._stopped = False

    @property
    def restarting(self) -> bool:
        """Whether a worker waits for its restart, or is starting and may still become ready."""
        started_after = time.monotonic() - READY_S
        return any(
            worker.child is None or (not worker.was_ready and worker.started_at > started_after)
            for worker in self._workers
        )

    def start(self, interrupted: Callable[[], bool]) -> None:
        """Starts all workers and waits until each is ready.

        Raises:
            ScorerError: a worker exited by itself, or is not ready in time.
        """
        for worker in self._workers:
            self._start_process(worker)
        ends_at = time.monotonic() + READY_S
        while not all(worker.was_ready for worker in self._workers) and not interrupted():
            for worker in self._workers:
                code = None if worker.child is None else worker.child.exit_code()
                if worker.child is not None and code is not None and 0 <= code < SHELL_SIGNAL_BASE:
                    raise ScorerError(f"{worker.view.name} exited during startup. {_last_lines(worker.child)}")
            self.supervise()
            waiting = [worker for worker in self._workers if not worker.was_ready]
            if waiting and time.monotonic() > ends_at:
                names = ", ".join(worker.view.name for worker in waiting)
                log = "" if waiting[0].child is None else _last_lines(waiting[0].child)
                raise ScorerError(f"not ready after {READY_S:.0f} s: {names}. {log}")
            time.sleep(0.1)

    def supervise(self) -> None:
        """Restarts workers that have exited, each after a pause.

        Raises:
            ScorerError: a worker has exited too often.
        """
        for worker in self._workers:
            if worker.child is None:
                if time.monotonic() >= worker.start_at:
                    self._start_process(worker)
            elif (code := worker.child.exit_code()) is not None:
                self._handle_exit(worker, worker.child, code)
            elif not worker.was_ready:
                self._check_ready(worker, worker.child)

    def view(self) -> list[WorkerView]:
        """The current state of each worker; after `stop`, how each one ended."""
        for worker in [] if self._stopped else self._workers:
            if worker.child is None:
                left_s = max(0.0, worker.start_at - time.monotonic())
                worker.view = replace(worker.view, state=f"restart in {left_s:.0f} s")
            elif not worker.was_ready:
                worker.view = replace(worker.view, state="starting")
            else:
                self._read_http(worker)
        return [worker.view for worker in self._workers]

    def stop(self, limit_s: float, is_forced: Callable[[], bool]) -> None:
        """Asks all workers to stop, and waits for them.

        Args:
            limit_s: seconds to wait.
            is_forced: returns True to end the wait.
        """
        self._stopped = True
        for worker in self._workers:
            if worker.child is not None:
                worker.child.request_stop()
        ends_at = time.monotonic() + limit_s
        while time.monotonic() < ends_at and not is_forced():
            if all(worker.child is None or worker.child.exit_code() is not None for worker in self._workers):
                break
            time.sleep(0.05)
        for worker in self._workers:
            code = None if worker.child is None else worker.child.exit_code()
            state = worker.view.state if code is None else "stopped" if code == 0 else describe_exit(code)
            worker.view = replace(worker.view, state=state, rate=0.0, partitions=0)

    def kill(self) -> None:
        """Kills the workers that are still running."""
        for worker in self._workers:
            if worker.child is not None:
                worker.child.kill()

    # Processes

    def _start_process(self, worker: _Worker) -> None:
        worker.child = self._launch(worker.view.name)
        worker.started_at = worker.polled_at = time.monotonic()
        worker.was_ready = False
        worker.records_before = worker.view.records
        worker.view = replace(worker.view, state="starting", http="", log=str(worker.child.log_path))

    def _handle_exit(self, worker: _Worker, child: Process, code: int) -> None:
        now = time.monotonic()
        exit_description, log = describe_exit(code), _last_lines(child)
        child.kill()  # releases its pipes
        worker.child = None
        if worker.was_ready:  # until a process becomes ready, all exits count, however old
            worker.exits = [exited_at for exited_at in worker.exits if now - exited_at < _MINUTE_S]
        worker.exits.append(now)
        view = worker.view = replace(
            worker.view, state=exit_description, rate=0.0, partitions=0, lag=0, load_failure="", http=""
        )
        if len(worker.exits) > RESTARTS_PER_MINUTE_MAX:
            raise ScorerError(
                f"{view.name} exited again after {RESTARTS_PER_MINUTE_MAX} restarts: {exit_description}. {log}"
            )
        pause_s = min(2.0 ** (len(worker.exits) - 1), _PAUSE_S_MAX)
        worker.start_at = now + pause_s
        view = worker.view = replace(view, restarts=view.restarts + 1)
        notice = f"{view.name} exited: {exit_description}; restart {view.restarts} in {pause_s:g} s. {log}"
        for line in notice.splitlines():
            self._notify(line)

    def _check_ready(self, worker: _Worker, child: Process) -> None:
        address = re.search(r"http=(\S+)", child.output())
        if address is None:
            return
        view = worker.view = replace(worker.view, http=address.group(1))
        if _get(view.http, "/readyz")[0] == 200:
            worker.was_ready = True
            worker.view = replace(view, state="working")
            if view.restarts:
                self._notify(f"{view.name} is ready again, at http://{view.http}")

    # HTTP

    def _read_http(self, worker: _Worker) -> None:
        status, text = _get(worker.view.http, "/metrics")
        if status != 200:
            worker.view = replace(worker.view, state="not answering", rate=0.0)
            return
        self._read_metrics(worker, text)
        status, text = _get(worker.view.http, "/readyz")
        ready = json.loads(text) if text else {}
        failing = [name for name, passes in ready.get("checks", {}).items() if not passes]
        state = "working" if status == 200 else "not ready: " + ", ".join(failing or ["no answer"])
        challenger = ready.get("challenger")
        worker.view = replace(
            worker.view,
            state=state,
            load_failure=str(ready.get("load_failure", "")),
            challenger=f"{challenger['name']}:{challenger['version']}" if challenger else "",
        )

    def _read_metrics(self, worker: _Worker, text: str) -> None:
        totals: defaultdict[str, float] = defaultdict(float)  # labelled metrics appear with their first value
        bundle, challenger = worker.view.bundle, worker.view.challenger
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.labels.get("challenger", challenger) == challenger:  # not an earlier challenger's
                    totals[sample.name] += sample.value
                if sample.name == "scorer_bundle_info" and sample.labels["slot"] == "champion":
                    bundle = f"{sample.labels['name']}:{sample.labels['version']}"
        records = int(totals["scorer_applications_consumed_total"])
        now = time.monotonic()
        records_total = worker.records_before + records
        worker.view = replace(
            worker.view,
            bundle=bundle,
            records=records_total,
            rate=(records_total - worker.view.records) / max(now - worker.polled_at, 1e-3),
            partitions=int(totals["scorer_assigned_partitions"]),
            lag=int(totals["scorer_consumer_lag_records"]),
            batch_records=records / (totals["scorer_batch_records_count"] or 1),
            compared=int(totals["scorer_challenger_compared_total"]),
            differing=int(totals["scorer_challenger_disagreements_total"]),
        )
        worker.polled_at = now


def _last_lines(child: Process) -> str:
    lines = child.last_lines().splitlines()
    return "\n  ".join(["The last lines of its log:", *lines]) if lines else "Its log is empty."


def _get(address: str, path: str) -> tuple[int, str]:
    """Status and body of the response; status 0 without one."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=_HTTP_S) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""
