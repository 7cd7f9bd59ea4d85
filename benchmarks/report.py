"""Writes the report of the comparison, from its results: tables in Markdown, plots in SVG, and README's charts.

`make bench-peers` runs it after the comparison.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rcParams
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from benchmarks import charts
from benchmarks.ratios import (
    DELIVERIES,
    ENGINES,
    RESULTS,
    Families,
    Figures,
    Rounds,
    entry_of,
    latency_medians,
    medians,
    ratio,
    summarise,
)
from benchmarks.rivals import FAMILIES

REPORT = Path(__file__).parent / "report"
_COLOURS = {
    "ours, compiled engine": "#d95f0e",
    "ours, Python engine": "#fdae6b",
    "bare": "#bbbbbb",
    "native": "#666666",
    "jvm": "#2c7fb8",
    "python, our scoring": "#41ab5d",
    "python, as its guide": "#a1d99b",
}

_PLAIN = StrMethodFormatter("{x:,.0f}")

_ABOUT_THROUGHPUT = """\
One worker of each, alone on the topic, in turns on the same broker: the same applications, the same model, and
decisions compared with ours (probabilities within 1e-6). Figures are medians of the rounds, and a ratio is the median
of its ratios in each round, with the lowest and the highest. **The ratios are the result**; the figures belong to this
machine ({environment}). The README next to each source in `benchmarks/peers/` describes the program and the tuning that
its documentation recommends. `make bench-peers` creates this report again."""
_ABOUT_LATENCY = """\
Milliseconds from when an application was due until a read_committed reader had its decision. The load is an open loop:
it does not wait for a program that cannot keep up, and late applications count from when they were due."""


def write(report_data: Mapping[str, Any], others: Sequence[Mapping[str, Any]], families: Families) -> None:
    """Writes `report/comparison.md`, `throughput.svg` and `latency.svg`, and what `charts.write` adds.

    Args:
        report_data: the results of the comparison, as in its JSON.
        others: results with other Pythons, of which the ratios are shown.
        families: family of each "name | delivery".
    """
    REPORT.mkdir(exist_ok=True)
    rcParams["svg.hashsalt"] = "scorer"  # the same figures, the same file
    rounds: Rounds = report_data["rounds"]
    figures = medians(rounds)
    machine = report_data["machine"]
    environment = (
        f"{machine['machine']}, {machine['cores']} cores shared with {machine['broker']}; Python {machine['python']}"
    )
    parts = [
        "# One worker compared with other implementations",
        _ABOUT_THROUGHPUT.format(environment=environment),
        summarise(report_data, families),
        "![records per second](throughput.svg)",
    ]
    for delivery in DELIVERIES:
        parts += [f"## {delivery.capitalize()}", _throughput_table(rounds, families, delivery)]
    if "http" in report_data:
        parts += [_write_http(report_data["http"], figures, families)]
    if report_data["latencies"]:
        latencies = latency_medians(report_data["latencies"])
        parts += [
            "## Latency",
            _ABOUT_LATENCY,
            "![latency](latency.svg)",
            _latency_table(latencies),
        ]
        _draw_latency(latencies, families)
    for other in others:
        parts += [f"## With Python {other['machine']['python']}", summarise(other, families)]
        for delivery in DELIVERIES:
            parts += [delivery.capitalize() + ":", _throughput_table(other["rounds"], families, delivery)]
    if report_data["left_out"]:
        parts += ["## Left out", *(f"- {name}: {why}" for name, why in report_data["left_out"].items())]
    (REPORT / "comparison.md").write_text("\n\n".join(parts) + "\n")
    _draw_throughput(figures, families)
    charts.write(report_data, families, REPORT)
    print(f"\nwritten: {REPORT / 'comparison.md'}")


def _write_http(http: Figures, figures: Mapping[str, Figures], families: Families) -> str:
    """Describes the HTTP service in a sentence."""
    ours = entry_of(figures, families, ENGINES[0], "exactly-once")
    times = figures[ours]["rate"] / http["rate"] if ours else 0
    comparison = f" One worker of ours, exactly once, with the compiled engine: {times:,.0f} times as many."
    return (
        f"The course's service on BentoML, over HTTP with 100 connections: {http['rate']:,.0f} requests per second, "
        f"p50 {http['p50_ms']:.0f} ms, p99 {http['p99_ms']:.0f} ms.{comparison if ours else ''}"
    )


def _throughput_table(rounds: Rounds, families: Families, delivery: str) -> str:
    figures = {name: m for name, m in medians(rounds).items() if name.endswith(delivery)}
    ours = [entry_of(figures, families, engine, delivery) for engine in ENGINES]
    lines = [
        "| | records/s | compiled engine is | Python engine is | CPU µs per record | memory, MB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, m in sorted(figures.items(), key=lambda item: -item[1]["rate"]):
        ratios = [ratio(rounds, entry, name, "rate") if entry else None for entry in ours]
        cells = " | ".join(f"{r.median:.2f} ×" if r else "" for r in ratios)
        lines.append(
            f"| {name.partition(' | ')[0]} | {m['rate']:,.0f} | {cells} | {m['cpu_us']:.1f} | "
            f"{m['rss_bytes'] / 1e6:.0f} |"
        )
    return "\n".join(lines)


def _latency_table(latencies: Mapping[str, Mapping[int, Figures]]) -> str:
    lines = [
        "| | applications/s | p50 | p99 | p99.9 | missing 10 s after the end |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, loads in latencies.items():
        for rate, load in loads.items():
            lines.append(
                f"| {name.replace(' | ', ', ')} | {rate:,} | {load['p50']:.0f} | {load['p99']:.0f} | "
                f"{load['p99.9']:.0f} | {load['missing']:,.0f} |"
            )
    return "\n".join(lines)


def _draw_throughput(figures: Mapping[str, Figures], families: Families) -> None:
    figure = Figure(figsize=(9, 0.32 * len(figures) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    ordered = sorted(figures, key=lambda name: figures[name]["rate"])
    rates = [figures[name]["rate"] for name in ordered]
    bars = axes.barh([n.replace(" | ", ", ") for n in ordered], rates, color=[_COLOURS[families[n]] for n in ordered])
    axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(_PLAIN)
    axes.set_xlabel("records per second, one worker (logarithmic)")
    axes.margins(x=0.15)
    axes.tick_params(axis="y", labelsize=8)
    figure.savefig(REPORT / "throughput.svg", metadata={"Date": None})


def _draw_latency(latencies: Mapping[str, Mapping[int, Figures]], families: Families) -> None:
    figure = Figure(figsize=(9, 4), layout="constrained")
    for column, delivery in enumerate(DELIVERIES):
        axes = figure.add_subplot(1, 2, column + 1)
        for name, loads in latencies.items():
            if not name.endswith(delivery):
                continue
            colour = _COLOURS[families[name]]
            label = name.partition(" | ")[0]
            style = "--" if "Streams" in label else "-"
            axes.plot(
                list(loads), [load["p99"] for load in loads.values()], style, marker="o", color=colour, label=label
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        rates = sorted({rate for loads in latencies.values() for rate in loads})
        axes.set_xticks(rates, [f"{rate:,}" for rate in rates], fontsize=8)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(_PLAIN)
        axes.yaxis.set_minor_formatter(_PLAIN)
        axes.set_xlabel("applications per second")
        axes.set_ylabel("p99, ms")
        axes.set_title(delivery)
        if axes.lines:
            axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    figure.savefig(REPORT / "latency.svg", metadata={"Date": None})


def main() -> None:
    """Writes the report from the results of the comparison; those of other Pythons are beside them."""
    others = sorted(RESULTS.parent.glob(f"{RESULTS.stem}-*.json"))
    write(json.loads(RESULTS.read_text()), [json.loads(path.read_text()) for path in others], FAMILIES)


if __name__ == "__main__":
    main()
