"""Ends the process when something takes longer than its limit, also where a thread hangs inside a C library.

librdkafka can wait without a limit, whatever time it was given (librdkafka#5456), and a thread inside C can be neither
interrupted nor joined. What is not committed is processed again by the next worker, so ending the process is safe.
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
# The log may be what hangs: a full pipe that nobody reads.
_LAST_WORDS_S: Final = 2.0
# A call in C that holds Python's lock stops this thread too. The timer of faulthandler does not need the lock; it is so
# long because it cannot tell a process that hangs from one that was suspended.
_LOCKED_S: Final = 120.0
_LOCKED_TICKS: Final = 20


class Limits(NamedTuple):
    """How long each activity of a worker may take, in seconds."""

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
    """Watches activities from a thread of its own.

    Its clock does not count time for which the whole process was suspended (SIGSTOP, a paused container): an activity
    that a suspension interrupted gets the rest of its time.
    """

    def __init__(self, shutdown_s: float, end: Callable[[], None] = lambda: os._exit(1)) -> None:
        """Does nothing until it is started.

        Args:
            shutdown_s: how long the process may take to end after SIGTERM or SIGINT, in seconds.
            end: ends the process at once.
        """
        self._shutdown_s = shutdown_s
        self._end = end
        self._clock = 0.0
        """Seconds for which the process ran. Written by the watching thread."""
        self._activities: dict[str, _Activity] = {}
        """By name; each entry is replaced whole, by any thread."""
        self._signals: tuple[socket.socket, socket.socket] | None = None
        """Read and written end: the numbers of signals, written by the interpreter the moment they come."""
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begins to watch, and hears signals even while the main thread hangs inside C. Called in the main thread."""
        self._signals = socket.socketpair()
        for end in self._signals:
            end.setblocking(False)
        signal.set_wakeup_fd(self._signals[1].fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(self._signals[0],), name="watchdog", daemon=True).start()

    def begin(self, name: str, limit_s: float) -> None:
        """An activity begins, or begins again; it may take so many seconds."""
        self._activities[name] = _Activity(self._clock + limit_s, limit_s)

    def done(self, name: str) -> None:
        """An activity ended; does nothing if it had not begun."""
        self._activities.pop(name, None)

    def leave(self) -> None:
        """What is left is the end of the interpreter, in which client libraries' destructors can hang too."""
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
                self._hear(signals.recv(64))
            now = time.monotonic()
            self._clock += min(now - before, 2 * _TICK_S)
            before = now
            self._look()

    def _hear(self, numbers: bytes) -> None:
        if {signal.SIGTERM, signal.SIGINT} & set(numbers) and "shutdown" not in self._activities:
            self.begin("shutdown", self._shutdown_s)

    def _look(self) -> None:
        for name, activity in list(self._activities.items()):
            if self._clock > activity.ends_at and self._activities.get(name) is activity:
                self._end_process(name, activity.limit_s)

    def _end_process(self, name: str, limit_s: float) -> None:
        threads = _threads()
        words = threading.Thread(target=lambda: _log_stalled(name, limit_s, threads), daemon=True)
        words.start()
        words.join(_LAST_WORDS_S)
        self._end()


def _log_stalled(activity: str, limit_s: float, threads: str) -> None:
    log(PROCESS_STALLED, activity=activity, limit_s=limit_s, threads=threads)


def _threads() -> str:
    """Where each thread is, as files and lines; no values."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"{names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame)).rstrip()}"
        for ident, frame in sys._current_frames().items()
    )


def _stderr() -> int:
    """The descriptor of stderr; faulthandler needs one even where there is none to write to."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, ValueError, OSError):
        return 2
