"""The newest decisions' probabilities of default, counted for a histogram."""

from collections import Counter, deque
from collections.abc import Sequence
from threading import Lock
from typing import Final

NEWEST_MAX: Final = 1_000
"""The newest decisions that are counted."""
INTERVALS: Final = 20
"""Equal intervals from 0 to 1; the last one contains 1."""


class Probabilities:
    """The newest probabilities. One thread records them and another one counts them; a lock makes each call atomic."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._newest: deque[float] = deque(maxlen=NEWEST_MAX)

    def record(self, probabilities: Sequence[float]) -> None:
        """Records probabilities, which are from 0 to 1, in the order of their decisions."""
        with self._lock:
            self._newest.extend(probabilities[-NEWEST_MAX:])

    def counts(self) -> list[int]:
        """The number of probabilities in each interval."""
        with self._lock:
            counts = Counter(min(int(probability * INTERVALS), INTERVALS - 1) for probability in self._newest)
        return [counts[interval] for interval in range(INTERVALS)]
