"""The log: a closed table that the code keeps to, one form for machines and one for people, and nobody's figures."""

import ast
import errno
import json
import logging
import os
import pty
import re
import subprocess
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from confluent_kafka import Producer

from scorer import cli, logs
from scorer.cli import root
from scorer.errors import BrokerError
from scorer.log_lines import LIBRDKAFKA_LOGGER, JsonLines, TextLines
from scorer.logs import (
    EVENTS,
    LIBRARY,
    LIBRDKAFKA,
    Event,
    LogFormat,
    LogLevel,
    log,
    log_to_stderr,
)
from scorer.settings import load_settings
from scorer.stream.librdkafka import client_config

ROOT = Path(__file__).parents[2]
DECLARED = {name: value for name, value in vars(logs).items() if isinstance(value, Event)}

LogLines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log_lines(capsys: pytest.CaptureFixture[str]) -> LogLines:
    """What stderr holds since the last look, each line read as JSON."""
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_the_table_is_in_order() -> None:
    """Names are stable spellings, each once, and nothing that is declared is missing from the table."""
    assert set(EVENTS) == set(DECLARED.values())
    assert len({event.name for event in EVENTS}) == len(EVENTS)
    assert [event.name for event in EVENTS if not re.fullmatch(r"[a-z]+(_[a-z]+)*", event.name)] == []
    reserved = {"time", "level", "event", "message"}
    assert [event.name for event in EVENTS if reserved & set(event.fields)] == []


def _calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "log":
            yield node


def test_the_code_keeps_to_the_table() -> None:
    """Each line that the code can write is an event of the table with exactly its fields, and no event is idle."""
    counts = Counter[str]()
    for path in (ROOT / "scorer").rglob("*.py"):
        for call in _calls(path):
            (named,) = call.args
            assert isinstance(named, ast.Name), f"{path}:{call.lineno}"
            event = DECLARED[named.id]
            assert [word.arg for word in call.keywords] == list(event.fields), f"{path}:{call.lineno}"
            counts[event.name] += 1
    by_the_formatter = {LIBRDKAFKA.name, LIBRARY.name}
    assert set(counts) == {event.name for event in EVENTS} - by_the_formatter


def test_nobody_logs_past_the_table() -> None:
    """Only the log's own modules, the boundary of the process and librdkafka's settings use logging at all."""
    users = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "scorer").rglob("*.py")
        if re.search(r"^\s*(import logging|from logging)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert users == {"scorer/logs.py", "scorer/log_lines.py", "scorer/cli/__init__.py", "scorer/stream/librdkafka.py"}


def test_the_documentation_has_the_table() -> None:
    """docs/logs-and-traces.md lists every event as it is declared, and no other."""
    text = (ROOT / "docs" / "logs-and-traces.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+?) \| (.*?) \|$", text, re.MULTILINE)
    assert listed == [
        (
            event.name,
            logging.getLevelName(event.level).lower(),
            event.meaning,
            ", ".join(f"`{field}`" for field in event.fields),
        )
        for event in EVENTS
    ]


def test_the_documentation_shows_one_line_twice() -> None:
    """The line that docs/logs-and-traces.md shows as JSON and as text is the same, and as it is written."""
    text = (ROOT / "docs" / "logs-and-traces.md").read_text(encoding="utf-8")
    shown, for_people = re.findall(r"^```(?:json)?\n(\S.*)\n```$", text, re.MULTILINE)
    line = json.loads(shown)
    event = next(event for event in EVENTS if event.name == line["event"])
    record = logging.makeLogRecord(
        {
            "name": "scorer",
            "levelno": event.level,
            "levelname": logging.getLevelName(event.level),
            "msg": event.meaning,
            "created": (when := datetime.fromisoformat(line["time"])).timestamp(),
            "msecs": when.microsecond / 1_000,
            "event": event.name,
            "fields": {name: line[name] for name in event.fields},
        }
    )
    assert (JsonLines().format(record), TextLines().format(record)) == (shown, for_people)


def test_a_json_line(log_lines: LogLines) -> None:
    """One object a line: when, how grave, which event, what it means, and its fields, whatever they hold."""
    log_to_stderr("json")
    log(logs.BUNDLE_LOAD_FAILED, slot="champion", bundle="a:1@0", error='two\nlines, "quoted"\u2028and more')
    (line,) = log_lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "warning",
        "event": "bundle_load_failed",
        "message": logs.BUNDLE_LOAD_FAILED.meaning,
        "slot": "champion",
        "bundle": "a:1@0",
        "error": 'two\nlines, "quoted"\u2028and more',
    }


def test_a_text_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The same for people: words as they are, phrases quoted, and what has lines of its own below."""
    log_to_stderr("text")
    log(logs.PARTITIONS_CHANGED, topic="credit.applications", kind="assigned", partitions=[0, 1], assigned=[0, 1])
    log(logs.PROCESS_FAILED, error="first\n  second", exit_code=2)
    log(logs.COMMIT_FAILED, error="with a=b in it")
    first, second, below, further, third = [
        line.partition("Z ")[2] or line for line in capsys.readouterr().err.splitlines()
    ]
    assert first == (
        "INFO     partitions_changed: partitions were assigned to this worker or revoked  "
        "topic=credit.applications  kind=assigned  partitions=[0, 1]  assigned=[0, 1]"
    )
    assert second.endswith("  exit_code=2")
    assert (below, further) == ("    first", "      second")
    assert third.endswith('  error="with a=b in it"')


def test_auto_is_text_on_a_terminal_and_json_elsewhere() -> None:
    """What a person watches is text; what is written to a file or a pipe is read by a program."""
    program = "from scorer.logs import *; log_to_stderr(); log(STOP_REQUESTED, signal='SIGTERM')"
    piped = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert json.loads(piped.stderr)["event"] == "stop_requested"
    ours, terminal = pty.openpty()
    subprocess.run([sys.executable, "-c", program], stderr=terminal, check=True)
    os.close(terminal)
    shown = os.read(ours, 4_096).decode()
    os.close(ours)
    assert shown.rstrip().endswith("signal=SIGTERM")


@pytest.mark.parametrize(("level", "events"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_levels(level: LogLevel, events: int, log_lines: LogLines) -> None:
    """A level tells what is as grave or graver; a batch is log_lines at debug alone."""
    log_to_stderr("json", level)
    log(logs.BATCH_COMMITTED, offsets_next={0: 7}, records=7, rejected=0, bundle="a:1@0", seconds=0.01)
    log(logs.WORKER_STOPPED)
    log(logs.BATCH_ABORTED, topic="t", error="x")
    assert len(log_lines()) == events


def test_other_libraries_are_logged_from_warnings_on(log_lines: LogLines) -> None:
    """With a store in S3 its client wrote a line about its credentials, at INFO, into each worker's log."""
    log_to_stderr("json", "debug")
    logging.getLogger("aiobotocore.credentials").info("Found credentials in environment variables.")
    assert log_lines() == []
    logging.getLogger("aiobotocore").warning("no %s", "answer")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("soon no more", DeprecationWarning, stacklevel=1)
    first, second = log_lines()
    assert (first["event"], first["logger"], first["message"]) == ("library", "aiobotocore", "no answer")
    assert (second["event"], second["logger"]) == ("library", "py.warnings")


def test_the_text_of_a_librarys_exception_is_not_logged(log_lines: LogLines) -> None:
    """An exception that another library logs is log_lines by its kind and place; its text may hold anything."""
    log_to_stderr("json")
    try:
        int("4711 apples")
    except ValueError:
        logging.getLogger("elsewhere").exception("it failed")
    (line,) = log_lines()
    assert (line["message"], line["error"]) == ("it failed", "ValueError")
    assert "test_logs.py" in line["traceback"]
    assert "invalid literal" not in json.dumps(line)


def test_librdkafkas_messages_have_the_same_format(log_lines: LogLines) -> None:
    """A line of librdkafka's own is a line like any other, with its facility and client as fields."""
    log_to_stderr("json")
    settings = load_settings({"instance_id": "scorer-0"}, environment={}).settings
    producer = Producer({**client_config(settings), "session.timeout.ms": "6000"})  # which only consumers heed
    producer.poll(0)
    lines = [line for line in log_lines() if line["event"] == "librdkafka"]  # that no broker is there it says as well
    (line,) = [line for line in lines if line["facility"] == "CONFWARN"]
    assert line["level"] == "warning"
    assert line["client"].startswith("scorer-0#producer")
    assert "session.timeout.ms" in line["message"]


def _run_failing(error: Exception, log_format: LogFormat | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs `scorer` with a command that logs in this format and fails."""
    app = typer.Typer(add_completion=False)

    @app.command()
    def command() -> None:
        if log_format is not None:
            log_to_stderr(log_format)
        raise error

    monkeypatch.setattr(root, "app", app)
    monkeypatch.setattr(sys, "argv", ["scorer"])
    cli.main()


@pytest.mark.parametrize("log_format", ["json", "text", None])
def test_the_error_that_ends_the_process_is_logged(
    log_format: LogFormat | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the log is JSON, so is the last word; for people it is the one message that every command ends with."""
    with pytest.raises(SystemExit) as ended:
        _run_failing(BrokerError("no broker; start one"), log_format, monkeypatch)
    assert ended.value.code == 1
    output = capsys.readouterr().err
    if log_format == "json":
        assert json.loads(output)["error"] == "no broker; start one"
        assert json.loads(output)["exit_code"] == 1
    else:
        assert output == "scorer: no broker; start one\n"


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_crash_is_logged_without_its_text(
    log_format: LogFormat, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fault in the program says what kind and where; what it says itself may be an applicant's figures."""
    with pytest.raises(SystemExit) as ended:
        _run_failing(ValueError("could not convert 4711"), log_format, monkeypatch)
    assert ended.value.code == 1
    output = capsys.readouterr().err
    assert "process_crashed" in output
    assert "ValueError" in output
    assert "test_logs.py" in output
    assert "4711" not in output


def test_a_crash_of_a_command_without_a_log_is_python_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever types a command gets the whole traceback."""
    with pytest.raises(ValueError, match="of the program"):
        _run_failing(ValueError("of the program"), None, monkeypatch)


def test_a_thread_that_crashes_is_logged(log_lines: LogLines) -> None:
    """A fault in a thread beside the loop is a line too, and not a traceback between the lines."""
    log_to_stderr("json")
    thread = threading.Thread(target=lambda: int("4711 apples"), name="beside")
    thread.start()
    thread.join()
    (line,) = log_lines()
    assert (line["event"], line["thread"], line["error"]) == ("thread_crashed", "beside", "ValueError")
    assert "4711" not in line["error"]


def test_a_line_that_cannot_be_formatted_is_lost_alone(log_lines: LogLines) -> None:
    """Another library's mistake is counted, and prints no traceback between the lines."""
    log_to_stderr("json")
    logging.getLogger("another.library").error("%d", "no number")
    log(logs.WORKER_STOPPED)
    assert [(line["event"], line.get("lines")) for line in log_lines()] == [
        ("log_lines_dropped", 1),
        ("worker_stopped", None),
    ]


@pytest.mark.parametrize("log_format", ["json", "text", None])
def test_a_fault_of_the_machine_is_reported_in_one_sentence(
    log_format: LogFormat | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk used to be a traceback: it is the last line of the log, or the one message of a command."""
    full = OSError(errno.ENOSPC, "No space left on device", "/a/x")
    with pytest.raises(SystemExit) as ended:
        _run_failing(full, log_format, monkeypatch)
    assert ended.value.code == 1
    output = capsys.readouterr().err
    assert "/a/x: No space left on device; free some space there" in output
    assert output.count("\n") == 1
    assert "Traceback" not in output


HOSTILE = "\x1b]0;pwn\a\x1b[2J\nFORGED\u202e\x9b31m"


def _format(formatter: logging.Formatter, logger: str, text: str) -> str:
    """A line of the log with a text of others in each place where it can be."""
    if logger == "scorer":
        extra = {"event": logs.BUNDLE_LOAD_FAILED.name, "fields": {"slot": "champion", "bundle": text, "error": text}}
        record = logging.makeLogRecord({"name": logger, "msg": "a meaning", "levelname": "WARNING", **extra})
    else:
        args = (text, text, text) if logger == LIBRDKAFKA_LOGGER else None
        record = logging.makeLogRecord({"name": logger, "msg": text, "args": args, "levelname": "WARNING"})
    return formatter.format(record)


@pytest.mark.parametrize("formatter", [TextLines(), JsonLines()])
@pytest.mark.parametrize("logger", ["scorer", LIBRDKAFKA_LOGGER, "a.library"])
def test_no_text_of_others_commands_a_terminal(formatter: logging.Formatter, logger: str) -> None:
    """Brokers, publishers and operators write parts of a line; whoever reads the log does so on a terminal."""
    lines = _format(formatter, logger, HOSTILE).split("\n")
    assert all(line.isprintable() for line in lines), lines
    assert not any(line.startswith("FORGED") for line in lines)


@pytest.mark.parametrize("formatter", [TextLines(), JsonLines()])
@pytest.mark.parametrize("logger", ["scorer", LIBRDKAFKA_LOGGER, "a.library"])
def test_long_texts_of_others_are_cut(formatter: logging.Formatter, logger: str) -> None:
    """A bundle's name of a megabyte would fill the disk with every retry."""
    assert len(_format(formatter, logger, "x" * 1_000_000)) < 7_000


def test_tracebacks_stay_whole() -> None:
    """They are the program's own, and of use only as a whole."""
    fields = {"thread": "t", "error": "ValueError", "traceback": "frame\n" * 1_000}
    record = logging.makeLogRecord({"name": "scorer", "event": "thread_crashed", "fields": fields})
    assert json.loads(JsonLines().format(record))["traceback"] == fields["traceback"]
