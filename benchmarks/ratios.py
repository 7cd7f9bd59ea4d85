"""The ratios that a comparison is for: both engines of ours to the best program of each family, and our latency."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results" / "comparison.json"
"""The results of the comparison."""
DELIVERIES = ("at-least-once", "exactly-once")
ENGINES = ("ours, compiled engine", "ours, Python engine")
"""The families of our two entries."""

Figures = dict[str, float]
Rounds = Sequence[Mapping[str, Figures]]
"""The figures of each round, by "name | delivery"."""
Families = Mapping[str, str]
"""The family of each "name | delivery"."""


class Ratio(NamedTuple):
    """A ratio in each round that has both programs: the median, the lowest and the highest."""

    median: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.median:.2f} × ({self.lowest:.2f} to {self.highest:.2f})"


def ratio(rounds: Rounds, first: str, second: str, figure: str) -> Ratio | None:
    """Returns the ratio of a figure of two programs; None if no round has both."""
    ratios = [r[first][figure] / r[second][figure] for r in rounds if first in r and second in r]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


def medians(rounds: Rounds) -> dict[str, Figures]:
    """Returns the median of each figure, by "name | delivery"."""
    names = dict.fromkeys(name for r in rounds for name in r)
    runs = {name: [r[name] for r in rounds if name in r] for name in names}
    return {name: {f: statistics.median(run[f] for run in all_) for f in all_[0]} for name, all_ in runs.items()}


def entry_of(names: Mapping[str, Any], families: Families, family: str, delivery: str) -> str | None:
    """Returns the first program of a family with a delivery; None if it was not measured."""
    return next((n for n in names if families[n] == family and n.endswith(delivery)), None)


def summarise(report_data: Mapping[str, Any], families: Families) -> str:
    """Returns the ratios and our latency as tables in Markdown, from the results of a comparison."""
    parts = [_summarise_throughput(report_data["rounds"], families)]
    if report_data["latencies"]:
        parts.append(_summarise_latency(report_data["latencies"], families))
    return "\n\n".join(parts)


def _summarise_throughput(rounds: Rounds, families: Families) -> str:
    figures = medians(rounds)
    lines = ["| | compared with | compiled engine | Python engine |", "|---|---|---:|---:|"]

    def add(head: str, delivery: str, other: str | None, figure: str) -> None:
        if other is None:
            lines.append(f"| {head} | not measured | | |")
            return
        ours = [entry_of(figures, families, engine, delivery) for engine in ENGINES]
        ratios = [ratio(rounds, entry, other, figure) if entry else None for entry in ours]
        lines.append(f"| {head} | {other.replace(' | ', ', ')} | " + " | ".join(str(r or "") for r in ratios) + " |")

    for family, called in (("jvm", "the fastest on the JVM"), ("python, our scoring", "the fastest Python framework")):
        for delivery in DELIVERIES:
            fastest = fastest_of(figures, families, family, delivery)
            add(f"records/s, {delivery}, to {called}", delivery, fastest, "rate")
    ceiling = entry_of(figures, families, "native", "at-least-once")
    for delivery in DELIVERIES:
        add(f"CPU per record, {delivery}, to C++ at-least-once", delivery, ceiling, "cpu_us")
    return "\n".join(lines)


def fastest_of(figures: Mapping[str, Figures], families: Families, family: str, delivery: str) -> str | None:
    """Returns the fastest program of a family with a delivery; None if none was measured."""
    chosen = [name for name in figures if families[name] == family and name.endswith(delivery)]
    return max(chosen, key=lambda name: figures[name]["rate"], default=None)


def _summarise_latency(rounds: Sequence[Mapping[str, Any]], families: Families) -> str:
    loads = latency_medians(rounds)
    lines = ["| our latency, p50 and p99 in ms | compiled engine | Python engine |", "|---|---:|---:|"]
    for delivery in DELIVERIES:
        ours = [entry_of(loads, families, engine, delivery) for engine in ENGINES]
        rates = dict.fromkeys(rate for entry in ours if entry for rate in loads[entry])
        for rate in rates:
            cells = [loads[entry].get(rate) if entry else None for entry in ours]
            texts = [f"{c['p50']:.0f} and {c['p99']:.0f}" if c else "" for c in cells]
            lines.append(f"| {delivery}, {rate:,} applications/s | {texts[0]} | {texts[1]} |")
    return "\n".join(lines)


def latency_medians(rounds: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, Figures]]:
    """Returns the medians of the rounds: milliseconds by quantile, and `missing`, by "name | delivery" and rate."""
    collected: dict[str, dict[int, list[Figures]]] = {}
    for turn in rounds:
        for name, loads in turn.items():
            for load in loads:
                by_rate = collected.setdefault(name, {})
                by_rate.setdefault(load["rate"], []).append({**load["ms"], "missing": load["missing"]})
    return {
        name: {
            rate: {figure: statistics.median(load[figure] for load in loads) for figure in loads[0]}
            for rate, loads in sorted(by_rate.items())
        }
        for name, by_rate in collected.items()
    }
