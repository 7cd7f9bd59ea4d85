"""The pages of dead letters: grouped by code with times, the newest first, nothing of keys and values."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from schemas.records import DeadLetter, Mark, Position
from scorer.console import dead_letters
from scorer.console.dead_letters import PAGE_MAX, newest_letters
from scorer.settings import Settings

SECRET = b"marker-of-a-person"


def letter(offset: int, code: str = "not_json", at_ms: int | None = None) -> DeadLetter:
    """A dead letter."""
    return DeadLetter(
        position=Position(0, offset), code=code, reason="why", topic="t", partition=0, offset=offset,
        at="2026-01-01T00:00:00Z", bundle="b:1.0.0@0", replay_id="", timestamp_ms=offset if at_ms is None else at_ms,
        pointer="", value_bytes=len(SECRET), key=SECRET, value=SECRET, headers=[],
    )  # fmt: skip


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> list[DeadLetter | Mark]:
    """The records of the topic, in order."""
    records: list[DeadLetter | Mark] = []

    def read(*_: object, **__: object) -> Iterator[DeadLetter | Mark]:
        yield from records

    monkeypatch.setattr(dead_letters, "read_dead_letters", read)
    return records


def positions(page: dict[str, Any]) -> list[int]:
    """The offsets of a page."""
    return [shown["offset"] for shown in page["letters"]]


def test_groups_have_counts_and_times(topic: list[DeadLetter | Mark]) -> None:
    """By code: the count, the earliest and latest timestamp, the meaning; the most frequent first."""
    topic += [letter(1), letter(2, "empty"), letter(3), letter(4, "of-nobody", at_ms=-1), letter(5, at_ms=10**18)]
    page = newest_letters(Settings())
    groups = {group.pop("code"): group for group in page["groups"]}
    assert list(groups) == ["not_json", "empty", "other"]
    assert (groups["not_json"]["count"], groups["not_json"]["first_ms"], groups["not_json"]["last_ms"]) == (3, 1, 3)
    assert groups["empty"]["meaning"] == "The value is empty or a tombstone."
    assert (groups["other"]["first_ms"], groups["other"]["last_ms"]) == (None, None)
    assert page["counted"] == page["total"] == 5


def test_pages_follow_each_other(topic: list[DeadLetter | Mark]) -> None:
    """All pages together are all dead letters, the newest first; with a code, those with this code."""
    topic += [letter(number, "empty" if number % 2 else "not_json") for number in range(3 * PAGE_MAX)]
    pages = [newest_letters(Settings(), first=first) for first in range(0, 3 * PAGE_MAX, PAGE_MAX)]
    assert [offset for page in pages for offset in positions(page)] == list(reversed(range(3 * PAGE_MAX)))
    of_code = newest_letters(Settings(), code="empty", first=PAGE_MAX)
    assert all(offset % 2 for offset in positions(of_code))
    assert (of_code["total"], of_code["counted"], of_code["first"]) == (3 * PAGE_MAX // 2, 3 * PAGE_MAX, PAGE_MAX)
    assert newest_letters(Settings(), first=10**8)["letters"] == []


def test_a_mark_says_who_requeued(topic: list[DeadLetter | Mark]) -> None:
    """A mark belongs to its dead letter; one of a dead letter that was not read is ignored."""
    topic += [letter(1), Mark(Position(0, 1), "cleo", "now"), Mark(Position(0, 99), "cleo", "now")]
    (shown,) = newest_letters(Settings())["letters"]
    assert shown["requeued"] == {"actor": "cleo", "at": "now"}


def test_what_can_be_requeued(topic: list[DeadLetter | Mark]) -> None:
    """By code, how many have a copy of their record and no mark, and the ranges of offsets that contain them."""
    topic += [letter(1), letter(2, "empty"), letter(3), letter(4), letter(9), Mark(Position(0, 9), "cleo", "now")]
    topic += [replace(letter(10), pointer="t:0:10"), replace(letter(5), position=Position(1, 5))]
    page = newest_letters(Settings())
    requeueable = {group["code"]: group["requeueable"] for group in page["groups"]}
    assert requeueable == {
        "not_json": {"count": 4, "ranges": [(0, 1, 4), (1, 5, 5)]},
        "empty": {"count": 1, "ranges": [(0, 2, 2)]},
    }
    assert [shown["pointer"] for shown in page["letters"] if shown["pointer"]] == ["t:0:10"]


def test_no_page_has_a_key_or_a_value(topic: list[DeadLetter | Mark]) -> None:
    """They are personal data, and have a request of their own."""
    topic.append(letter(1))
    assert SECRET.decode() not in str(newest_letters(Settings()))
