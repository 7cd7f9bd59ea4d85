"""Keeps a watch running: restarts it after an error, which is shown on the pages."""

from collections.abc import Callable
from threading import Event
from typing import Final

from scorer.console.live import Live, Part
from scorer.errors import ScorerError
from scorer.logs import log_thread_crash

_RETRY_S: Final = 2.0


def run_with_restarts(part: Part, watch: Callable[[], None], live: Live, stop: Event) -> None:
    """Runs a watch, and restarts it after errors, until `stop` is set.

    Args:
        part: the part of the state that is watched.
        watch: returns when `stop` is set, and closes what it opens.
        live: receives the errors.
        stop: ends the loop.
    """
    while not stop.is_set():
        try:
            watch()
        except ScorerError as fault:
            live.set_error(part, str(fault))
        except Exception as crash:  # noqa: BLE001  (a bug; it is logged, and the watch continues)
            log_thread_crash(part, crash)
            live.set_error(part, f"unexpected error ({type(crash).__name__}, a bug): see the console's log")
        stop.wait(_RETRY_S)
