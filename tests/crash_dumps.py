"""Keeps what a process of a parallel run writes when it crashes or hangs, and shows it at the end of the run.

Python's fault handler writes the stacks of all threads to stderr, in the middle of the progress of other processes.
"""

import os
import re
import tempfile
from pathlib import Path

import pytest
from xdist.workermanage import WorkerController

_LINES_MAX = 150
# Frames of the test runner say nothing.
_RUNNER = re.compile(r'File ".*/(_pytest|pluggy|execnet|xdist)/')
_FOLDER = pytest.StashKey[tempfile.TemporaryDirectory[str]]()
_CRASHED = pytest.StashKey[list[str]]()


def tell_folder(node: WorkerController) -> None:
    """Tells a process of a parallel run where to keep its stderr."""
    stash = node.config.stash
    if _FOLDER not in stash:
        stash[_FOLDER] = tempfile.TemporaryDirectory(prefix="scorer-tests-")
        stash[_CRASHED] = []
    node.workerinput["stderr_folder"] = stash[_FOLDER].name


def keep_stderr(config: pytest.Config) -> None:
    """Writes this process's stderr to a file; to be called before pytest enables the fault handler."""
    given = getattr(config, "workerinput", None)
    if given:
        with Path(given["stderr_folder"], given["workerid"]).open("wb") as file:
            os.dup2(file.fileno(), 2)


def note_crash(node: WorkerController) -> None:
    """A process has ended before its tests have."""
    node.config.stash[_CRASHED].append(node.gateway.id)


def show(config: pytest.Config, report: pytest.TerminalReporter) -> None:
    """Prints what the processes that crashed have written, and deletes all files."""
    if _FOLDER not in config.stash:
        return
    with config.stash[_FOLDER] as folder:
        for process in config.stash[_CRASHED]:
            report.section(f"stderr of {process}, which crashed")
            written = Path(folder, process).read_text(errors="replace").splitlines()
            for line in [line for line in written if not _RUNNER.search(line)][-_LINES_MAX:]:
                report.line(line)
