"""Supervised workers: real `scorer worker` processes, started again a second after they end, each end recorded."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread
from typing import Final

from scorer.local.child import Child
from scorer.local.running import free_ports
from tests.chaos import product
from tests.chaos.history import Cause, Exit, Recorder, Sample

RESTART_S: Final = 1.0
STOP_MARGIN_S: Final = 10.0
"""What a stop may take longer than its setting says: librdkafka and Python end, and the machine is busy."""
_DEAF_S: Final = 30.0
"""A worker that is still there so long after its time to stop is killed."""
_SAMPLE_S: Final = 1.0


class SupervisedWorker:
    """One place in the group, and the processes that take it, one after another.

    The supervising thread starts processes and waits for their ends; the sampling thread asks them how they are; the
    scenario freezes, kills and stops them.

    Attributes:
        number: names it in the history.
        probes: its latest answers.
        progressed_at_s: when it was last seen to have committed something, in the history's time; below 0 if never.
    """

    def __init__(self, number: int, settings: Mapping[str, str], options: Sequence[str], recorder: Recorder) -> None:
        (self._port,) = free_ports(1)
        self.number = number
        self.probes = product.Probes(False, False, (), -1.0, "")
        self.progressed_at_s = -1.0
        self._settings = {**settings, "SCORER_HTTP_PORT": str(self._port)}
        self._options = options
        self._recorder = recorder
        self._folder = recorder.folder / "workers"
        self._folder.mkdir(exist_ok=True)
        self._lives = 0
        self._started_at_s = 0.0
        self._lock = Lock()
        """Around a start and a request to stop, so that no process starts after it."""
        self._stopping_at_s = 0.0
        self._killed = False
        self._ended = Flag()
        self._child = self._start()
        Thread(target=self._supervise, name=f"supervisor of worker {number}", daemon=True).start()
        Thread(target=self._sample, name=f"sampler of worker {number}", daemon=True).start()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop, and so is not started again."""
        return self._stopping_at_s > 0

    @property
    def lives(self) -> int:
        """How many processes it has had."""
        return self._lives

    def freeze(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; the supervisor starts the next one."""
        self._killed = True
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM; the supervisor starts no other one."""
        with self._lock:
            if not self.stopping:
                self._stopping_at_s = self._recorder.now()
                self._child.request_stop()

    def remove(self) -> None:
        """SIGKILL; the supervisor starts no other one."""
        with self._lock:
            self._stopping_at_s = self._stopping_at_s or self._recorder.now()
        self.kill()

    def wait(self) -> None:
        """Waits for the end of one that was asked to stop; kills it when it has ignored that for too long."""
        limit_s = product.SHUTDOWN_S + STOP_MARGIN_S + _DEAF_S
        if not self._ended.wait(max(0.0, self._stopping_at_s + limit_s - self._recorder.now())):
            self.kill()
            self._ended.wait()

    def _start(self) -> Child:
        self._lives += 1
        self._started_at_s = self._recorder.now()
        name = f"worker-{self.number}-{self._lives}"
        return Child([*product.WORKER, *self._options], self._folder, name, self._settings)

    def _supervise(self) -> None:
        while True:
            while (code := self._child.wait(1.0)) is None:
                pass
            self._record_end(code)
            self._child.kill()  # closes its pipes
            if not self.stopping:
                time.sleep(RESTART_S)
            with self._lock:
                if self.stopping:
                    break
                self._child = self._start()
        self._ended.set()

    def _record_end(self, code: int) -> None:
        now, log = self._recorder.now(), self._child.output()
        if self._killed and code == 128 + signal.SIGKILL:
            cause, self._killed = Cause.KILLED, False
        else:
            cause = Cause.STOPPED if self.stopping else Cause.ITSELF
        self._recorder.write(
            Exit(
                now,
                self.number,
                self._child.pid,
                code,
                now - self._started_at_s,
                cause,
                now - self._stopping_at_s if self.stopping else 0.0,
                product.last_error(log),
                product.last_lines(log),
            )
        )

    def _sample(self) -> None:
        pid, consumed = 0, 0.0
        # A worker that was asked to stop is judged by how long that takes.
        while not self._ended.wait(_SAMPLE_S) and not self.stopping:
            child = self._child
            self.probes = product.ask(self._port)
            at_s = self._recorder.now()
            if child.pid != pid:
                pid, consumed = child.pid, 0.0
            if self.probes.consumed > consumed:
                self.progressed_at_s, consumed = at_s, self.probes.consumed
            probes = self.probes
            self._recorder.write(
                Sample(
                    at_s,
                    self.number,
                    pid,
                    probes.healthy,
                    probes.ready,
                    " ".join(map(str, probes.partitions)),
                    probes.consumed,
                    _rss_mb(pid),
                )
            )

    def _signal(self, number: signal.Signals) -> None:
        child = self._child
        if child.pid and child.exit_code() is None:
            with suppress(ProcessLookupError):
                os.kill(child.pid, number)


def _rss_mb(pid: int) -> float:
    """The memory that a process has in RAM, in MB; 0 if it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
