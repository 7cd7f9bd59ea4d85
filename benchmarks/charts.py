"""Draws the two small charts of README, and writes the figures that its text has, from the comparison's results.

Both show exactly-once delivery. `python -m benchmarks.report` runs it, and `make fresh` puts the figures into the text.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.ratios import (
    DELIVERIES,
    ENGINES,
    Families,
    Figures,
    entry_of,
    fastest_of,
    latency_medians,
    medians,
    ratio,
)

FIGURES: Final = "figures.json"
_DELIVERY: Final = "exactly-once"
_FAMILIES: Final = (*ENGINES, "native", "jvm", "python, our scoring")
"""The families that do the whole job."""
_LATENCY_FAMILIES: Final = (ENGINES[0], "native", "jvm")


class Theme(NamedTuple):
    """The colours of a chart on a page."""

    text: str
    ours: str
    others: str
    ours_p50: str
    others_p50: str


THEMES: Final = {
    "light": Theme(text="#1f2328", ours="#d95f0e", others="#b6bdc6", ours_p50="#fdae6b", others_p50="#dfe3e8"),
    "dark": Theme(text="#e6edf3", ours="#f0883e", others="#57606a", ours_p50="#a0561f", others_p50="#3a4149"),
}


def write(report_data: Mapping[str, Any], families: Families, folder: Path) -> None:
    """Writes `figures.json`, `exactly-once-light.svg`, `latencies-light.svg` and the same in dark.

    Args:
        report_data: the results of the comparison, as in its JSON.
        families: family of each "name | delivery".
        folder: where the files go.
    """
    figures = json.dumps(select_figures(report_data, families), indent=1)
    (folder / FIGURES).write_text(figures + "\n", encoding="utf-8")
    rates = {
        name: m["rate"]
        for name, m in medians(report_data["rounds"]).items()
        if name.endswith(_DELIVERY) and families[name] in _FAMILIES
    }
    latencies = {
        name: loads
        for name, loads in latency_medians(report_data["latencies"]).items()
        if name.endswith(_DELIVERY) and families[name] in _LATENCY_FAMILIES
    }
    for name, theme in THEMES.items():
        with rc_context({"svg.hashsalt": "scorer", "text.color": theme.text, "font.size": 10}):
            _save(_draw_rates(rates, families, theme), folder / f"exactly-once-{name}.svg")
            if latencies:
                _save(_draw_latencies(latencies, families, theme), folder / f"latencies-{name}.svg")


def select_figures(report_data: Mapping[str, Any], families: Families) -> dict[str, Any]:
    """Returns what the text about the compiled engine says, as plain JSON; what was not measured is left out.

    Returns:
        The machine's `cores`; by delivery: `rate` in records per second, `cpu_us` per record, `memory_mb`, and how many
        times as fast it is: `times_jvm`, `times_python` (frameworks) and `times_python_engine`; `latency_ms` with
        exactly-once delivery: p50 and p99 by rate.
    """
    rounds = report_data["rounds"]
    all_figures = medians(rounds)
    selected: dict[str, Any] = {"cores": report_data["machine"]["cores"]}
    for delivery in DELIVERIES:
        ours = entry_of(all_figures, families, ENGINES[0], delivery)
        if ours is None:
            continue
        m = all_figures[ours]
        others = {
            "times_jvm": fastest_of(all_figures, families, "jvm", delivery),
            "times_python": fastest_of(all_figures, families, "python, our scoring", delivery),
            "times_python_engine": entry_of(all_figures, families, ENGINES[1], delivery),
        }
        ratios = {key: ratio(rounds, ours, name, "rate") for key, name in others.items() if name is not None}
        selected[delivery] = {
            "rate": round(m["rate"]),
            "cpu_us": round(m["cpu_us"], 1),
            "memory_mb": round(m["rss_bytes"] / 1e6),
            **{key: round(times.median, 2) for key, times in ratios.items() if times is not None},
        }
    latencies = latency_medians(report_data["latencies"])
    if ours := entry_of(latencies, families, ENGINES[0], _DELIVERY):
        selected["latency_ms"] = {
            str(rate): {quantile: round(load[quantile]) for quantile in ("p50", "p99")}
            for rate, load in latencies[ours].items()
        }
    return selected


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None}, transparent=True)


def _draw_rates(rates: Mapping[str, float], families: Families, theme: Theme) -> Figure:
    figure = Figure(figsize=(7, 0.36 * len(rates) + 0.7), layout="constrained")
    axes = figure.add_subplot()
    names = sorted(rates, key=lambda name: rates[name])
    colours = [theme.ours if families[name] == ENGINES[0] else theme.others for name in names]
    bars = axes.barh([_label(name) for name in names], [rates[name] for name in names], color=colours, height=0.7)
    axes.bar_label(bars, [f"{rates[name]:,.0f}" for name in names], padding=4)
    axes.set_title("Applications per second, exactly once, one worker of each", loc="left", fontsize=11)
    _plain(axes, [_label(name) for name in names if families[name] == ENGINES[0]], theme)
    return figure


def _draw_latencies(latencies: Mapping[str, Mapping[int, Figures]], families: Families, theme: Theme) -> Figure:
    """A panel per rate: one bar per program, to its p50 in a lighter colour and on to its p99."""
    rates = sorted({rate for loads in latencies.values() for rate in loads})
    figure = Figure(figsize=(7, 0.4 * len(latencies) + 1.1), layout="constrained")
    figure.suptitle("Milliseconds from application to decision, exactly once: p50 and p99", x=0.01, ha="left", size=11)
    names = sorted(latencies, key=lambda name: -max(load["p99"] for load in latencies[name].values()))
    for column, rate in enumerate(rates):
        axes = figure.add_subplot(1, len(rates), column + 1)
        measured = [name for name in names if rate in latencies[name]]
        to_p99, _ = (
            axes.barh(
                [_label(name) for name in measured],
                [latencies[name][rate][quantile] for name in measured],
                color=[own if families[name] == ENGINES[0] else other for name in measured],
                height=0.6,
            )
            for quantile, own, other in (("p99", theme.ours, theme.others), ("p50", theme.ours_p50, theme.others_p50))
        )
        texts = [f"{latencies[n][rate]['p50']:,.0f} | {latencies[n][rate]['p99']:,.0f}" for n in measured]
        axes.bar_label(to_p99, texts, padding=4)
        axes.set_title(f"{rate:,} per second", loc="left", fontsize=10)
        _plain(axes, [_label(name) for name in measured if families[name] == ENGINES[0]], theme)
        if column:
            axes.set_yticklabels([])
    return figure


def _plain(axes: Axes, ours: list[str], theme: Theme) -> None:
    """Only names and bars: the values are written next to the bars."""
    axes.set_xticks([])
    axes.margins(x=0.24)
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="y", length=0, colors=theme.text)
    for label in axes.get_yticklabels():
        if label.get_text() in ours:
            label.set_fontweight("bold")


def _label(name: str) -> str:
    return name.partition(" | ")[0]
