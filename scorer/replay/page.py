"""Renders a replay's report as one self-contained HTML page: what changed, for whom, and by how much."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from scorer.core.policy import LABELS, Policy
from scorer.replay.findings import NAMES, Findings, Group
from scorer.replay.plan import Plan
from scorer.replay.rendering import GUIDE, MILDER, STRICTER, draw_figure, kind_of, make_environment
from scorer.replay.results import REJECTED, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def render(findings: Findings, plan: Plan, results: Results, policy: Policy) -> str:
    """Renders the page.

    Args:
        findings: the figures.
        plan: the replay.
        results: the results of the replay.
        policy: the policy of the replay's bundle, for the threshold lines in the plot.

    Returns:
        Self-contained HTML, which loads nothing.
    """
    figures = {}
    if findings.shift is not None:
        figures["figure_before_after"] = draw_figure(lambda axes: _draw_before_after(axes, plan, results, policy))
        figures["figure_shift"] = draw_figure(lambda axes: _draw_shift(axes, plan, results))
    environment = make_environment()
    environment.filters.update(change=_format_change, largest_share=_largest_share)
    columns = [name for name in NAMES if name in LABELS or any(row[name] for row in findings.flips.values())]
    template = environment.get_template("report.html")
    return template.render(findings=findings, columns=columns, kind=kind_of, **figures)


def _draw_before_after(axes: "Axes", plan: Plan, results: Results, policy: Policy) -> None:
    decided = results.label_indexes < REJECTED
    before, after = plan.selection.rows["probability"][decided], results.probabilities[decided]
    axes.hexbin(before, after, gridsize=50, extent=(0, 1, 0, 1), bins="log", mincnt=1, cmap="Blues", linewidths=0.1)
    axes.plot([0, 1], [0, 1], color=GUIDE, linestyle=":")
    for name, threshold in (("MAYBE", policy.maybe_above), ("DECLINED", policy.declined_above)):
        axes.axhline(threshold, color=STRICTER, linestyle="--", linewidth=1)
        axes.annotate(f"above: {name}", (0.01, threshold), va="bottom", color=STRICTER)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of default before", ylabel="probability of default now")


def _draw_shift(axes: "Axes", plan: Plan, results: Results) -> None:
    decided = results.label_indexes < REJECTED
    shift = results.probabilities[decided].astype(np.float64) - plan.selection.rows["probability"][decided]
    limit = max(0.05, float(np.abs(shift).max()))
    edges = np.linspace(-limit, limit, 61)
    counts, _ = np.histogram(shift, edges)
    colours = [MILDER if right <= 0 else STRICTER for right in edges[1:]]
    axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=colours)
    axes.set(xlabel="change of the probability of default (left: less risk, right: more)", ylabel="applications")


def _largest_share(groups: Mapping[str, Group]) -> float:
    """The largest share of changed decisions, which has the longest bar; 1 if nothing changed."""
    return max((group.flipped / group.applications for group in groups.values() if group.applications), default=0) or 1


def _format_change(difference: float) -> str:
    return f"{difference:+.3f}" if abs(difference) >= 0.0005 else "0.000"
