"""Ends the process when an activity exceeds its time limit, even if a thread hangs inside a C library.

librdkafka can block without a limit, whatever timeout it was given (librdkafka#5456), and a thread inside C can be
neither interrupted nor joined. Uncommitted records are processed again by the next worker, so ending the process is
safe.
"""

import faulthandler
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final, NamedTuple

from scorer.logs import PROCESS_STALLED, log

_TICK_S: Final = 0.5
# Logging itself may hang, on a full pipe that nobody reads.
_LOG_S: Final = 2.0
# A call in C that holds the GIL stops this thread, too. faulthandler's timer does not need the GIL; it is this long
# because it cannot distinguish a process that hangs from one that was suspended.
_LOCKED_S: Final = 120.0
_LOCKED_TICKS: Final = 20


class Limits(NamedTuple):
    """Time limits of a worker's activities, in seconds."""

    start_s: float
    poll_s: float
    """From one poll to the next."""
    delivery_s: float
    shutdown_s: float
    """From SIGTERM or SIGINT to the end of the process."""


class _Activity(NamedTuple):
    ends_at: float
    limit_s: float


class Watchdog:
    """Watches activities from a background thread.

    Its clock does not count time for which the whole process was suspended (SIGSTOP, a paused container): a suspended
    activity keeps the rest of its time.
    """

    def __init__(self, shutdown_s: float, end: Callable[[], None] = lambda: os._exit(1)) -> None:
        """Does not watch until it is started.

        Args:
            shutdown_s: how long the process may take to end after SIGTERM or SIGINT, in seconds.
            end: ends the process at once.
        """
        self._shutdown_s = shutdown_s
        self._end = end
        self._clock = 0.0
        """Seconds for which the process ran; written by the watching thread."""
        self._activities: dict[str, _Activity] = {}
        """By name; each entry is replaced as a whole, by any thread."""
        self._signals: tuple[socket.socket, socket.socket] | None = None
        """Read end and write end: signal numbers, written by the interpreter when they arrive."""
        self._stopping = threading.Event()

    def start(self) -> None:
        """Starts watching, also for signals while the main thread hangs inside C. Call it in the main thread."""
        self._signals = socket.socketpair()
        for end in self._signals:
            end.setblocking(False)
        signal.set_wakeup_fd(self._signals[1].fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(self._signals[0],), name="watchdog", daemon=True).start()

    def begin(self, name: str, limit_s: float) -> None:
        """An activity begins, or begins again, with a limit in seconds."""
        self._activities[name] = _Activity(self._clock + limit_s, limit_s)

    def done(self, name: str) -> None:
        """An activity has ended; does nothing if it had not begun."""
        self._activities.pop(name, None)

    def leave(self) -> None:
        """Limits the exit of the interpreter, in which destructors of client libraries can hang, too."""
        if "shutdown" not in self._activities:
            self.begin("shutdown", self._shutdown_s)
        left_s = max(0.0, self._activities["shutdown"].ends_at - self._clock)
        faulthandler.dump_traceback_later(left_s + _TICK_S, exit=True, file=_stderr())

    def stop(self) -> None:
        """Stops watching; for tests."""
        self._stopping.set()
        signal.set_wakeup_fd(-1)
        faulthandler.cancel_dump_traceback_later()

    def _watch(self, signals: socket.socket) -> None:
        ticks, before = 0, time.monotonic()
        while not self._stopping.is_set():
            if ticks % _LOCKED_TICKS == 0 and "shutdown" not in self._activities:
                faulthandler.dump_traceback_later(_LOCKED_S, exit=True, file=_stderr())
            ticks += 1
            if select.select([signals], [], [], _TICK_S)[0]:
                self._handle_signals(signals.recv(64))
            now = time.monotonic()
            self._clock += min(now - before, 2 * _TICK_S)
            before = now
            self._check_limits()

    def _handle_signals(self, numbers: bytes) -> None:
        if {signal.SIGTERM, signal.SIGINT} & set(numbers) and "shutdown" not in self._activities:
            self.begin("shutdown", self._shutdown_s)

    def _check_limits(self) -> None:
        for name, activity in list(self._activities.items()):
            if self._clock > activity.ends_at and self._activities.get(name) is activity:
                self._end_process(name, activity.limit_s)

    def _end_process(self, name: str, limit_s: float) -> None:
        threads = _threads()
        logging_thread = threading.Thread(target=lambda: _log_stalled(name, limit_s, threads), daemon=True)
        logging_thread.start()
        logging_thread.join(_LOG_S)
        self._end()


def _log_stalled(activity: str, limit_s: float, threads: str) -> None:
    log(PROCESS_STALLED, activity=activity, limit_s=limit_s, threads=threads)


def _threads() -> str:
    """The stack of each thread: files and lines, without values."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"{names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame)).rstrip()}"
        for ident, frame in sys._current_frames().items()
    )


def _stderr() -> int:
    """The descriptor of stderr; faulthandler needs one even if stderr is closed."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, ValueError, OSError):
        return 2
