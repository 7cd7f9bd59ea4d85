"""The figures in README, on the home page and in the advice on tuning, from those that the benchmarks measured."""

import json
from pathlib import Path
from typing import Any, Final

from generators.files import with_section

_FIGURES: Final = "benchmarks/report/figures.json"
_README: Final = "README.md"
_HOME: Final = "docs/index.md"
_TUNING: Final = "docs/tuning.md"


def generate(root: Path) -> dict[str, bytes]:
    """The pages with the current figures, by path."""
    figures = json.loads((root / _FIGURES).read_text(encoding="utf-8"))
    promise = _promise(figures)
    readme = with_section((root / _README).read_text(encoding="utf-8"), "promise", promise)
    readme = with_section(readme, "performance", _performance(figures))
    home = with_section((root / _HOME).read_text(encoding="utf-8"), "promise", promise)
    tuning = with_section((root / _TUNING).read_text(encoding="utf-8"), "engines", _engines(figures))
    return {_README: readme.encode(), _HOME: home.encode(), _TUNING: tuning.encode()}


def _promise(figures: dict[str, Any]) -> str:
    """What the system does, in four points."""
    once = figures["exactly-once"]
    low, high = figures["latency_ms"]["5000"], figures["latency_ms"]["50000"]
    return (
        f"- **{_thousands(once['rate'])} applications per second, exactly once.** One worker, on {figures['cores']} "
        f"cores that it shares with the broker: {once['times_jvm']:.1f} times as many as the fastest JVM program that "
        f"does the same job, and {once['times_python']:.1f} times as many as the fastest Python framework.\n"
        f"- **{low['p50']} ms from application to decision.** That is the median at 5,000 applications per second, and "
        f"the p99 is {low['p99']} ms; at 50,000 per second they are {high['p50']} and {high['p99']} ms. Measured at a "
        "reader of committed decisions.\n"
        "- **0 lost, 0 duplicated.** Decisions, dead letters and consumer offsets commit in one transaction. The tests "
        "kill workers at random moments, and break brokers, networks and topics. An invalid application becomes a dead "
        "letter with the reason, and never blocks others.\n"
        "- **Every decision can be explained and reproduced.** It names its bundle, its source and up to four reasons. "
        "Scoring the application again gives the same bytes, with either engine."
    )


def _performance(figures: dict[str, Any]) -> str:
    once, at_least = figures["exactly-once"], figures["at-least-once"]
    return (
        f"One worker with exactly-once delivery processes a backlog at {_thousands(once['rate'])} applications per "
        f"second, {once['times_python_engine']:.1f} times as many as with the Python engine, and takes "
        f"{once['cpu_us']:.1f} µs of CPU time per application and {once['memory_mb']} MB of memory. With at-least-once "
        f"delivery it processes {_thousands(at_least['rate'])}, {at_least['times_jvm']:.1f} times as many as the "
        f"fastest JVM program and {at_least['times_python']:.1f} times as many as the fastest Python framework. All "
        f"programs were measured in turns on the same {figures['cores']} cores, which they share with the broker, with "
        "the same model and the same decisions. Compare the ratios: the figures belong to this machine."
    )


def _engines(figures: dict[str, Any]) -> str:
    """What one worker does with each engine, as the comparison with other programs measured it."""
    at_least = figures["at-least-once"]
    return (
        "With at-least-once delivery and a backlog, one worker with the compiled engine processes "
        f"{_thousands(at_least['rate'])} applications per second on {figures['cores']} cores that it shares with the "
        f"broker, {at_least['times_python_engine']:.1f} times as many as with the Python engine. It takes "
        f"{at_least['cpu_us']:.1f} µs of CPU time per application and {at_least['memory_mb']} MB of memory "
        "([all figures](../benchmarks/report/comparison.md))."
    )


def _thousands(rate: int) -> str:
    return f"{round(rate, -3):,}"
