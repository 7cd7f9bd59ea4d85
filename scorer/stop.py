"""SIGTERM and SIGINT: what has not begun ends at once; a batch in hand is finished, within a time limit."""

import signal
import time

from scorer.logs import STOP_ASKED, log


class Stop:
    """Hears the signals from the moment on that it is made, which must be in the main thread."""

    def __init__(self) -> None:
        self._drain_s: float | None = None
        """None until there can be a batch in hand."""
        self._asked_at: float | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def begin(self, drain_s: float) -> None:
        """From here on there can be a batch in hand, which may take so many seconds to finish."""
        self._drain_s = drain_s

    def asked(self) -> bool:
        """Whether to stop between two batches."""
        return self._asked_at is not None

    def drained(self) -> bool:
        """Whether even the batch in hand may take no longer."""
        return self._asked_at is not None and time.monotonic() - self._asked_at > (self._drain_s or 0.0)

    def _ask(self, number: int, _: object) -> None:
        if self._asked_at is None:
            log(STOP_ASKED, signal=signal.Signals(number).name)
            self._asked_at = time.monotonic()
        if self._drain_s is None:
            raise SystemExit(0)
