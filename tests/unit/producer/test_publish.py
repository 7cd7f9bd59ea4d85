"""A file onto the topic: what is sent, what is refused, and how the reading may end."""

import json
from collections.abc import Iterator

from producer.client import ApplicationPublisher
from producer.publish import FAULTS_REPORTED_MAX, publish_rows
from schemas.application import CreditApplication
from schemas.contracts import shipped_contract
from schemas.rows import ApplicationsFileError, Hints, Row

EXAMPLE = {name: (field.examples or [None])[0] for name, field in CreditApplication.model_fields.items()}
SOUND = json.dumps(EXAMPLE).encode()


class FakePublisher(ApplicationPublisher):
    """Notes what it is given."""

    def __init__(self) -> None:
        self.contract = shipped_contract()
        self.given: list[tuple[bytes | None, bytes]] = []

    def send(self, key: bytes | None, value: bytes, timestamp_ms: int = 0) -> None:
        assert timestamp_ms == 0
        self.given.append((key, value))


def test_valid_rows_are_sent_unchanged_and_the_others_reported_by_line() -> None:
    """A sound row is sent byte for byte under its id; any other is not sent, and its line and faults are told."""
    publisher = FakePublisher()
    rows = [Row(2, SOUND, "ok"), Row(3, b"{}", None), Row(5, SOUND.replace(b"30", b"17"), None)]
    report = publish_rows(publisher, iter(rows), as_is=False)
    assert publisher.given == [(b"a-1001", SOUND)]
    assert (report.rows, report.invalid, report.read_error, report.interrupted) == (3, 2, "", False)
    assert [(line, [fault.field for fault in faults]) for line, faults in report.invalid_rows][1] == (5, ["age"])


def test_only_the_first_invalid_rows_are_listed() -> None:
    """A file of another kind refuses every row: the first are told, all are counted."""
    report = publish_rows(FakePublisher(), (Row(n, b"x", None) for n in range(1, 101)), as_is=False)
    assert report.invalid == 100
    assert [line for line, _ in report.invalid_rows] == list(range(1, FAULTS_REPORTED_MAX + 1))


def test_as_is_sends_everything_under_whatever_id_there_is() -> None:
    """As is, nothing is refused; a record without a readable id has no key."""
    publisher = FakePublisher()
    values = [
        b'{"application_id":"x","age":"old"}',
        b"\xff",
        b"[]",
        b'{"application_id":7}',
        b'{"application_id":"\\ud800"}',
    ]
    report = publish_rows(publisher, (Row(1, value, None) for value in values), as_is=True)
    assert publisher.given == list(zip([b"x", None, None, None, b"?"], values, strict=True))
    assert (report.rows, report.invalid) == (5, 0)


def test_a_file_that_breaks_off_keeps_what_was_sent() -> None:
    """What is wrong with a file further down ends the reading, and the report tells what came before."""

    def rows(error: BaseException) -> Iterator[Row]:
        yield Row(2, SOUND, None)
        raise error

    report = publish_rows(FakePublisher(), rows(ApplicationsFileError("a.csv, line 3: is cut off")), as_is=False)
    assert (report.rows, report.read_error, report.interrupted) == (1, "a.csv, line 3: is cut off", False)
    report = publish_rows(FakePublisher(), rows(KeyboardInterrupt()), as_is=False)
    assert (report.rows, report.read_error, report.interrupted) == (1, "", True)


def test_what_to_change_in_the_file_is_kept_once() -> None:
    """The hints of refused rows, each with its first line; a row that is sent needs none."""
    rows = [
        Row(2, SOUND, "ok", "sent"),
        *(Row(n, b"x", None, "price has a comma") for n in (4, 5)),
        Row(6, b"x", None),
    ]
    assert publish_rows(FakePublisher(), iter(rows), as_is=False).hints.texts() == ["line 4: price has a comma"]


def test_unused_properties_of_the_file_are_recorded() -> None:
    """What the reader of the file noted comes before what its rows need."""
    hints = Hints()
    hints.add(1, "ignored columns")
    report = publish_rows(FakePublisher(), iter([Row(2, b"x", None, "price has a comma")]), hints, as_is=False)
    assert report.hints.texts() == ["line 1: ignored columns", "line 2: price has a comma"]
