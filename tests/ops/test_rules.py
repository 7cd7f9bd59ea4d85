"""The rules as Prometheus' own tool sees them: well formed, and each alert fires when it must and only then."""

import subprocess
from pathlib import Path

import pytest

from generators.__main__ import ROOT
from tests.tools import tool

PROMETHEUS = ROOT / "monitoring" / "prometheus"


def promtool(*arguments: str | Path) -> str:
    """Runs it; what it says if it fails is the test's failure."""
    ran = subprocess.run(
        [tool("promtool"), *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_configuration() -> None:
    """Prometheus takes the configuration as it is committed, and the rules that it names."""
    output = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert "SUCCESS: 2 rule files found" in output


@pytest.mark.parametrize("copy", [PROMETHEUS / "rules", ROOT / "helm" / "files" / "rules"], ids=["own", "chart"])
def test_rules(copy: Path) -> None:
    """Prometheus takes the rules, and its tool finds nothing to complain about."""
    promtool("check", "rules", "--lint=all", "--lint-fatal", *sorted(copy.glob("*.yml")))


@pytest.mark.parametrize("path", sorted((PROMETHEUS / "tests").glob("*.yml")), ids=lambda path: path.stem)
def test_alerts(path: Path) -> None:
    """Each alert fires on a made-up history in which it must, with the words that it has, and not on one like it."""
    promtool("test", "rules", path)
