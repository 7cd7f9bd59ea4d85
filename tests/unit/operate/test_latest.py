"""Figures as they were last read: the newest ones, and none that are too old to be current."""

from scorer.operate.latest import GroupFigures, Latest


def test_stale_figures_are_not_returned() -> None:
    """While no broker answers, the last figures are not taken for the current ones; the next ones are."""
    now = 100.0
    latest = Latest[GroupFigures](15.0, lambda: now)
    assert latest.current() is None
    first, second = GroupFigures(2, {0: 5}, 50), GroupFigures(0, {0: 9}, 60)
    latest.set(first)
    now = 114.0
    assert latest.current() == first
    now = 115.0
    assert latest.current() is None
    latest.set(second)
    assert latest.current() == second
