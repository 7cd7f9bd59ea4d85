"""The tutorials, followed from their first command to their last: each command prints what its page shows."""

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from scorer.errors import LocalBrokerError
from scorer.local.running import free_ports, require_free_port
from tests import real_data
from tests.ops.pages import DOCS, GOES_ON, ROOT, blocks, follow, missing_from, terminal_in

pytestmark = pytest.mark.broker

_TUTORIAL_PORT: Final = 19092


def test_the_tutorial(tmp_path: Path) -> None:
    """Followed from its first command to its last, the tutorial prints what it shows.

    As written, but for the broker's port where another process has it.
    """
    port = str(_free_or_another(_TUTORIAL_PORT))
    steps = [step._replace(text=step.text.replace(str(_TUTORIAL_PORT), port)) for step in blocks(DOCS / "tutorial.md")]
    setup, up, brought_up, *rest = steps
    terminal = terminal_in(tmp_path, forks=False)  # each command as somebody starts it
    if subprocess.run(["make", "--question", ".venv/.made-from-lock"], cwd=ROOT, check=False).returncode:
        pytest.skip("the tutorial begins with make setup, and it has not been run since the lock changed")
    make, *activate = setup.commands
    terminal.run(f"make --directory {shlex.quote(str(ROOT))} {make.removeprefix('make ')}")
    for command in activate:
        terminal.run(command)
    with terminal.running(up.commands[0], until="decided=") as everything:
        assert not missing_from(everything.output(), brought_up.text)
        *rest, summary = rest
        follow(terminal, rest)
        assert everything.stop() == 0, everything.output()
        assert not missing_from(everything.output(), summary.text)


def test_the_tutorial_on_ones_own_application(tmp_path: Path) -> None:
    """Followed from its first command to its last, it prints what it shows, for a lender that is not the course.

    As written, but for the broker's port where another process has it, and for the first block: it sets up what the
    tests run in, and downloads the data, which the test has from elsewhere.
    """
    shutil.copy(real_data.lender_file("german_credit"), tmp_path / "german_credit.csv")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    port = str(_free_or_another(_TUTORIAL_PORT))
    page = DOCS / "own-application.md"
    steps = [step._replace(text=step.text.replace(str(_TUTORIAL_PORT), port)) for step in blocks(page)]
    _, broker, work, *rest = steps
    terminal = terminal_in(tmp_path, SCORER_HTTP_PORT="0")
    with terminal.running(broker.commands[0], until="Ctrl-C stops it"):
        *prepare, worker = work.commands
        for command in prepare:
            terminal.run(command)
        with terminal.running(worker, until=GOES_ON["scorer worker"]):
            follow(terminal, rest)


def _free_or_another(port: int) -> int:
    try:
        require_free_port(port)
    except LocalBrokerError:
        (port,) = free_ports(1)
    return port
