"""Prometheus and Alertmanager as processes, with the configuration that is committed, moved to this machine."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from generators.__main__ import ROOT
from scorer.local.running import free_ports
from tests.integration import worker_process
from tests.tools import tool

MONITORING = ROOT / "monitoring"
WAIT_S = 120.0
"""For what takes seconds on an idle machine."""

Series = dict[str, Any]


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Waits until a condition holds, with time for the rules that wait themselves."""
    worker_process.wait_until(holds, what, WAIT_S, every_s=0.2)


class Prometheus:
    """One that runs, asked over HTTP."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}"

    def now(self, expression: str) -> list[Series]:
        """An instant query's series."""
        series: list[Series] = self._ask("query", query=expression)["result"]
        return series

    def total(self, expression: str) -> float:
        """An instant query's values added up."""
        return sum(float(series["value"][1]) for series in self.now(expression))

    def over(self, expression: str, begin: float, end: float) -> list[Series]:
        """A range query's series, a value every other second."""
        series: list[Series] = self._ask("query_range", query=expression, start=begin, end=end, step=2)["result"]
        return series

    def label_values(self, label: str, selector: str) -> list[str]:
        """The values that a label has among the selected series."""
        names: list[str] = self._ask(f"label/{label}/values", **{"match[]": selector})
        return names

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self.now("vector(1)"))
        except OSError:
            return False

    def _ask(self, what: str, **parameters: object) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(self._address + f"/api/v1/{what}?{query}", timeout=WAIT_S) as answer:  # noqa: S310  (its own)
            report = json.load(answer)
        assert report["status"] == "success", report
        return report["data"]


class Notices:
    """What Alertmanager sends to its receivers: a server that keeps it."""

    def __init__(self) -> None:
        self.notices: list[tuple[str, dict[str, Any]]] = []
        """Receiver and alert."""
        notices = self.notices

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                report = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                notices.extend((report["receiver"], alert) for alert in report["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: what came is kept."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        Thread(target=self._server.serve_forever, daemon=True).start()

    def of(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """What came of an alert."""
        return [(receiver, alert) for receiver, alert in self.notices if alert["labels"]["alertname"] == name]

    def close(self) -> None:
        """Takes nothing any more."""
        self._server.shutdown()
        self._server.server_close()


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _write(document: object, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def _sooner(duration: str) -> str:
    """Seconds where there were minutes."""
    assert duration.endswith("m")
    return f"{duration.removesuffix('m')}s"


def prometheus_here(folder: Path, targets: Mapping[str, Sequence[int]], alertmanager_port: int) -> Path:
    """The committed configuration and rules with ports of this machine, by the second instead of by the minute."""
    document = _read(MONITORING / "prometheus" / "prometheus.yml")
    document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    document["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager_port}"]}]}]
    for job in document["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in targets[job["job_name"]]]}]
    for name in document["rule_files"]:
        rules = _read(MONITORING / "prometheus" / name)
        for group in rules["groups"]:
            for rule in group["rules"]:
                if "for" in rule:
                    rule["for"] = _sooner(rule["for"])
        _write(rules, folder / name)
    return _write(document, folder / "prometheus.yml")


def alertmanager_here(folder: Path, notices: Notices) -> Path:
    """The committed configuration with a receiver of this machine for each of its own, without waits."""
    document = _read(MONITORING / "alertmanager" / "alertmanager.yml")
    document["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    for receiver in document["receivers"]:
        receiver["webhook_configs"] = [{"url": f"http://127.0.0.1:{notices.port}/"}]
    return _write(document, folder / "alertmanager.yml")


def alertmanager_command(configuration: Path, storage: Path, port: int) -> list[str | Path]:
    """The command of an Alertmanager on a port of this machine."""
    return [
        tool("alertmanager"),
        f"--config.file={configuration}",
        f"--storage.path={storage}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]


@contextmanager
def running(command: Sequence[str | Path], log: Path) -> Iterator[None]:
    """A program that writes to a file, until the end."""
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=log.parent, stdout=sink, stderr=sink)
    try:
        yield
        assert process.poll() is None, log.read_text(encoding="utf-8")
    finally:
        process.terminate()
        process.wait(WAIT_S)


@contextmanager
def watching(folder: Path, targets: Mapping[str, Sequence[int]], notices: Notices) -> Iterator[Prometheus]:
    """Prometheus and Alertmanager, until the end.

    Args:
        folder: where they keep what they need.
        targets: by scrape job, the ports of this machine to scrape; Alertmanager's is added.
        notices: where the alerts go.
    """
    program = tool("prometheus")
    port, alertmanager_port = free_ports(2)
    alertmanager = alertmanager_command(alertmanager_here(folder, notices), folder / "alertmanager", alertmanager_port)
    all_targets = {**targets, "scorer-alertmanager": [alertmanager_port]}
    prometheus: list[str | Path] = [
        program,
        f"--config.file={prometheus_here(folder, all_targets, alertmanager_port)}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(alertmanager, folder / "alertmanager.log"), running(prometheus, folder / "prometheus.log"):
        client = Prometheus(port)
        wait_until(client.is_ready, "Prometheus")
        yield client
