"""Alertmanager with the configuration as it is committed."""

import urllib.error
import urllib.request
from pathlib import Path

from scorer.local.running import free_ports
from tests.ops.prometheus import MONITORING, WAIT_S, alertmanager_command, running, wait_until


def figures_of(port: int) -> dict[str, float]:
    """The samples without labels at /metrics; empty while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S) as answer:
            lines = answer.read().decode().splitlines()
    except urllib.error.URLError:
        return {}
    samples = (line.split() for line in lines if line[0] != "#" and "{" not in line)
    return {name: float(value) for name, value in samples}


def test_that_alerts_reach_nobody_is_seen(tmp_path: Path) -> None:
    """Two receivers without an integration dropped every page without a word. They are what an alert fires on now."""
    (port,) = free_ports(1)
    configuration = MONITORING / "alertmanager" / "alertmanager.yml"
    with running(alertmanager_command(configuration, tmp_path / "alertmanager", port), tmp_path / "log"):
        wait_until(lambda: "alertmanager_receivers" in figures_of(port), "Alertmanager")
        figures = figures_of(port)
    assert (figures["alertmanager_receivers"], figures["alertmanager_integrations"]) == (2, 0)
