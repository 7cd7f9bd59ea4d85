"""Starts the console of `scorer up`, and gives child processes their settings."""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from schemas.settings import ENV_PREFIX, KAFKA_ENV_PREFIX
from scorer.local.child import Child
from scorer.settings import Settings

_START_S: Final = 20.0


class ConsoleProcess:
    """The console; if it does not start, the run continues without it.

    Attributes:
        url: its URL; empty if it is not served.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        """Creates the object; `start` starts the process.

        Args:
            say: called with a line of progress.
        """
        self._say = say
        self._children: list[Child] = []
        self.url = ""

    def start(self, settings: Settings, folder: Path) -> None:
        """Starts it on the configured port, or on a free one if that is in use.

        Args:
            settings: the console's settings.
            folder: the folder of its log.
        """
        for port in (settings.console_port, 0):  # another run may bind the configured port at the same moment
            environment = environment_of(settings) | {"SCORER_CONSOLE_PORT": str(port)}
            child = Child([sys.executable, "-P", "-m", "scorer", "console"], folder, "console", environment)
            self._children.append(child)
            ends_at = time.monotonic() + _START_S
            while child.exit_code() is None and time.monotonic() < ends_at:
                address = re.search(r"^console (\S+)", child.output(), re.MULTILINE)
                if address:
                    self.url = address.group(1)
                    self._say(f"console: {self.url}")
                    return
                time.sleep(0.1)
            if "Address already in use" not in child.output():
                break
        self._say(f"continuing without the console: {child.last_lines(1) or 'it does not start'}")

    def kill(self) -> None:
        """Kills it."""
        for child in self._children:
            child.kill()


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as environment variables of a child process."""
    values = settings.model_dump(exclude={"kafka"}, exclude_none=True)
    plain = {f"{ENV_PREFIX}{name.upper()}": str(value) for name, value in values.items()}
    kafka = {f"{KAFKA_ENV_PREFIX}{n.upper().replace('.', '_')}": value for n, value in settings.kafka.items()}
    return {**plain, **kafka}
