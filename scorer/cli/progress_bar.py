"""Progress of commands that take long, if the output is a terminal: a bar, or the current step's elapsed time."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from schemas.printable import printable, printable_lines

if TYPE_CHECKING:
    from rich.console import Console
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


@contextmanager
def elapsed_time(description: str) -> Iterator[None]:
    """Shows what a command does and for how long, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(printable(description))
        yield


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


class Steps:
    """Prints the steps of a command that takes long; on a terminal, with the time that the current one takes.

    As a context manager, it restores the terminal on exit.
    """

    def __init__(self, console: "Console") -> None:
        """Creates the object; nothing is shown yet."""
        from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

        self._console = console
        self._progress = Progress(
            SpinnerColumn(), TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def say(self, line: str) -> None:
        """Prints a line; the time counts from now on."""
        # An indented line is a command or from a log, and stays whole so that it can be copied.
        is_whole = line.startswith(" ") or not self._console.is_terminal
        self._console.print(printable_lines(line), markup=False, highlight=False, soft_wrap=is_whole)
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._progress.add_task("")

    def end(self) -> None:
        """Stops showing the time; a second call does nothing."""
        self._progress.stop()
