"""Dead letters for the console: the newest ones, with counts per code; values only on request."""

from collections import Counter
from typing import Any, Final

from schemas.records import DeadLetter, Position
from scorer.operate.dead_letters import find_dead_letter, read_dead_letters
from scorer.operate.reading import Skipped
from scorer.settings import Settings

_READ_MAX: Final = 2_000
"""The newest offsets per partition that are read."""
_SHOWN_MAX: Final = 200
_VALUE_BYTES_MAX: Final = 65_536


def newest_letters(settings: Settings) -> dict[str, Any]:
    """The newest dead letters without keys, values and headers, and their number per code, as JSON.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: the topic cannot be read.
    """
    letters: dict[Position, dict[str, Any]] = {}  # without their values, which can be a megabyte each
    order: dict[Position, tuple[int, Position]] = {}
    codes: Counter[str] = Counter()
    skipped = Skipped()
    for record in read_dead_letters(settings, newest=_READ_MAX, skipped=skipped):
        if isinstance(record, DeadLetter):
            letters[record.position] = _as_json(record)
            order[record.position] = (record.timestamp_ms, record.position)
            codes[record.counted_as] += 1
        elif record.position in letters:
            letters[record.position]["requeued"] = {"actor": record.actor, "at": record.at}
    newest = sorted(letters, key=lambda position: order[position], reverse=True)[:_SHOWN_MAX]
    return {
        "counted": len(letters),
        "codes": dict(codes.most_common()),
        "letters": [letters[position] for position in newest],
        **skipped.as_json(),
    }


def read_value(settings: Settings, position: Position) -> dict[str, Any]:
    """Key, value and headers of one dead letter, as JSON; bytes that are not UTF-8 are escaped, long values cut.

    Raises:
        DeadLetterError: there is no dead letter at that offset.
        TopicsError, BrokerError: the topic cannot be read.
    """
    letter = find_dead_letter(settings, position)
    value = letter.value or b""
    return {
        "key": None if letter.key is None else letter.id,
        "value": value[:_VALUE_BYTES_MAX].decode(errors="backslashreplace"),
        "bytes": len(value),
        "cut": len(value) > _VALUE_BYTES_MAX,
        "headers": [[name, (raw or b"").decode(errors="backslashreplace")] for name, raw in letter.headers],
    }


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    return {
        "partition": letter.position.partition,
        "offset": letter.position.offset,
        "code": letter.code,
        "counted_as": letter.counted_as,
        "reason": letter.reason,
        "source": {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset},
        "at": letter.at,
        "bundle": letter.bundle,
        "bytes": letter.value_bytes,
        "requeued": None,
    }
