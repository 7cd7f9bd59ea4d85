"""Logging: a closed table of events, on stderr as JSON lines or as text; never a value of an application's field."""

import logging
import os
import select
import sys
import threading
from logging import CRITICAL, DEBUG, ERROR, INFO, WARNING
from typing import Final, Literal, NamedTuple, TextIO

from scorer.log_lines import LIBRARY_EVENT, LIBRDKAFKA_EVENT, LOGGER, JsonLines, TextLines, frames

LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]

_log = logging.getLogger(LOGGER)


class Event(NamedTuple):
    """A log event: its stable name, its level, its message, and the names of its fields."""

    name: str
    level: int
    meaning: str
    fields: tuple[str, ...] = ()


WORKER_STARTED = Event(
    "worker_started",
    INFO,
    "bundle loaded and topics found; joining the consumer group",
    ("group", "instance", "http", "delivery", "bundle", "engine"),
)
SERVICE_LINKS_IGNORED = Event(
    "service_links_ignored",
    INFO,
    "ignored environment variables that Kubernetes set for a Service (enableServiceLinks: false omits them)",
    ("variables",),
)
STOP_REQUESTED = Event(
    "stop_requested", INFO, "received a signal; finishing the current batch before stopping", ("signal",)
)
WORKER_STOPPED = Event("worker_stopped", INFO, "committed the last batch and left the consumer group")
PROCESS_FAILED = Event(
    "process_failed", ERROR, "the process cannot continue; the error says why and how to fix it", ("error", "exit_code")
)
PROCESS_CRASHED = Event(
    "process_crashed",
    CRITICAL,
    "unexpected error (a bug); the process exits, and uncommitted work is discarded",
    ("error", "traceback"),
)
THREAD_CRASHED = Event(
    "thread_crashed", ERROR, "unexpected error (a bug) in a background thread", ("thread", "error", "traceback")
)
PROCESS_STALLED = Event(
    "process_stalled",
    CRITICAL,
    "an activity exceeded its time limit; the process exits, and uncommitted work is discarded",
    ("activity", "limit_s", "threads"),
)
PARTITIONS_CHANGED = Event(
    "partitions_changed",
    INFO,
    "partitions were assigned to this worker or revoked",
    ("topic", "kind", "partitions", "assigned"),
)
PARTITION_BLOCKED = Event(
    "partition_blocked",
    ERROR,
    "cannot read a partition from its committed offset; other partitions continue",
    ("topic", "partition", "reason"),
)
RECORDS_UNREADABLE = Event(
    "records_unreadable",
    WARNING,
    "a record batch on the input topic is corrupt or too large; its records become dead letters",
    ("topic", "partition", "offset", "records", "error"),
)
DEAD_LETTERS_ARE_POINTERS = Event(
    "dead_letters_are_pointers",
    WARNING,
    "the dead-letter topic rejected a large record; from now on dead letters reference such records instead",
    ("topic",),
)
ENGINE_UNUSED = Event(
    "engine_unused",
    WARNING,
    "the compiled engine is not used; the Python engine decides the same bytes, in more time",
    ("bundle", "error"),
)
ENGINE_FAILED = Event(
    "engine_failed",
    ERROR,
    "the compiled engine failed on a batch (a bug); the Python engine decided it. Logged once per bundle",
    ("bundle",),
)
BATCH_COMMITTED = Event(
    "batch_committed",
    DEBUG,
    "batch committed",
    ("offsets_next", "records", "rejected", "bundle", "seconds"),
)
BATCH_ABORTED = Event(
    "batch_aborted", WARNING, "batch aborted; its applications will be processed again", ("topic", "error")
)
COMMIT_FAILED = Event("commit_failed", WARNING, "committing offsets failed after publishing; retrying", ("error",))
BROKER_RETRIED = Event("broker_retried", WARNING, "the broker did not answer; retrying", ("error",))
CONNECTION_FAILED = Event("connection_failed", WARNING, "connection to a broker failed; retrying", ("error",))
CONSUMER_FAILED = Event("consumer_failed", WARNING, "the consumer reported a transient error", ("topic", "error"))
CONSUMER_NOT_CLOSED = Event(
    "consumer_not_closed",
    WARNING,
    "the consumer took too long to leave its group, and is abandoned; everything was committed",
    ("topic", "seconds"),
)
HEADERS_UNREADABLE = Event(
    "headers_unreadable",
    WARNING,
    "a header name is not UTF-8; the record's headers are not copied to its result. Logged once per worker",
    ("topic", "partition", "offset"),
)
BUNDLE_SWITCHED = Event("bundle_switched", INFO, "switched to another bundle", ("bundle", "previous"))
BUNDLE_LOAD_FAILED = Event(
    "bundle_load_failed",
    WARNING,
    "cannot load a deployed bundle; keeping the previous one and retrying",
    ("slot", "bundle", "error"),
)
CHALLENGER_CHANGED = Event("challenger_changed", INFO, "challenger changed or removed", ("bundle",))
CHALLENGER_FAILED = Event(
    "challenger_failed",
    WARNING,
    "the challenger failed to score a batch; the champion is not affected. Logged once per challenger",
    ("challenger", "bundle", "error"),
)
TRUST_UNREADABLE = Event(
    "trust_unreadable",
    WARNING,
    "the trusted keys file is unreadable or invalid; keeping the previous keys",
    ("error",),
)
TRUST_CHANGED = Event(
    "trust_changed", INFO, "the trusted keys file changed; reading the deployment history again", ("keys",)
)
HISTORY_UNREADABLE = Event(
    "history_unreadable", WARNING, "cannot read the deployment history; retrying", ("topic", "error")
)
DEPLOYMENT_RECORD_IGNORED = Event(
    "deployment_record_ignored",
    WARNING,
    "malformed deployment record ignored",
    ("offset", "error"),
)
RECORD_SKIPPED = Event(
    "record_skipped",
    WARNING,
    "unexpected record skipped and counted. Only the first few are logged",
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
WRONG_TOKEN = Event(
    "wrong_token",
    WARNING,
    "wrong console token. At most one line per second; `suppressed` counts the others",
    ("client", "suppressed"),
)
TOPIC_CONFIG_UNREADABLE = Event(
    "topic_config_unreadable",
    WARNING,
    "a topic's configuration cannot be read, so the console has no metric of its partitions below min.insync.replicas",
    ("topic", "error"),
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
    "a console user viewed the value of a dead letter",
    ("client", "partition", "offset"),
)
APPLICATION_SHOWN = Event(
    "application_shown", INFO, "a console user viewed the values of an application", ("client", "partition", "offset")
)
REVIEW_WRITTEN = Event(
    "review_written", INFO, "a reviewer reviewed a decision", ("client", "reviewer", "decision_id", "counts")
)
DEAD_LETTERS_REQUEUED = Event(
    "dead_letters_requeued",
    INFO,
    "a console operator requeued dead letters. Logged once per transaction",
    ("client", "operator", "code", "count", "positions"),
)
REQUEUE_FAILED = Event(
    "requeue_failed",
    WARNING,
    "a console operator's requeue of dead letters ended early; those requeued before have their marks",
    ("client", "operator", "code", "error"),
)
LOG_LINES_DROPPED = Event(
    "log_lines_dropped", WARNING, "log lines were dropped because standard error was blocked", ("lines",)
)
LIBRDKAFKA = Event(LIBRDKAFKA_EVENT, INFO, "log line of librdkafka, at its own level", ("facility", "client"))
LIBRARY = Event(LIBRARY_EVENT, WARNING, "log line of another library, at its own level", ("logger",))

EVENTS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Event))
"""All events; the documentation is compared with this table."""


def log(event: Event, **fields: object) -> None:
    """Logs an event, if its level is enabled.

    Args:
        event: an event of the table.
        fields: exactly the event's fields, as JSON values: names, numbers and rules, never a field's value.
    """
    assert fields.keys() == set(event.fields), f"{event.name} has the fields {event.fields}"
    _log.log(event.level, event.meaning, extra={"event": event.name, "fields": fields})


def log_crash(crash: BaseException) -> None:
    """Logs an unexpected error without its message, which may contain an applicant's data."""
    log(PROCESS_CRASHED, error=type(crash).__name__, traceback=frames(crash.__traceback__))


def log_thread_crash(thread: str, crash: BaseException) -> None:
    """Logs an unexpected error that a thread survived, without its message, which may contain an applicant's data."""
    log(THREAD_CRASHED, thread=thread, error=type(crash).__name__, traceback=frames(crash.__traceback__))


def log_to_stderr(log_format: LogFormat = "auto", level: LogLevel = "info") -> None:
    """Sends this process's log to stderr; a second call replaces the first.

    Args:
        log_format: auto is text on a terminal and JSON lines everywhere else.
        level: the lowest level for this package's and librdkafka's lines. Other libraries log from warning on.
    """
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    handler = _StderrHandler(sys.stderr)
    handler.setFormatter(TextLines() if as_text else JsonLines())
    level_number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(level_number, WARNING), handlers=[handler], force=True)
    _log.setLevel(level_number)
    logging.captureWarnings(True)
    threading.excepthook = _log_uncaught


def write_to_stderr(text: str) -> None:
    """Writes text that is not a log line; with a log, it blocks no longer than a log line does."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _StderrHandler):
            handler.write(text)
            return
    sys.stderr.write(text)


def current_format() -> Literal["json", "text"] | None:
    """The format of this process's log; None without a log."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonLines):
            return "json"
        if isinstance(handler.formatter, TextLines):
            return "text"
    return None


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes lines to stderr, whose reader may be slow, stuck or gone: the process neither exits nor blocks.

    A line waits briefly for space in the pipe. If there is none, the line is dropped and counted, and while that lasts
    no other line waits. Before the next line that can be written, a line reports how many were dropped.
    """

    _WAIT_S: Final = 0.1
    """A live reader makes space faster, and a worker that waits once per stall is hardly slowed down."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        try:
            self._descriptor: int | None = stream.fileno()
        except (OSError, ValueError):  # a stream of a test
            self._descriptor = None
        self._lines_lost = 0
        self._is_line_cut = False

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a line."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  (any library may have made the line)
            self._lines_lost += 1
            return
        lost = self._lines_lost
        if lost and self._has_room(wait_s=0):
            self._lines_lost = 0
            log(LOG_LINES_DROPPED, lines=lost)  # a recursive call, which counts this line if it is dropped, too
            self._lines_lost *= lost
        if not self._write(f"{line}\n", wait_s=0 if self._lines_lost else self._WAIT_S):
            self._lines_lost += 1

    def write(self, text: str) -> None:
        """Writes text that is not a log line."""
        self.acquire()
        try:
            self._write(text, self._WAIT_S)
        finally:
            self.release()

    def _write(self, text: str, wait_s: float) -> bool:
        """Writes a text; returns whether all of it was written."""
        if self._descriptor is None:
            self.stream.write(text)
            return True
        rest = ("\n" * self._is_line_cut + text).encode(self.stream.encoding, "backslashreplace")
        try:
            while rest and self._has_room(wait_s):
                # A pipe with any space takes PIPE_BUF bytes at once, unless another process writes to it as well.
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


def _log_uncaught(crash: threading.ExceptHookArgs) -> None:
    name = crash.thread.name if crash.thread else None
    log(THREAD_CRASHED, thread=name, error=crash.exc_type.__name__, traceback=frames(crash.exc_traceback))
