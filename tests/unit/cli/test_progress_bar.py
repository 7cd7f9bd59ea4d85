"""Steps of a command that takes long."""

import io

from rich.console import Console

from scorer.cli.progress_bar import Steps


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
