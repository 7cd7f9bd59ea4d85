"""Measures the course's HTTP service: requests per second with 100 connections, each waiting for its response."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.rivals import PEERS, WORK, CannotTakePartError, environment
from scorer.local.running import free_ports

_READY_S = 60.0
_WARM_UP_S = 5.0


def measure(seconds: float) -> dict[str, float]:
    """Measures requests per second, and milliseconds at p50 and p99.

    Raises:
        CannotTakePartError: the service cannot be installed here, or does not become ready.
    """
    python = Path(environment("bentoml"))
    home = WORK / "bento-home"
    home.mkdir(exist_ok=True)
    env = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    bundle = Path(__file__).parents[1] / "scorer/store/shipped/credit-risk/1.1.0"
    subprocess.run([python, PEERS / "bentoml/train_bundle.py", bundle], env=env, check=True, capture_output=True)
    (port,) = free_ports(1)
    options = ["--working-dir", str(PEERS / "bentoml"), "--host", "127.0.0.1", "--port", str(port)]
    service = subprocess.Popen(
        [python.with_name("bentoml"), "serve", "service:CreditRisk", *options],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url)
        _load(python, url, _WARM_UP_S)
        figures = _load(python, url, seconds)
        rate = figures["requests"] / figures["seconds"]
        return {"rate": rate, "p50_ms": figures["p50_ms"], "p99_ms": figures["p99_ms"]}
    finally:
        service.terminate()
        service.wait()


def _load(python: Path, url: str, seconds: float) -> dict[str, float]:
    command = [str(python), str(PEERS / "bentoml/load.py"), "--url", f"{url}/classify", "--seconds", str(seconds)]
    project = str(Path(__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": project}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotTakePartError(done.stderr[-300:])
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _wait_until_ready(url: str) -> None:
    ends_at = time.monotonic() + _READY_S
    while True:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2):  # noqa: S310  (our own http address)
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > ends_at:
                raise CannotTakePartError(f"it is not ready after {_READY_S:.0f} s") from None
            time.sleep(0.5)
