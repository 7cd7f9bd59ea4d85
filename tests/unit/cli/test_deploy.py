"""`scorer deploy` and `scorer retire`: what is refused before any broker is asked."""

from tests.unit.cli.conftest import Run


def test_champion_is_never_retired(run: Run) -> None:
    """Somebody has to decide: the message says how the champion is replaced."""
    ended = run("retire", "--slot", "champion", "--reason", "x")
    assert ended.code == 2
    assert "the champion is replaced, never retired; `scorer deploy`" in ended.err


def test_challenger_is_not_waited_for(run: Run) -> None:
    """Workers tell the group of the champion alone, so that a wait for a challenger would promise what nobody keeps."""
    ended = run("deploy", "credit-risk:1.0.0", "--slot", "challenger", "--wait", "5", "--reason", "x")
    assert ended.code == 2
    assert "--wait: no challenger can be waited for" in ended.err


def test_other_slots(run: Run) -> None:
    """A slot that does not exist is misuse, and the two that do are named."""
    ended = run("deploy", "credit-risk:1.0.0", "--slot", "basement", "--reason", "x")
    assert ended.code == 2
    assert "'champion', 'challenger'" in ended.err
