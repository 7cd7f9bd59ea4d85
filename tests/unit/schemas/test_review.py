"""Reviews: what is one, and what is said of a record that is not."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.examples import REVIEW
from schemas.records import Malformed
from schemas.review import Review, ReviewLabel, read_review
from tests.fakes import FakeRecord

SECRET = "marker-of-a-person"  # noqa: S105 - it is what must not be quoted


def review(
    application_id: str,
    decision_id: str,
    review_id: str,
    supersedes: str | None = None,
    label: ReviewLabel = "APPROVED",
    reviewer: str = "ana",
) -> Review:
    """A review."""
    return Review(
        review_id=review_id,
        application_id=application_id,
        decision_id=decision_id,
        label=label,
        reason="INCOME",
        reviewer=reviewer,
        at=datetime(2026, 1, 31, tzinfo=UTC),
        supersedes=supersedes,
    )


def record(value: bytes | None) -> FakeRecord:
    """A record of the topic."""
    return FakeRecord((0, 7), value, topic_name="credit.reviews")


def test_a_review_is_read_back() -> None:
    """As it was written."""
    assert read_review(record(REVIEW.model_dump_json().encode())) == REVIEW


def test_one_that_needs_a_second_one_says_so() -> None:
    """And any other has the bytes that it had before there were any."""
    second = REVIEW.model_copy(update={"needs_second": True})
    assert json.loads(second.model_dump_json()) == json.loads(REVIEW.model_dump_json()) | {"needs_second": True}
    assert read_review(record(second.model_dump_json().encode())) == second
    assert "needs_second" not in REVIEW.model_dump_json()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"label": "MAYBE"}, "field label is invalid"),
        ({"label": ...}, "field label is missing"),
        ({"reason": ""}, "field reason is invalid"),
        ({"reason": "x" * 201}, "field reason is invalid"),
        ({"comment": f"{SECRET}\n"}, "field comment is invalid"),
        ({"comment": "x" * 1_001}, "field comment is invalid"),
        ({"reviewer": f"{SECRET}\x1b"}, "field reviewer is invalid"),
        ({"reviewer": None}, "field reviewer is invalid"),
        ({"at": "2026-01-31T00:00:00"}, "field at is invalid"),
        ({"supersedes": ""}, "field supersedes is invalid"),
        ({"needs_second": "yes"}, "field needs_second is invalid"),
        ({"needs_second": None}, "field needs_second is invalid"),
    ],
)
def test_an_invalid_field_is_named_without_its_value(change: dict[str, Any], why: str) -> None:
    """The first one; values can be about people."""
    value = {name: text for name, text in (REVIEW.model_dump(mode="json") | change).items() if text is not ...}
    assert read_review(record(json.dumps(value).encode())) == Malformed("credit.reviews", 0, 7, why)


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'"x"', b"\xff", SECRET.encode()])
def test_what_is_not_an_object(value: bytes | None) -> None:
    """It is skipped with a reason."""
    assert read_review(record(value)) == Malformed("credit.reviews", 0, 7, "the value is not a review")
