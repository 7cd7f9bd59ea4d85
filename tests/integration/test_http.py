"""A worker's HTTP port: whatever clients do there, and wherever it is, the worker decides and says how it is."""

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scorer.bundle.manifest import MANIFEST_FILE
from scorer.local.broker import Broker
from tests.fakes import application
from tests.integration.worker_process import WAIT_S, Topics, wait_until, worker
from tests.sockets import HALF_A_REQUEST, half_open
from tests.unit.http.test_address import needs_ipv6

pytestmark = pytest.mark.broker

FLOOD = 1_500
DESCRIPTORS = 1_024  # what a process has by default in most places
APPLICATIONS = 2_000


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_a_flood_of_idle_connections(broker: Broker, tmp_path: Path, delivery: str) -> None:
    """A worker with 1,024 descriptors decides, is scraped and probed, and stops well, while 1,500 clients ask nothing.

    Each client used to take a thread and a descriptor permanently: the probes timed out, and Kubernetes would have
    restarted the worker, on the word of any process that could reach its port.
    """
    topics = Topics(broker.bootstrap_servers, 2)
    with worker(topics, tmp_path / "worker.log", "--delivery", delivery) as running:
        resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        wait_until(lambda: running.get("/readyz")[0] == 200, "ready")
        threads_before = threads(running.process.pid)
        with half_open(running.events("worker_started")[0]["http"], FLOOD, HALF_A_REQUEST):
            for round_ in range(4):
                values = [application(f"{round_}-{number}") for number in range(APPLICATIONS // 4)]
                topics.publish(*values, partition=round_ % 2)
                assert running.get("/healthz")[0] == 200
                assert running.get("/readyz")[0] == 200
                assert "scorer_applications_consumed_total" in running.get("/metrics")[1]
            wait_until(lambda: topics.count(topics.decisions) == APPLICATIONS, "all is decided", every_s=0.5)
            assert threads(running.process.pid) < threads_before + 10  # the first delivery has a thread
            assert running.terminate() == 0
        assert running.events("worker_stopped")
        assert running.events("http_accept_failed") == []
        assert running.events("http_failed") == []
        assert running.events("library") == []


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


@needs_ipv6
@pytest.mark.parametrize("host", ["::1", "::", "localhost"])
def test_over_ipv6(broker: Broker, tmp_path: Path, host: str) -> None:
    """The port may be one of IPv6, and the address that the log tells can be asked; it used to be refused."""
    topics = Topics(broker.bootstrap_servers, 1)
    with worker(topics, tmp_path / "worker.log", "--set", f"http_host={host}") as running:
        wait_until(lambda: running.get("/readyz")[0] == 200, "ready")
        assert running.terminate() == 0


@needs_ipv6
def test_up_finds_workers_over_ipv6(broker: Broker, tmp_path: Path) -> None:
    """`scorer up` reads its workers' addresses from their logs, those of IPv6 too."""
    environment = Topics(broker.bootstrap_servers, 2).environment() | {"SCORER_HTTP_HOST": "::1"}
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "scorer",
            "up",
            "--rate",
            "100",
            "--for",
            "2s",
            "--workers",
            "1",
            "--no-console",
            "--json",
        ],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * WAIT_S,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1])["lost"] == 0


def test_a_port_that_cannot_be_had(broker: Broker, tmp_path: Path) -> None:
    """An address of another machine is misuse: the worker ends with the reason and the setting, and joins nothing."""
    topics = Topics(broker.bootstrap_servers, 1)
    for host in ("192.0.2.99", "2001:db8::99", "no.such.name.invalid"):
        log = tmp_path / f"{len(host)}.log"
        with worker(topics, log, "--set", f"http_host={host}") as running:
            assert running.process.wait(WAIT_S) == 2
            (failed,) = running.events("process_failed")
            assert "cannot be used for /metrics" in failed["error"]
            assert "set http_host" in failed["error"]


def test_the_ports_response(broker: Broker, tmp_path: Path) -> None:
    """Anybody may ask there, so it tells neither Python's version nor paths; the log has the path that was refused."""
    topics = Topics(broker.bootstrap_servers, 1)
    secret = tmp_path / "secret-store"
    damaged = secret / "mine" / "9.9.9"
    damaged.mkdir(parents=True)
    (damaged / MANIFEST_FILE).write_text("{", encoding="utf-8")
    with worker(topics, tmp_path / "worker.log", "--set", f"store={secret}") as running:
        wait_until(lambda: running.get("/readyz")[0] == 200, "ready")
        event = {
            "event_id": "by-hand", "slot": "champion", "action": "deploy", "previous": None,
            "bundle": {"name": "mine", "version": "9.9.9", "digest": "0" * 64},
            "actor": "eve", "reason": "by hand", "at": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        topics.publish(json.dumps(event).encode(), topic=topics.deployments)
        wait_until(lambda: "mine:9.9.9" in running.probe("/readyz")["load_failure"], "the load failure is shown")
        assert str(secret) in running.events("bundle_load_failed")[0]["error"]
        pages = {path: running.get(path)[1] for path in ("/readyz", "/healthz", "/metrics", "/")}
        families = {family.name for family in text_string_to_metric_families(pages["/metrics"])}
    assert [path for path, body in pages.items() if "secret-store" in body or str(tmp_path) in body] == []
    assert not any(family.startswith("python_info") for family in families)
    assert "process_resident_memory_bytes" in families


def test_signals_reach_the_loop(broker: Broker, tmp_path: Path) -> None:
    """A worker that waits for applications ends at the signal while its port is asked all the time."""
    topics = Topics(broker.bootstrap_servers, 1)
    with worker(topics, tmp_path / "worker.log") as running:
        wait_until(lambda: running.get("/readyz")[0] == 200, "ready")
        with half_open(running.events("worker_started")[0]["http"], 50):
            running.process.send_signal(signal.SIGINT)
            assert running.process.wait(WAIT_S) == 0
        assert [line["signal"] for line in running.events("stop_requested")] == ["SIGINT"]
