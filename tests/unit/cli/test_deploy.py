"""`scorer deploy` and `scorer retire`: what is refused before any broker is asked."""

import pytest

from tests.unit.cli.conftest import Run


def test_champion_is_never_retired(run: Run) -> None:
    """Somebody has to decide: the message says how the champion is replaced."""
    ended = run("retire", "--slot", "champion", "--reason", "x")
    assert ended.code == 2
    assert "the champion cannot be retired, only replaced: use `scorer deploy`" in ended.err


def test_challenger_is_not_waited_for(run: Run) -> None:
    """Workers tell the group of the champion alone, so that a wait for a challenger would promise what nobody keeps."""
    ended = run("deploy", "credit-risk:1.0.0", "--slot", "challenger", "--wait", "5", "--reason", "x")
    assert ended.code == 2
    assert "--wait does not apply to a challenger" in ended.err


def test_other_slots(run: Run) -> None:
    """A slot that does not exist is misuse, and the two that do are named."""
    ended = run("deploy", "credit-risk:1.0.0", "--slot", "basement", "--reason", "x")
    assert ended.code == 2
    assert "'champion', 'challenger'" in ended.err


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--reason", "a\x1b[2Jb", "contains a control character"),
        ("--reason", "two\nlines", "a line break"),
        ("--actor", "a\u202eb", "contains a control character"),
        ("--reason", "r" * 1_001, "has 1,001 characters; at most 1,000"),
        ("--actor", "a" * 201, "has 201 characters; at most 200"),
        ("--despite", "a\x1b[2Jb", "contains a control character"),
        ("--despite", "r" * 1_001, "has 1,001 characters; at most 1,000"),
        ("--despite", " ", "is empty: say why"),
    ],
)
def test_events_that_the_history_accepts(run: Run, option: str, value: str, words: str) -> None:
    """Who and why are one line of plain text of some length: whoever looks at the history sees them on a terminal."""
    given = {"--reason": "x"} | {option: value}
    ended = run("deploy", "credit-risk:1.0.0", *(part for pair in given.items() for part in pair))
    assert ended.code == 2
    assert words in " ".join(ended.err.replace("│", "").split())
    assert "\x1b[2J" not in ended.err
