"""Pages of the documentation as somebody follows them: their commands, run as written, and what these must print."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from tests.integration.forked import ForkedProcess

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
_COMMAND_S: Final = 120.0
_FOR_A_SHELL: Final = re.compile(r"[|<>;&$`*?~#\\(){}]")
_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_EXIT_CODES: Final = {
    "producer try home=RENT": 2,
    'scorer deploy credit-risk:1.0.0 --reason "quarterly retraining"': 1,
    "scorer bundle lint credit-risk:1.0.0": 1,
    "scorer contract diff proposal.schema.json examples/german-credit/application.schema.json": 1,
    "scorer bundle lint german-credit:1.0.0": 1,
    "producer publish wrong.csv": 1,
}
"""Of the commands that are meant to fail."""
GOES_ON: Final = {"scorer worker": "partitions_changed", "producer watch": "watching"}
"""Commands that go on until they are stopped, and what they say once they are at it."""
_STOPPED_AT: Final = {
    "producer watch --from-beginning": "german_credit.csv:2-",
    "producer watch --id try- --last 5": "credit-risk:1.1.1",
}
"""Commands of tutorials that go on until they are stopped, and what they have to print first."""


class Block(NamedTuple):
    """A code block of a page: its language and its text."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Its lines without comments and empty ones; one that ends in a backslash goes on in the next."""
        lines = (line.partition("  #")[0].strip() for line in self.text.replace("\\\n", " ").splitlines())
        return [line for line in lines if line]


def blocks(page: Path) -> list[Block]:
    """The page's code blocks, in order."""
    return blocks_of(page.read_text(encoding="utf-8"))


def blocks_of(text: str) -> list[Block]:
    """The code blocks of a text, in order."""
    return [Block(*match) for match in _BLOCK.findall(text)]


class Terminal:
    """A shell in a folder, which keeps what is exported from command to command."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *, forks: bool = False) -> None:
        """Opens it.

        Args:
            folder: its current folder.
            environment: variables besides those of this process.
            forks: whether our commands, where the line has nothing for a shell to do, are forked from a process that
                has imported everything (`tests.integration.forked`). Training has a process of its own.
        """
        self._folder = folder
        self._forks = forks
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SCORER_", "MAKE", "MFLAGS"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "120",
            **environment,
        }

    def run(self, command: str, *, exit_code: int = 0) -> str:
        """Runs a line to its end; returns what it printed, on both outputs."""
        if command.startswith("source "):  # the commands are on the path already
            assert (self._folder / command.removeprefix("source ")).is_file(), command
            return ""
        if command.startswith("export "):
            name, _, value = shlex.split(command)[1].partition("=")
            self._environment[name] = value
            return ""
        code, printed = self._fork(command) if self._forks and _is_forkable(command) else self._start(command)
        assert code == exit_code, f"{command}: exit code {code}\n{printed}"
        assert "Traceback" not in printed, printed
        return printed

    def _fork(self, command: str) -> tuple[int, str]:
        program, *arguments = shlex.split(command)
        with TemporaryDirectory() as folder:
            output = Path(folder, "output")
            process = ForkedProcess((Path(program).name, *arguments), self._environment, self._folder, output, output)
            try:
                code = process.wait(_COMMAND_S)
            finally:
                process.kill()
            return code, output.read_text(encoding="utf-8")

    def _start(self, command: str) -> tuple[int, str]:
        ran = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_COMMAND_S,
        )
        return ran.returncode, ran.stdout

    @contextmanager
    def running(self, command: str, until: str) -> Iterator["Running"]:
        """Starts a line that goes on until it is stopped, and waits until its output has a text."""
        log = self._folder / f"{len(list(self._folder.glob('*.log')))}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                shlex.split(command),
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        started = Running(process, log)
        try:
            started.wait_for(until)
            yield started
        finally:
            started.stop()


def _is_forkable(command: str) -> bool:
    program, first, *_ = [*command.split(maxsplit=2), "", ""]
    is_ours = Path(program).name in {"scorer", "producer"}
    return is_ours and first != "train" and not _FOR_A_SHELL.search(command)


class Running:
    """A command that goes on."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(encoding="utf-8")

    def wait_for(self, text: str) -> None:
        """Waits until it has printed a text."""
        ends_at = time.monotonic() + _COMMAND_S
        while text not in self.output():
            assert self._process.poll() is None, self.output()
            assert time.monotonic() < ends_at, f"waited in vain for: {text}\n{self.output()}"
            time.sleep(0.1)

    def stop(self) -> int:
        """Presses Ctrl-C, as it were; returns the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(_COMMAND_S)
        finally:
            self._process.kill()


def missing_from(printed: str, shown: str) -> Sequence[str]:
    """The lines that a page shows and a command did not print; `…` stands for anything, and spaces for spaces."""
    output = " ".join(printed.split())
    lines = (" ".join(line.split()) for line in shown.splitlines())
    return [line for line in lines if not re.search(re.escape(line).replace("…", ".*"), output)]


def terminal_in(folder: Path, *, forks: bool = True, **environment: str) -> Terminal:
    """A terminal in a folder that has the commands where the repository's has them."""
    (folder / ".venv").symlink_to(sys.prefix)
    return Terminal(folder, {"SCORER_STORE": str(folder / "store"), **environment}, forks=forks)


def follow(terminal: Terminal, steps: list[Block]) -> None:
    """Runs what is to be typed, and compares what it prints with what the page shows."""
    printed = ""
    for step in steps:
        if step.language == "sh":
            printed = "".join(enter(terminal, command) for command in step.commands)
        elif step.language == "text":
            assert not missing_from(printed, step.text), printed


def enter(terminal: Terminal, command: str) -> str:
    """Runs a command to its end, or until it has printed what is awaited; returns what it printed."""
    name = command.removeprefix(".venv/bin/")
    if name not in _STOPPED_AT:
        return terminal.run(command, exit_code=_EXIT_CODES.get(name, 0))
    with terminal.running(command, until=_STOPPED_AT[name]) as running:
        pass
    return running.output()
