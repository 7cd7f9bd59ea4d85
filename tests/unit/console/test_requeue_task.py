"""Requeues in the background: what is selected, what the pages and the log say of it, and how it ends."""

import logging
import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from schemas.records import DeadLetter, Position
from scorer.console import requeue_task
from scorer.console.requeue_task import RequeueTask, Selection, _describe
from scorer.errors import BrokerError
from scorer.operate.dead_letters import Progress, Requeued
from scorer.operate.reading import Skipped
from scorer.settings import Settings

SECRET = b"marker-of-a-person"
CHOSEN = Selection(code="model_error", ranges=((0, 1, 4), (1, 7, 7)))
WAIT_S = 30.0


def letter(partition: int, offset: int, code: str = "model_error", value: bytes = SECRET) -> DeadLetter:
    """A dead letter."""
    return DeadLetter(
        position=Position(partition, offset), code=code, reason="why", topic="t", partition=0, offset=offset,
        at="2026-01-01T00:00:00Z", bundle="b:1.0.0@0", replay_id="", timestamp_ms=0, pointer="",
        value_bytes=len(value), key=SECRET, value=value, headers=[],
    )  # fmt: skip


class Topic:
    """The dead letters, and how a requeue of them goes."""

    def __init__(self) -> None:
        self.letters = [letter(0, offset) for offset in range(6)]
        self.actor = ""
        self.before_each: Callable[[], object] = lambda: None

    def requeue(
        self,
        _: Settings,
        is_selected: Callable[[DeadLetter], bool],
        actor: str,
        report: Callable[[Progress], object],
        should_stop: Callable[[], bool],
    ) -> Requeued:
        """Requeues each selected one in a transaction of its own."""
        self.actor = actor
        positions = [one.position for one in self.letters if is_selected(one)]
        report(Progress((), len(positions)))
        requeued = []
        for position in positions:
            if should_stop():
                break
            self.before_each()
            requeued.append(position)
            report(Progress((position,), len(positions)))
        return Requeued(tuple(requeued), (), tuple(self.letters[:1]), Skipped())


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Topic]:
    """The topic; what is logged is captured."""
    made = Topic()
    monkeypatch.setattr(requeue_task, "requeue", made.requeue)
    with caplog.at_level(logging.INFO, "scorer"):
        yield made


def ended(task: RequeueTask) -> dict[str, Any]:
    """The state of a requeue that was started, after its end."""
    ends_at = time.monotonic() + WAIT_S
    while task.running is not None and time.monotonic() < ends_at:
        time.sleep(0.001)
    state = task.as_json()
    assert state is not None
    assert state["has_ended"]
    return state


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    """The names and fields of the lines of the log."""
    assert SECRET.decode() not in str([line.__dict__ for line in caplog.records])
    return [(line.__dict__["event"], line.__dict__["fields"]) for line in caplog.records]


def test_what_is_selected() -> None:
    """The dead letters with the code within the ranges, both ends included, and no others."""
    is_selected = CHOSEN.selector()
    assert [offset for offset in range(8) if is_selected(letter(0, offset))] == [1, 2, 3, 4]
    assert [offset for offset in range(9) if is_selected(letter(1, offset))] == [7]
    assert not is_selected(letter(2, 1))
    assert not is_selected(letter(0, 1, "empty"))
    others = Selection(code="other", ranges=((0, 0, 9),)).selector()
    assert (others(letter(0, 1, "of-nobody")), others(letter(0, 1))) == (True, False)


def test_the_progress_and_the_log(topic: Topic, caplog: pytest.LogCaptureFixture) -> None:
    """Each transaction is counted and logged with the operator, the code and positions; never with a key or value."""
    task = RequeueTask(Settings(), lambda: False)
    assert task.as_json() is None
    task.start(CHOSEN, "dora", "10.0.0.7")
    state = ended(task)
    assert topic.actor == "dora"
    assert (state["number"], state["operator"], state["code"]) == (1, "dora", "model_error")
    assert (state["total"], state["done"], state["pointers"], state["error"]) == (4, 4, 1, "")
    fields = {"client": "10.0.0.7", "operator": "dora", "code": "model_error", "count": 1}
    assert events(caplog) == [("dead_letters_requeued", {**fields, "positions": [f"0:{o}"]}) for o in (1, 2, 3, 4)]
    task.start(CHOSEN, "ana", "10.0.0.8")
    assert (ended(task)["number"], topic.actor) == (2, "ana")


def test_a_failure_is_shown_and_logged(topic: Topic, caplog: pytest.LogCaptureFixture) -> None:
    """With what was requeued before it; the next requeue can begin."""

    def fail() -> None:
        raise BrokerError("Write on topic dlq is missing")

    topic.before_each = fail
    task = RequeueTask(Settings(), lambda: False)
    task.start(CHOSEN, "dora", "")
    state = ended(task)
    assert (state["total"], state["done"], state["error"]) == (4, 0, "Write on topic dlq is missing")
    fields = {"client": "", "operator": "dora", "code": "model_error", "error": state["error"]}
    assert events(caplog) == [("requeue_failed", fields)]
    topic.before_each = lambda: None
    task.start(CHOSEN, "dora", "")
    assert ended(task)["error"] == ""


def test_a_bug_ends_the_requeue_and_not_the_console(topic: Topic, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the log nor the page has the exception's text, which may contain a value."""

    def fail() -> None:
        raise ValueError(SECRET.decode())

    topic.before_each = fail
    task = RequeueTask(Settings(), lambda: False)
    task.start(CHOSEN, "dora", "")
    assert ended(task)["error"] == "unexpected error (ValueError, a bug): see the console's log"
    assert [name for name, _ in events(caplog)] == ["thread_crashed"]


def test_a_stop_ends_it_between_two_transactions(topic: Topic, caplog: pytest.LogCaptureFixture) -> None:
    """The current transaction is finished, and nothing begins after it."""
    begun, go, stopping = Event(), Event(), Event()

    def wait() -> None:
        begun.set()
        assert go.wait(WAIT_S)

    topic.before_each = wait
    task = RequeueTask(Settings(), stopping.is_set)
    task.start(CHOSEN, "dora", "")
    assert begun.wait(WAIT_S)
    assert task.running is not None
    stopping.set()
    go.set()
    task.wait()
    state = ended(task)
    assert (state["total"], state["done"]) == (4, 1)
    assert state["error"] == "the console was stopped: requeue the rest again"
    assert [name for name, _ in events(caplog)] == ["dead_letters_requeued", "requeue_failed"]


def test_a_limit_of_memory(topic: Topic, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Above it nothing is requeued, and the message says what to use instead."""
    monkeypatch.setattr(requeue_task, "_BYTES_MAX", 4 * len(SECRET) - 1)
    task = RequeueTask(Settings(), lambda: False)
    task.start(CHOSEN, "dora", "")
    state = ended(task)
    assert (state["total"], state["done"]) == (None, 0)
    assert "nothing was requeued" in state["error"]
    assert "`scorer dlq requeue`" in state["error"]
    assert [name for name, _ in events(caplog)] == ["requeue_failed"]
    monkeypatch.setattr(requeue_task, "_BYTES_MAX", 4 * len(SECRET))
    task.start(CHOSEN, "dora", "")
    assert ended(task)["done"] == 4
    assert topic.actor == "dora"


def test_positions_in_the_log() -> None:
    """Offsets that follow each other are one entry; partitions are separate."""
    positions = [Position(0, 3), Position(0, 4), Position(0, 5), Position(0, 7), Position(1, 8), Position(1, 6)]
    assert _describe(positions) == ["0:3-5", "0:7", "1:6", "1:8"]
    assert _describe([]) == []
