"""Stopping: what a signal ends at once, and what it lets finish."""

import os
import signal
from collections.abc import Iterator

import pytest

from scorer.stop import Stop

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Restores the signals' handlers."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_start_ends_at_once(number: signal.Signals) -> None:
    """While nothing can be in hand a signal ends the process at once, with exit code 0: nothing was begun."""
    stop = Stop()
    with pytest.raises(SystemExit) as ended:
        os.kill(os.getpid(), number)
    assert ended.value.code == 0
    assert stop.requested()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_batch_in_hand_is_finished(number: signal.Signals) -> None:
    """The first signal asks to stop; the time for the batch runs from it, and a second one does not extend it."""
    stop = Stop()
    stop.begin(shutdown_timeout_s=3_600)
    assert not stop.requested()
    assert not stop.timed_out()
    os.kill(os.getpid(), number)
    assert stop.requested()
    assert not stop.timed_out()
    asked_at = stop._requested_at
    os.kill(os.getpid(), number)
    assert stop._requested_at == asked_at


def test_the_time_for_a_batch_ends() -> None:
    """When the time is over, even the batch in hand may take no longer."""
    stop = Stop()
    stop.begin(shutdown_timeout_s=0)
    os.kill(os.getpid(), signal.SIGTERM)
    while not stop.timed_out():
        pass
    assert stop.requested()
