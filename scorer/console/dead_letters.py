"""Dead letters for the console: the newest ones in pages, grouped by code; keys and values only on request."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.records import DeadLetter, Mark, Position
from schemas.rejection import MEANINGS
from scorer.console.times import known_ms
from scorer.operate.dead_letters import find_dead_letter, find_mark, read_dead_letters
from scorer.operate.reading import Skipped
from scorer.settings import Settings

PAGE_MAX: Final = 25
"""Dead letters per response."""
_READ_MAX: Final = 2_000
"""The newest offsets per partition that are read."""
_VALUE_BYTES_MAX: Final = 65_536
_MEANINGS: Final = {code.value: meaning for code, meaning in MEANINGS.items()}


@dataclass(slots=True)
class _Group:
    """The dead letters with one code: how many, and the earliest and latest timestamp; None without any.

    `positions` are those of the dead letters that can be requeued: they have a copy of their record, and no mark.
    """

    count: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    positions: list[Position] = field(default_factory=list)

    def add(self, at_ms: int) -> None:
        self.count += 1
        if known_ms(at_ms) is not None:
            self.first_ms = at_ms if self.first_ms is None else min(self.first_ms, at_ms)
            self.last_ms = at_ms if self.last_ms is None else max(self.last_ms, at_ms)


def newest_letters(settings: Settings, code: str | None = None, first: int = 0) -> dict[str, Any]:
    """A page of the newest dead letters without keys, values and headers, and all that were read by code, as JSON.

    Args:
        settings: the brokers and the topic.
        code: only dead letters that are counted under this code; None for all.
        first: the index of the first one, the newest being 0.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: the topic cannot be read.
    """
    skipped = Skipped()
    page = _page(read_dead_letters(settings, newest=_READ_MAX, skipped=skipped), code, first)
    return {**page, "offsets_read": _READ_MAX, **skipped.as_json()}


def _page(records: Iterable[DeadLetter | Mark], code: str | None, first: int) -> dict[str, Any]:
    letters: dict[Position, dict[str, Any]] = {}  # without their values, which can be a megabyte each
    order: dict[Position, tuple[int, Position]] = {}
    groups: dict[str, _Group] = {}
    for record in records:
        if isinstance(record, DeadLetter):
            letters[record.position] = _as_json(record)
            order[record.position] = (record.timestamp_ms, record.position)
            groups.setdefault(record.counted_as, _Group()).add(record.timestamp_ms)
        elif record.position in letters:
            letters[record.position]["requeued"] = _mark_as_json(record)
    for position, shown in letters.items():
        if shown["requeued"] is None and not shown["pointer"]:
            groups[shown["counted_as"]].positions.append(position)
    newest = sorted(letters, key=lambda position: order[position], reverse=True)
    selected = [position for position in newest if code in {None, letters[position]["counted_as"]}]
    return {
        "counted": len(letters),
        "groups": [
            _group_as_json(name, group) for name, group in sorted(groups.items(), key=lambda one: -one[1].count)
        ],
        "total": len(selected),
        "first": first,
        "letters": [letters[position] for position in selected[first : first + PAGE_MAX]],
    }


def _group_as_json(code: str, group: _Group) -> dict[str, Any]:
    meaning = _MEANINGS.get(code, "a code that this release does not know")
    return {
        "code": code,
        "count": group.count,
        "first_ms": group.first_ms,
        "last_ms": group.last_ms,
        "meaning": meaning,
        "requeueable": {"count": len(group.positions), "ranges": _ranges(group.positions)},
    }


def _ranges(positions: Iterable[Position]) -> list[tuple[int, int, int]]:
    """By partition, the first and the last offset of some positions.

    The topic does not change in between: dead letters that arrive later are never within these ranges.
    """
    offsets: dict[int, list[int]] = {}
    for position in positions:
        offsets.setdefault(position.partition, []).append(position.offset)
    return [(partition, min(own), max(own)) for partition, own in sorted(offsets.items())]


def read_letter(settings: Settings, position: Position) -> dict[str, Any]:
    """One dead letter without key, value and headers, as JSON; its mark is looked up where a list would find it.

    Raises:
        DeadLetterError: no dead letter was found at that offset.
        TopicsError, BrokerError: the topic cannot be read.
    """
    letter = _as_json(find_dead_letter(settings, position))
    mark = find_mark(settings, position, newest=_READ_MAX)
    return letter | {"requeued": None if mark is None else _mark_as_json(mark)}


def read_value(settings: Settings, position: Position) -> dict[str, Any]:
    """Key, value and headers of one dead letter, as JSON; bytes that are not UTF-8 are escaped, long values cut.

    Raises:
        DeadLetterError: no dead letter was found at that offset.
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


def _mark_as_json(mark: Mark) -> dict[str, str]:
    return {"actor": mark.actor, "at": mark.at}


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
        "pointer": letter.pointer,
        "requeued": None,
    }
