"""A replay's report as one page that needs nothing else: for whoever asks what changed, for whom, and by how much."""

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
    """The page.

    Args:
        findings: the figures.
        plan: the replay.
        outcomes: what came of it.
        policy: of the bundle that decides now, for the lines in the plot.

    Returns:
        HTML with everything in it; it loads nothing.
    """
    parts = [
        f"<h1>What changes when {escape(_name(findings.after))} decides instead</h1>",
        f'<p class="note">Replay {escape(findings.replay_id)}, planned {escape(findings.created)}</p>',
        f'<p class="lead">{_summary(findings)}</p>',
        *(f'<p class="warn">{warning}</p>' for warning in _warnings(findings)),
        _about(findings),
        "<h2>From what to what</h2>",
        f'<p class="note">{_FLIPS_NOTE}</p>',
        _flips(findings),
    ]
    if findings.shift is not None:
        parts += [
            "<h2>How the probability of default moved</h2>",
            _figure(lambda axes: _draw_before_after(axes, plan, outcomes, policy), _BEFORE_AFTER_CAPTION),
            _figure(lambda axes: _draw_shift(axes, plan, outcomes), _SHIFT_CAPTION.format(**_shift_words(findings))),
            "<h2>By probability before</h2>",
            _groups("probability before", findings.bands),
            "<h2>By what applicants have in common</h2>",
            f'<p class="note">{_CATEGORIES_NOTE}</p>',
            *(_groups(field, groups) for field, groups in findings.categories.items()),
        ]
    parts.append(_how_to_read(findings))
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
        f"Of {findings.again:,} applications that {escape(before)} had decided, <strong>{findings.flipped:,} "
        f"({_share(findings.flipped, findings.again)}) get another decision</strong>: {milder:,} a milder one, "
        f"{stricter:,} a stricter one."
    )


def _warnings(findings: Findings) -> list[str]:
    found = []
    pending = findings.applications - findings.again
    if pending:
        found.append(f"The replay is not complete: {pending:,} of {findings.applications:,} applications are to come.")
    if findings.expired:
        found.append(
            f"{findings.expired:,} applications that belong here are missing: their records had been deleted by the "
            "topic's retention before the replay was planned. Their earlier decisions stand."
        )
    if findings.gone:
        found.append(
            f"{findings.gone:,} applications have been deleted by the topic's retention since: they are in every "
            "figure but those by what applicants have in common, and have no id in flips.csv."
        )
    if findings.refused:
        codes = ", ".join(f"{n:,} {escape(code)}" for code, n in findings.refused.items())
        found.append(f"Not every application could be decided again ({codes}); their earlier decisions stand.")
    if findings.skipped:
        found.append(
            f"{findings.skipped:,} malformed records on the topics of decisions and dead letters were skipped, such as "
            f"{escape('; '.join(findings.skipped_first))}."
        )
    return found


def _about(findings: Findings) -> str:
    published = (
        f"{findings.corrections:,} corrections, each naming the decision that it takes the place of"
        if findings.published
        else "nothing: this was a dry run"
    )
    rows = {
        "Which applications": findings.what,
        "How many": f"{findings.applications:,}",
        "Decided before by": "; ".join(f"{shorten(bundle)} ({n:,})" for bundle, n in findings.before.items()),
        "Decided now by": shorten(findings.after),
        "Published": published,
    }
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows.items()) + "</dl>"


def _flips(findings: Findings) -> str:
    shown = [name for name in NAMES if name in OUTCOMES or any(row[name] for row in findings.flips.values())]
    head = "".join(f"<th>{escape(name)}</th>" for name in shown)
    body = []
    for place, before in enumerate(OUTCOMES):
        row = findings.flips[before]
        total = sum(row.values())
        cells = "".join(_flip_cell(row[name], total, place, NAMES.index(name)) for name in shown)
        body.append(f"<tr><th>{before}</th>{cells}<td>{total:,}</td></tr>")
    return (
        f"<table><thead><tr><th>before \\ now</th>{head}<th>in all</th></tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _flip_cell(count: int, total: int, before: int, after: int) -> str:
    kind = "same" if after == before or after >= REFUSED or not count else "stricter" if after > before else "milder"
    share = f" ({escape(_share(count, total))})" if count else ""
    return f'<td class="{kind}">{count:,}{share}</td>'


def _groups(title: str, groups: Mapping[str, Group]) -> str:
    """A table of groups, with a bar for the share that flipped, green for milder and orange for stricter."""
    shown = {name: group for name, group in groups.items() if group.applications}
    widest = max((group.flipped / group.applications for group in shown.values()), default=0) or 1
    rows = "".join(_group(name, group, widest) for name, group in shown.items())
    return (
        f"<table><thead><tr><th>{escape(title)}</th><th>applications</th><th>another decision</th><th>share</th>"
        "<th></th><th>milder</th><th>stricter</th><th>mean move</th></tr></thead>"
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
        f"<td>{counts['milder']:,}</td><td>{counts['stricter']:,}</td><td>{_move(group.shift_mean)}</td></tr>"
    )


_FLIPS_NOTE: Final = (
    "Each row is the decision that stood before, each column the one that comes now. Green is milder for the "
    "applicant, orange is stricter."
)
_CATEGORIES_NOTE: Final = (
    "If one group flips far more often than the others, or mostly towards stricter decisions, ask why before you rely "
    "on the new model."
)
_BEFORE_AFTER_CAPTION: Final = (
    "Each application by its probability of default before (across) and now (up); darker is more applications, on a "
    "logarithmic scale. On the dotted diagonal nothing moved; below it the new model sees less risk, above it more. "
    "The dashed lines are the thresholds of the bundle that decides now: above the lower one MAYBE, above the upper "
    "one DECLINED."
)
_SHIFT_CAPTION: Final = (
    "How far the probability of default moved, now less before. In the middle stands an application that moved by "
    "{median}; nine in ten moved by {p05} to {p95}; the largest move was {most}."
)


def _shift_words(findings: Findings) -> dict[str, str]:
    assert findings.shift is not None, "asked for only where something moved"
    shift = findings.shift
    return {
        "median": _move(shift.median),
        "p05": _move(shift.p05),
        "p95": _move(shift.p95),
        "most": f"{shift.most:.3f}",
    }


def _figure(draw: Callable[["Axes"], None], caption: str) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Letters as letters, so that the page can be searched and read aloud; and the same bytes each time.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "replay", "font.family": "sans-serif"}):
        figure = Figure(figsize=(7.5, 4.6), layout="constrained")
        draw(figure.add_subplot())
        into = io.StringIO()
        figure.savefig(into, format="svg", metadata={"Date": None})
    drawn = into.getvalue()
    return f"<figure>{drawn[drawn.index('<svg') :]}<figcaption>{caption}</figcaption></figure>"


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
    axes.set(xlabel="move of the probability of default (left: less risk, right: more)", ylabel="applications")


def _how_to_read(findings: Findings) -> str:
    found = (
        "the list of all of them is in <code>flips.csv</code> beside this page, and every figure in "
        "<code>report.json</code>"
    )
    corrections = (
        "A correction is a new decision on the decisions topic. Its header <code>supersedes</code> holds the id of the "
        f"decision that it takes the place of, its header <code>replay-id</code> is {escape(findings.replay_id)}. "
        if findings.published
        else ""
    )
    return (
        f"<h2>Where to look further</h2><p>Applications whose decision changed can be named: {found}. {corrections}"
        "A decision's bytes follow from the application's record and the bundle alone, so that all of this can be "
        "computed again and comes out the same.</p>"
    )


def _share(part: int, whole: int) -> str:
    if not whole:
        return "–"
    return f"{part / whole:.1%}" if not part or part / whole >= 0.0005 else "<0.1%"  # a few are not none


def _move(difference: float) -> str:
    return f"{difference:+.3f}" if abs(difference) >= 0.0005 else "0.000"


def _name(bundle: str) -> str:
    return printable(bundle.partition("@")[0])
