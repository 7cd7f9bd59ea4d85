"""The workers of `scorer up`: started, watched by their HTTP server, and restarted when they end, within a limit."""

import json
import re
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from prometheus_client.parser import text_string_to_metric_families

from scorer.errors import ScorerError
from scorer.local.child import describe_exit

READY_S: Final = 60.0
"""For all workers to start; each takes some seconds on an idle machine."""
RESTARTS_PER_MINUTE_MAX: Final = 5
"""More than that and restarting is no cure: the worker would only end again."""
_MINUTE_S: Final = 60.0
# The pause before a restart doubles from 1 s: a cause that passes has time to, and the log stays readable.
_PAUSE_S_MAX: Final = 8.0
_HTTP_S: Final = 1.0
_SIGNALLED_ABOVE: Final = 128


class Process(Protocol):
    """A worker's process; a `Child` is one."""

    log_path: Path

    def exit_code(self) -> int | None: ...
    def output(self) -> str: ...
    def last_lines(self, count: int = 5) -> str: ...
    def ask_to_stop(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(slots=True)
class WorkerView:
    """One worker as its own HTTP server shows it.

    Attributes:
        name: `worker-0` and so on.
        state: what it does, in a few words.
        restarts: how often it was started again.
        records: applications it has read, earlier lives included.
        rate: applications per second since the last look.
        bundle: what it decides with, as `name:version`.
        refused: why a deployed bundle is not the one it decides with; empty if it is.
        http: `host:port` of its metrics and probes; empty until it is known.
        log: the file of its log.
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
    refused: str = ""
    http: str = ""
    log: str = ""


@dataclass(slots=True)
class _Worker:
    """A worker across its lives.

    Attributes:
        view: what is shown of it.
        child: the process of this life; None between two.
        start_at: when the next life begins, by `time.monotonic`; for the first one, at once.
        started_at: when this life began.
        was_ready: whether this life has been ready to decide.
        ends: when earlier lives ended, for as long as they count towards the limit.
        records_before: applications that earlier lives have read.
        looked_at: when its metrics were read last.
    """

    view: WorkerView
    child: Process | None = None
    start_at: float = 0.0
    started_at: float = 0.0
    was_ready: bool = False
    ends: list[float] = field(default_factory=list)
    records_before: int = 0
    looked_at: float = 0.0


class Workers:
    """Several workers, each under its name; used by one thread."""

    def __init__(self, names: Sequence[str], launch: Callable[[str], Process], notify: Callable[[str], None]) -> None:
        """Starts nothing yet.

        Args:
            names: one for each worker.
            launch: starts a worker under its name.
            notify: is given what a person should know: that a worker ended, why, and that it is back.
        """
        self._launch = launch
        self._notify = notify
        self._workers = [_Worker(WorkerView(name)) for name in names]
        self._stopped = False

    @property
    def restarting(self) -> bool:
        """Whether one is between two lives, or is starting and may still become ready."""
        began_after = time.monotonic() - READY_S
        return any(
            worker.child is None or (not worker.was_ready and worker.started_at > began_after)
            for worker in self._workers
        )

    def start(self, interrupted: Callable[[], bool]) -> None:
        """Starts them all and waits until each is ready.

        Raises:
            ScorerError: one ended by itself, or is not ready in time.
        """
        for worker in self._workers:
            self._begin_life(worker)
        ends_at = time.monotonic() + READY_S
        while not all(worker.was_ready for worker in self._workers) and not interrupted():
            for worker in self._workers:
                code = None if worker.child is None else worker.child.exit_code()
                if worker.child is not None and code is not None and 0 <= code < _SIGNALLED_ABOVE:
                    raise ScorerError(f"{worker.view.name} ended at once. {_last_lines(worker.child)}")
            self.supervise()
            waiting = [worker for worker in self._workers if not worker.was_ready]
            if waiting and time.monotonic() > ends_at:
                names = ", ".join(worker.view.name for worker in waiting)
                log = "" if waiting[0].child is None else _last_lines(waiting[0].child)
                raise ScorerError(f"not ready after {READY_S:.0f} s: {names}. {log}")
            time.sleep(0.1)

    def supervise(self) -> None:
        """Restarts those that have ended, each after a pause.

        Raises:
            ScorerError: one has ended too often.
        """
        for worker in self._workers:
            if worker.child is None:
                if time.monotonic() >= worker.start_at:
                    self._begin_life(worker)
            elif (code := worker.child.exit_code()) is not None:
                self._end_life(worker, worker.child, code)
            elif not worker.was_ready:
                self._look_whether_ready(worker, worker.child)

    def look(self) -> list[WorkerView]:
        """How each does now; once they have stopped, how each has ended."""
        for worker in [] if self._stopped else self._workers:
            if worker.child is None:
                left_s = max(0.0, worker.start_at - time.monotonic())
                worker.view.state = f"restart in {left_s:.0f} s"
            elif not worker.was_ready:
                worker.view.state = "starting"
            else:
                self._read_http(worker)
        return [worker.view for worker in self._workers]

    def stop(self, limit_s: float, hurry: Callable[[], bool]) -> None:
        """Asks all to stop and waits for them.

        Args:
            limit_s: seconds to wait.
            hurry: True ends the waiting.
        """
        self._stopped = True
        for worker in self._workers:
            if worker.child is not None:
                worker.child.ask_to_stop()
        ends_at = time.monotonic() + limit_s
        while time.monotonic() < ends_at and not hurry():
            if all(worker.child is None or worker.child.exit_code() is not None for worker in self._workers):
                break
            time.sleep(0.05)
        for worker in self._workers:
            code = None if worker.child is None else worker.child.exit_code()
            worker.view.rate, worker.view.partitions = 0.0, 0
            if code is not None:
                worker.view.state = "stopped" if code == 0 else describe_exit(code)

    def kill(self) -> None:
        """Ends without asking those that still run."""
        for worker in self._workers:
            if worker.child is not None:
                worker.child.kill()

    # Lives

    def _begin_life(self, worker: _Worker) -> None:
        view = worker.view
        worker.child = self._launch(view.name)
        worker.started_at = worker.looked_at = time.monotonic()
        worker.was_ready = False
        worker.records_before = view.records
        view.state, view.http, view.log = "starting", "", str(worker.child.log_path)

    def _end_life(self, worker: _Worker, child: Process, code: int) -> None:
        now, view = time.monotonic(), worker.view
        how, log = describe_exit(code), _last_lines(child)
        child.kill()  # closes what is left of it
        worker.child = None
        if worker.was_ready:  # lives that never got so far count until one does, however long each has taken
            worker.ends = [at for at in worker.ends if now - at < _MINUTE_S]
        worker.ends.append(now)
        view.rate, view.partitions, view.lag, view.refused, view.http = 0.0, 0, 0, "", ""
        view.state = how
        if len(worker.ends) > RESTARTS_PER_MINUTE_MAX:
            raise ScorerError(f"{view.name} ended again after {RESTARTS_PER_MINUTE_MAX} restarts: {how}. {log}")
        pause_s = min(2.0 ** (len(worker.ends) - 1), _PAUSE_S_MAX)
        worker.start_at = now + pause_s
        view.restarts += 1
        for line in f"{view.name} ended: {how}; restart {view.restarts} in {pause_s:g} s. {log}".splitlines():
            self._notify(line)

    def _look_whether_ready(self, worker: _Worker, child: Process) -> None:
        view = worker.view
        address = re.search(r"http=(\S+)", child.output())
        if address is None:
            return
        view.http = address.group(1)
        if _get(view.http, "/readyz")[0] == 200:
            worker.was_ready = True
            view.state = "working"
            if view.restarts:
                self._notify(f"{view.name} is ready again, at http://{view.http}")

    # What a worker tells of itself

    def _read_http(self, worker: _Worker) -> None:
        view = worker.view
        status, text = _get(view.http, "/metrics")
        if status != 200:
            view.state, view.rate = "not answering", 0.0
            return
        self._read_metrics(worker, text)
        status, text = _get(view.http, "/readyz")
        ready = json.loads(text) if text else {}
        failing = [name for name, holds in ready.get("checks", {}).items() if not holds]
        view.state = "working" if status == 200 else "not ready: " + ", ".join(failing or ["no answer"])
        view.refused = str(ready.get("refused", ""))

    def _read_metrics(self, worker: _Worker, text: str) -> None:
        totals: defaultdict[str, float] = defaultdict(float)  # labelled ones appear with their first value
        view = worker.view
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                totals[sample.name] += sample.value
                if sample.name == "scorer_bundle_info":
                    view.bundle = f"{sample.labels['name']}:{sample.labels['version']}"
        records = int(totals["scorer_applications_consumed_total"])
        now = time.monotonic()
        total = worker.records_before + records
        view.rate = (total - view.records) / max(now - worker.looked_at, 1e-3)
        worker.looked_at, view.records = now, total
        view.partitions = int(totals["scorer_assigned_partitions"])
        view.lag = int(totals["scorer_consumer_lag_records"])
        view.batch_records = records / (totals["scorer_batch_records_count"] or 1)


def _last_lines(child: Process) -> str:
    lines = child.last_lines().splitlines()
    return "\n  ".join(["The last lines of its log:", *lines]) if lines else "Its log is empty."


def _get(address: str, path: str) -> tuple[int, str]:
    """Status and body of an answer; status 0 if there is none."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=_HTTP_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()
    except OSError:
        return 0, ""
