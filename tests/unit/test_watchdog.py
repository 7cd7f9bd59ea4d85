"""The watchdog: what it ends, what it leaves alone, and that nothing inside C keeps it from either."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest

pytestmark = pytest.mark.slow

WAIT_S = 60.0
PROLOGUE = """
import ctypes, os, signal, sys, threading, time
from scorer import watchdog as module
from scorer.logs import log_to_stderr
from scorer.watchdog import Watchdog
log_to_stderr("json")
module._TICK_S = 0.05
C = ctypes.CDLL(None)  # its calls let go of Python's lock
WITH_THE_LOCK = ctypes.PyDLL(None)  # its calls keep it
"""


def run(program: str) -> subprocess.Popen[str]:
    """A process with a watchdog that looks twenty times per second."""
    return subprocess.Popen(
        [sys.executable, "-c", PROLOGUE + textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


HANGING = {
    "the main thread in C": "C.sleep(600)",
    "the main thread in Python": "time.sleep(600)",
    "another thread, which is waited for": "t = threading.Thread(target=C.sleep, args=(600,)); t.start(); t.join()",
    "the end of the interpreter": "threading.Thread(target=C.sleep, args=(600,)).start()",
}


@pytest.mark.parametrize("hang", HANGING.values(), ids=HANGING)
def test_an_activity_past_its_limit_ends_the_process(hang: str) -> None:
    """Whatever hangs, the process ends with exit code 1 and says which activity it was and where each thread is.

    A call into librdkafka that never returned used to keep a worker alive and deaf for good.
    """
    process = run(f"watchdog = Watchdog(60)\nwatchdog.start()\nwatchdog.begin('delivery', 0.2)\n{hang}")
    out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out) == (1, "")
    assert '"event": "process_stalled"' in err
    assert '"activity": "delivery"' in err
    assert "MainThread" in err


def test_an_activity_that_ends_in_time_is_left_alone() -> None:
    """Activities that are done, or begun again before their limit, end nothing."""
    process = run("""
        watchdog = Watchdog(60)
        watchdog.start()
        for _ in range(10):
            watchdog.begin("poll", 0.5)
            watchdog.begin("delivery", 0.5)
            time.sleep(0.1)
            watchdog.done("delivery")
        watchdog.done("poll")
        time.sleep(1.0)
        watchdog.done("never begun")
        print("done")
    """)
    out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out, err) == (0, "done\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_heard_while_the_main_thread_is_in_c(number: signal.Signals) -> None:
    """A stop has its limit even where Python's own handler cannot run, because the main thread hangs inside C."""
    process = run("""
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, lambda *_: None)
        watchdog = Watchdog(shutdown_s=0.2)
        watchdog.start()
        print("hangs", flush=True)
        while True:
            C.sleep(600)  # again and again: a signal ends each one early
    """)
    assert process.stdout is not None
    assert process.stdout.readline() == "hangs\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert '"activity": "shutdown"' in err


def test_a_call_that_keeps_pythons_lock_ends_the_process_too() -> None:
    """A call in C that keeps Python's lock stops every thread; a timer outside of Python ends the process."""
    process = run("""
        module._LOCKED_S = 0.5
        watchdog = Watchdog(60)
        watchdog.start()
        time.sleep(0.2)
        WITH_THE_LOCK.sleep(600)
    """)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert "Timeout" in err


def test_a_suspension_is_not_counted() -> None:
    """A process that was suspended (SIGSTOP, a paused container) gets the rest of its time: it did not hang."""
    process = run("""
        watchdog = Watchdog(60)
        watchdog.start()
        watchdog.begin("poll", 1.0)
        print("begun", flush=True)
        time.sleep(0.4)
        watchdog.done("poll")
        print("done", flush=True)
    """)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(2.0)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out, err) == (0, "done\n", "")


def test_the_last_words_do_not_hang() -> None:
    """Where nobody reads stderr any more and its pipe is full, the process ends all the same."""
    process = run("""
        watchdog = Watchdog(60)
        watchdog.start()
        watchdog.begin("poll", 0.2)
        while True:
            sys.stderr.write("x" * 65536)
    """)
    assert process.wait(WAIT_S) == 1
    process.communicate()


def test_leaving_bounds_the_end_of_the_interpreter() -> None:
    """After `leave`, what hangs while the interpreter ends is ended; with the time that a signal has left."""
    process = run("""
        import atexit
        watchdog = Watchdog(shutdown_s=0.3)
        watchdog.start()
        atexit.register(WITH_THE_LOCK.sleep, 600)
        watchdog.leave()
    """)
    process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
