"""Log lines that clients can cause: the first at once, then one per interval with the number of the others."""

from scorer.http.throttle import Throttle


def test_one_line_per_interval() -> None:
    """What comes within the interval is counted, told with the next line, and then forgotten."""
    now = 0.0
    throttle = Throttle(10.0, clock=lambda: now)
    assert throttle.due() == 0
    assert [throttle.due() for _ in range(1_000)] == [None] * 1_000
    now = 9.9
    assert throttle.due() is None
    now = 10.0
    assert throttle.due() == 1_001
    now = 20.0
    assert throttle.due() == 0
