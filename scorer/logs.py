"""The log: a closed table of events, on stderr as JSON lines or as text; never a value of an application's field."""

import json
import logging
import os
import select
import sys
import threading
import time
import traceback
from logging import CRITICAL, DEBUG, ERROR, INFO, WARNING
from types import TracebackType
from typing import Final, Literal, NamedTuple, TextIO

from schemas.printable import printable, shorten_text

LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]

LIBRDKAFKA_LOGGER: Final = "scorer.librdkafka"
# Of a text in a line: what brokers, publishers and operators wrote, or a library made of it, may be a megabyte.
_CHARACTERS_MAX: Final = 2_000
_WHOLE: Final = frozenset({"traceback", "threads"})
"""Fields that are the program's own, and are of use only as a whole."""
_log = logging.getLogger("scorer")


class Event(NamedTuple):
    """What is worth a line: a stable name, how grave it is, what it means, and the names of what varies."""

    name: str
    level: int
    meaning: str
    fields: tuple[str, ...] = ()


WORKER_STARTED = Event(
    "worker_started",
    INFO,
    "the bundle is loaded, the topics are there; the worker joins its group",
    ("group", "instance", "http", "delivery", "bundle"),
)
SERVICE_LINKS_IGNORED = Event(
    "service_links_ignored",
    INFO,
    "Kubernetes sets these variables for a Service, they are not settings (enableServiceLinks: false omits them)",
    ("variables",),
)
STOP_ASKED = Event("stop_asked", INFO, "a signal asks to stop: the batch in hand is finished first", ("signal",))
WORKER_STOPPED = Event("worker_stopped", INFO, "the batch in hand is committed and the group is left")
PROCESS_FAILED = Event(
    "process_failed", ERROR, "the process cannot go on; its error says why and what mends it", ("error", "exit_code")
)
PROCESS_CRASHED = Event(
    "process_crashed",
    CRITICAL,
    "a fault in the program, which ends the process; nothing uncommitted counts",
    ("error", "traceback"),
)
THREAD_CRASHED = Event(
    "thread_crashed", ERROR, "a fault in the program, in a thread beside the loop", ("thread", "error", "traceback")
)
PROCESS_STALLED = Event(
    "process_stalled",
    CRITICAL,
    "an activity took longer than its limit; the process ends, and nothing uncommitted counts",
    ("activity", "limit_s", "threads"),
)
PARTITIONS_CHANGED = Event(
    "partitions_changed",
    INFO,
    "the group gave this worker partitions or took some away",
    ("topic", "kind", "partitions", "assigned"),
)
PARTITION_BLOCKED = Event(
    "partition_blocked",
    ERROR,
    "a partition cannot be read from where the group is; the other partitions go on",
    ("topic", "partition", "reason"),
)
RECORDS_UNREADABLE = Event(
    "records_unreadable",
    WARNING,
    "a batch on the input topic is damaged or too large; each of its records becomes a dead letter",
    ("topic", "partition", "offset", "records", "error"),
)
DEAD_LETTERS_POINT = Event(
    "dead_letters_point",
    WARNING,
    "the dead-letter topic refused a copy of a large record; from here on dead letters point to such records",
    ("topic",),
)
BATCH_COMMITTED = Event(
    "batch_committed",
    DEBUG,
    "a batch is decided and committed",
    ("offsets_next", "records", "rejected", "bundle", "seconds"),
)
BATCH_ABORTED = Event(
    "batch_aborted", WARNING, "a batch is wound back; its applications come again", ("topic", "error")
)
COMMIT_FAILED = Event(
    "commit_failed", WARNING, "offsets of what is published are not committed yet; they are tried again", ("error",)
)
BROKER_RETRIED = Event("broker_retried", WARNING, "the broker did not answer; the call is tried again", ("error",))
CONNECTION_FAILED = Event(
    "connection_failed", WARNING, "a connection to the brokers fails; it is tried again", ("error",)
)
CONSUMER_FAILED = Event("consumer_failed", WARNING, "the consumer reports a fault that may pass", ("topic", "error"))
HEADERS_UNREADABLE = Event(
    "headers_unreadable",
    WARNING,
    "a header's name is not UTF-8; the record is decided and its outcome carries no headers on. Told once a worker",
    ("topic", "partition", "offset"),
)
BUNDLE_SWAPPED = Event("bundle_swapped", INFO, "another bundle decides from here on", ("bundle", "previous"))
BUNDLE_REFUSED = Event(
    "bundle_refused",
    WARNING,
    "a deployed bundle cannot be loaded; what was in its slot goes on, and it is tried again",
    ("slot", "bundle", "error"),
)
CHALLENGER_CHANGED = Event("challenger_changed", INFO, "another challenger scores along, or none", ("bundle",))
CHALLENGER_FAILED = Event(
    "challenger_failed",
    WARNING,
    "the challenger cannot score; what decides goes on deciding. Told once a challenger",
    ("challenger", "bundle", "error"),
)
TRUST_UNREADABLE = Event(
    "trust_unreadable",
    WARNING,
    "the file of trusted keys cannot be read, or is wrong; what it said before counts",
    ("error",),
)
TRUST_CHANGED = Event(
    "trust_changed", INFO, "the file of trusted keys has changed; the history is read again with these keys", ("keys",)
)
HISTORY_UNREADABLE = Event(
    "history_unreadable", WARNING, "the history of deployments cannot be read for the moment", ("topic", "error")
)
HISTORY_LINE_SKIPPED = Event(
    "history_line_skipped",
    WARNING,
    "a line of the history of deployments is no event and counts for nothing",
    ("offset", "error"),
)
RECORD_SKIPPED = Event(
    "record_skipped",
    WARNING,
    "a record is not what its topic holds; it is skipped and counted. The first few are logged",
    ("topic", "partition", "offset", "error"),
)
HTTP_FAILED = Event(
    "http_failed",
    WARNING,
    "an HTTP request failed. At most one line per 10 s; `suppressed` counts the others",
    ("error", "location", "suppressed"),
)
HTTP_ACCEPT_FAILED = Event(
    "http_accept_failed",
    WARNING,
    "an HTTP connection cannot be accepted; without file descriptors an idle one is closed. Retried",
    ("error", "suppressed"),
)
TOKEN_REFUSED = Event(
    "token_refused",
    WARNING,
    "wrong console token. At most one line per second; `suppressed` counts the others",
    ("client", "suppressed"),
)
TOKEN_FILE_EXPOSED = Event(
    "token_file_exposed",
    WARNING,
    "every user of this machine can read the console's token file: `chmod 600` it and change the token",
    ("path", "mode"),
)
DEAD_LETTER_SHOWN = Event(
    "dead_letter_shown",
    INFO,
    "somebody looked at what a dead letter holds, in the console; what was seen is not told",
    ("client", "partition", "offset"),
)
LOG_LINES_LOST = Event(
    "log_lines_lost", WARNING, "standard error was full or not read: so many lines of the log are lost", ("lines",)
)
LIBRDKAFKA = Event("librdkafka", INFO, "a line of librdkafka's own, at its own level", ("facility", "client"))
LIBRARY = Event("library", WARNING, "a line of another library, at its own level", ("logger",))

EVENTS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Event))
"""All that is ever told; the documentation is compared with this table."""


def log(event: Event, **fields: object) -> None:
    """Tells what happened, if its level is told at all.

    Args:
        event: one of the table's.
        fields: exactly those that the table names, as JSON values; names, numbers and rules, never a field's value.
    """
    assert fields.keys() == set(event.fields), f"{event.name} has the fields {event.fields}"
    _log.log(event.level, event.meaning, extra={"event": event.name, "fields": fields})


def log_crash(crash: BaseException) -> None:
    """Tells of a fault in the program, without what it says: that may hold an applicant's figures."""
    log(PROCESS_CRASHED, error=type(crash).__name__, traceback=_frames(crash.__traceback__))


def log_thread_crash(thread: str, crash: BaseException) -> None:
    """Logs a fault in the program that a thread survived, without its message: that may hold an applicant's figures."""
    log(THREAD_CRASHED, thread=thread, error=type(crash).__name__, traceback=_frames(crash.__traceback__))


def log_to_stderr(log_format: LogFormat = "auto", level: LogLevel = "info") -> None:
    """Sends this process's log to stderr; a second call replaces the first.

    Args:
        log_format: auto is text on a terminal and JSON lines everywhere else.
        level: from where on our own lines and librdkafka's are told. Other libraries are told from warnings on.
    """
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    handler = _StderrHandler(sys.stderr)
    handler.setFormatter(TextLines() if as_text else JsonLines())
    ours = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(ours, WARNING), handlers=[handler], force=True)
    _log.setLevel(ours)
    logging.captureWarnings(True)
    threading.excepthook = _log_uncaught


def write_to_stderr(text: str) -> None:
    """Writes text that is not a line of the log; where there is a log it is no more of a wait than one of its lines."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _StderrHandler):
            handler.write(text)
            return
    sys.stderr.write(text)


def format_in_force() -> Literal["json", "text"] | None:
    """How this process's log is written; None if it keeps none."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonLines):
            return "json"
        if isinstance(handler.formatter, TextLines):
            return "text"
    return None


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes lines to stderr, whose reader may be slow, stuck or gone: the process neither ends nor waits for it.

    A line waits for room for a moment. One that finds none is lost and counted, and while that lasts no other waits.
    The next one that finds room comes after a line that says how many were lost.
    """

    _WAIT_S: Final = 0.1
    """A reader that is alive makes room in less, and a worker that waits so once per stall keeps its pace."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        try:
            self._descriptor: int | None = stream.fileno()
        except (OSError, ValueError):  # a test's own
            self._descriptor = None
        self._lines_lost = 0
        self._is_line_cut = False

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a line."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  (of a line that any library may have made)
            self._lines_lost += 1
            return
        lost = self._lines_lost
        if lost and self._has_room(wait_s=0):
            self._lines_lost = 0
            log(LOG_LINES_LOST, lines=lost)  # comes here too, and counts itself where it is lost
            self._lines_lost *= lost
        if not self._write(f"{line}\n", wait_s=0 if self._lines_lost else self._WAIT_S):
            self._lines_lost += 1

    def write(self, text: str) -> None:
        """Writes text that is not a line of the log."""
        self.acquire()
        try:
            self._write(text, self._WAIT_S)
        finally:
            self.release()

    def _write(self, text: str, wait_s: float) -> bool:
        """Whether all of a text was written."""
        if self._descriptor is None:
            self.stream.write(text)
            return True
        rest = ("\n" * self._is_line_cut + text).encode(self.stream.encoding, "backslashreplace")
        try:
            while rest and self._has_room(wait_s):
                # So much fits at once where there is room at all, unless another process writes there just now too.
                written = os.write(self._descriptor, rest[: select.PIPE_BUF])
                rest = rest[written:]
                self._is_line_cut = bool(rest)
        except OSError:
            return False
        return not rest

    def _has_room(self, wait_s: float) -> bool:
        if self._descriptor is None:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(wait_s * 1_000))


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, message, then the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        event, message, fields = _read(record)
        line = {"time": _time(record), "level": record.levelname.lower(), "event": event, "message": message}
        return json.dumps(line | fields, default=str)


class TextLines(logging.Formatter):
    """The same for people: a line, and what has several lines of its own indented below."""

    def format(self, record: logging.LogRecord) -> str:
        event, message, fields = _read(record)
        blocks = {name: value for name, value in fields.items() if isinstance(value, str) and "\n" in value}
        words = [f"{name}={_word(value)}" for name, value in fields.items() if name not in blocks]
        line = "  ".join([f"{_time(record)} {record.levelname:<8} {event}: {printable(message)}", *words])
        below = [printable(text) for block in blocks.values() for text in block.splitlines()]
        return "\n    ".join([line, *below])


def _read(record: logging.LogRecord) -> tuple[str, str, dict[str, object]]:
    """A record's event, message and fields, whoever made it; long texts are cut."""
    event, message, fields = _read_whole(record)
    shortened = {name: _shorten(name, field) for name, field in fields.items()}
    return event, shorten_text(message, _CHARACTERS_MAX), shortened


def _shorten(name: str, field: object) -> object:
    return shorten_text(field, _CHARACTERS_MAX) if isinstance(field, str) and name not in _WHOLE else field


def _read_whole(record: logging.LogRecord) -> tuple[str, str, dict[str, object]]:
    fields: dict[str, object]
    if record.name == _log.name:
        return record.__dict__["event"], record.getMessage(), record.__dict__["fields"]
    if record.name == LIBRDKAFKA_LOGGER and isinstance(record.args, tuple):
        facility, client, message = record.args
        return LIBRDKAFKA.name, str(message), {"facility": facility, "client": client}
    fields = {"logger": record.name}
    if record.exc_info and record.exc_info[0] is not None:
        fields |= {"error": record.exc_info[0].__name__, "traceback": _frames(record.exc_info[2])}
    return LIBRARY.name, record.getMessage(), fields


def _time(record: logging.LogRecord) -> str:
    """RFC 3339, in UTC, to the millisecond."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def _word(value: object) -> str:
    """A value as one word, quoted where it would be several."""
    if isinstance(value, str) and value.isprintable() and not set(value) & set(' "='):
        return value
    return json.dumps(value, default=str)


def _frames(trace: TracebackType | None) -> str:
    """Where it happened: files, lines and source, no values."""
    return "".join(traceback.format_tb(trace)).rstrip()


def _log_uncaught(crash: threading.ExceptHookArgs) -> None:
    name = crash.thread.name if crash.thread else None
    log(THREAD_CRASHED, thread=name, error=crash.exc_type.__name__, traceback=_frames(crash.exc_traceback))
