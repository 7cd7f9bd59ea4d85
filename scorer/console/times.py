"""Timestamps of records for the pages: their writers choose them, so one may be in no calendar."""

from typing import Final

TIME_MS_MAX: Final = 253_402_300_800_000
"""The year 10,000: a later timestamp, such as one in microseconds, is shown as unknown."""


def known_ms(at_ms: int) -> int | None:
    """A timestamp in milliseconds since 1970 that browsers can show; None for any other."""
    return at_ms if 0 <= at_ms < TIME_MS_MAX else None
