"""The comparison's page: what was measured stands in it, with ratios to ours, and who was left out."""

import json
from pathlib import Path

import pytest

from benchmarks import charts, report

pytestmark = pytest.mark.slow

FIGURES = {"rate": 1_000.0, "cpu_us": 8.0, "rss_bytes": 2e8}
LOAD = {"rate": 5_000, "ms": {"p50": 9.0, "p99": 21.0, "p99.9": 30.0}, "missing": 2}
RESULTS = {
    "machine": {
        "machine": "x86_64",
        "cores": 2,
        "python": "3.13.1",
        "broker": "Apache Kafka 4.1.2 (KRaft) on Java 17",
    },
    "rounds": [
        {
            "fast | exactly-once": FIGURES,
            "ours | exactly-once": FIGURES,
            "slow | exactly-once": {**FIGURES, "rate": 500.0},
        },
        {"fast | exactly-once": {**FIGURES, "rate": 3_000.0}},
    ],
    "left_out": {"absent | at-least-once": "java is not installed"},
    "latencies": [{"fast | exactly-once": [LOAD]}],
    "http": {"rate": 4.0, "p50_ms": 100.0, "p99_ms": 400.0},
}
FAMILIES = {
    "fast | exactly-once": "ours, compiled engine",
    "ours | exactly-once": "ours, Python engine",
    "slow | exactly-once": "jvm",
}


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Medians of the rounds, how many times as fast each engine is, latencies, other Pythons, and reasons."""
    monkeypatch.setattr(report, "REPORT", tmp_path)
    report.write(RESULTS, [{**RESULTS, "machine": {"python": "9.9.9"}}], FAMILIES)
    page = (tmp_path / "comparison.md").read_text()
    assert "| fast | 2,000 | 1.00 × | 1.00 × | 8.0 | 200 |" in page
    assert "| slow | 500 | 2.00 × | 2.00 × |" in page
    assert "to the fastest on the JVM | slow, exactly-once | 2.00 × (2.00 to 2.00) | 2.00 × (2.00 to 2.00) |" in page
    assert "| fast, exactly-once | 5,000 | 9 | 21 | 30 | 2 |" in page
    assert "500 times as many" in page
    assert "- absent | at-least-once: java is not installed" in page
    other = page.partition("## With Python 9.9.9\n")[2]
    assert "| slow | 500 | 2.00 × | 2.00 × |" in other
    assert "(x86_64, 2 cores shared with Apache Kafka 4.1.2 (KRaft) on Java 17; Python 3.13.1)" in page
    for plot in ("throughput.svg", "latency.svg"):
        assert f"]({plot})" in page
        assert (tmp_path / plot).read_text().rstrip().endswith("</svg>")


def test_the_charts_and_figures_of_the_readme(tmp_path: Path) -> None:
    """The text's figures are those of the compiled engine, with its ratios; charts exist for light and dark pages."""
    charts.write(RESULTS, FAMILIES, tmp_path)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures == {
        "cores": 2,
        "exactly-once": {"rate": 2_000, "cpu_us": 8.0, "memory_mb": 200, "times_jvm": 2.0, "times_python_engine": 1.0},
        "latency_ms": {"5000": {"p50": 9, "p99": 21}},
    }
    for chart in ("exactly-once-light", "exactly-once-dark", "latencies-light", "latencies-dark"):
        assert (tmp_path / f"{chart}.svg").read_text().rstrip().endswith("</svg>")
