"""Commands whose standard streams are closed, full or left by their reader; and a worker whose log nobody takes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scorer.local.broker import Broker
from tests.fakes import application
from tests.integration.worker_process import WAIT_S, Topics, wait_until
from tests.unit.bundle.making import write_loans

COMMANDS = (
    "scorer --help",
    "scorer config",
    "scorer bundle diff credit-risk:1.0.0 credit-risk:1.1.0 --on loans.csv",
    "scorer score loans.csv",
    "producer --help",
    "producer try --fields",
)
"""Each prints something, and needs no broker."""


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, a file and a store of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCORER_STORE", str(tmp_path / "store"))
    write_loans(tmp_path / "loans.csv", rows=50)


def run(command: str, redirect: str) -> "subprocess.CompletedProcess[str]":
    """Runs a command whose streams a shell redirects."""
    ended = subprocess.run(
        ["sh", "-c", f'exec "$0" -m {command} {redirect}', sys.executable],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    return ended


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_is_full(command: str) -> None:
    """Each used to end in a traceback, or with exit code 120: it says so in one sentence, and has failed."""
    ended = run(command, ">/dev/full")
    message = f"{command.split(maxsplit=1)[0]}: standard output cannot be written: No space left on device\n"
    assert (ended.returncode, ended.stderr.endswith(message)) == (1, True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_left(command: str) -> None:
    """`| head -1`, `| true`: quietly, with the code of a program that SIGPIPE ended."""
    reader, writer = os.pipe()
    os.close(reader)
    command_line = [sys.executable, "-m", *command.split()]
    ended = subprocess.run(command_line, stdout=writer, stderr=subprocess.PIPE, check=False, timeout=WAIT_S)
    os.close(writer)
    assert (ended.returncode, b"Traceback" in ended.stderr, b"cannot" in ended.stderr) == (141, False, False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    """A command with its streams as they should be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("whole"))
        write_loans(Path("loans.csv"), rows=50)
        return run("scorer score loans.csv", "")


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", "2>/dev/full"])
def test_streams_that_are_closed(whole: "subprocess.CompletedProcess[str]", redirect: str) -> None:
    """What was to be printed there goes nowhere, and all else is as it was."""
    ended = run("scorer score loans.csv", redirect)
    assert ended.returncode == whole.returncode == 0
    assert ended.stdout == ("" if redirect.startswith(">") else whole.stdout)
    assert ended.stderr == ("" if "2>" in redirect else whole.stderr)


@pytest.mark.parametrize("command", ["scorer score -", "producer publish - -b 127.0.0.1:1"])
def test_an_input_that_is_closed(command: str) -> None:
    """It used to be an AttributeError: a closed standard input is an empty one."""
    ended = run(command, "<&-")
    assert (ended.returncode, "standard input: is empty" in ended.stderr) == (2, True)


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full", ">&- 2>&-"])
@pytest.mark.parametrize("command", ["scorer nonsense", "scorer score none.csv", "scorer config -s x=1", "producer x"])
def test_misuse_that_cannot_be_reported(command: str, redirect: str) -> None:
    """The exit code is what is left to say it."""
    assert run(command, redirect).returncode == 2


@contextmanager
def worker_to(topics: Topics, stderr: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker that logs every batch to a stderr that is no use, and is gone at the end."""
    reader, writer = os.pipe()
    environment = topics.environment() | {"SCORER_LOG_LEVEL": "debug", "SCORER_BATCH_RECORDS_MAX": "1"}
    closed = "2>&-" if stderr == "closed" else "2>/dev/full" if stderr == "full" else ""
    command = ["sh", "-c", f'exec "$0" -m scorer worker {closed}', sys.executable]
    if stderr == "stuck":
        os.set_blocking(writer, False)
        with os.fdopen(os.dup(writer), "wb", buffering=0) as pipe:
            while pipe.write(b"x" * 65_536):
                pass
        os.set_blocking(writer, True)
    if stderr == "left":
        os.close(reader)
    process = subprocess.Popen(command, env=environment, stderr=writer)
    os.close(writer)
    try:
        yield process
    finally:
        process.kill()
        process.wait(WAIT_S)
        if stderr != "left":
            os.close(reader)


@pytest.mark.broker
@pytest.mark.parametrize("stderr", ["closed", "full", "left", "stuck"])
def test_a_worker_whose_log_nobody_reads(broker: Broker, stderr: str) -> None:
    """It decides, and stops well.

    With stderr closed it used to end with 1 and without a word; and with a pipe that nobody read it stood still as soon
    as that was full, holding its partitions.
    """
    topics = Topics(broker.bootstrap_servers, 1)
    with worker_to(topics, stderr) as process:
        for part in range(2):
            topics.publish(*[application(f"{part}-{number}") for number in range(200)])
            wait_until(lambda: topics.count(topics.decisions) == 200 * (part + 1), f"part {part} decided")  # noqa: B023
            assert process.poll() is None
        process.terminate()
        assert process.wait(WAIT_S) == 0
