"""Renders a simulation as one self-contained HTML page: which labels change, and what other thresholds would do."""

from typing import TYPE_CHECKING

from scorer.core.policy import LABELS, Policy
from scorer.replay.rendering import GUIDE, MILDER, STRICTER, draw_figure, make_environment, share
from scorer.replay.simulation import Simulation

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def render(simulation: Simulation, policy: Policy) -> str:
    """Renders the page.

    Args:
        simulation: the figures.
        policy: the simulated policy, for the lines of its general thresholds in the plots.

    Returns:
        Self-contained HTML, which loads nothing.
    """
    figures = {}
    if simulation.sweep:
        figures["figure_shares"] = draw_figure(lambda axes: _draw_shares(axes, simulation, policy))
        if simulation.default_rate_after is not None:
            figures["figure_rate"] = draw_figure(lambda axes: _draw_rate(axes, simulation, policy))
    template = make_environment().get_template("simulation.html")
    rate = "{:.1%}".format
    return template.render(simulation=simulation, labels=LABELS, rate=rate, share=share, **figures)


def _draw_shares(axes: "Axes", simulation: Simulation, policy: Policy) -> None:
    thresholds = [step.threshold for step in simulation.sweep]
    axes.plot(thresholds, [step.approved for step in simulation.sweep], color=MILDER, label="APPROVED, by maybe_above")
    declined = [step.declined for step in simulation.sweep]
    axes.plot(thresholds, declined, color=STRICTER, label="DECLINED, by declined_above")
    _draw_thresholds(axes, policy)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="general threshold", ylabel="share of applications")
    axes.legend(loc="center right")


def _draw_rate(axes: "Axes", simulation: Simulation, policy: Policy) -> None:
    known = [(step.threshold, step.default_rate) for step in simulation.sweep if step.default_rate is not None]
    axes.plot([threshold for threshold, _ in known], [rate for _, rate in known], color=STRICTER)
    _draw_thresholds(axes, policy)
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel="maybe_above", ylabel="expected default rate of APPROVED")


def _draw_thresholds(axes: "Axes", policy: Policy) -> None:
    top = axes.get_xaxis_transform()  # the vertical coordinate is relative to the figure
    for name, threshold in (("maybe_above", policy.maybe_above), ("declined_above", policy.declined_above)):
        axes.axvline(threshold, color=GUIDE, linestyle="--", linewidth=1)
        axes.annotate(name, (threshold + 0.005, 0.99), xycoords=top, va="top", rotation=90)
