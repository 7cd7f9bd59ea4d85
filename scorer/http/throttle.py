"""Rate limit for log lines that clients can cause: one per interval, with the number suppressed."""

import time
from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 10.0
"""Often enough to see that it continues; at most 8,640 lines per day."""


class Throttle:
    """Limits one kind of line; used in one thread."""

    def __init__(self, interval_s: float = INTERVAL_S, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepares.

        Args:
            interval_s: least time between two lines, in seconds.
            clock: the time in seconds.
        """
        self._interval_s = interval_s
        self._clock = clock
        self._next_at_s: float | None = None
        self._suppressed = 0

    def due(self) -> int | None:
        """Returns the number of lines suppressed since the last one, or None if this one is to be suppressed."""
        now_s = self._clock()
        if self._next_at_s is not None and now_s < self._next_at_s:
            self._suppressed += 1
            return None
        suppressed, self._suppressed = self._suppressed, 0
        self._next_at_s = now_s + self._interval_s
        return suppressed
