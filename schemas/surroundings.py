"""Handles faults of a command's environment: streams that are closed, full or no longer read, and a full disk.

None of them causes a traceback: a command exits quietly, or with one sentence.
"""

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

READER_LEFT_EXIT_CODE: Final = 141
"""The exit code that shells report after SIGPIPE (128 + 13), with which other programs in a pipeline exit.

Python recommends 1, which here means that the command failed; and 0 would hide that not everything was written.
"""
_STDERR_WAIT_S: Final = 5.0  # for a full terminal or pipe in non-blocking mode

_HINTS: Final = {
    errno.ENOSPC: "free some space there, or set TMPDIR to another folder for temporary files",
    errno.EDQUOT: "free some space there, or set TMPDIR to another folder for temporary files",
    errno.EFBIG: "the limit on file size is reached (`ulimit -f`)",
    errno.EROFS: "choose a writable folder",
    errno.EACCES: "does this user have permission?",
    errno.EPERM: "does this user have permission?",
    errno.ENOENT: "is the path right?",
    errno.ENOTDIR: "is the path right?",
    errno.EISDIR: "is the path right?",
    errno.ENAMETOOLONG: "is the path right?",
    errno.ELOOP: "is the path right?",
    errno.EMFILE: "the limit on open files is reached (`ulimit -n`)",
    errno.ENFILE: "too many files are open on this machine",
    errno.EIO: "is the disk or terminal still available?",
    errno.ESTALE: "is the network file system still available?",
    errno.ENOMEM: "this machine is out of memory",
}


class OutputError(Exception):
    """Standard output cannot be written; `str()` of it says why. Not an OSError, which Typer would handle itself."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        self.reader_left = error.errno == errno.EPIPE


def explain_fault(error: Exception) -> str | None:
    """Explains a fault of the environment in one sentence; None if it is not known to be one."""
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # the message of `pathlib`
        return "this user has no home folder: set HOME"
    if not isinstance(error, OSError) or error.errno not in _HINTS:
        return None
    if isinstance(error, FileNotFoundError) and error.filename is None:  # from `tempfile`
        return "no folder for temporary files is writable: set TMPDIR to a writable one"
    prefix = "" if error.filename is None else f"{error.filename}: "
    return f"{prefix}{error.strerror}; {_HINTS[error.errno]}"


def explain_umask() -> str | None:
    """Why this process could not use the files that it creates, in one sentence; None if it can."""
    mask = os.umask(0o077)
    os.umask(mask)
    if not mask & 0o700:
        return None
    return f"umask {mask:04o} denies this user access to the files that it creates: run `umask 0022` before the command"


@contextmanager
def standard_streams(command: str) -> Iterator[None]:
    """Within the block the standard streams exist, and stderr can always be written.

    A closed stream is replaced by /dev/null. Output to a standard error that is full or no longer read is dropped. A
    standard output in that state ends the block and the process: quietly if its reader has gone, as in `| head -1`,
    otherwise with one sentence. Characters that a stream's encoding lacks are written as escapes.

    Args:
        command: the command's name, the prefix of its messages.

    Raises:
        SystemExit: standard output could not be written.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    _open_closed()
    sys.stdout = _guard(sys.stdout, 1, _Output)
    sys.stderr = _guard(sys.stderr, 2, _Errors)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OutputError as error:
        if error.reader_left:
            sys.exit(READER_LEFT_EXIT_CODE)
        sys.stderr.write(f"{command}: standard output cannot be written: {error}\n")
        sys.exit(1)
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


def _open_closed() -> None:
    """Opens /dev/null in place of each closed stream, before a socket can get its number."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest number that is free
        os.set_inheritable(opened, True)
    os.close(opened)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123  (as long as the process)
    if not os.get_blocking(0):  # left by another program on this terminal; reading would fail as if there were no input
        os.set_blocking(0, True)


class _Output(io.FileIO):
    """Raises the first error as `OutputError`, and drops all later output."""

    _failed = False

    def write(self, data: "ReadableBuffer", /) -> int:
        if self._failed:
            return memoryview(data).nbytes
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])
        except OSError as error:
            self._failed = True
            raise OutputError(error) from None
        return written


class _Errors(io.FileIO):
    """Drops output that cannot be written."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            written = super().write(data)
            if written is None and select.select([], [self], [], _STDERR_WAIT_S)[1]:
                written = super().write(data)
        except OSError:
            written = None
        return memoryview(data).nbytes if written is None else written


def _guard(stream: TextIO, descriptor: int, kind: type[_Output | _Errors]) -> TextIO:
    """The stream on a guarded descriptor; the same stream if it does not use the descriptor, as in a test."""
    try:
        if stream.fileno() != descriptor:
            return stream
        stream.flush()
    except (OSError, ValueError):
        return stream
    raw = kind(descriptor, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.isatty() or kind is _Errors,
    )
