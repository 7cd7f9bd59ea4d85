"""Runs a command in a process that was forked from one which has imported everything: imports take most of a command.

It imports no training library, as a worker's image has none. Tests of what a process is started with start one.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from subprocess import TimeoutExpired
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

_WAIT_S: Final = 120.0
_context: Final = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.integration.preloaded"])


class Ended(NamedTuple):
    """What a command left."""

    code: int
    out: str
    errors: str


class ForkedProcess:
    """A command in the background, with the methods of `subprocess.Popen` that tests need."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, output: Path, errors: Path
    ) -> None:
        """Starts it.

        Args:
            command: `scorer` or `producer`, and its arguments.
            environment: all of its environment variables; those that Python reads when it starts have no effect.
            folder: its current folder.
            output: file to which its standard output is appended.
            errors: file to which its standard error is appended; may be the same.
        """
        for file in (output, errors):
            file.touch()  # whoever started it may read them at once
        self._command = tuple(command)
        self._process = _context.Process(
            target=_run, args=(self._command, dict(environment), folder, str(output), str(errors))
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Returns its exit code, the negative number of the signal that ended it, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float = _WAIT_S) -> int:
        """Waits for its end; returns what `poll` does.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise TimeoutExpired(self._command, timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def run_forked(command: Sequence[str], environment: Mapping[str, str], cwd: Path | None = None) -> Ended:
    """Runs a command in this environment, in this folder or the current one, to its end."""
    with TemporaryDirectory() as folder:
        out, errors = Path(folder, "out"), Path(folder, "errors")
        process = ForkedProcess(command, environment, cwd or Path.cwd(), out, errors)
        try:
            code = process.wait()
        finally:
            process.kill()
        return Ended(code, out.read_text(encoding="utf-8"), errors.read_text(encoding="utf-8"))


def _run(command: Sequence[str], environment: Mapping[str, str], folder: Path, out: str, errors: str) -> None:
    main = import_module(f"{command[0]}.cli").main
    for number, path in ((1, out), (2, errors)):
        opened = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = list(command)
    main()
