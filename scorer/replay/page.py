"""Renders a replay's report as one self-contained HTML page: what changed, for whom, and by how much."""

import io
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np

from schemas.decision import shorten
from schemas.printable import printable
from scorer.core.policy import OUTCOMES, Policy
from scorer.replay.findings import NAMES, Findings, Group
from scorer.replay.outcomes import REFUSED, Outcomes
from scorer.replay.plan import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MILDER, _STRICTER, _GUIDE = "#1b7f79", "#c2571a", "#888888"

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; background: #fff; margin: 0 auto; max-width: 60rem;
       padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; border-bottom: 1px solid #d5dce3; padding-bottom: .25rem; }
p.lead { font-size: 1.15rem; }
p.note, figcaption { color: #4a5968; font-size: .92rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.25rem; }
dt { color: #4a5968; } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: .75rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; text-align: right; border-bottom: 1px solid #e4e9ee; }
th:first-child, td:first-child { text-align: left; } thead th { color: #4a5968; font-weight: 600; }
td.same { color: #6b7885; } td.milder { background: #dff1ef; } td.stricter { background: #fbe6da; }
td.bar { width: 9rem; padding-left: 0; text-align: left; } td.bar i { display: inline-block; height: .8rem; }
td.bar i.milder { background: #1b7f79; } td.bar i.stricter { background: #c2571a; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; }
.warn { background: #fff4d6; border-left: 4px solid #d9a400; padding: .6rem 1rem; }
@media print { body { max-width: none; padding: 0; } h2, table, figure { break-inside: avoid; } }
"""


def render(findings: Findings, plan: Plan, outcomes: Outcomes, policy: Policy) -> str:
    """Renders the page.

    Args:
        findings: the figures.
        plan: the replay.
        outcomes: the results of the replay.
        policy: the policy of the replay's bundle, for the threshold lines in the plot.

    Returns:
        Self-contained HTML, which loads nothing.
    """
    parts = [
        f"<h1>What changes with {escape(_name(findings.after))}</h1>",
        f'<p class="note">Replay {escape(findings.replay_id)}, planned {escape(findings.created)}</p>',
        f'<p class="lead">{_summary(findings)}</p>',
        *(f'<p class="warn">{warning}</p>' for warning in _warnings(findings)),
        _about(findings),
        "<h2>Decisions before and now</h2>",
        f'<p class="note">{_FLIPS_NOTE}</p>',
        _flips(findings),
    ]
    if findings.shift is not None:
        parts += [
            "<h2>Change of the probability of default</h2>",
            _figure(lambda axes: _draw_before_after(axes, plan, outcomes, policy), _BEFORE_AFTER_CAPTION),
            _figure(lambda axes: _draw_shift(axes, plan, outcomes), _SHIFT_CAPTION.format(**_shift_values(findings))),
            "<h2>By previous probability</h2>",
            _groups("previous probability", findings.bands),
            "<h2>By category</h2>",
            f'<p class="note">{_CATEGORIES_NOTE}</p>',
            *(_groups(field, groups) for field, groups in findings.categories.items()),
        ]
    parts.append(_details(findings))
    title = f"Replay {escape(findings.replay_id)}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _summary(findings: Findings) -> str:
    stricter = sum(group.stricter for group in findings.bands.values())
    milder = findings.flipped - stricter
    before = " and ".join(_name(bundle) for bundle in findings.before)
    return (
        f"Of {findings.again:,} applications decided by {escape(before)}, <strong>{findings.flipped:,} "
        f"({_share(findings.flipped, findings.again)}) get a different decision</strong>: {milder:,} a milder one, "
        f"{stricter:,} a stricter one."
    )


def _warnings(findings: Findings) -> list[str]:
    warnings = []
    pending = findings.applications - findings.again
    if pending:
        warnings.append(
            f"The replay is not complete: {pending:,} of {findings.applications:,} applications are pending."
        )
    if findings.expired:
        warnings.append(
            f"{findings.expired:,} matching applications are missing: the topic's retention had deleted their records "
            "before the replay was planned. Their earlier decisions stay current."
        )
    if findings.gone:
        warnings.append(
            f"The topic's retention has deleted {findings.gone:,} applications since: they are in all figures except "
            "those by category, and have no id in flips.csv."
        )
    if findings.refused:
        codes = ", ".join(f"{n:,} {escape(code)}" for code, n in findings.refused.items())
        warnings.append(f"Some applications could not be rescored ({codes}); their earlier decisions stay current.")
    if findings.skipped:
        warnings.append(
            f"{findings.skipped:,} malformed records on the decisions and dead-letter topics were skipped, for example "
            f"{escape('; '.join(findings.skipped_first))}."
        )
    return warnings


def _about(findings: Findings) -> str:
    published = (
        f"{findings.corrections:,} corrections, each with the id of the decision that it supersedes"
        if findings.published
        else "nothing (dry run)"
    )
    rows = {
        "Applications": findings.what,
        "Number": f"{findings.applications:,}",
        "Previous bundle": "; ".join(f"{shorten(bundle)} ({n:,})" for bundle, n in findings.before.items()),
        "New bundle": shorten(findings.after),
        "Published": published,
    }
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows.items()) + "</dl>"


def _flips(findings: Findings) -> str:
    shown = [name for name in NAMES if name in OUTCOMES or any(row[name] for row in findings.flips.values())]
    head = "".join(f"<th>{escape(name)}</th>" for name in shown)
    body = []
    for index, before in enumerate(OUTCOMES):
        row = findings.flips[before]
        total = sum(row.values())
        cells = "".join(_flip_cell(row[name], total, index, NAMES.index(name)) for name in shown)
        body.append(f"<tr><th>{before}</th>{cells}<td>{total:,}</td></tr>")
    return (
        f"<table><thead><tr><th>before \\ now</th>{head}<th>total</th></tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _flip_cell(count: int, total: int, before: int, after: int) -> str:
    kind = "same" if after == before or after >= REFUSED or not count else "stricter" if after > before else "milder"
    share = f" ({escape(_share(count, total))})" if count else ""
    return f'<td class="{kind}">{count:,}{share}</td>'


def _groups(title: str, groups: Mapping[str, Group]) -> str:
    """Renders a table of groups, with a bar for the share of changed decisions: green milder, orange stricter."""
    shown = {name: group for name, group in groups.items() if group.applications}
    widest = max((group.flipped / group.applications for group in shown.values()), default=0) or 1
    rows = "".join(_group(name, group, widest) for name, group in shown.items())
    return (
        f"<table><thead><tr><th>{escape(title)}</th><th>applications</th><th>changed decisions</th><th>share</th>"
        "<th></th><th>milder</th><th>stricter</th><th>mean change</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _group(name: str, group: Group, widest: float) -> str:
    counts = {"milder": group.flipped - group.stricter, "stricter": group.stricter}
    bar = "".join(
        f'<i class="{kind}" style="width:{100 * n / group.applications / widest:.1f}%"></i>'
        for kind, n in counts.items()
    )
    return (
        f"<tr><td>{escape(name)}</td><td>{group.applications:,}</td><td>{group.flipped:,}</td>"
        f'<td>{_share(group.flipped, group.applications)}</td><td class="bar">{bar}</td>'
        f"<td>{counts['milder']:,}</td><td>{counts['stricter']:,}</td><td>{_format_change(group.shift_mean)}</td></tr>"
    )


_FLIPS_NOTE: Final = (
    "Rows are decisions before, columns are decisions now. Green is milder for the applicant, orange is stricter."
)
_CATEGORIES_NOTE: Final = (
    "If one group changes far more often than the others, or mostly to stricter decisions, find out why before you "
    "rely on the new model."
)
_BEFORE_AFTER_CAPTION: Final = (
    "Applications by probability of default before (horizontal) and now (vertical); darker means more applications, "
    "on a logarithmic scale. On the dotted diagonal nothing changed; below it the new model sees less risk, above it "
    "more. The dashed lines are the thresholds of the new bundle: above the lower one MAYBE, above the upper one "
    "DECLINED."
)
_SHIFT_CAPTION: Final = (
    "Change of the probability of default, now minus before. The median change is {median}; 90 % of applications "
    "changed by {p05} to {p95}; the largest change is {most}."
)


def _shift_values(findings: Findings) -> dict[str, str]:
    assert findings.shift is not None, "called only if applications were rescored"
    shift = findings.shift
    return {
        "median": _format_change(shift.median),
        "p05": _format_change(shift.p05),
        "p95": _format_change(shift.p95),
        "most": f"{shift.most:.3f}",
    }


def _figure(draw: Callable[["Axes"], None], caption: str) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Text as text, so that it can be searched and read aloud; and a fixed salt, so that the bytes are reproducible.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "replay", "font.family": "sans-serif"}):
        figure = Figure(figsize=(7.5, 4.6), layout="constrained")
        draw(figure.add_subplot())
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None})
    svg = target.getvalue()
    return f"<figure>{svg[svg.index('<svg') :]}<figcaption>{caption}</figcaption></figure>"


def _draw_before_after(axes: "Axes", plan: Plan, outcomes: Outcomes, policy: Policy) -> None:
    decided = outcomes.outcomes < REFUSED
    before, after = plan.selection.rows["probability"][decided], outcomes.probabilities[decided]
    axes.hexbin(before, after, gridsize=50, extent=(0, 1, 0, 1), bins="log", mincnt=1, cmap="Blues", linewidths=0.1)
    axes.plot([0, 1], [0, 1], color=_GUIDE, linestyle=":")
    for name, threshold in (("MAYBE", policy.maybe_above), ("DECLINED", policy.declined_above)):
        axes.axhline(threshold, color=_STRICTER, linestyle="--", linewidth=1)
        axes.annotate(f"above: {name}", (0.01, threshold), va="bottom", color=_STRICTER)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of default before", ylabel="probability of default now")


def _draw_shift(axes: "Axes", plan: Plan, outcomes: Outcomes) -> None:
    decided = outcomes.outcomes < REFUSED
    shift = outcomes.probabilities[decided].astype(np.float64) - plan.selection.rows["probability"][decided]
    reach = max(0.05, float(np.abs(shift).max()))
    edges = np.linspace(-reach, reach, 61)
    counts, _ = np.histogram(shift, edges)
    colours = [_MILDER if right <= 0 else _STRICTER for right in edges[1:]]
    axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=colours)
    axes.set(xlabel="change of the probability of default (left: less risk, right: more)", ylabel="applications")


def _details(findings: Findings) -> str:
    files = (
        "<code>flips.csv</code> next to this page lists all applications whose decision changed, and "
        "<code>report.json</code> contains all figures"
    )
    corrections = (
        "A correction is a new decision on the decisions topic. Its header <code>supersedes</code> contains the id of "
        f"the superseded decision, its header <code>replay-id</code> is {escape(findings.replay_id)}. "
        if findings.published
        else ""
    )
    return (
        f"<h2>More details</h2><p>In this folder, {files}. {corrections}"
        "A decision's bytes are a function of the application's record and the bundle only, so this report can be "
        "reproduced.</p>"
    )


def _share(part: int, whole: int) -> str:
    if not whole:
        return "–"
    return f"{part / whole:.1%}" if not part or part / whole >= 0.0005 else "<0.1%"  # few, but not zero


def _format_change(difference: float) -> str:
    return f"{difference:+.3f}" if abs(difference) >= 0.0005 else "0.000"


def _name(bundle: str) -> str:
    return printable(bundle.partition("@")[0])
