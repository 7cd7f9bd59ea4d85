"""Writes the report of the comparison: tables in Markdown, plots in SVG."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import rcParams
from matplotlib.figure import Figure

REPORT = Path(__file__).parent / "report"
OURS = "scorer"
_COLOURS = {
    "ours": "#d95f0e",
    "bare": "#bbbbbb",
    "native": "#666666",
    "jvm": "#2c7fb8",
    "python, our scoring": "#41ab5d",
    "python, as its guide": "#a1d99b",
}

_ABOUT_THROUGHPUT = """\
One worker of each, alone on the topic, in turns on the same broker: the same applications, the same model, and
decisions compared with ours (probabilities within 1e-6). Medians of the rounds. **The ratios are the result**; the
figures belong to this machine ({environment}). The README next to each source in `benchmarks/peers/` describes the
program and the tuning that its documentation recommends. `make bench-peers` creates this report again."""
_ABOUT_LATENCY = """\
Milliseconds from when an application was due until a read_committed reader had its decision. The load is an open loop:
it does not wait for a program that cannot keep up, and late applications count from when they were due."""

Figures = dict[str, float]


def write(report_data: Mapping[str, Any], families: Mapping[str, str]) -> None:
    """Writes `report/comparison.md`, `throughput.svg` and `latency.svg`.

    Args:
        report_data: the results of the comparison, as in its JSON.
        families: family of each "name | delivery".
    """
    REPORT.mkdir(exist_ok=True)
    medians = {name: _medians(rounds) for name, rounds in report_data["rounds"].items()}
    machine = report_data["machine"]
    environment = (
        f"{machine['machine']}, {machine['cores']} cores shared with {machine['broker']}; Python {machine['python']}"
    )
    parts = [
        "# One worker compared with other implementations",
        _ABOUT_THROUGHPUT.format(environment=environment),
        "![records per second](throughput.svg)",
    ]
    for delivery in ("at-least-once", "exactly-once"):
        chosen = {name: m for name, m in medians.items() if name.endswith(delivery)}
        ours = chosen.get(f"{OURS} | {delivery}")
        parts += [f"## {delivery.capitalize()}", _throughput_table(chosen, ours)]
    if "http" in report_data:
        parts += [_write_http(report_data["http"], medians)]
    if report_data["latencies"]:
        parts += [
            "## Latency",
            _ABOUT_LATENCY,
            "![latency](latency.svg)",
            _latency_table(report_data["latencies"]),
        ]
        _draw_latency(report_data["latencies"], families)
    if report_data["left_out"]:
        parts += ["## Left out", *(f"- {name}: {why}" for name, why in report_data["left_out"].items())]
    (REPORT / "comparison.md").write_text("\n\n".join(parts) + "\n")
    _draw_throughput(medians, families)
    print(f"\nwritten: {REPORT / 'comparison.md'}")


def _write_http(http: Figures, medians: Mapping[str, Figures]) -> str:
    """Describes the HTTP service in a sentence."""
    ours = medians.get(f"{OURS} | exactly-once")
    ratio = f" One worker of ours, exactly once: {ours['rate'] / http['rate']:,.0f} times as many." if ours else ""
    return (
        f"The course's service on BentoML, over HTTP with 100 connections: {http['rate']:,.0f} requests per second, "
        f"p50 {http['p50_ms']:.0f} ms, p99 {http['p99_ms']:.0f} ms.{ratio}"
    )


def _medians(rounds: list[Figures]) -> Figures:
    return {figure: statistics.median(r[figure] for r in rounds) for figure in rounds[0]}


def _throughput_table(chosen: Mapping[str, Figures], ours: Figures | None) -> str:
    lines = [
        "| | records/s | ours is | CPU µs per record | memory, MB |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, m in sorted(chosen.items(), key=lambda item: -item[1]["rate"]):
        ratio = f"{ours['rate'] / m['rate']:.2f} ×" if ours else ""
        lines.append(
            f"| {name.partition(' | ')[0]} | {m['rate']:,.0f} | {ratio} | {m['cpu_us']:.1f} | "
            f"{m['rss_bytes'] / 1e6:.0f} |"
        )
    return "\n".join(lines)


def _latency_table(latencies: Mapping[str, list[dict[str, Any]]]) -> str:
    lines = [
        "| | applications/s | p50 | p99 | p99.9 | missing 10 s after the end |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, loads in latencies.items():
        for load in loads:
            ms = load["ms"]
            lines.append(
                f"| {name.replace(' | ', ', ')} | {load['rate']:,} | {ms['p50']:.0f} | {ms['p99']:.0f} | "
                f"{ms['p99.9']:.0f} | {load['missing']:,} |"
            )
    return "\n".join(lines)


def _draw_throughput(medians: Mapping[str, Figures], families: Mapping[str, str]) -> None:
    rcParams["svg.hashsalt"] = "scorer"  # the same figures, the same file
    figure = Figure(figsize=(9, 0.32 * len(medians) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    ordered = sorted(medians, key=lambda name: medians[name]["rate"])
    rates = [medians[name]["rate"] for name in ordered]
    bars = axes.barh([n.replace(" | ", ", ") for n in ordered], rates, color=[_COLOURS[families[n]] for n in ordered])
    axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("records per second, one worker (logarithmic)")
    axes.margins(x=0.15)
    axes.tick_params(axis="y", labelsize=8)
    figure.savefig(REPORT / "throughput.svg", metadata={"Date": None})


def _draw_latency(latencies: Mapping[str, list[dict[str, Any]]], families: Mapping[str, str]) -> None:
    figure = Figure(figsize=(9, 4), layout="constrained")
    for column, delivery in enumerate(("at-least-once", "exactly-once")):
        axes = figure.add_subplot(1, 2, column + 1)
        for name, loads in latencies.items():
            if not name.endswith(delivery):
                continue
            rates = [load["rate"] for load in loads]
            colour = _COLOURS[families[name]]
            label = name.partition(" | ")[0]
            style = "--" if "Streams" in label else "-"
            axes.plot(rates, [load["ms"]["p99"] for load in loads], style, marker="o", color=colour, label=label)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("applications per second")
        axes.set_ylabel("p99, ms")
        axes.set_title(delivery)
        if axes.lines:
            axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    figure.savefig(REPORT / "latency.svg", metadata={"Date": None})
