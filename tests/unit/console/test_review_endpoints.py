"""What a page may send as a review: what the topic's contract allows, before anything is looked up or written."""

import json

import pytest

from scorer.console.review_endpoints import _parse
from scorer.errors import MisuseError

REVIEW = {"application_id": "a-1", "decision_id": "t:0:1@123456789abc", "label": "APPROVED", "reason": "INCOME"}


def test_a_review() -> None:
    """Without a comment, and of a decision that nobody has reviewed."""
    parsed = _parse(json.dumps(REVIEW).encode())
    assert (parsed.decision_id, parsed.comment, parsed.supersedes) == (REVIEW["decision_id"], "", None)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"decision_id": "x" * 301}, "decision_id: "),
        ({"decision_id": ""}, "decision_id: "),
        ({"decision_id": "a\nb"}, "decision_id: must be one line without control characters"),
        ({"supersedes": "x" * 101}, "supersedes: "),
        ({"supersedes": ""}, "supersedes: "),
        ({"supersedes": "a\u202eb"}, "supersedes: must be one line without control characters"),
        ({"reason": "\ud800"}, "the review must be a JSON object"),
        ({"reason": " "}, "reason: must not be blank"),
        ({"reason": "\u00a0\u3000"}, "reason: must not be blank"),
        ({"label": "MAYBE"}, "label: "),
        ({"reviewer": "ben"}, "the review must be a JSON object"),
    ],
)
def test_a_review_that_the_topic_cannot_have(changed: dict[str, str], message: str) -> None:
    """Anyone with Write on the topic chooses a decision's id: one that no review can name was an internal error."""
    with pytest.raises(MisuseError, match=message):
        _parse(json.dumps(REVIEW | changed).encode())
