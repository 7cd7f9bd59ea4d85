"""README, the home page and the advice on tuning have the figures that the benchmarks measured."""

import json
from pathlib import Path

from generators import figures

ONCE = {
    "rate": 175_368,
    "cpu_us": 7.2,
    "memory_mb": 240,
    "times_jvm": 1.22,
    "times_python": 2.28,
    "times_python_engine": 2,
}
MEASURED = {
    "cores": 2,
    "exactly-once": ONCE,
    "at-least-once": {**ONCE, "rate": 184_634, "times_jvm": 1.52, "times_python": 2.2},
    "latency_ms": {"5000": {"p50": 24, "p99": 57}, "50000": {"p50": 42, "p99": 206}},
}


def test_the_figures_are_those_measured(tmp_path: Path) -> None:
    """Rates in thousands, ratios with one digit, latencies at both rates; the home page has the same four points."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "benchmarks/report").mkdir(parents=True)
    (tmp_path / "benchmarks/report/figures.json").write_text(json.dumps(MEASURED))
    promise = "<!-- promise: made by `make fresh` -->\n<!-- end of promise -->\n"
    performance = promise.replace("promise", "performance")
    (tmp_path / "README.md").write_text(promise + performance)
    (tmp_path / "docs/index.md").write_text(promise)
    (tmp_path / "docs/tuning.md").write_text(promise.replace("promise", "engines"))
    pages = {name: content.decode() for name, content in figures.generate(tmp_path).items()}
    tuning = pages.pop("docs/tuning.md")
    assert "185,000 applications per second on 2 cores" in tuning
    assert "2.0 times as many as with the Python engine. It takes 7.2 µs" in tuning
    assert "240 MB of memory" in tuning
    for page in pages.values():
        assert "**175,000 applications per second, exactly once.** One worker, on 2 cores" in page
        assert "1.2 times as many as the fastest JVM program" in page
        assert "2.3 times as many as the fastest Python framework" in page
        assert "**24 ms from application to decision.**" in page
        assert "the p99 is 57 ms; at 50,000 per second they are 42 and 206 ms" in page
        assert page.count("\n- **") == 4
    assert "processes 185,000, 1.5 times as many as the fastest JVM program" in pages["README.md"]
