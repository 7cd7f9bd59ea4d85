"""Decisions and dead letters as they are read and shown."""

import io
import json
import re

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Message
from rich.console import Console

from producer.results import decode_result, source_of
from producer.show import decision_panel, result_json, result_line
from schemas.decision import BundleReference, Decision, RecordReference
from schemas.records import DeadLetter, Malformed, Mark, written_at

DEAD_LETTERS = "dead-letters"
AT_MS = 1_769_852_400_123
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
    value: bytes | None,
    key: bytes | None = b"x",
    headers: list[tuple[str, bytes | str | None]] | None = None,
    topic: str = "out",
    at_ms: int = AT_MS,
) -> Message:
    return Message(
        topic=topic, partition=0, offset=9, key=key, value=value, headers=headers,
        timestamp=(TIMESTAMP_CREATE_TIME, at_ms),
    )  # fmt: skip


def _decided(**changes: str) -> Message:
    return _message(DECISION.model_copy(update=changes).model_dump_json().encode())


def _read(message: Message) -> Decision | DeadLetter:
    outcome = decode_result(message, DEAD_LETTERS)
    assert isinstance(outcome, Decision | DeadLetter)
    return outcome


def _rejected(
    *headers: tuple[str, bytes | str | None], key: bytes | None = b"x", value: bytes | None = b"{", at_ms: int = AT_MS
) -> Message:
    return _message(value, key=key, headers=[*headers, *REJECTED], topic=DEAD_LETTERS, at_ms=at_ms)


def test_a_decision_and_a_dead_letter_name_the_same_source() -> None:
    """Both are read, and both say which record of the applications they are about."""
    rejected = _read(_rejected())
    assert isinstance(rejected, DeadLetter)
    assert (rejected.id, rejected.code, rejected.reason) == ("x", "wrong_type", "age: wrong type")
    assert _read(_decided()) == DECISION
    assert source_of(rejected) == source_of(DECISION) == ("t", 3, 7)


def test_a_mark_is_not_a_result() -> None:
    """That a dead letter was requeued is no outcome of anything."""
    mark = _message(None, headers=[("dlq.requeued", b"4"), ("dlq.actor", b"ana")], topic=DEAD_LETTERS)
    assert isinstance(decode_result(mark, DEAD_LETTERS), Mark)


def test_a_publisher_cannot_hide_a_dead_letter() -> None:
    """Of nine dead letters `producer watch` showed seven: two had a header `dlq.requeued` of their publisher's.

    The scorer writes its headers last, and the last one of a name counts, whatever the publisher sent before.
    """
    for headers in (
        [("dlq.requeued", b"0")],
        [("dlq.requeued", b"0"), ("dlq.code", b"forged"), ("dlq.offset", b"9" * 5_000)],
        [("dlq.code", None), ("dlq.partition", b"\xff"), ("dlq.requeued", None), ("dlq.requeued", b"\xff")],
        [("replay-id", b"r"), ("supersedes", b"x"), ("requeued-from", b"y")],
    ):
        rejected = _read(_rejected(*headers))
        assert isinstance(rejected, DeadLetter)
        assert (rejected.code, source_of(rejected)) == ("wrong_type", ("t", 3, 7))


def test_a_record_is_read_by_the_rules_of_its_topic() -> None:
    """A decision stays one with headers of dead letters, and a dead letter without its headers is malformed."""
    assert decode_result(_message(DECISION.model_dump_json().encode(), headers=[*REJECTED]), DEAD_LETTERS) == DECISION
    misplaced = decode_result(_message(DECISION.model_dump_json().encode(), topic=DEAD_LETTERS), DEAD_LETTERS)
    assert misplaced == Malformed(DEAD_LETTERS, 0, 9, "header dlq.code is missing")


def test_what_is_neither_is_malformed() -> None:
    """Tombstones and records of other kinds are named by their place."""
    for value in (None, b"", b"\xff", b"{}", b"[]"):
        outcome = decode_result(_message(value), DEAD_LETTERS)
        assert isinstance(outcome, Malformed)
        assert str(outcome).startswith("out[0]@9: ")


def test_dead_letters_with_headers_missing_or_broken_are_still_read() -> None:
    """A dead letter without a key, a reason or numbers for its place is shown with what there is."""
    headers: list[tuple[str, bytes | str | None]] = [
        ("dlq.code", b"empty"),
        ("dlq.offset", b"\xff"),
        ("dlq.topic", None),
    ]
    rejected = _read(_message(b"", key=None, headers=headers, topic=DEAD_LETTERS))
    assert isinstance(rejected, DeadLetter)
    assert (rejected.code, rejected.reason, source_of(rejected)) == ("empty", "", ("", -1, -1))
    assert "(no key)" in result_line(rejected, None).plain


def test_a_line_has_time_id_decision_probability_and_bundle() -> None:
    """What `watch` shows of a decision and of a dead letter fits one line each."""
    line = result_line(_read(_decided()), written_at(_decided())).plain
    assert all(part in line for part in (".123  ", "  x  ", "MAYBE", "31.00%", "credit-risk:1.1.0"))
    line = result_line(_read(_rejected()), written_at(_rejected())).plain
    assert all(part in line for part in (".123  ", "  x  ", "REJECTED", "wrong_type: age: wrong type"))


def test_lines_on_a_narrow_terminal() -> None:
    """At 80 columns the terminal once broke each line within the bundle's name: `cred` and `it-risk:1.1.0`.

    The date and the milliseconds are left out; reasons that do not fit, or a dead letter's, continue below the id.
    """
    decision = _read(_decided())
    assert isinstance(decision, Decision)
    whole = result_line(decision, written_at(_decided())).plain
    assert result_line(decision, written_at(_decided()), len(whole)).plain == whole
    short = _narrow(decision.model_copy(update={"reasons": ()}))
    assert re.fullmatch(r"\d\d:\d\d:00  x {27}  MAYBE +31\.00%  credit-risk:1\.1\.0", short)
    assert len(short) == 78
    first, second, third = _narrow(decision.model_copy(update={"reasons": ("INCOME", "D" * 70)})).splitlines()
    assert first.endswith("31.00%  credit-risk:1.1.0")
    assert (second, third) == ("          INCOME", f"          {'D' * 70}")


def _narrow(result: Decision | DeadLetter) -> str:
    """A line at 80 columns."""
    return result_line(result, written_at(_decided()), 80).plain


def test_json_lines_hold_everything() -> None:
    """What `watch --json` prints is the decision itself with its kind and time, or the dead letter's headers."""
    read = json.loads(result_json(_read(_decided()), written_at(_decided())))
    assert (read.pop("kind"), read.pop("at")) == ("decision", "2026-01-31T09:40:00.123+00:00")
    assert read == DECISION.model_dump()
    assert json.loads(result_json(_read(_rejected()), written_at(_rejected()))) == {
        "kind": "dead_letter",
        "at": "2026-01-31T09:40:00.123+00:00",
        "application_id": "x",
        "code": "wrong_type",
        "reason": "age: wrong type",
        "source": {"topic": "t", "partition": 3, "offset": 7},
    }


@pytest.mark.parametrize("at_ms", [AT_MS * 1_000, AT_MS * 1_000_000, 2**63 - 1, -(2**63), -62_135_596_800_001])
def test_a_time_that_no_calendar_has_is_left_out(at_ms: int) -> None:
    """A record with a timestamp in microseconds ended `producer watch` with a traceback."""
    message = _rejected(at_ms=at_ms)
    assert written_at(message) is None
    assert "(no time)" in result_line(_read(message), written_at(message)).plain
    assert json.loads(result_json(_read(_rejected(at_ms=at_ms)), written_at(message)))["at"] is None


@pytest.mark.parametrize("at_ms", [AT_MS // 1_000, 0, -2, -62_135_596_800_000, 253_402_300_799_999])
def test_any_other_time_is_shown(at_ms: int) -> None:
    """Seconds in the place of milliseconds are a day in 1970, and the ends of the calendar are days too."""
    message = _rejected(at_ms=at_ms)
    assert result_line(_read(message), written_at(message)).plain
    assert json.loads(result_json(_read(_rejected(at_ms=at_ms)), written_at(message)))["at"]


def test_an_id_commands_neither_the_terminal_nor_the_markup() -> None:
    """Anybody may publish an id: escape sequences and line breaks in it are shown, not obeyed, and so is markup."""
    nasty = _decided(application_id="[red]\x1b[2J\n\u202ex")
    decision = decode_result(nasty, DEAD_LETTERS)
    assert isinstance(decision, Decision)
    assert "[red]�[2J��x" in result_line(decision, None).plain
    screen = io.StringIO()
    Console(file=screen, width=100).print(decision_panel(decision, 0.1234))
    assert "[red]�[2J��x" in screen.getvalue()
    assert "31.0%" in screen.getvalue()
    assert "123 ms" in screen.getvalue()
    assert "\x1b" not in result_json(decision, None)
