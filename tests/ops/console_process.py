"""The console as a process of its own, as `scorer console` starts it, and a browser that looks at it."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

from tests.integration.forked import ForkedProcess
from tests.integration.worker_process import WAIT_S, wait_until
from tests.tools import npm_package, tool

# A browser that asks nobody for anything by itself, and runs as root in a container.
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
_COMMAND = ("console", "--port", "0")
_DARK_GROUND = "rgb(17, 24, 31)"


class Answer(NamedTuple):
    """What the console answered."""

    status: int
    headers: Mapping[str, str]
    body: str


class ConsoleProcess:
    """A console on a free port; what it writes goes to a file."""

    def __init__(self, process: ForkedProcess | subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        wait_until(self._serves, "the console's address")
        self.address = self.log().partition("console ")[2].split()[0].rstrip("/")
        self.host = self.address.removeprefix("http://")

    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(encoding="utf-8")

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Asks for something as a client that is no browser; of its own it sends a Host header and nothing else."""
        connection = http.client.HTTPConnection(self.host, timeout=WAIT_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read().decode())
        finally:
            connection.close()

    def ask_json(self, path: str) -> Any:
        """What it answers, as JSON."""
        return json.loads(self.ask(path).body)

    def _serves(self) -> bool:
        assert self.process.poll() is None, self.log()
        return "console http" in self.log()


@contextmanager
def console(environment: Mapping[str, str], log: Path, *options: str) -> Iterator[ConsoleProcess]:
    """A console that is gone at the end, whatever happens. It was forked; see `tests.integration.forked`."""
    process = ForkedProcess(("scorer", *_COMMAND, *options), environment, log.parent, log, log)
    try:
        yield ConsoleProcess(process, log)
    finally:
        process.kill()
        process.wait(WAIT_S)


@contextmanager
def console_by_command(environment: Mapping[str, str], log: Path, *options: str) -> Iterator[ConsoleProcess]:
    """A console that its command started, with a Python of its own; gone at the end, whatever happens."""
    command = [sys.executable, "-m", "scorer", *_COMMAND, *options]
    with log.open("ab") as sink:
        process = subprocess.Popen(command, env=environment, cwd=log.parent, stdout=sink, stderr=sink)
    try:
        yield ConsoleProcess(process, log)
    finally:
        process.kill()
        process.wait(WAIT_S)


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium; without it, the test skips."""
    chromium = tool("chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(chromium), args=list(_FLAGS))
        yield started
        started.close()


def require_accessible(page: Page, theme: str, dark_ground: str = _DARK_GROUND) -> None:
    """Axe finds nothing serious or critical, nothing is cut off, and the theme is the chosen one.

    The page's context bypasses the policy, if it has one, so that axe can be put into the page.
    """
    assert _grave_violations(page) == [], page.url
    assert not _is_cut_off(page), page.url
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (ground == dark_ground) == (theme == "dark"), page.url


def _grave_violations(page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds serious or critical on a page, with the elements."""
    page.evaluate((npm_package("axe-core") / "axe.min.js").read_text(encoding="utf-8"))
    violations = page.evaluate("() => axe.run().then((results) => results.violations)")
    return [
        (violation["id"], [node["html"] for node in violation["nodes"]])
        for violation in violations
        if violation["impact"] in {"serious", "critical"}
    ]


def _is_cut_off(page: Page) -> bool:
    """Whether a page is wider than its window."""
    return bool(page.evaluate("() => document.documentElement.scrollWidth > innerWidth"))
