"""The output of `scorer up`: a live view on a terminal, plain lines elsewhere, and the summary at the end."""

import sys
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final, Self

from rich import box
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from schemas.decision import COLOURS
from schemas.printable import printable
from scorer.core.policy import LABELS
from scorer.local.up import Snapshot
from scorer.local.workers import WorkerView

_PLAIN_EVERY_S: Final = 5.0
_BAR_WIDTH: Final = 30
_NOTICES_KEPT: Final = 200
_NOTICES_SHOWN: Final = 6
# Minimum widths of the terminal, in columns, for the full tables.
_TOTALS_COLUMNS: Final = 76
_ALL_COLUMNS: Final = 110
_SOME_COLUMNS: Final = 72
# Width of a worker's columns without its state, on a terminal of 80 columns.
_OTHER_COLUMNS: Final = 66
_STATE_COLUMNS_MIN: Final = 14
# Lines of the view other than workers, notices, challenger and footer.
_FRAME_LINES: Final = 14
# Width of the labels and counts beside bars and rejection codes.
_LABEL_COLUMNS: Final = 23
_WORKERS_SHOWN_MIN: Final = 2


class View:
    """Shows snapshots; as a context manager, it restores the terminal on exit."""

    def __init__(self, console: Console) -> None:
        """Creates the view; nothing is shown yet.

        Args:
            console: the console to write to; if it is not a terminal, a line is printed every few seconds.
        """
        self._console = console
        # The alternate screen: on the normal one, a resize would leave earlier frames above the current one.
        self._live = (
            Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
            if console.is_terminal
            else None
        )
        self._notices: deque[str] = deque(maxlen=_NOTICES_KEPT)
        self._is_shown = False
        self._last_line_at_s = 0.0
        self.footer: list[str] = []
        """The last lines of the live view."""

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
            self._is_shown = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        if self._is_shown and sys.stderr.isatty():  # the live view covered them
            sys.stderr.write("".join(f"{line}\n" for line in self._notices))
        self._is_shown = False

    def notify(self, line: str) -> None:
        """Reports something that needs attention: on stderr, and in the live view while it is shown."""
        self._notices.append(line)
        if not self._is_shown or not sys.stderr.isatty():
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def show(self, snapshot: Snapshot) -> None:
        """Draws the current state, or prints a line every few seconds."""
        if self._live:
            width, height = self._console.size
            self._live.update(page(snapshot, self._notices, self.footer, (width, height)), refresh=True)
        elif snapshot.elapsed_s - self._last_line_at_s >= _PLAIN_EVERY_S:
            self._last_line_at_s = snapshot.elapsed_s
            self._console.print(_line(snapshot), highlight=False, soft_wrap=True)


def summary(snapshot: Snapshot) -> RenderableType:
    """The summary of the run, for people."""
    table = Table(box=box.SIMPLE, show_header=False, title="Results of this run's applications", title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_row("published", f"{snapshot.published:,}")
    table.add_row("decided", f"{snapshot.decided:,}")
    for label in LABELS:
        table.add_row(Text(f"  {label}", COLOURS[label]), f"{snapshot.decisions.get(label, 0):,}")
    table.add_row("rejected, with a reason", f"{snapshot.rejected:,}")
    for code, count in sorted(snapshot.rejections.items(), key=lambda item: -item[1]):
        table.add_row(f"  {code}", f"{count:,}")
    table.add_row(
        Text("lost", _alarm_style(snapshot.waiting)), Text(f"{snapshot.waiting:,}", _alarm_style(snapshot.waiting))
    )
    table.add_row(
        Text("duplicated", _alarm_style(snapshot.duplicated)),
        Text(f"{snapshot.duplicated:,}", _alarm_style(snapshot.duplicated)),
    )
    if snapshot.skipped:
        table.add_row(Text("malformed records, skipped", "bold red"), Text(f"{snapshot.skipped:,}", "bold red"))
    if snapshot.unmatched:
        table.add_row(Text("results of unknown applications", "bold red"), Text(f"{snapshot.unmatched:,}", "bold red"))
    table.add_row("rate", f"{snapshot.rate:,.0f}/s")
    table.add_row("publish to read committed", f"p50 {_span(snapshot.p50_s)}, p99 {_span(snapshot.p99_s)}")
    if snapshot.restarts:
        each = ", ".join(f"{worker.name} {worker.restarts}" for worker in snapshot.workers if worker.restarts)
        table.add_row(Text("worker restarts", "yellow"), Text(f"{snapshot.restarts:,} ({each})", "yellow"))
    return table


def summary_json(snapshot: Snapshot) -> dict[str, Any]:
    """The summary of the run, for scripts."""
    return {
        "published": snapshot.published,
        "decided": snapshot.decided,
        "rejected": snapshot.rejected,
        "lost": snapshot.waiting,
        "duplicated": snapshot.duplicated,
        "restarts": snapshot.restarts,
        "skipped": snapshot.skipped,
        "unmatched": snapshot.unmatched,
        "rate": round(snapshot.rate, 1),
        "p50_s": snapshot.p50_s,
        "p99_s": snapshot.p99_s,
        "decisions": snapshot.decisions,
        "rejections": snapshot.rejections,
        "broker": snapshot.broker,
        "bundle": snapshot.bundle,
        "workers": [asdict(worker) for worker in snapshot.workers],
    }


def page(snapshot: Snapshot, notices: Iterable[str], footer: Sequence[str], size: tuple[int, int]) -> RenderableType:
    """The live view.

    Args:
        snapshot: what to show.
        notices: the notices so far, one per line; the latest are shown.
        footer: the last lines.
        size: columns and lines of the terminal; what does not fit is left out, and nothing wraps.
    """
    width, height = size
    head = Text.assemble(
        (f" {snapshot.elapsed_s:.0f} s ", "bold"), f" {snapshot.broker}   bundle {snapshot.bundle or '-'}"
    )
    load_failures = [
        Text(printable(f" {worker.name}: {worker.load_failure}"), "bold red")
        for worker in snapshot.workers
        if worker.load_failure
    ]
    texts = [*_challenger(snapshot.workers), *load_failures[:1]]
    foot = [f" {line}" for line in footer]
    foot[1:1] = _metrics(snapshot.workers, width)
    lines_left = height - _FRAME_LINES - len(texts) - len(foot)
    workers_min = min(len(snapshot.workers), _WORKERS_SHOWN_MIN)
    shown = list(notices)[-_NOTICES_SHOWN:][-max(1, lines_left - workers_min) :]
    return Group(
        _one_line(head),
        _totals(snapshot, width),
        _results(snapshot, width),
        _workers(snapshot.workers, max(1, lines_left - len(shown)), width),
        *(_one_line(text) for text in texts),
        *(_one_line(Text(printable(f" {line}"), "yellow")) for line in shown),
        *(_one_line(Text(line, "dim")) for line in foot),
    )


def _challenger(workers: Sequence[WorkerView]) -> list[Text]:
    """The challenger in one line, if there is one."""
    names = sorted({worker.challenger for worker in workers if worker.challenger})
    if not names:
        return []
    compared, differing = (sum(counts) for counts in zip(*((w.compared, w.differing) for w in workers), strict=True))
    share = f" ({differing / compared:.1%})" if compared else ""
    return [Text(f" challenger {' and '.join(names)}: {differing:,} of {compared:,} decisions differ{share}")]


def _metrics(workers: Sequence[WorkerView], width: int) -> list[str]:
    """The addresses of the workers' metrics, as many as fit into one line."""
    head = " metrics: "
    addresses = [f"http://{worker.http}/metrics" for worker in workers if worker.http]
    return [head + _fit(addresses, " ", width - len(head))] if addresses else []


def _fit(parts: Sequence[str], separator: str, width: int) -> str:
    """As many of the parts as fit whole into the width, and the number of the others."""
    for count in range(len(parts), 0, -1):
        others = len(parts) - count
        more = f" and {others} other{'s' * (others != 1)}" if others else ""
        line = separator.join(parts[:count]) + more
        if len(line) <= width:
            return line
    return ""


def _one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _totals(snapshot: Snapshot, width: int) -> RenderableType:
    cells = {
        "published": f"{snapshot.published:,}",
        "decided": f"{snapshot.decided:,}",
        "rejected": f"{snapshot.rejected:,}",
        "backlog": f"{snapshot.waiting:,}",
        "duplicated": f"{snapshot.duplicated:,}",
        "rate": f"{snapshot.rate:,.0f}/s",
        "p50": _span(snapshot.p50_s),
        "p99": _span(snapshot.p99_s),
    }
    if width < _TOTALS_COLUMNS:
        return Text(" " + "  ".join(f"{name} {value}" for name, value in cells.items()))
    totals = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 0, 0, 1))
    for name in cells:
        totals.add_column(name, justify="right", no_wrap=True)
    styles = {"duplicated": _alarm_style(snapshot.duplicated)}
    totals.add_row(*(Text(value, styles.get(name, "")) for name, value in cells.items()))
    return totals


def _results(snapshot: Snapshot, columns: int) -> Table:
    """The decisions by label with bars, and all rejections in one line."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True, min_width=8)
    table.add_column(no_wrap=True, min_width=9, justify="right")
    table.add_column(no_wrap=True, overflow="ellipsis")
    total = max(snapshot.decided + snapshot.rejected, 1)
    for label in LABELS:
        count, colour = snapshot.decisions.get(label, 0), COLOURS[label]
        width = max(round(_BAR_WIDTH * count / total), 1 if count else 0)
        table.add_row(Text(label, colour), f"{count:,}", Text("█" * width, colour))
    by_count = sorted(snapshot.rejections.items(), key=lambda item: -item[1])
    codes = _fit([f"{code} {count:,}" for code, count in by_count], ", ", columns - _LABEL_COLUMNS)
    table.add_row(Text("REJECTED", "magenta"), f"{snapshot.rejected:,}", Text(codes, "magenta"))
    return table


def _workers(workers: Sequence[WorkerView], rows_max: int, width: int) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 0, 0, 1))
    columns = ["worker", "state"]
    columns += ["restarts", "partitions", "records", "rate", "lag"] if width >= _SOME_COLUMNS else ["records", "rate"]
    columns += ["records/batch"] if width >= _ALL_COLUMNS else []
    for name in columns:
        justify: JustifyMethod = "left" if name in {"worker", "state"} else "right"
        width_max = max(_STATE_COLUMNS_MIN, width - _OTHER_COLUMNS) if name == "state" else None
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis", max_width=width_max)
    shown = workers if len(workers) <= rows_max else workers[: rows_max - 1]
    for worker in shown:
        cells: dict[str, str | Text] = {
            "worker": worker.name,
            "state": Text(worker.state, "" if worker.state == "working" else "yellow"),
            "restarts": str(worker.restarts),
            "partitions": str(worker.partitions),
            "records": f"{worker.records:,}",
            "rate": f"{worker.rate:,.0f}/s",
            "lag": f"{worker.lag:,}",
            "records/batch": f"{worker.batch_records:,.1f}",
        }
        table.add_row(*(cells[name] for name in columns))
    if len(shown) < len(workers):
        table.add_row(f"… {len(workers) - len(shown)} more")
    return table


def _line(snapshot: Snapshot) -> str:
    labels = " ".join(f"{label}={snapshot.decisions.get(label, 0)}" for label in LABELS)
    workers = " ".join(
        f"{worker.name}={worker.rate:.0f}/s" if worker.state == "working" else f"{worker.name}=({worker.state})"
        for worker in snapshot.workers
    )
    return (
        f"{snapshot.elapsed_s:5.0f} s  published={snapshot.published} decided={snapshot.decided} ({labels}) "
        f"rejected={snapshot.rejected} backlog={snapshot.waiting} duplicated={snapshot.duplicated} "
        f"rate={snapshot.rate:.0f}/s p50={_span(snapshot.p50_s)} p99={_span(snapshot.p99_s)} {workers}"
    )


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1_000:.{int(seconds < 0.1)}f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _alarm_style(count: int) -> str:
    return "bold red" if count else "green"
