"""A child process: what asking it to stop does, and when it is too late."""

import signal
import sys
from pathlib import Path

import pytest

from scorer.local.child import Child


def test_asking_what_has_just_ended_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that ends while its guardian still runs is past asking, and nothing is wrong.

    `scorer up` whose workers could not start met one in that moment, and ended with a traceback over their words.
    """
    child = Child([sys.executable, "-c", ""], tmp_path, "brief", {})
    assert child.wait(60) == 0
    monkeypatch.setattr(child, "exit_code", lambda: None)  # as it is until the guardian has ended too
    child.request_stop()
    child.kill()


def test_an_interrupt_while_it_starts_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its starter does not know the child yet, and could not stop it later; so it ends before the interrupt goes on."""
    guardian = tmp_path / "guardian.py"  # one that names no child
    guardian.write_text(f"import os; os.read(0, 1); open({str(tmp_path / 'ended')!r}, 'w').close()")
    monkeypatch.setattr("scorer.local.child._GUARDIAN", guardian)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            Child(["true"], tmp_path, "nameless", {})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert (tmp_path / "ended").exists()
