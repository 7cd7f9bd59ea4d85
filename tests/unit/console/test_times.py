"""Timestamps that pages show: publishers choose them, in any unit."""

import pytest

from scorer.console.times import known_ms

NOW_MS = 1_780_000_000_000


@pytest.mark.parametrize("at_ms", [0, 1, NOW_MS, 253_402_300_799_999])
def test_a_time_of_the_calendar_is_shown(at_ms: int) -> None:
    """From 1970 to the end of the year 9999, as browsers and ISO 8601 have it."""
    assert known_ms(at_ms) == at_ms


@pytest.mark.parametrize("at_ms", [-1, 253_402_300_800_000, NOW_MS * 1_000, NOW_MS * 1_000_000, 2**63 - 1])
def test_another_one_is_not_known(at_ms: int) -> None:
    """A browser throws at it, and the page showed nothing: neither the application nor the queue."""
    assert known_ms(at_ms) is None
