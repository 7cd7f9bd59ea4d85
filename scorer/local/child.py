"""A process that ends with us at the latest, its output in a log file."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_GUARDIAN = Path(__file__).with_name("guardian.py")


class Child:
    """In a session of its own, so that Ctrl-C reaches only us; under a guardian, so that it does not outlive us."""

    def __init__(self, command: Sequence[str], folder: Path, name: str, environment: Mapping[str, str]) -> None:
        """Starts it.

        Args:
            command: the program and its arguments.
            folder: where its log goes; removed with it if we are killed.
            name: names the log.
            environment: added to ours.
        """
        self.name = name
        self._log = folder / f"{name}.log"
        with self._log.open("ab") as log:
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
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def last_lines(self, count: int = 5) -> str:
        """The end of its output."""
        return "\n".join(self.output().splitlines()[-count:])
