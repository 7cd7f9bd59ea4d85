"""Handles SIGTERM and SIGINT: exits at once during startup; later finishes the current batch, within a time limit."""

import signal
import time

from scorer.logs import STOP_REQUESTED, log


class Stop:
    """Handles the signals from its creation on, which must be in the main thread."""

    def __init__(self) -> None:
        self._shutdown_timeout_s: float | None = None
        """None during startup, while there is no batch."""
        self._requested_at: float | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def begin(self, shutdown_timeout_s: float) -> None:
        """Ends the startup: from here on, a batch may take `shutdown_timeout_s` seconds to finish after a signal."""
        self._shutdown_timeout_s = shutdown_timeout_s

    def requested(self) -> bool:
        """Whether to stop before the next batch."""
        return self._requested_at is not None

    def timed_out(self) -> bool:
        """Whether the time limit for the current batch has passed, too."""
        return self._requested_at is not None and time.monotonic() - self._requested_at > (
            self._shutdown_timeout_s or 0.0
        )

    def _on_signal(self, number: int, _: object) -> None:
        if self._requested_at is None:
            log(STOP_REQUESTED, signal=signal.Signals(number).name)
            self._requested_at = time.monotonic()
        if self._shutdown_timeout_s is None:
            raise SystemExit(0)
