"""A child process that does not outlive this process, with its output in a log file."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_GUARDIAN = Path(__file__).with_name("guardian.py")
SHELL_SIGNAL_BASE = 128


class Child:
    """A child in its own session, so that Ctrl-C reaches only its parent, and under a guardian, which ends with it.

    Attributes:
        name: the name of its log.
        log_path: the log file with its output. Children of the same name append to the same file.
        pid: its process id.
    """

    def __init__(self, command: Sequence[str], folder: Path, name: str, environment: Mapping[str, str]) -> None:
        """Starts the process.

        Args:
            command: the program and its arguments.
            folder: the folder for its log; the guardian removes it if this process is killed.
            name: the name of its log.
            environment: variables added to this process's environment.
        """
        self.name = name
        self.log_path = folder / f"{name}.log"
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._guardian = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARDIAN), str(folder), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,
                env={**os.environ, **environment},
            )
        assert self._guardian.stdout is not None
        try:
            self.pid = int(self._guardian.stdout.readline() or 0)
        except BaseException:  # Ctrl-C in the meantime: nobody else knows the child yet
            self.kill()
            raise

    def exit_code(self) -> int | None:
        """Its exit code, or None while it is running."""
        return self._guardian.poll()

    def request_stop(self) -> None:
        """Sends SIGTERM if it is still running."""
        if self.exit_code() is None and self.pid:
            with suppress(ProcessLookupError):  # it has exited, and its guardian is about to
                os.kill(self.pid, signal.SIGTERM)

    def wait(self, limit_s: float) -> int | None:
        """Waits for it to exit; returns its exit code, or None after the limit."""
        try:
            return self._guardian.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Kills it; does nothing if it has exited."""
        with self._guardian as guardian:
            if guardian.poll() is None:
                guardian.communicate(b"x")

    def output(self) -> str:
        """Its output so far, stdout and stderr."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(encoding="utf-8", errors="replace")

    def last_lines(self, count: int = 5) -> str:
        """The last lines of its output."""
        return "\n".join(self.output().splitlines()[-count:])


def describe_exit(code: int) -> str:
    """Describes an exit code; below 0 or above 128 it is a signal, as in subprocess and shells."""
    number = -code if code < 0 else code - SHELL_SIGNAL_BASE
    with suppress(ValueError):
        return f"killed by {signal.Signals(number).name}"
    return f"exit code {code}"
