"""Timestamps that pages show: publishers choose them, in any unit."""

import time

import pytest

from scorer.console.times import known_ms


@pytest.mark.parametrize("at_ms", [0, 1, int(time.time() * 1_000), 253_402_300_799_999])
def test_a_time_of_the_calendar_is_shown(at_ms: int) -> None:
    """From 1970 to the end of the year 9999, as browsers and ISO 8601 have it."""
    assert known_ms(at_ms) == at_ms


@pytest.mark.parametrize("at_ms", [-1, 253_402_300_800_000, time.time_ns() // 1_000, time.time_ns(), 2**63 - 1])
def test_another_one_is_not_known(at_ms: int) -> None:
    """A browser throws at it, and the page showed nothing: neither the application nor the queue."""
    assert known_ms(at_ms) is None
