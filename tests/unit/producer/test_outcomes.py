"""Decisions and dead letters as they are read and shown."""

import io
import json

from confluent_kafka import TIMESTAMP_CREATE_TIME, Message
from rich.console import Console

from producer.outcomes import DeadLetter, is_mark, read_outcome, source_of
from producer.show import decision_panel, outcome_json, outcome_line
from schemas.decision import BundleReference, Decision, RecordReference

DECISION = Decision(
    decision_id="t:3:7@aaaaaaaaaaaa",
    application_id="x",
    decision="MAYBE",
    probability_of_default=0.31,
    bundle=BundleReference(name="credit-risk", version="1.1.0", digest="a" * 64),
    source=RecordReference(topic="t", partition=3, offset=7),
)
REJECTED = [
    ("dlq.code", b"wrong_type"),
    ("dlq.reason", b"age: wrong type"),
    ("dlq.topic", b"t"),
    ("dlq.partition", b"3"),
    ("dlq.offset", b"7"),
]


def _message(
    value: bytes | None, key: bytes | None = b"x", headers: list[tuple[str, bytes | str | None]] | None = None
) -> Message:
    return Message(
        topic="out", partition=0, offset=9, key=key, value=value, headers=headers,
        timestamp=(TIMESTAMP_CREATE_TIME, 1_769_852_400_123),
    )  # fmt: skip


def _decided(**changes: str) -> Message:
    return _message(DECISION.model_copy(update=changes).model_dump_json().encode())


def test_a_decision_and_a_dead_letter_name_the_same_source() -> None:
    """Both are read, and both say which record of the applications they are about."""
    rejected = read_outcome(_message(b"{", headers=[*REJECTED]))
    assert rejected == DeadLetter("x", "wrong_type", "age: wrong type", ("t", 3, 7))
    assert read_outcome(_decided()) == DECISION
    assert source_of(rejected) == source_of(DECISION) == ("t", 3, 7)


def test_a_mark_is_no_outcome() -> None:
    """That a dead letter was put back is no outcome of anything; whoever watches outcomes passes it over."""
    assert is_mark(_message(None, headers=[("dlq.requeued", b"17"), ("dlq.actor", b"ana")]))
    assert not is_mark(_message(b"{", headers=[*REJECTED]))
    assert not is_mark(_decided())


def test_what_is_neither_is_said_to_be() -> None:
    """Tombstones and records of other kinds are neither, and are shown by their own place."""
    for value in (None, b"", b"\xff", b"{}", b"[]"):
        assert read_outcome(_message(value)) is None
    assert "out:0:9" in outcome_line(_message(b"{}")).plain
    assert json.loads(outcome_json(_message(None)))["record"] == {"topic": "out", "partition": 0, "offset": 9}


def test_dead_letters_with_headers_missing_or_broken_are_still_read() -> None:
    """A dead letter without a key, a reason or numbers for its place is shown with what there is."""
    message = _message(b"", key=None, headers=[("dlq.code", b"empty"), ("dlq.offset", b"\xff"), ("dlq.topic", None)])
    assert read_outcome(message) == DeadLetter("", "empty", "", ("", -1, -1))
    assert "(no key)" in outcome_line(message).plain


def test_a_line_has_time_id_decision_probability_and_bundle() -> None:
    """What `watch` shows of a decision and of a dead letter fits one line each."""
    line = outcome_line(_decided()).plain
    assert all(part in line for part in (".123  ", "  x  ", "MAYBE", "31.00%", "credit-risk:1.1.0"))
    line = outcome_line(_message(b"{", headers=[*REJECTED])).plain
    assert all(part in line for part in ("  x  ", "REJECTED", "wrong_type: age: wrong type"))


def test_json_lines_hold_everything() -> None:
    """What `watch --json` prints is the decision itself with its kind and time, or the dead letter's headers."""
    read = json.loads(outcome_json(_decided()))
    assert (read.pop("kind"), read.pop("at")) == ("decision", "2026-01-31T09:40:00.123+00:00")
    assert read == DECISION.model_dump()
    assert json.loads(outcome_json(_message(b"{", headers=[*REJECTED]))) == {
        "kind": "dead_letter",
        "at": "2026-01-31T09:40:00.123+00:00",
        "application_id": "x",
        "code": "wrong_type",
        "reason": "age: wrong type",
        "source": {"topic": "t", "partition": 3, "offset": 7},
    }


def test_an_id_commands_neither_the_terminal_nor_the_markup() -> None:
    """Anybody may publish an id: escape sequences and line breaks in it are shown, not obeyed, and so is markup."""
    nasty = _decided(application_id="[red]\x1b[2J\n\u202ex")
    assert "[red]�[2J��x" in outcome_line(nasty).plain
    screen = io.StringIO()
    decision = read_outcome(nasty)
    assert isinstance(decision, Decision)
    Console(file=screen, width=100).print(decision_panel(decision, 0.1234))
    assert "[red]�[2J��x" in screen.getvalue()
    assert "31.0%" in screen.getvalue()
    assert "123 ms" in screen.getvalue()
    assert "\x1b" not in outcome_json(nasty)
