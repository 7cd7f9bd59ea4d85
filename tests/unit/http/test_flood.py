"""Many clients that ask for nothing: probes and scrapes are answered all the while, by one thread."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.worker_process import wait_until
from tests.sockets import HALF_A_REQUEST, connect, get, half_open, read_to_the_end

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
FLOOD = 400
DESCRIPTORS = 256  # a quarter of what a process has by default in most places
PAGES = {"/healthz": 200, "/readyz": 503, "/metrics": 200}


class MonitorProcess:
    """The server as a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self._log = log
        assert process.stdout is not None
        self.address = process.stdout.readline().strip()

    def answers(self) -> dict[str, int]:
        """The status of each page."""
        return {path: get(self.address, path)[0] for path in PAGES}

    def threads(self) -> int:
        """How many threads it has."""
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def descriptors(self, what: str) -> None:
        """Has it take all file descriptors, or free them."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == f"{what}\n"

    def log(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self._log.read_text(encoding="utf-8").splitlines()]


@contextmanager
def monitor(folder: Path, descriptors_max: int = DESCRIPTORS) -> Iterator[MonitorProcess]:
    """A server that is gone at the end."""
    command = [sys.executable, "-m", "tests.unit.http.monitor_process", str(descriptors_max)]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            yield MonitorProcess(process, folder / "log")
        finally:
            process.kill()


@pytest.mark.parametrize("sent", [HALF_A_REQUEST, b"", b"G", HALF_A_REQUEST + b"A: " + b"a" * 9_000])
def test_probes_are_answered_while_many_connections_are_idle(tmp_path: Path, sent: bytes) -> None:
    """400 connections that ask for half a page or for nothing take neither probes nor threads nor descriptors.

    Each used to have a thread and a descriptor permanently: probes timed out, so that Kubernetes restarted the worker,
    no descriptor was left for its brokers, and the server failed to accept connections as often as it could.
    """
    with monitor(tmp_path) as served:
        assert served.answers() == PAGES
        threads = served.threads()
        with half_open(served.address, FLOOD, sent):
            for _ in range(10):
                assert served.answers() == PAGES
            assert served.threads() == threads
        assert served.answers() == PAGES
        assert served.log() == []


def test_probes_are_answered_while_connections_come_and_go(tmp_path: Path) -> None:
    """A client that asks at once is not closed in favour of those that come after it."""
    with monitor(tmp_path) as served, ExitStack() as connections:
        for number in range(FLOOD):
            connection = connections.enter_context(closing(connect(served.address)))
            connection.sendall(HALF_A_REQUEST)
            if number % 50 == 0:
                assert served.answers() == PAGES


def test_without_descriptors_idle_connections_make_room(tmp_path: Path) -> None:
    """Where the process has used up its descriptors, idle connections are closed, and the log has one line, not many.

    It used to spin: each failure to accept a connection was followed by the next one at once.
    """
    with monitor(tmp_path, 100) as served, half_open(served.address, 10) as idle:
        assert served.answers() == PAGES
        served.descriptors("take")
        for _ in range(3):
            assert served.answers() == PAGES
        assert any(connection.recv(1) == b"" for connection in idle)
        events = [line["event"] for line in served.log()]
        assert 1 <= len(events) < 20
        assert set(events) == {"http_accept_failed"}


def test_it_answers_again_once_there_are_descriptors(tmp_path: Path) -> None:
    """Without any descriptor and any idle connection a probe waits, and is answered once there is one."""
    with monitor(tmp_path, 100) as served:
        served.descriptors("take")
        with closing(connect(served.address)) as waiting:
            waiting.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            wait_until(lambda: bool(served.log()), "the failure is logged")
            served.descriptors("free")
            assert read_to_the_end(waiting).startswith(b"HTTP/1.1 200 ")
        assert [line["event"] for line in served.log()] == ["http_accept_failed"]
