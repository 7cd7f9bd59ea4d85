"""The group's figures as they were last read: the newest ones, and none that are too old to be current."""

from scorer.operate.latest_lag import GroupFigures, LatestLag


def test_stale_figures_are_not_returned() -> None:
    """While no broker answers, the last figures are not taken for the current ones; the next ones are."""
    now = 100.0
    latest_lag = LatestLag(lambda: now)
    assert latest_lag.current() is None
    first, second = GroupFigures(2, {0: 5}), GroupFigures(0, {0: 9})
    latest_lag.set(first)
    now = 114.0
    assert latest_lag.current() == first
    now = 115.0
    assert latest_lag.current() is None
    latest_lag.set(second)
    assert latest_lag.current() == second
