"""The tables of docs/manual-review.md: which review counts, and the decision of record, as the fold says it."""

import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.review import Review, ReviewLabel
from scorer.operate.reviews import ReviewFold
from tests.unit.schemas.test_review import review

ROOT = Path(__file__).parents[2]
DECISIONS, REVIEWS, RECORD_DECISION, RECORD_REVIEW = (
    (ROOT / "examples" / f"{name}.sql").read_text(encoding="utf-8")
    for name in ("decisions", "reviews", "record_decision", "record_review")
)
PAGE = (ROOT / "docs" / "manual-review.md").read_text(encoding="utf-8")


def row(offset: int, of: Review) -> dict[str, Any]:
    """A review as a reader enters it."""
    return {
        **of.model_dump(exclude={"at"}),
        "written_offset": offset,
        "comment": of.comment or "",
        "reviewed_at": of.at.isoformat(),
        "supersedes": of.supersedes or "",
        "needs_second": of.needs_second,
    }


def decision(number: int, label: str = "MAYBE") -> dict[str, Any]:
    """A decision on an application of its own."""
    return {
        "written_partition": 0,
        "written_offset": number,
        "written_at": number,
        "application_id": f"a-{number}",
        "decision_id": f"d-{number}",
        "decision": label,
        "probability_of_default": 0.4,
        "bundle": "credit:1.0.0@1",
        "source_topic": "t",
        "source_partition": 0,
        "source_offset": number,
        "supersedes": "",
        "replay_id": "",
        "reasons": "",
    }


def ask(question: str, reviews: Iterable[dict[str, Any]], decisions: Iterable[dict[str, Any]] = ()) -> list[Any]:
    """What the views say after entering these."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(DECISIONS + REVIEWS)
        database.executemany(RECORD_DECISION, decisions)
        database.executemany(RECORD_REVIEW, reviews)
        return database.execute(question).fetchall()


def written(number: int, name: str, supersedes: str | None, who: tuple[str, ReviewLabel, bool]) -> Review:
    """A review with this reviewer and label, which needs a second one or not."""
    reviewer, label, needs_second = who
    one = review(f"a-{number}", f"d-{number}", name, supersedes, label, reviewer)
    return one.model_copy(update={"needs_second": needs_second})


WRITTEN = st.builds(
    written,
    st.integers(0, 1),
    st.sampled_from("uvwx"),
    st.one_of(st.none(), st.sampled_from("uvwx")),
    st.tuples(
        st.sampled_from(["ana", "ben", "cleo"]),
        st.sampled_from(["APPROVED", "DECLINED"]),
        st.one_of(st.booleans(), st.just(value=True)),
    ),
)


@given(st.lists(WRITTEN, max_size=10), st.randoms())
def test_the_view_says_what_the_fold_says(reviews: Sequence[Review], random: Any) -> None:
    """Whatever is written, forged or not, and in any order of entering: at most one review of a decision counts."""
    fold = ReviewFold()
    for offset, one in enumerate(reviews):
        fold.add(one, offset)
    rows = [row(offset, one) for offset, one in enumerate(reviews)]
    shuffled = random.sample(rows, len(rows))
    counting = ask("SELECT application_id, decision_id, review_id, label FROM reviews", [*shuffled, *rows])
    wanted = {
        (application, decision_id, counted.review_id, counted.label)
        for application, decision_id in {(one.application_id, one.decision_id) for one in reviews}
        if (counted := fold.get(application, decision_id)) is not None
    }
    assert len(counting) == len(wanted)
    assert set(counting) == wanted


def test_the_decision_of_record() -> None:
    """The review's label replaces MAYBE, of which nothing else is reviewed; other decisions stay as they are."""
    decisions = [decision(0), decision(1), decision(2, "DECLINED"), decision(3, "APPROVED")]
    reviews = [
        review("a-0", "d-0", "first"),
        review("a-0", "d-0", "too-late", label="DECLINED"),
        review("a-2", "d-2", "not-maybe"),
        review("a-1", "d-0", "another-decision"),
    ]
    question = "SELECT application_id, decision, review_id FROM decisions_of_record ORDER BY application_id"
    assert ask(question, [row(offset, one) for offset, one in enumerate(reviews)], decisions) == [
        ("a-0", "APPROVED", "first"),
        ("a-1", "MAYBE", ""),
        ("a-2", "DECLINED", ""),
        ("a-3", "APPROVED", ""),
    ]


def test_a_second_reviewer() -> None:
    """A first review alone is not the decision of record, two that disagree are not, and two that agree are."""
    decisions = [decision(number) for number in range(3)]
    reviews = [
        review("a-0", "d-0", "alone", reviewer="ana"),
        review("a-1", "d-1", "first", label="DECLINED", reviewer="ana"),
        review("a-1", "d-1", "same-person", label="DECLINED", reviewer="ana"),
        review("a-1", "d-1", "differs", reviewer="ben"),
        review("a-2", "d-2", "first", reviewer="ana"),
        review("a-2", "d-2", "agrees", reviewer="ben"),
    ]
    rows = [row(offset, one) | {"needs_second": True} for offset, one in enumerate(reviews)]
    question = "SELECT application_id, decision, review_id, reviewer FROM decisions_of_record ORDER BY application_id"
    assert ask(question, rows, decisions) == [
        ("a-0", "MAYBE", "", ""),
        ("a-1", "MAYBE", "", ""),
        ("a-2", "APPROVED", "agrees", "ben"),
    ]
    third = row(6, review("a-1", "d-1", "third", label="DECLINED", reviewer="cleo")) | {"needs_second": True}
    assert ask(question, [*rows, third], decisions)[1] == ("a-1", "DECLINED", "third", "cleo")


@pytest.mark.parametrize("text", [REVIEWS, RECORD_REVIEW], ids=["table", "insert"])
def test_page_shows_the_files(text: str) -> None:
    """The SQL on the page is that of the files, which the tests above run."""
    blocks = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert text.partition("\n")[2] in blocks
