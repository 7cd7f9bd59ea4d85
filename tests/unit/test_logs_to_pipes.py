"""The log on a pipe that is full, slow or closed: the process neither blocks nor fails."""

import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from scorer import logs
from scorer.logs import (
    log,
    log_to_stderr,
)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe's reading and writing end."""
    ends = os.pipe()
    yield ends
    for descriptor in ends:
        with suppress(OSError):
            os.close(descriptor)


def _log_to(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.FileIO(descriptor, "w", closefd=False), encoding="ascii"))
    log_to_stderr("json")


def _drain(reader: int) -> list[dict[str, Any]]:
    """All lines that are in a pipe now."""
    os.set_blocking(reader, False)
    raw = bytearray()
    with suppress(BlockingIOError):
        while chunk := os.read(reader, 1 << 16):
            raw += chunk
    return [json.loads(line) for line in raw.splitlines() if line.endswith(b"}")]


def test_a_log_that_nobody_reads_holds_up_nothing(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose log's reader was stuck used to stand still once the pipe was full: it wrote and waited for ever.

    Its lines are lost and counted; once somebody reads again, the log says how many, and goes on whole.
    """
    reader, writer = pipe
    _log_to(writer, monkeypatch)
    for number in range(2_000):
        log(logs.CONNECTION_FAILED, error=f"{number} {'x' * 100}")
    before = _drain(reader)
    log(logs.CONNECTION_FAILED, error="µ read again")
    lost, after = _drain(reader)
    assert [line["error"].split()[0] for line in before] == [str(number) for number in range(len(before))]
    assert (lost["event"], lost["lines"] + len(before)) == ("log_lines_dropped", 2_000)
    assert (after["event"], after["error"]) == ("connection_failed", "µ read again")
    log(logs.CONNECTION_FAILED, error="last")
    assert [line["error"] for line in _drain(reader)] == ["last"]


def test_a_line_that_was_cut_spoils_no_other(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a line that is longer than the room that is left a part is written: the next one begins a line of its own."""
    reader, writer = pipe
    _log_to(writer, monkeypatch)
    log(logs.PROCESS_STALLED, activity="x", limit_s=1, threads="x" * 200_000)
    assert _drain(reader) == []
    log(logs.CONNECTION_FAILED, error="whole")
    assert [line.get("error", line.get("lines")) for line in _drain(reader)] == [1, "whole"]


@pytest.mark.parametrize("end", ["reader left", "closed", "full"])
def test_a_log_that_cannot_be_written_is_no_fault(
    pipe: tuple[int, int], end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EPIPE, EBADF and a full disk: each used to print a traceback to the same stream, or to end the process."""
    reader, writer = pipe
    _log_to(writer, monkeypatch)
    if end == "reader left":
        os.close(reader)
    elif end == "closed":
        os.close(writer)
    else:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, writer)
        os.close(full)
    for _ in range(3):
        log(logs.WORKER_STOPPED)
        logs.write_to_stderr("scorer: the last word\n")
    logging.getLogger("another.library").error("%d", "no number")
