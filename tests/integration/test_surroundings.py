"""Commands in hostile surroundings, such as no home, current folder, room or characters; a worker without a home."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from scorer.local.broker import Broker
from scorer.store.backends import NO_STORE
from tests.fakes import application
from tests.integration.worker_process import WAIT_S, WITHOUT_TRAINING, Topics, wait_until
from tests.unit.bundle.making import write_loans

IN_TURN = Path(__file__).with_name("in_turn.py")
NOBODY = 12_345
"""A user's number that nothing on this machine names."""


def environment(**changes: str | None) -> dict[str, str]:
    """This process's own, with what training needs, and with these variables set, or taken away."""
    own = {k: value for k, value in os.environ.items() if not k.startswith(("SCORER_", "XDG_", "PYTHONPATH"))}
    return {name: value for name, value in {**own, **changes}.items() if value is not None}


def run(
    *command: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    before: Sequence[str] = (),
    given: str | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Runs a command to its end, which is without a traceback."""
    return run_python("-m", *command, env=env, cwd=cwd, before=before, given=given)


def run_in_turn(*commands: str, env: Mapping[str, str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Runs commands of `scorer` in one process, until one fails."""
    return run_python("-P", str(IN_TURN), *commands, env=env, cwd=cwd)


def run_python(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    before: Sequence[str] = (),
    given: str | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Runs Python to its end, which is without a traceback."""
    ended = subprocess.run(
        [*before, sys.executable, *arguments],
        env=environment() if env is None else env,
        cwd=cwd,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * WAIT_S,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


@pytest.fixture
def loans(tmp_path: Path) -> Path:
    """A file of applications."""
    return write_loans(tmp_path / "loans.csv", rows=50)


@pytest.fixture
def as_nobody() -> list[str]:
    """What runs a command as a user without a name; skips where this user may not."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root may become another user, by setpriv")
    prefix = ["setpriv", "--reuid", str(NOBODY), "--clear-groups"]
    if subprocess.run([*prefix, sys.executable, "-c", "import scorer"], check=False, cwd="/").returncode:
        pytest.skip(f"another user may not run {sys.executable}")
    return prefix


def test_a_user_without_a_home(loans: Path, as_nobody: list[str]) -> None:
    """Every command used to end in a traceback: those that need no store work, the others say which setting to make."""

    def run_homeless(*command: str) -> "subprocess.CompletedProcess[str]":
        given = loans.read_text() if "-" in command else None
        # Or the completion would be for the shell that it finds among its parents, whichever is named.
        env = environment(HOME=None, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
        return run(*command, env=env, cwd=Path("/"), before=as_nobody, given=given)

    scored = run_homeless("scorer", "score", "-")
    assert (scored.returncode, scored.stdout.count("\n")) == (0, 50)
    listed = run_homeless("scorer", "bundle", "list")
    assert (listed.returncode, "credit-risk" in listed.stdout) == (0, True)
    trained = run_homeless("scorer", "train", "loans.csv", "--name", "a", "--version", "1.0.0")
    assert (trained.returncode, trained.stderr) == (2, f"scorer: {NO_STORE}\n")
    assert run_homeless("producer", "try", "--fields").returncode == 0
    completed = run_homeless("scorer", "--install-completion", "bash")
    output = completed.stdout, completed.stderr
    assert (completed.returncode, *output) == (1, "", "scorer: this user has no home folder: set HOME\n")


@pytest.mark.broker
def test_a_worker_of_a_user_without_a_home(broker: Broker, as_nobody: list[str]) -> None:
    """A pinned bundle that is shipped, or a store that is set, is all that a worker needs."""
    topics = Topics(broker.bootstrap_servers, 1)
    for number, (options, settings) in enumerate(
        [(["--bundle", "credit-risk:1.1.0"], {}), ([], {"SCORER_STORE": "/nonexistent"})]
    ):
        env = {name: value for name, value in (topics.environment() | settings).items() if name != "HOME"}
        command = [*as_nobody, sys.executable, "-m", "scorer", "worker", *options]
        with subprocess.Popen(command, env=env, cwd="/", stderr=subprocess.PIPE) as process:
            topics.publish(application(f"a-{number}"))
            wait_until(lambda: topics.count(topics.decisions) == number + 1, "it decides")  # noqa: B023
            process.terminate()
            _, output = process.communicate(timeout=WAIT_S)
        assert (process.returncode, b"Traceback" in output) == (0, False)


def test_a_current_folder_that_is_gone(tmp_path: Path, loans: Path) -> None:
    """A folder that was deleted under a shell has no scorer.toml, and that is all."""
    gone = tmp_path / "gone"
    for command in (f"scorer score {loans}", "scorer config", "scorer bundle list", "producer try --fields"):
        gone.mkdir()
        within = ["sh", "-c", f'cd {gone} && rmdir {gone} && exec "$@"', "sh"]
        ended = run(*command.split(), before=within)
        assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("command", ["scorer config", "producer try"])
def test_a_current_folder_that_may_not_be_looked_into(tmp_path: Path, as_nobody: list[str], command: str) -> None:
    """Whether a scorer.toml is there cannot be known: it is not passed over, and the message says how to go on."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    within = ["sh", "-c", f'cd {closed} && exec "$@"', "sh", *as_nobody]
    ended = run(*command.split(), before=within)
    assert ended.returncode == 2
    assert "scorer.toml: the settings file cannot be read: Permission denied" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit")
@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("score bad.csv --rejects rejects.jsonl", "scorer: --rejects rejects.jsonl: writing failed: "),
        ("train loans.csv --name a --version 1.0.0 --store store", "scorer: no folder for temporary files is "),
        (
            "bundle tag credit-risk:1.1.0 prod --store store",
            "prod cannot be written: File too large; to use another folder",
        ),
        ("bundle export credit-risk:1.1.0 a.tar.gz", "scorer: a.tar.gz cannot be written: File too large"),
    ],
)
def test_no_room_for_a_byte(tmp_path: Path, command: str, sentence: str) -> None:
    """A full disk, or a full folder for temporary files: one sentence says what could not be written."""
    write_loans(tmp_path / "loans.csv")
    (tmp_path / "bad.csv").write_text((tmp_path / "loans.csv").read_text().replace("\n1,", "\nx,x"))
    ended = run("scorer", *command.split(), cwd=tmp_path, before=["prlimit", "--fsize=0"])
    assert (ended.returncode, sentence in ended.stderr.splitlines()[-1]) == (1, True), ended.stderr


@pytest.mark.parametrize(
    "changes",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LANG": "C", "LC_ALL": "C"},
        {"LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"TERM": "dumb", "COLUMNS": "0", "LINES": "0"},
        {"COLUMNS": "1"},
        {"TERM": None, "HOME": "/nonexistent", "TMPDIR": "/nonexistent"},
        {"PYTHONOPTIMIZE": "1"},
        {"PYTHONUNBUFFERED": "1"},
    ],
    ids=",".join,
)
def test_other_surroundings_change_no_exit_code(loans: Path, changes: dict[str, str | None]) -> None:
    """Encodings that lack a tick or an arrow, no width, no terminal, no assertions: the work is done."""
    commands = ("score loans.csv", "bundle lint credit-risk:1.1.0", "bundle diff credit-risk:1.0.0 credit-risk:1.1.0")
    env = environment(PYTHONPATH=str(WITHOUT_TRAINING), **changes)
    ended = run_in_turn(*commands, env=env, cwd=loans.parent)
    assert ended.returncode == 0, ended.stderr
