"""How `scorer up` looks: a live table on a terminal, plain lines elsewhere, and the summary at the end."""

from dataclasses import asdict
from typing import Any, Final, Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from schemas.rejection import RejectionCode
from scorer.core.policy import OUTCOMES
from scorer.local.up import Snapshot

_COLOURS: Final[dict[str, str]] = {"APPROVED": "green", "MAYBE": "yellow", "DECLINED": "red"}
_PLAIN_EVERY_S: Final = 5.0
_BAR_WIDTH: Final = 30


class View:
    """Shows snapshots; a context manager, so that the terminal is put back in order."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._plain_at = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Draws how things stand, or prints a line every few seconds."""
        if self._live:
            self._live.update(_page(snapshot), refresh=True)
        elif snapshot.elapsed_s - self._plain_at >= _PLAIN_EVERY_S:
            self._plain_at = snapshot.elapsed_s
            self._console.print(_line(snapshot), highlight=False, soft_wrap=True)


def summary(snapshot: Snapshot) -> RenderableType:
    """The end of the run, for people."""
    table = Table(box=box.SIMPLE, show_header=False, title="What became of the applications", title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_row("published", f"{snapshot.published:,}")
    table.add_row("decided", f"{snapshot.decided:,}")
    for outcome in OUTCOMES:
        count = snapshot.decisions.get(outcome, 0)
        table.add_row(Text(f"  {outcome}", _COLOURS[outcome]), f"{count:,}")
    table.add_row("rejected, with a reason", f"{snapshot.rejected:,}")
    for code, count in sorted(snapshot.rejects.items(), key=lambda item: -item[1]):
        table.add_row(f"  {code}", f"{count:,}")
    table.add_row(Text("lost", _alarm(snapshot.waiting)), Text(f"{snapshot.waiting:,}", _alarm(snapshot.waiting)))
    table.add_row(
        Text("duplicated", _alarm(snapshot.duplicated)), Text(f"{snapshot.duplicated:,}", _alarm(snapshot.duplicated))
    )
    table.add_row("rate", f"{snapshot.rate:,.0f}/s")
    table.add_row("publish to read committed", f"p50 {_ms(snapshot.p50_s)}, p99 {_ms(snapshot.p99_s)}")
    return table


def summary_json(snapshot: Snapshot) -> dict[str, Any]:
    """The end of the run, for scripts."""
    return {
        "published": snapshot.published,
        "decided": snapshot.decided,
        "rejected": snapshot.rejected,
        "lost": snapshot.waiting,
        "duplicated": snapshot.duplicated,
        "rate": round(snapshot.rate, 1),
        "p50_s": snapshot.p50_s,
        "p99_s": snapshot.p99_s,
        "decisions": snapshot.decisions,
        "rejects": snapshot.rejects,
        "broker": snapshot.broker,
        "bundle": snapshot.bundle,
        "workers": [asdict(worker) for worker in snapshot.workers],
    }


def _page(snapshot: Snapshot) -> RenderableType:
    head = Text.assemble(
        (f" {snapshot.elapsed_s:5.0f} s ", "bold"), f" broker {snapshot.broker}   bundle {snapshot.bundle}"
    )
    totals = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("published", "decided", "rejected", "in flight", "rate", "p50", "p99", "duplicated"):
        totals.add_column(name, justify="right")
    totals.add_row(
        f"{snapshot.published:,}",
        f"{snapshot.decided:,}",
        f"{snapshot.rejected:,}",
        f"{snapshot.waiting:,}",
        f"{snapshot.rate:,.0f}/s",
        _ms(snapshot.p50_s),
        _ms(snapshot.p99_s),
        Text(str(snapshot.duplicated), _alarm(snapshot.duplicated)),
    )
    return Group(head, totals, _outcomes(snapshot), _workers(snapshot), Text(" Ctrl-C ends it with a summary", "dim"))


def _outcomes(snapshot: Snapshot) -> Table:
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    for _ in range(3):
        table.add_column()
    all_outcomes = max(snapshot.decided + snapshot.rejected, 1)
    rows: list[tuple[str, int, str]] = [
        (outcome, snapshot.decisions.get(outcome, 0), _COLOURS[outcome]) for outcome in OUTCOMES
    ]
    rows += [(code.value, snapshot.rejects[code], "magenta") for code in RejectionCode if code in snapshot.rejects]
    for name, count, colour in rows:
        width = max(round(_BAR_WIDTH * count / all_outcomes), 1 if count else 0)
        bar = Text("█" * width, colour)
        table.add_row(Text(name, colour), Text(f"{count:,}", justify="right"), bar)
    return table


def _workers(snapshot: Snapshot) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("worker", "state"):
        table.add_column(name)
    for name in ("partitions", "records", "rate", "records a batch", "lag"):
        table.add_column(name, justify="right")
    for worker in snapshot.workers:
        table.add_row(
            worker.name,
            worker.state,
            str(worker.partitions),
            f"{worker.records:,}",
            f"{worker.rate:,.0f}/s",
            f"{worker.batch_records:,.1f}",
            f"{worker.lag:,}",
        )
    return table


def _line(snapshot: Snapshot) -> str:
    kinds = " ".join(f"{outcome}={snapshot.decisions.get(outcome, 0)}" for outcome in OUTCOMES)
    workers = " ".join(f"{worker.name}={worker.rate:.0f}/s" for worker in snapshot.workers)
    return (
        f"{snapshot.elapsed_s:5.0f} s  published={snapshot.published} decided={snapshot.decided} ({kinds}) "
        f"rejected={snapshot.rejected} in-flight={snapshot.waiting} duplicated={snapshot.duplicated} "
        f"rate={snapshot.rate:.0f}/s p50={_ms(snapshot.p50_s)} p99={_ms(snapshot.p99_s)} {workers}"
    )


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1_000:.1f} ms"


def _alarm(count: int) -> str:
    return "bold red" if count else "green"
