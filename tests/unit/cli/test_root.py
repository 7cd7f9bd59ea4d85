"""The command line as a whole."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from scorer.cli.root import app
from scorer.errors import BrokerError
from tests.unit.cli.conftest import Run

_BOXES = "╭│╰─"


def test_help_loads_nothing_heavy() -> None:
    """A page comes up without Kafka, numpy, pydantic and XGBoost being loaded."""
    code = (
        "import scorer.cli.root, sys; heavy = ('confluent_kafka', 'numpy', 'pydantic', 'xgboost', 'sklearn'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_version(run: Run) -> None:
    """It is that of the installed package."""
    assert run("--version") == (0, f"scorer {version('streaming-credit-scorer')}\n", "")


@pytest.mark.parametrize("command", ["", "up", "bundle show", "replay run"])
def test_h_is_help_everywhere(run: Run, command: str) -> None:
    """`-h` was an unknown option of every command."""
    words = command.split()
    page = run(*words, "-h")
    assert page.code == 0
    assert page.out == run(*words, "--help").out


def test_help_to_a_pipe_has_no_boxes_and_keeps_the_examples(run: Run) -> None:
    """Boxes of 80 columns once broke lines for grep, and Markdown's marks were printed."""
    page = run("up", "-h").out
    assert not set(page) & set(_BOXES)
    assert "```" not in page
    assert "\n  scorer up --workers 4 --rate 20000 --for 60s\n" in page
    assert "--broker <auto|given|docker|java|mock>" in page


def test_an_error_to_a_pipe_has_no_box(run: Run) -> None:
    """A usage error is a sentence, and suggests the command that was probably meant."""
    ended = run("deplyo")
    assert ended.code == 2
    assert not set(ended.err) & set(_BOXES)
    assert "Did you mean 'deploy'" in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("up", "--workers", "x"), "'--workers': must be a whole number"),
        (("up", "--workers", "0"), "'--workers': must be at least 1"),
        (("up", "--rate", "x"), "'--rate': must be a number"),
        (("up", "--broker", "x"), "'--broker': 'x' is not one of 'auto', 'given', 'docker', 'java', 'mock'"),
        (("worker", "--delivery", "x"), "'--delivery': 'x' is not one of 'exactly-once', 'at-least-once'"),
    ],
)
def test_a_value_that_an_option_does_not_take(run: Run, arguments: tuple[str, ...], words: str) -> None:
    """The rule is named in words of our own; pydantic's "Input should be a valid integer" was once printed."""
    ended = run(*arguments)
    assert ended.code == 2
    assert words in ended.err
    assert "Value error" not in ended.err


def test_every_command_is_in_a_panel() -> None:
    """The flat list of 20 commands said nothing about where to begin."""
    command = typer.main.get_command(app)
    commands = command.commands  # type: ignore[attr-defined]
    panels = {commands[name].rich_help_panel for name in commands}
    assert panels == {"Start", "Operate", "Models", "Deployments", "Repair"}


def leaves(command: Any, *words: str) -> Iterator[tuple[str, ...]]:
    """The words of every command that does something."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words
    for name, below in (inner or {}).items():
        yield from leaves(below, *words, name)


@pytest.mark.parametrize("words", list(leaves(typer.main.get_command(app))), ids=" ".join)
def test_every_page_teaches_by_example(words: tuple[str, ...]) -> None:
    """The pages of `history`, `config` and others once had no example."""
    page = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "120"}).output
    assert f"scorer {' '.join(words)}" in page.partition("Examples:")[2]


@pytest.mark.parametrize(
    "arguments",
    [
        "status", "history", "doctor", "challenger", "explain a-1", "offsets show", "topics ensure", "topics check",
        "dlq list", "dlq show 0:1", "dlq requeue 0:1", "replay verify",
        "replay plan new --decided-by credit-risk:1.1.0", "rollback --reason x",
        "retire --reason x", "policy simulate --maybe-above 0.2",
    ],
)  # fmt: skip
def test_a_broker_that_does_not_listen_is_known_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: str
) -> None:
    """Commands for people ask whether anyone listens before a client of Kafka retries for many seconds."""

    def nobody_listens(_: object) -> None:
        raise BrokerError("nobody listens")

    monkeypatch.setattr("scorer.operate.listening.require_listening", nobody_listens)
    ended = run(*arguments.split())
    assert ended.code == 1
    assert "nobody listens" in ended.out + ended.err
