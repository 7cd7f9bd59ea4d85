"""The report: a table of all scenarios that were run, and a page with a plot for each, in Markdown."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.chaos.checker import Figures, Verdict
from tests.chaos.history import Cause, Exit, History
from tests.chaos.plots import plot

_COLUMNS: Final = (
    "fault", "acknowledged", "decided", "dead letters", "lost", "doubled", "pause s", "recovery s", "decides again s",
    "worst latency s", "stuck s", "memory MB", "worker exits", "verdict",
)  # fmt: skip
_LEGEND: Final = (
    "Pause: the longest time without a result, in brackets without an acknowledgement (what Kafka itself took). "
    "Recovery: from the healing to the last result that came more than 2 s late. Decides again: from the healing "
    "until the last worker did. Stuck: the longest that a worker with work committed nothing while it said that it "
    "was healthy, without a fault."
)


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one scenario."""

    name: str
    what: str
    verdict: Verdict | None
    skipped: str = ""
    """Why it was not run; empty if it was."""
    exits: tuple[str, ...] = ()
    """How workers ended, each in a few words."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what `write_row` wrote."""
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        given = content.pop("verdict")
        verdict = given and Verdict(Figures(**given["figures"]), tuple(given["failures"]))
        return cls(**content | {"verdict": verdict, "exits": tuple(content["exits"])})


def write_row(folder: Path, row: Row, history: History | None = None) -> None:
    """Keeps what came of a scenario, with the page and the plot of its history if it was run."""
    folder.mkdir(parents=True, exist_ok=True)
    if history is not None:
        row = Row(row.name, row.what, row.verdict, row.skipped, tuple(_exits(history.exits)))
        plot(history, row.what, folder / "plot.png")
        (folder / "README.md").write_text("\n".join(_page(row, history)), encoding="utf-8")
    (folder / "row.json").write_text(json.dumps(asdict(row), indent=2), encoding="utf-8")


def write_report(output: Path) -> None:
    """Writes the table of all rows that were kept."""
    rows = [Row.read(path) for path in sorted(output.glob("runs/*/row.json"))]
    lines = [
        "# Faults on a real cluster",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        f"|{'---|' * len(_COLUMNS)}",
        *(f"| {' | '.join(_cells(row))} |" for row in rows),
        "",
        _LEGEND,
        "",
    ]
    output.mkdir(parents=True, exist_ok=True)
    (output / "report.md").write_text("\n".join(lines), encoding="utf-8")


def _cells(row: Row) -> Iterator[str]:
    link = f"[{row.name}](runs/{row.name}/README.md)"
    if row.verdict is None:
        yield from (f"{row.name}: {row.what}", *[""] * (len(_COLUMNS) - 2), f"skipped: {row.skipped}")
        return
    figures = row.verdict.figures
    yield f"{link}: {row.what}"
    for count in (figures.acknowledged, figures.decided, figures.dead_letters, figures.lost, figures.doubled):
        yield f"{count:,}"
    yield f"{figures.pause_s:.1f} ({figures.publisher_pause_s:.1f})"
    yield from (_seconds(figures.recovery_s), _seconds(figures.decides_again_s))
    yield from (f"{figures.latency_max_s:.1f}", f"{figures.stuck_s:.0f}", f"{figures.rss_max_mb:.0f}")
    yield "; ".join(row.exits) or "none"
    yield "**holds**" if row.verdict.holds else f"**FAILS**: {'; '.join(row.verdict.failures)}".replace("|", "¦")


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f}"


def _exits(exits: tuple[Exit, ...]) -> Iterator[str]:
    """How many workers ended in which way; those that were stopped and ended well are not worth a word."""
    ways: dict[str, int] = {}
    for one in exits:
        if _ended_well(one):
            continue
        way = f"by {one.cause}" if one.cause is Cause.KILLED else f"by {one.cause}, exit {one.code}"
        ways[way] = ways.get(way, 0) + 1
    return (f"{count} × {way}" for way, count in ways.items())


def _page(row: Row, history: History) -> Iterator[str]:
    assert row.verdict is not None
    yield from (f"# {row.name}", "", f"{row.what}.", "", "![records per second](plot.png)", "")
    yield "Holds." if row.verdict.holds else "\n".join(["Fails:", "", *(f"- {text}" for text in row.verdict.failures)])
    yield from ("", "## Figures", "", "| figure | value |", "|---|---|")
    for name, value in asdict(row.verdict.figures).items():
        yield f"| {name.replace('_', ' ')} | {'never' if value is None else f'{value:,.1f}'.removesuffix('.0')} |"
    yield from ("", "## Events", "")
    yield from (f"- {event.at_s:.1f} s {event.kind}: {event.text}" for event in history.events)
    yield from ("", "## Ends of workers", "")
    for one in sorted(history.exits):
        yield f"- {one.at_s:.1f} s {_end(one)}"
        if not _ended_well(one):
            lines = ("```text", one.reason, "", *one.last_lines.splitlines(), "```")
            yield from ("", *(f"  {line}" for line in lines))
    yield ""


def _end(one: Exit) -> str:
    stopping = f", {one.stopping_s:.1f} s after SIGTERM" if one.stopping_s else ""
    lived = f"worker {one.worker} (process {one.pid}) after {one.lived_s:.1f} s"
    return f"{lived}, by {one.cause}, exit code {one.code}{stopping}"


def _ended_well(one: Exit) -> bool:
    return one.cause is Cause.STOPPED and one.code == 0
