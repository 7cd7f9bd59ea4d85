"""Runs a target on generated input: an exception that is not the project's own, or a hang, is a finding.

The watchdog measures CPU time, so that a busy machine finds nothing; a second one is for calls that wait.
"""

import faulthandler
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import format_exc
from types import FrameType
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

CPU_S: Final = 1.0
WALL_S: Final = 10.0
_IN_C_S: Final = 60.0  # a call into C hears no signal: the process ends with a traceback
_BATCH: Final = 200  # examples between two looks at the clock


class Hang(BaseException):
    """A target took longer than the watchdog allows; no Exception, so that nothing in the way handles it."""


@dataclass(frozen=True)
class Target:
    """Something that reads what others wrote.

    Attributes:
        name: what `make fuzz ONLY=…` calls it.
        inputs: what it is given.
        read: reads one input; an assertion that fails in it is a finding too.
        errors: the project's own exceptions, which say that the input is wrong.
    """

    name: str
    inputs: st.SearchStrategy[Any]
    read: Callable[[Any], object]
    errors: tuple[type[Exception], ...] = ()

    def try_input(self, value: Any) -> None:
        """Reads one input; returns if it was taken, or refused with an error of the project's own."""
        try:
            self.read(value)
        except self.errors:
            return


@dataclass(frozen=True)
class Finding:
    """An input that a target did not survive."""

    value: Any
    error: str
    traceback: str


@contextmanager
def watched() -> Iterator[None]:
    """Raises Hang in what takes too long."""

    def bark(number: int, _: FrameType | None) -> None:
        raise Hang(f"more than {CPU_S} s of CPU time" if number == signal.SIGPROF else f"more than {WALL_S} s")

    before = {number: signal.signal(number, bark) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    signal.setitimer(signal.ITIMER_REAL, WALL_S)
    faulthandler.dump_traceback_later(_IN_C_S, exit=True, file=sys.__stderr__ or 2)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        for number, handler in before.items():
            signal.signal(number, handler)


def hunt(target: Target, seconds: float, first_seed: int) -> tuple[int, Finding | None]:
    """Tries inputs until the time is over or one is a finding, which is shrunk if it is no hang.

    Returns:
        How many inputs were tried, and the finding.
    """
    tried, latest = 0, None

    def attempt(value: Any) -> None:
        nonlocal tried, latest
        tried, latest = tried + 1, value
        with watched():
            target.try_input(value)

    ends_at, number = time.monotonic() + seconds, first_seed
    while time.monotonic() < ends_at:
        options = settings(
            max_examples=_BATCH, deadline=None, database=None, report_multiple_bugs=False,
            phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        try:
            options(seed(number)(given(target.inputs)(attempt)))()
        except (Exception, Hang) as error:  # noqa: BLE001  (whatever it is, it is the finding)
            return tried, Finding(latest, f"{type(error).__name__}: {error}", format_exc())
        number += 1
    return tried, None
