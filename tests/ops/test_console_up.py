"""`scorer up` and the console: it is served beside all else, and all else goes on without it."""

import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from scorer.local.broker import Broker
from tests.integration.worker_process import WAIT_S, Topics, wait_until

pytestmark = pytest.mark.broker


def test_up_serves_the_console(broker: Broker, tmp_path: Path) -> None:
    """Its address is printed, what is asked for there is answered, it shows what goes on, and it ends with the rest."""
    log = tmp_path / "up.log"
    command = [sys.executable, "-m", "scorer", "up", "--workers", "1", "--rate", "100"]
    with log.open("ab") as sink:
        environment = Topics(broker.bootstrap_servers, 2).environment() | {"SCORER_CONSOLE_PORT": "0"}
        running = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink, cwd=tmp_path)
    try:
        wait_until(lambda: running.poll() is None and "console: http" in log.read_text(encoding="utf-8"), "its address")
        address = log.read_text(encoding="utf-8").partition("console: ")[2].split()[0]
        with urllib.request.urlopen(f"{address}api/live", timeout=WAIT_S) as stream:  # noqa: S310 - http
            ends_at = time.monotonic() + WAIT_S
            while b'"decided": 1' not in (line := stream.readline()):
                assert line
                assert time.monotonic() < ends_at, "waited in vain for: a hundred decisions or so in a second"
        running.send_signal(signal.SIGINT)
        assert running.wait(WAIT_S) == 0, log.read_text(encoding="utf-8")
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(address, timeout=WAIT_S)  # noqa: S310 - http
    finally:
        running.kill()
        running.wait()


def test_up_goes_on_without_the_console(broker: Broker, tmp_path: Path) -> None:
    """Where the extra is not installed, it says how to get it, and everything else is as ever."""
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError('none here', name='starlette')", encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "scorer", "up", "--workers", "1", "--rate", "100", "--for", "2s"],
        env=Topics(broker.bootstrap_servers, 2).environment() | {"PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * WAIT_S,
    )
    assert ran.returncode == 0, ran.stderr
    assert "continuing without the console" in ran.stdout
    assert "pip install '.[console]'" in ran.stdout
    assert "console: http" not in ran.stdout
    assert "rate" in ran.stdout
