"""Handles SIGTERM and SIGINT: exits at once during startup; later finishes the current batch, within a time limit."""

import signal
import time

from scorer.logs import STOP_REQUESTED, log


class Stop:
    """Handles the signals from its creation on, which must be in the main thread."""

    def __init__(self) -> None:
        self._drain_s: float | None = None
        """None during startup, while there is no batch."""
        self._asked_at: float | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def begin(self, shutdown_timeout_s: float) -> None:
        """Ends the startup: from here on, a batch may take `shutdown_timeout_s` seconds to finish after a signal."""
        self._drain_s = shutdown_timeout_s

    def asked(self) -> bool:
        """Whether to stop before the next batch."""
        return self._asked_at is not None

    def drained(self) -> bool:
        """Whether the time limit for the current batch has passed, too."""
        return self._asked_at is not None and time.monotonic() - self._asked_at > (self._drain_s or 0.0)

    def _ask(self, number: int, _: object) -> None:
        if self._asked_at is None:
            log(STOP_REQUESTED, signal=signal.Signals(number).name)
            self._asked_at = time.monotonic()
        if self._drain_s is None:
            raise SystemExit(0)
