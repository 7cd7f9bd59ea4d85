"""What two contracts reject of the same values, counted by field and code."""

import json

from schemas.rejection import RejectionCode
from scorer.core.records import UnreadableRecord, read_values
from scorer.core.rejections import Cause, RejectionComparison, RejectionCounter
from tests.fakes import FakeRecord, make_contract

BYTES_MAX = 200
WIDE = make_contract("home", home={"type": "string", "enum": ["rent", "own", "boat"]}, age={"type": "integer"})
NARROW = make_contract(
    "home", "job", home={"type": "string", "enum": ["rent", "own"]}, age={"type": "integer", "minimum": 18},
    job={"type": "object", "properties": {"since": {"type": "string", "format": "date"}}, "required": ["since"]},
)  # fmt: skip


def value(**fields: object) -> bytes:
    """An application that both accept, but for these fields."""
    return json.dumps({"id": "a", "home": "rent", "job": {"since": "2020-02-29"}, **fields}).encode()


def test_each_field_counts() -> None:
    """A value counts once as rejected, and once for each of its invalid fields, in nested objects too."""
    counter = RejectionCounter(NARROW, BYTES_MAX)
    values = [value(), value(home="boat", age=17), value(home="boat"), value(job={"since": "2021-02-29"}), value(job=1)]
    assert counter.add(values) == {1, 2, 3, 4}
    assert counter.rejected == 4
    assert counter.causes == {
        ("home", RejectionCode.UNKNOWN_CATEGORY): 2,
        ("age", RejectionCode.OUT_OF_RANGE): 1,
        ("job.since", RejectionCode.WRONG_TYPE): 1,
        ("job", RejectionCode.WRONG_TYPE): 1,
    }


def test_values_without_fields() -> None:
    """What is rejected as a whole counts for no field, whatever its fields are."""
    counter = RejectionCounter(NARROW, BYTES_MAX)
    values = [None, b"", b"\xff", b"{", b"[]", value(x="x" * BYTES_MAX), b'{"id": "a", "id": "b", "home": "boat"}']
    assert counter.add(values) == set(range(len(values)))
    codes = ("empty", "not_utf8", "not_json", "not_an_object", "too_large")
    assert counter.causes == {
        Cause("", RejectionCode(code)): 2 if code in {"empty", "not_json"} else 1 for code in codes
    }


def test_an_integer_too_long_for_the_parser() -> None:
    """It is out of range for its field, as in the worker's rejection."""
    counter = RejectionCounter(NARROW, 10_000)
    assert counter.add([value(age=1).replace(b"1", b"1" * 5_000)]) == {0}
    assert set(counter.causes) == {Cause("age", RejectionCode.OUT_OF_RANGE)}


def test_two_contracts() -> None:
    """Values that only one of the two rejects are counted as that, over several batches."""
    comparison = RejectionComparison(NARROW, WIDE, BYTES_MAX)
    comparison.add([value(), value(home="boat"), b"{"])
    comparison.add([value(age=None)])
    assert (comparison.values, comparison.newly_rejected, comparison.newly_accepted) == (4, 1, 0)
    assert comparison.current is not None
    assert (comparison.new.rejected, comparison.current.rejected) == (3, 2)
    assert comparison.causes() == [
        Cause("", RejectionCode.NOT_JSON), Cause("age", RejectionCode.WRONG_TYPE),
        Cause("home", RejectionCode.UNKNOWN_CATEGORY),
    ]  # fmt: skip
    swapped = RejectionComparison(WIDE, NARROW, BYTES_MAX)
    swapped.add([value(), value(home="boat"), b"{"])
    assert (swapped.newly_rejected, swapped.newly_accepted) == (0, 1)
    assert swapped.causes()[-1] == Cause("home", RejectionCode.UNKNOWN_CATEGORY)


def test_an_unknown_champion() -> None:
    """Without the champion's contract, only the new one's rejections are counted."""
    comparison = RejectionComparison(NARROW, None, BYTES_MAX)
    comparison.add([value(home="boat"), value()])
    assert (comparison.values, comparison.new.rejected, comparison.current) == (2, 1, None)
    assert (comparison.newly_rejected, comparison.newly_accepted) == (0, 0)
    assert comparison.causes() == [Cause("home", RejectionCode.UNKNOWN_CATEGORY)]


def test_values_that_are_not_fetched() -> None:
    """A record that is too large or unreadable is a rejection, and its value is not read."""
    too_large, unreadable = read_values([FakeRecord((0, 0), b"x" * 9), UnreadableRecord("t", 0, 1)], 8)
    assert getattr(too_large, "code", None) is RejectionCode.TOO_LARGE
    assert getattr(unreadable, "code", None) is RejectionCode.UNREADABLE
    assert read_values([FakeRecord((0, 0), b"x" * 8), FakeRecord((0, 1), None)], 8) == [b"x" * 8, None]
