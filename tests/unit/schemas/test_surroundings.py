"""Streams that are closed, full or left by their reader end a command quietly or with a sentence, never a traceback."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.surroundings import explain_fault, explain_umask

WITHIN = "from schemas.surroundings import standard_streams\nimport os, sys\nwith standard_streams('tool'):\n    "


def run(statement: str, redirect: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    """One statement within guarded streams, in a process of its own whose streams a shell redirects."""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {redirect}', sys.executable, WITHIN + statement],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
        env={**os.environ, **environment},
    )


def run_to_a_reader_that_left(statement: str, stream: str) -> "subprocess.CompletedProcess[bytes]":
    """The same with a pipe as standard output or error that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    stdout, stderr = (writer if stream == name else subprocess.PIPE for name in ("stdout", "stderr"))
    command = [sys.executable, "-c", WITHIN + statement]
    try:
        return subprocess.run(command, check=False, timeout=60, stdout=stdout, stderr=stderr)
    finally:
        os.close(writer)


@pytest.mark.parametrize(
    "statement", ["print('x')", "sys.stdout.buffer.write(b'x' * 100_000)", "print('x', flush=True)"]
)
def test_an_output_that_is_full_is_one_sentence(statement: str) -> None:
    """It used to be a traceback, or a complaint of the interpreter and exit code 120."""
    ended = run(statement, ">/dev/full")
    assert ended.stderr == "tool: standard output cannot be written: No space left on device\n"
    assert ended.returncode == 1


@pytest.mark.parametrize("statement", ["print('x')", "print('x', flush=True); print('y')", "print('x'); sys.exit(3)"])
def test_a_reader_that_left_ends_it_quietly(statement: str) -> None:
    """As SIGPIPE ends a program, which a shell reports as 141; nothing is said."""
    ended = run_to_a_reader_that_left(statement, "stdout")
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_what_comes_after_the_reader_left_is_dropped() -> None:
    """A command that cleans up and says so on the way out is not stopped a second time."""
    cleaning = "exec('try:\\n print(1, flush=True)\\nfinally:\\n print(2, flush=True); sys.stderr.write(str(3))')"
    ended = run_to_a_reader_that_left(cleaning, "stdout")
    assert (ended.returncode, ended.stderr) == (141, b"3")


@pytest.mark.parametrize("redirect", ["2>/dev/full", "2>&-"])
def test_an_error_stream_that_cannot_be_written_stops_nothing(redirect: str) -> None:
    """Messages are dropped; the work and its exit code are what they were."""
    ended = run("sys.stderr.write('x' * 100_000); sys.stderr.flush(); print('done'); sys.exit(3)", redirect)
    assert (ended.returncode, ended.stdout) == (3, "done\n")


def test_an_error_stream_that_nobody_reads_stops_nothing() -> None:
    """EPIPE on standard error is dropped too."""
    ended = run_to_a_reader_that_left("sys.stderr.write('x\\n'); print('done')", "stderr")
    assert (ended.returncode, ended.stdout) == (0, b"done\n")


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_closed_stream_is_dev_null(redirect: str) -> None:
    """Its number is taken before a socket can get it, in which output would end up; children inherit it."""
    statement = (
        "found = [os.stat('/dev/null').st_rdev == os.fstat(n).st_rdev for n in (0, 1, 2)]; "
        "assert sys.stdin.read() == '' and sys.stdin.buffer.read() == b''; print('x'); sys.stdout.buffer.write(b'x'); "
        "sys.stderr.write('x'); os.open('/dev/zero', os.O_RDONLY); "
        "code = os.spawnv(os.P_WAIT, '/bin/sh', ['sh', '-c', 'echo y && echo y >&2 && cat']); "
        f"sys.exit(7 if found[{'0' if '<' in redirect else '2' if redirect == '2>&-' else '1'}] and not code else 1)"
    )
    assert run(statement, redirect).returncode == 7


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_characters_that_an_encoding_lacks_are_escapes(encoding: str) -> None:
    """A tick or a path that is not UTF-8 used to end a command in UnicodeEncodeError."""
    statement = "print('\\u2713 µ', os.fsdecode(b'\\xff')); sys.stderr.write('\\u2713')"
    ended = subprocess.run(
        [sys.executable, "-c", WITHIN + statement],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert ended.returncode == 0
    assert ended.stdout.decode(encoding) == "✓ µ \\udcff\n".encode(encoding, "backslashreplace").decode(encoding)


def test_streams_that_were_set_not_to_block_are_waited_for() -> None:
    """Another program of the terminal may leave them so: a long output used to end in BlockingIOError."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with subprocess.Popen([sys.executable, "-c", WITHIN + "print('x' * 1_000_000)"], stdout=writer) as process:
        os.close(writer)
        with os.fdopen(reader) as output:
            assert len(output.read()) == 1_000_001
        assert process.wait() == 0


def test_other_streams_are_left_alone() -> None:
    """A program that has put its own streams there keeps them, during and after."""
    statement = "pass\nimport io; sys.stdout = io.StringIO()\nwith standard_streams('tool'):\n    print('x')\n"
    assert run(statement + "sys.exit(sys.stdout.getvalue() != 'x\\n')").returncode == 0


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/x"), "/a/x: No space left on device; free some space"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; free some space there"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/a']"), "no folder for temporary"),
        (
            PermissionError(errno.EACCES, "Permission denied", "a"),
            "a: Permission denied; does this user have permission?",
        ),
        (RuntimeError("Could not determine home directory."), "this user has no home folder: set HOME"),
        (
            OSError(errno.EROFS, "Read-only file system", Path("a")),
            "a: Read-only file system; choose a writable folder",
        ),
    ],
)
def test_a_fault_of_the_machine_is_one_sentence(error: Exception, sentence: str) -> None:
    """The file, what the system says, and what to do."""
    explanation = explain_fault(error)
    assert explanation is not None
    assert explanation.startswith(sentence)


def test_other_faults_are_not_explained_away() -> None:
    """What may be a fault of the program keeps its traceback."""
    assert explain_fault(ConnectionResetError(errno.ECONNRESET, "reset")) is None
    assert explain_fault(OSError("no number")) is None
    assert explain_fault(RuntimeError("dictionary changed size during iteration")) is None


@pytest.mark.parametrize(("mask", "is_fine"), [(0o022, True), (0o077, True), (0o777, False), (0o200, False)])
def test_a_umask_that_removes_every_permission_is_named(mask: int, is_fine: bool) -> None:
    """Each file that a command made was one that it could not read: Permission denied, about a folder below /tmp."""
    before = os.umask(mask)
    try:
        fault = explain_umask()
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert (fault is None) == is_fine
    assert is_fine or f"umask {mask:04o} denies" in str(fault)
