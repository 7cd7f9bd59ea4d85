"""Dead letters as a page shows them: the newest, counted by code, what they hold only where somebody asks for it."""

from collections import Counter
from typing import Any, Final

from scorer.settings import Settings
from scorer.stream.dead_letters import DeadLetter, Place, find_dead_letter, read_dead_letters

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
    for found in read_dead_letters(settings, newest=_READ_MAX):
        if isinstance(found, DeadLetter):
            letters[found.place] = _told(found)
        elif found.place in letters:
            letters[found.place]["requeued"] = {"actor": found.actor, "at": found.at}
    newest = sorted(letters.values(), key=lambda letter: letter["at"], reverse=True)
    return {
        "counted": len(newest),
        "codes": dict(Counter(letter["code"] for letter in newest).most_common()),
        "letters": newest[:_SHOWN_MAX],
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
        "reason": letter.reason,
        "source": {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset},
        "at": letter.at,
        "bundle": letter.bundle,
        "bytes": len(letter.value or b""),
        "requeued": None,
    }
