"""A progress bar for commands that read many records, if standard error is a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

    from scorer.replay.decisions import OnProgress


@contextmanager
def progress_bar(description: str, quiet: bool = False) -> Iterator["OnProgress"]:
    """A progress bar with the rate and the remaining time, if standard error is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        yield _BarUpdate(progress, description)


class _BarUpdate:
    """Updates a progress bar."""

    def __init__(self, progress: "Progress", description: str) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=None, rate="")

    def __call__(self, done: int, total: int) -> None:
        """Shows that `done` of `total` are done."""
        speed = self._progress.tasks[0].speed
        rate = f"{speed:,.0f}/s" if speed else ""
        self._progress.update(self._task, completed=done, total=total, rate=rate)
