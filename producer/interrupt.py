"""Handles Ctrl-C and SIGTERM with a flag that a loop checks, so that it can finish with a summary."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """In the block, the first signal sets a flag, and a second one raises KeyboardInterrupt.

    Yields:
        A function that returns True after the first signal.
    """
    interrupted = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            signal.default_int_handler(number, frame)
        interrupted = True

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: interrupted
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
