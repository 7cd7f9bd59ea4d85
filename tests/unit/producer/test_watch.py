"""`producer watch` selects results by id and kind, and begins with the newest ones."""

from collections.abc import Iterator, Sequence
from typing import cast

import pytest
from confluent_kafka import Message

from producer.settings import Settings
from producer.tail import TopicTail
from producer.watch import Filter, Watch, topics_of
from schemas.records import DeadLetter, Malformed
from tests.unit.producer.test_results import AT_MS, DEAD_LETTERS, DECISION, REJECTED, _message

ALL = Filter()


class FakeTail:
    """A reader of these records, of which so many were there at the start."""

    def __init__(self, messages: Sequence[Message], at_start: int) -> None:
        self._old, self._new = messages[:at_start], list(messages[at_start:])

    def read_to_end(self, timeout_s: float) -> Iterator[Message]:
        """The records so far."""
        assert timeout_s > 0
        return iter(self._old)

    def poll(self, timeout_s: float) -> Message | None:
        """The next record."""
        assert timeout_s > 0
        return self._new.pop(0) if self._new else None


def decided(application_id: str, second: int = 0, label: str = "APPROVED") -> Message:
    """A decision, written at this second."""
    decision = DECISION.model_copy(update={"application_id": application_id, "decision": label})
    return _message(decision.model_dump_json().encode(), at_ms=AT_MS + 1_000 * second)


def rejected(application_id: str, second: int = 0) -> Message:
    """A dead letter, written at this second."""
    headers: list[tuple[str, bytes | str | None]] = [*REJECTED]
    return _message(
        b"{", key=application_id.encode(), headers=headers, topic=DEAD_LETTERS, at_ms=AT_MS + 1_000 * second
    )


def watched(
    messages: Sequence[Message],
    shown: Filter = ALL,
    *,
    last: int = 0,
    at_start: int = 0,
) -> tuple[list[str], list[Malformed]]:
    """The ids of the results that are shown, in order, and the malformed records."""
    skipped: list[Malformed] = []
    tail = FakeTail(messages, at_start)
    watch = Watch(cast("TopicTail", tail), DEAD_LETTERS, shown, skipped.append)
    records = [result.record for result in watch.results(last, lambda: not tail._new)]
    return [r.id or "" if isinstance(r, DeadLetter) else r.application_id for r in records], skipped


MESSAGES = [decided("try-1"), decided("up-1", label="DECLINED"), rejected("try-2"), decided("other", label="MAYBE")]


@pytest.mark.parametrize(
    ("shown", "ids"),
    [
        (Filter(), ["try-1", "up-1", "try-2", "other"]),
        (Filter("try-"), ["try-1", "try-2"]),
        (Filter("try-2"), ["try-2"]),
        (Filter(kind="DECLINED"), ["up-1"]),
        (Filter(kind="REJECTED"), ["try-2"]),
        (Filter("try-", "APPROVED"), ["try-1"]),
    ],
)
def test_results_are_selected(shown: Filter, ids: list[str]) -> None:
    """Own applications once drowned among a hundred thousand lines of others."""
    assert watched(MESSAGES, shown) == (ids, [])


def test_the_newest_come_first_in_the_order_of_time() -> None:
    """Of several partitions, whose records are read in any order; then the new ones follow as they come."""
    old = [decided("a", 3), decided("b", 1), decided("c", 2), decided("d", 0)]
    assert watched([*old, decided("new", 9)], last=2, at_start=4) == (["c", "a", "new"], [])
    assert watched(old, last=9, at_start=4) == (["d", "b", "c", "a"], [])
    assert watched(old, Filter("d"), last=1, at_start=4) == (["d"], [])


def test_the_newest_of_one_batch_are_its_last() -> None:
    """The decisions of a batch have one timestamp; the first ones of it were shown, in reverse order."""
    old = [decided("before", 0), *(decided(f"batch-{number}", 1) for number in range(5))]
    assert watched(old, last=2, at_start=6) == (["batch-3", "batch-4"], [])
    assert watched(old, last=6, at_start=6)[0] == ["before", *(f"batch-{number}" for number in range(5))]


def test_malformed_records_are_reported() -> None:
    """They are not results, and do not end the command."""
    ids, skipped = watched([_message(b"{"), decided("a")])
    assert ids == ["a"]
    assert len(skipped) == 1


def test_rejected_applications_are_only_on_the_dead_letter_topic() -> None:
    """So the decisions, a hundred times as many, are not read for them."""
    settings = Settings()
    assert topics_of(settings, Filter(), dead_letters=False) == [settings.decisions_topic]
    assert topics_of(settings, Filter(), dead_letters=True) == [settings.decisions_topic, settings.dead_letters_topic]
    assert topics_of(settings, Filter(kind="REJECTED"), dead_letters=False) == [settings.dead_letters_topic]
