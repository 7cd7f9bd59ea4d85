"""A process that ends with us at the latest, its output in a log file."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_GUARDIAN = Path(__file__).with_name("guardian.py")
_SHELL_SIGNAL_BASE = 128


class Child:
    """In a session of its own, so that Ctrl-C reaches only us; under a guardian, so that it does not outlive us.

    Attributes:
        name: names the log.
        log_path: the file of its output. Children of the same name append to the same file.
        pid: its process id.
    """

    def __init__(self, command: Sequence[str], folder: Path, name: str, environment: Mapping[str, str]) -> None:
        """Starts it.

        Args:
            command: the program and its arguments.
            folder: where its log goes; removed with it if we are killed.
            name: names the log.
            environment: added to ours.
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
        self.pid = int(self._guardian.stdout.readline() or 0)

    def exit_code(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._guardian.poll()

    def ask_to_stop(self) -> None:
        """SIGTERM, if it still runs."""
        if self.exit_code() is None and self.pid:
            with suppress(ProcessLookupError):  # it has ended, and its guardian is about to
                os.kill(self.pid, signal.SIGTERM)

    def wait(self, limit_s: float) -> int | None:
        """Waits for its end; None if it has not come within the limit."""
        try:
            return self._guardian.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Ends it without asking; does nothing if it has ended."""
        with self._guardian as guardian:
            if guardian.poll() is None:
                guardian.communicate(b"x")

    def output(self) -> str:
        """What it has written so far, to stdout and stderr."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(encoding="utf-8", errors="replace")

    def last_lines(self, count: int = 5) -> str:
        """The end of its output."""
        return "\n".join(self.output().splitlines()[-count:])


def describe_exit(code: int) -> str:
    """An exit code in words: below 0 or above 128 it is a signal, as subprocess and shells have it."""
    number = -code if code < 0 else code - _SHELL_SIGNAL_BASE
    with suppress(ValueError):
        return f"killed by {signal.Signals(number).name}"
    return f"exit code {code}"
