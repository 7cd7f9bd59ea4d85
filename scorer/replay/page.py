"""Renders a replay's report as one self-contained HTML page: what changed, for whom, and by how much."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from scorer.core.policy import LABELS, Policy
from scorer.replay.findings import NAMES, Findings
from scorer.replay.groups import Group
from scorer.replay.plan import Plan
from scorer.replay.rendering import DOTS, GUIDE, MILDER, STRICTER, draw_figure, make_environment
from scorer.replay.results import REJECTED, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEW: Final = 30
"""A smaller group has no share: the interval would be too wide to compare it with others."""
_FAINTEST: Final = 0.45
"""The opacity of a dot that stands for one application; still visible, because outliers matter most."""
_OPACITIES: Final = 64


def render(
    findings: Findings, plan: Plan, results: Results, policy: Policy, policy_before: Policy | None = None
) -> str:
    """Renders the page.

    Args:
        findings: the figures.
        plan: the replay.
        results: the results of the replay.
        policy: the policy of the replay's bundle, for the threshold lines in the plot.
        policy_before: the policy of the previous bundles; None if it is unknown, or if they have several.

    Returns:
        Self-contained HTML, which loads nothing.
    """
    figures = {}
    if findings.shift is not None:
        figures["figure_before_after"] = draw_figure(
            lambda axes: _draw_before_after(axes, plan, results, policy, policy_before)
        )
        figures["figure_shift"] = draw_figure(lambda axes: _draw_shift(axes, plan, results))
    environment = make_environment()
    environment.filters.update(change=_format_change)
    columns = [name for name in NAMES if name in LABELS or any(row[name] for row in findings.flips.values())]
    return environment.get_template("report.html").render(
        findings=findings,
        columns=columns,
        few=_FEW,
        largest_share=_largest_share(findings),
        has_thresholds_before=policy_before is not None,
        **figures,
    )


def _draw_before_after(
    axes: "Axes", plan: Plan, results: Results, policy: Policy, policy_before: Policy | None
) -> None:
    from matplotlib.colors import ListedColormap, to_rgba

    decided = results.label_indexes < REJECTED
    before, after = plan.selection.rows["probability"][decided], results.probabilities[decided]
    if policy_before is not None:
        _shade_changes(axes, policy_before, policy)
    dots = ListedColormap([to_rgba(DOTS, opacity) for opacity in np.linspace(_FAINTEST, 1, _OPACITIES)])
    axes.hexbin(before, after, gridsize=50, extent=(0, 1, 0, 1), bins="log", mincnt=1, cmap=dots, linewidths=0.1)
    axes.plot([0, 1], [0, 1], color=GUIDE, linestyle=":")
    for name, threshold in _thresholds(policy):
        axes.axhline(threshold, color=GUIDE, linestyle="--", linewidth=1)
        axes.annotate(f"above: {name}", (0.01, threshold), va="bottom")
    for name, threshold in _thresholds(policy_before) if policy_before else ():
        axes.axvline(threshold, color=GUIDE, linestyle="--", linewidth=1)
        axes.annotate(f"above: {name}", (threshold + 0.005, 0.99), va="top", rotation=90)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of default before", ylabel="probability of default now")


def _thresholds(policy: Policy) -> tuple[tuple[str, float], tuple[str, float]]:
    return ("MAYBE", policy.maybe_above), ("DECLINED", policy.declined_above)


def _shade_changes(axes: "Axes", before: Policy, after: Policy) -> None:
    """Shades the cells in which the label changes: columns are labels before, rows are labels after."""
    columns, rows = ([0, policy.maybe_above, policy.declined_above, 1] for policy in (before, after))
    for label_before, (left, right) in enumerate(pairwise(columns)):
        for label_after, (low, high) in enumerate(pairwise(rows)):
            if label_before != label_after:
                colour = STRICTER if label_after > label_before else MILDER
                axes.axvspan(left, right, low, high, color=colour, alpha=0.12, linewidth=0)


def _draw_shift(axes: "Axes", plan: Plan, results: Results) -> None:
    decided = results.label_indexes < REJECTED
    shift = results.probabilities[decided].astype(np.float64) - plan.selection.rows["probability"][decided]
    limit = max(0.05, float(np.abs(shift).max()))
    edges = np.linspace(-limit, limit, 61)
    counts, _ = np.histogram(shift, edges)
    colours = [MILDER if right <= 0 else STRICTER for right in edges[1:]]
    axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=colours)
    axes.set(xlabel="change of the probability of default (left: less risk, right: more)", ylabel="applications")


def _largest_share(findings: Findings) -> float:
    """The largest share of changed labels in any group that shows one, which has the longest bar; 1 if none changed."""
    shares = (g.flipped / g.applications for g in _groups(findings) if g.applications >= _FEW)
    return max(shares, default=0) or 1


def _groups(findings: Findings) -> Iterator[Group]:
    by_field = (findings.categories, findings.numbers, findings.dates)
    for groups in (findings.bands, *(groups for fields in by_field for groups in fields.values())):
        yield from groups.values()


def _format_change(difference: float) -> str:
    return f"{difference:+.3f}" if abs(difference) >= 0.0005 else "0.000"
