"""A child process: what asking it to stop does, and when it is too late."""

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
