"""Steps of a command that takes long."""

import io
import sys

import pytest
from rich.console import Console

from scorer.cli.progress_bar import Steps, elapsed_time


def said(*, is_terminal: bool) -> str:
    """What is printed of two steps."""
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=80)
    steps = Steps(console)
    steps.say("before")
    with steps:
        steps.say("downloading\x1b[2J")
        steps.end()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_on_a_terminal_the_time_is_shown() -> None:
    """A download of 25 s was once silent; what other programs say cannot obey the terminal."""
    printed = said(is_terminal=True)
    assert "0:00:00" in printed
    assert "downloading" in printed
    assert "\x1b[2J" not in printed


def test_elsewhere_only_the_lines_are() -> None:
    """A log of a pipeline has one line per step."""
    first, second = said(is_terminal=False).splitlines()
    assert first == "before"
    assert second.startswith("downloading")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_step_is_broken_between_words(is_terminal: bool) -> None:
    """Paths were once broken by the terminal; a command stays whole, and so does everything on a pipe."""
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=40)
    steps = Steps(console)
    path = "/tmp/scorer-kafka-12345678"  # noqa: S108 - it is only printed
    for line in (f"java broker with its data in {path}", f"  export SCORER_APPLICATIONS_TOPIC={path}"):
        steps.say(line)
    assert isinstance(console.file, io.StringIO)
    first = ["java broker with its data in", path] if is_terminal else [f"java broker with its data in {path}"]
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert lines == [*first, f"  export SCORER_APPLICATIONS_TOPIC={path}"]


class Terminal(io.StringIO):
    """A terminal, as programs see it."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.mark.parametrize("terminal", [Terminal(), io.StringIO()], ids=["terminal", "pipe"])
def test_what_takes_long_says_what_and_for_how_long(monkeypatch: pytest.MonkeyPatch, terminal: io.StringIO) -> None:
    """Opening a bundle once took seconds without a word; a pipe gets nothing of it."""
    monkeypatch.setattr(sys, "stderr", terminal)
    with elapsed_time("checking [bold]mine:1.0.0\x1b[2J"):
        pass
    printed = terminal.getvalue()
    assert bool(printed) == terminal.isatty()
    if printed:
        assert "checking [bold]mine:1.0.0" in printed
        assert "0:00:00" in printed
        assert "\x1b[2J" not in printed
