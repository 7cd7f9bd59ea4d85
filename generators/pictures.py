"""Takes the pictures of the terminal and the console from a running `scorer up`, and README's output of `make demo`.

`make pictures` runs it, in some seven minutes: the console's charts cover five. It needs Chromium, and a broker
that `scorer up` can start. Run it on a machine without other load: the pictures have the latencies of that run.
"""

import argparse
import fcntl
import html
import io
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal, get_args

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from generators.files import with_section

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "docs/images"
Theme = Literal["light", "dark"]

_UP: Final = ("up", "--rate", "1000", "--port", "0", "--set", "console_port=0")
_CHALLENGER: Final = (
    "deploy", "credit-risk:1.0.0", "--slot", "challenger", "--reason", "would it decide differently?",
    "--despite", "a picture",
)  # fmt: skip
_DEMO_S: Final = 900.0
"""How long `make demo` may take, with all that it has to install and to build."""
_RESULTS: Final = "Results of this run's applications"
_START_S: Final = 180.0
_STOP_S: Final = 60.0
_COLUMNS: Final = 100
_LINES: Final = 24
_FRAME: Final = "\x1b[H"
"""What each frame of the live view begins with: the cursor moves to the first line."""
_CONSOLE_SIZE: Final = (1_080, 880)
_SHARPNESS: Final = 1.5
"""Pixels of a picture per pixel of its page."""
_LIGHT: Final = TerminalTheme(
    (255, 255, 255),
    (31, 35, 40),
    [
        (31, 35, 40), (207, 34, 46), (17, 99, 41), (154, 103, 0), (9, 105, 218), (130, 80, 223), (27, 124, 131),
        (110, 119, 129),
    ],
)  # fmt: skip
_DARK: Final = TerminalTheme(
    (13, 17, 23),
    (230, 237, 243),
    [
        (72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34), (88, 166, 255), (188, 140, 255), (57, 197, 207),
        (177, 186, 196),
    ],
)  # fmt: skip
_WINDOW: Final = """\
<body style="margin: 0; background: transparent">
<div id="window" style="display: inline-block; border: 1px solid {frame}; border-radius: 10px; overflow: hidden;
  background: {background}; color: {foreground}">
<div style="padding: 8px 14px; border-bottom: 1px solid {frame}; font: 13px sans-serif; opacity: 0.8">{title}</div>
<pre style="margin: 0; padding: 10px 14px; font: 14px/1.3 'DejaVu Sans Mono', monospace">{code}</pre>
</div>
"""


class Terminal:
    """`scorer up` in a terminal of its own; a thread reads what it prints."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Starts it."""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, _COLUMNS, 0, 0))
        command = [sys.executable, "-m", "scorer", *_UP]
        self._process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        self._printed = bytearray()  # appended to by the thread alone
        threading.Thread(target=self._read, name="terminal", daemon=True).start()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Waits until it has printed something.

        Raises:
            SystemExit: it exited, or did not print it in time.
        """
        ends_at = time.monotonic() + _START_S
        while not (match := re.search(pattern, self._text())):
            if self._process.poll() is not None or time.monotonic() > ends_at:
                sys.exit(f"scorer up did not print {pattern!r}:\n{self._text()}")
            time.sleep(0.2)
        return match

    def frame(self) -> str:
        """The last frame of the live view that is complete."""
        return self._text().split(_FRAME)[-2]

    def close(self) -> None:
        """Ends it as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_S)
        finally:
            self._process.kill()

    def _text(self) -> str:
        return self._printed.decode("utf-8", errors="replace")

    def _read(self) -> None:
        while True:
            try:
                self._printed += os.read(self._master, 65_536)
            except OSError:  # the process has ended
                return


@contextmanager
def running(environment: dict[str, str]) -> Iterator[Terminal]:
    """`scorer up`, from its start to its end."""
    terminal = Terminal(environment)
    try:
        yield terminal
    finally:
        terminal.close()


def window(frame: str, theme: Theme) -> str:
    """A frame of the live view as a window on a page, in HTML."""
    recorded = Console(record=True, width=_COLUMNS, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    recorded.print(Text.from_ansi(frame.replace("\r", "").rstrip()), no_wrap=True)
    title = html.escape(" ".join(("scorer", *_UP[:3])))
    page = _WINDOW.replace("{title}", title).replace("{frame}", "#d0d7de" if theme == "light" else "#444c56")
    return recorded.export_html(
        theme=_LIGHT if theme == "light" else _DARK, code_format=page, inline_styles=True, clear=False
    )


def take(browser: Browser, terminal: Terminal, console: str) -> None:
    """Takes all pictures of the current state.

    Args:
        browser: Chromium.
        terminal: the terminal with the live view.
        console: the console's address.
    """
    frame = terminal.frame()
    for theme in get_args(Theme):
        width, height = _CONSOLE_SIZE
        context = browser.new_context(
            color_scheme=theme, viewport={"width": width, "height": height}, device_scale_factor=_SHARPNESS
        )
        page = context.new_page()
        page.goto(console)
        page.wait_for_function("document.querySelector('#kinds tr') !== null")
        page.screenshot(path=FOLDER / f"console-{theme}.png", animations="disabled")
        page = context.new_page()  # the console's does not allow another content
        page.set_content(window(frame, theme))
        page.locator("#window").screenshot(path=FOLDER / f"terminal-{theme}.png", omit_background=True)
        context.close()


def run_demo(environment: dict[str, str]) -> None:
    """Runs `make demo`, and puts the results that it prints into README."""
    command = ["make", "--directory", str(ROOT), "demo"]
    printed = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True, timeout=_DEMO_S)
    results = printed.stdout[printed.stdout.index(_RESULTS) :]
    lines = [line.rstrip() for line in results.splitlines() if line.strip() and not line.startswith("make")]
    readme = ROOT / "README.md"
    block = "\n".join(["```text", *lines, "```"])
    readme.write_text(
        with_section(readme.read_text(encoding="utf-8"), "demo", block, "make pictures"), encoding="utf-8"
    )


def main() -> None:
    """Runs the demo, then `scorer up` for as long as the charts cover, with a challenger, and takes the pictures."""
    parser = argparse.ArgumentParser(prog="python -m generators.pictures", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="traffic before the pictures are taken")
    seconds: float = parser.parse_args().seconds
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium not found; `make tools` installs it")
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory() as store, sync_playwright() as playwright:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
        environment = inherited | {"SCORER_STORE": store, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        run_demo(environment)
        with running(environment) as terminal:
            servers = terminal.wait_for(r"SCORER_BOOTSTRAP_SERVERS=([\w.:]+)")[1]
            console = terminal.wait_for(r"console:? +(http://[\w.:]+/)")[1]
            deployed = environment | {"SCORER_BOOTSTRAP_SERVERS": servers}
            subprocess.run([sys.executable, "-m", "scorer", *_CHALLENGER], check=True, env=deployed, timeout=_START_S)
            time.sleep(seconds)
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            take(browser, terminal, console)
            browser.close()


if __name__ == "__main__":
    main()
