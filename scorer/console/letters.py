"""Dead letters as a page shows them: the newest, counted by code, what they hold only where somebody asks for it."""

from collections import Counter
from typing import Any, Final

from schemas.records import DeadLetter, Place
from scorer.settings import Settings
from scorer.stream.dead_letters import find_dead_letter, read_dead_letters
from scorer.stream.reading import Skipped

_READ_MAX: Final = 2_000
"""Offsets of each partition that are looked through."""
_SHOWN_MAX: Final = 200
_VALUE_BYTES_MAX: Final = 65_536


def newest_letters(settings: Settings) -> dict[str, Any]:
    """The newest dead letters without key, value and headers' contents, and their number by code, as JSON.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: it cannot be read.
    """
    letters: dict[Place, dict[str, Any]] = {}  # what is shown of them: values can be a megabyte each
    order: dict[Place, tuple[int, Place]] = {}
    codes: Counter[str] = Counter()
    skipped = Skipped()
    for record in read_dead_letters(settings, newest=_READ_MAX, skipped=skipped):
        if isinstance(record, DeadLetter):
            letters[record.place] = _told(record)
            order[record.place] = (record.timestamp_ms, record.place)
            codes[record.counted_as] += 1
        elif record.place in letters:
            letters[record.place]["requeued"] = {"actor": record.actor, "at": record.at}
    newest = sorted(letters, key=lambda place: order[place], reverse=True)[:_SHOWN_MAX]
    return {
        "counted": len(letters),
        "codes": dict(codes.most_common()),
        "letters": [letters[place] for place in newest],
        **skipped.as_json(),
    }


def reveal(settings: Settings, place: Place) -> dict[str, Any]:
    """What one dead letter holds, as JSON: text as far as it is text, and no longer than a page can show.

    Raises:
        DeadLetterError: there is none at that place.
        TopicsError, BrokerError: it cannot be read.
    """
    letter = find_dead_letter(settings, place)
    value = letter.value or b""
    return {
        "key": None if letter.key is None else letter.id,
        "value": value[:_VALUE_BYTES_MAX].decode(errors="backslashreplace"),
        "bytes": len(value),
        "cut": len(value) > _VALUE_BYTES_MAX,
        "headers": [[name, (raw or b"").decode(errors="backslashreplace")] for name, raw in letter.headers],
    }


def _told(letter: DeadLetter) -> dict[str, Any]:
    return {
        "partition": letter.place.partition,
        "offset": letter.place.offset,
        "code": letter.code,
        "counted_as": letter.counted_as,
        "reason": letter.reason,
        "source": {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset},
        "at": letter.at,
        "bundle": letter.bundle,
        "bytes": letter.value_bytes,
        "requeued": None,
    }
