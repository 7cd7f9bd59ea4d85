"""The guardian: a broker never outlives whoever started it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scorer.local import guardian

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that a broker would use."""
    path = tmp_path / "broker"
    path.mkdir()
    return path


def guard(folder: Path, command: list[str]) -> subprocess.Popen[bytes]:
    """Run a command under a guardian."""
    return subprocess.Popen(
        [sys.executable, str(guardian.__file__), str(folder), *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def child_of(process: subprocess.Popen[bytes]) -> int:
    """The process id that the guardian reports first."""
    assert process.stdout is not None
    return int(process.stdout.readline())


def is_gone(pid: int) -> bool:
    """Whether no such process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_starter_gone(folder: Path) -> None:
    """When the pipe closes, which a killed starter's does, the broker is killed and its folder removed."""
    with guard(folder, SLEEPER) as process:
        pid = child_of(process)
        process.communicate()
    assert process.returncode == 128 + signal.SIGKILL
    assert is_gone(pid)
    assert not folder.exists()


def test_starter_gone_before_it_knew_the_child(folder: Path) -> None:
    """Ctrl-C between the guardian's start and its first line once left a worker behind: nobody read the line."""
    marker = folder.parent / "pid"
    writes_pid = f"import os, time; open({str(marker)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    process = guard(folder, [sys.executable, "-c", writes_pid])
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    process.stdin.close()
    assert process.wait(60) == 128 + signal.SIGKILL
    assert not marker.exists() or is_gone(int(marker.read_text() or 0))
    assert not folder.exists()


def test_order_to_end(folder: Path) -> None:
    """A byte ends the broker and leaves its folder, from which it can be started again."""
    with guard(folder, SLEEPER) as process:
        pid = child_of(process)
        process.communicate(b"x")
    assert is_gone(pid)
    assert folder.exists()


def test_guardian_terminated(folder: Path) -> None:
    """A guardian that is told to end takes its broker along."""
    with guard(folder, SLEEPER) as process:
        pid = child_of(process)
        process.terminate()
        process.wait()
    assert is_gone(pid)


def test_broker_ends_by_itself(folder: Path) -> None:
    """A broker that dies ends its guardian with the same exit code and keeps its folder, where the log is."""
    with guard(folder, [sys.executable, "-c", "raise SystemExit(3)"]) as process:
        assert process.wait() == 3
    assert folder.exists()
