"""Formats log records, of this program and of its libraries, as JSON lines or as text."""

import json
import logging
import time
import traceback
from types import TracebackType
from typing import Final

from schemas.printable import printable, shorten_text

LOGGER: Final = "scorer"
LIBRARY_EVENT: Final = "library"
LIBRDKAFKA_EVENT: Final = "librdkafka"
LIBRDKAFKA_LOGGER: Final = "scorer.librdkafka"
# Maximum length of a text in a line: texts of brokers, publishers, operators and libraries may be a megabyte.
_CHARACTERS_MAX: Final = 2_000
_WHOLE: Final = frozenset({"traceback", "threads"})
"""Fields that the program itself writes, and that are useful only as a whole."""


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, event, message, then the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        event, message, fields = _read(record)
        line = {"time": _time(record), "level": record.levelname.lower(), "event": event, "message": message}
        return json.dumps(line | fields, default=str)


class TextLines(logging.Formatter):
    """Text for people: one line, with multi-line fields indented below it."""

    def format(self, record: logging.LogRecord) -> str:
        event, message, fields = _read(record)
        blocks = {name: value for name, value in fields.items() if isinstance(value, str) and "\n" in value}
        words = [f"{name}={_word(value)}" for name, value in fields.items() if name not in blocks]
        line = "  ".join([f"{_time(record)} {record.levelname:<8} {event}: {printable(message)}", *words])
        below = [printable(text) for block in blocks.values() for text in block.splitlines()]
        return "\n    ".join([line, *below])


def _read(record: logging.LogRecord) -> tuple[str, str, dict[str, object]]:
    """Event, message and fields of a record of any logger; long texts are cut."""
    event, message, fields = _read_whole(record)
    shortened = {name: _shorten(name, field) for name, field in fields.items()}
    return event, shorten_text(message, _CHARACTERS_MAX), shortened


def _shorten(name: str, field: object) -> object:
    return shorten_text(field, _CHARACTERS_MAX) if isinstance(field, str) and name not in _WHOLE else field


def _read_whole(record: logging.LogRecord) -> tuple[str, str, dict[str, object]]:
    fields: dict[str, object]
    if record.name == LOGGER:
        return record.__dict__["event"], record.getMessage(), record.__dict__["fields"]
    if record.name == LIBRDKAFKA_LOGGER and isinstance(record.args, tuple):
        facility, client, message = record.args
        return LIBRDKAFKA_EVENT, str(message), {"facility": facility, "client": client}
    fields = {"logger": record.name}
    if record.exc_info and record.exc_info[0] is not None:
        fields |= {"error": record.exc_info[0].__name__, "traceback": frames(record.exc_info[2])}
    return LIBRARY_EVENT, record.getMessage(), fields


def _time(record: logging.LogRecord) -> str:
    """RFC 3339, in UTC, to the millisecond."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def _word(value: object) -> str:
    """A value as one word, quoted if necessary."""
    if isinstance(value, str) and value.isprintable() and not set(value) & set(' "='):
        return value
    return json.dumps(value, default=str)


def frames(trace: TracebackType | None) -> str:
    """The stack trace: files, lines and source, without values."""
    return "".join(traceback.format_tb(trace)).rstrip()
