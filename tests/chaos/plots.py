"""The plot of a history: results and acknowledgements per second over time, with faults, healings, ends and memory."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.chaos.history import ACT, Cause, History


def plot(history: History, title: str, path: Path) -> None:
    """Draws a history.

    Args:
        history: what was recorded.
        title: what was done.
        path: where the picture goes; its suffix says in which format.
    """
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(10, 5), layout="constrained")
        flow, memory = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        end_s = max(1.0, _largest(history.samples["at_s"]), _largest(history.arrivals["arrived_s"]))
        _draw_rate(flow, history.published["acked_s"], end_s, "acknowledged", "0.7")
        _draw_rate(flow, history.arrivals["arrived_s"], end_s, "decided or rejected", "C0")
        _mark(flow, history, end_s)
        flow.set(title=title, ylabel="records per second", ylim=(0, None), xlim=(0, end_s))
        flow.legend(loc="upper left")
        for (worker,), samples in sorted(history.samples.group_by("worker")):
            memory.plot(samples["at_s"], samples["rss_mb"], label=f"worker {worker}", linewidth=1)
        memory.set(xlabel="seconds", ylabel="memory, MB", ylim=(0, None))
        figure.savefig(path, dpi=110)


def _draw_rate(axes: Axes, times: pl.Series, end_s: float, label: str, color: str) -> None:
    counts, edges = np.histogram(times.to_numpy(), bins=np.arange(0, end_s + 1))
    axes.step(edges[:-1], counts, where="post", label=label, color=color, linewidth=1)


def _mark(axes: Axes, history: History, end_s: float) -> None:
    """Shades each fault from its beginning to its healing, and marks ends of workers and operators' acts."""
    for number, (begin_s, healed_s) in enumerate(history.faults()):
        label = "fault" if number == 0 else None
        axes.axvspan(begin_s, min(healed_s, end_s), color="C3", alpha=0.15, label=label)
        axes.axvline(min(healed_s, end_s), color="C2", linewidth=1, label="healed" if number == 0 else None)
    ends = [one.at_s for one in history.exits if one.cause is not Cause.STOPPED]
    acts = [event.at_s for event in history.events if event.kind == ACT]
    for times, marker, label in ((ends, "x", "a worker ended"), (acts, "^", "an operator acted")):
        if times:
            axes.plot(times, [0] * len(times), marker, color="black", label=label, clip_on=False)


def _largest(times: pl.Series) -> float:
    largest = times.max()
    return float(largest) if isinstance(largest, int | float) else 0.0
