"""Which review of a decision counts: the order of the topic says it, whoever wrote and in whatever time."""

from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.review import Review, ReviewLabel
from scorer.operate.reviews import CountingReview, Effect, PendingReview, ReviewFold
from tests.unit.schemas.test_review import review


def fold_of(reviews: Sequence[Review]) -> ReviewFold:
    """The fold of a topic with these reviews."""
    fold = ReviewFold()
    for offset, one in enumerate(reviews):
        fold.add(one, offset)
    return fold


def effects_of(reviews: Sequence[Review]) -> list[Effect]:
    """The effect of each of these reviews."""
    fold = ReviewFold()
    return [fold.add(one, offset) for offset, one in enumerate(reviews)]


def second(reviewer: str, label: ReviewLabel = "APPROVED", supersedes: str | None = None) -> Review:
    """A review that counts only if another reviewer agrees; its id is the reviewer's name and the label."""
    one = review("a", "d", f"{reviewer}-{label}", supersedes, label, reviewer)
    return one.model_copy(update={"needs_second": True})


def test_the_first_review_counts() -> None:
    """Of three reviewers at once one counts: the one that was written first, in any order."""
    names = ("ana", "ben", "cleo")
    for order in permutations(names):
        fold = fold_of([review("a", "d", f"r-{name}", reviewer=name) for name in order])
        assert fold.get("a", "d") == CountingReview(f"r-{order[0]}", "APPROVED", order[0])


def test_a_review_is_replaced_by_one_that_names_it() -> None:
    """Of two that name the same one, the first; the other one names a review that does not count any more."""
    first = review("a", "d", "r-1")
    second, late = review("a", "d", "r-2", "r-1", "DECLINED"), review("a", "d", "r-3", "r-1")
    assert fold_of([first, second, late]).get("a", "d") == CountingReview("r-2", "DECLINED", "ana")
    assert effects_of([first, second, late]) == [Effect.COUNTS, Effect.COUNTS, Effect.NONE]


def test_a_review_of_nothing() -> None:
    """A review that names an unknown one does not count, and does not keep the first one from counting."""
    stray, first = review("a", "d", "r-1", "r-0"), review("a", "d", "r-2")
    assert fold_of([stray]).get("a", "d") is None
    assert fold_of([stray, first]).get("a", "d") == CountingReview("r-2", "APPROVED", "ana")


def test_reviews_of_other_decisions() -> None:
    """Each decision has its own; an application's id in a review of another application's decision is another one."""
    fold = fold_of([review("a", "d-1", "r-1"), review("a", "d-2", "r-2"), review("b", "d-1", "r-3")])
    assert [getattr(fold.get(*one), "review_id", None) for one in (("a", "d-1"), ("a", "d-2"), ("b", "d-1"))] == [
        "r-1",
        "r-2",
        "r-3",
    ]
    assert fold.get("b", "d-2") is None


def test_two_reviewers_who_agree() -> None:
    """The first review counts for nothing; the second one, with the same label, counts, and a third one is late."""
    reviews = [second("ana"), second("ben"), second("cleo", "DECLINED")]
    assert effects_of(reviews) == [Effect.PENDING, Effect.COUNTS, Effect.NONE]
    fold = fold_of(reviews[:1])
    assert fold.get("a", "d") is None
    assert fold.pending("a", "d") == (PendingReview("ana", "APPROVED"),)
    fold = fold_of(reviews)
    assert fold.get("a", "d") == CountingReview("ben-APPROVED", "APPROVED", "ben", "ana")
    assert fold.pending("a", "d") == ()


def test_one_reviewer_is_not_two() -> None:
    """A second review by the same reviewer has no effect, with either label: nobody decides alone."""
    assert effects_of([second("ana"), second("ana")]) == [Effect.PENDING, Effect.NONE]
    hedged = [second("ana"), second("ana", "DECLINED"), second("ben", "DECLINED")]
    assert effects_of(hedged) == [Effect.PENDING, Effect.NONE, Effect.PENDING]


@pytest.mark.parametrize(("third", "agreed_with"), [("APPROVED", "ana"), ("DECLINED", "ben")])
def test_a_third_reviewer_settles_a_disagreement(third: ReviewLabel, agreed_with: str) -> None:
    """Two who disagree decide nothing; a third one agrees with one of them, whichever label they choose."""
    reviews = [second("ana"), second("ben", "DECLINED"), second("ana", "DECLINED"), second("cleo", third)]
    assert effects_of(reviews) == [Effect.PENDING, Effect.PENDING, Effect.NONE, Effect.COUNTS]
    fold = fold_of(reviews)
    assert fold.get("a", "d") == CountingReview(f"cleo-{third}", third, "cleo", agreed_with)


def test_replacing_takes_two_as_well() -> None:
    """What two reviewers decided holds until two name it in another review; the first pair may be among them."""
    replaced = "ben-APPROVED"
    reviews = [second("ana"), second("ben"), second("ana", "DECLINED", replaced)]
    fold = fold_of(reviews)
    assert fold.get("a", "d") == CountingReview(replaced, "APPROVED", "ben", "ana")
    assert fold.pending("a", "d") == (PendingReview("ana", "DECLINED"),)
    fold = fold_of([*reviews, second("cleo", "DECLINED", replaced)])
    assert fold.get("a", "d") == CountingReview("cleo-DECLINED", "DECLINED", "cleo", "ana")
    # An agreement on what does not count any more changes nothing.
    assert effects_of([*reviews[:2], second("cleo"), second("dora")])[2:] == [Effect.NONE, Effect.NONE]


PAIRED = st.builds(second, st.sampled_from(["ana", "ben", "cleo"]), st.sampled_from(["APPROVED", "DECLINED"]))


@given(st.lists(PAIRED, max_size=8))
def test_no_label_is_the_decision_of_one(reviews: list[Review]) -> None:
    """Whatever three reviewers write: the label that counts was first given by two, each by their first review."""
    own: dict[str, ReviewLabel] = {}
    wanted: ReviewLabel | None = None
    for one in reviews:
        own.setdefault(one.reviewer, one.label)
        labels = list(own.values())
        wanted = wanted or next((label for label in labels if labels.count(label) > 1), None)
    counting = fold_of(reviews).get("a", "d")
    assert (counting.label if counting else None) == wanted
    if counting:
        assert counting.agrees_with not in {"", counting.reviewer}


REVIEWS = st.builds(
    lambda decision, name: review("a", decision, str(name)), st.sampled_from(["d-1", "d-2"]), st.uuids()
)


@given(st.lists(REVIEWS, max_size=10), st.data())
def test_at_most_one_review_counts_at_any_time(reviews: list[Review], data: st.DataObject) -> None:
    """After each record exactly the last that counted is in force; reading records again changes nothing."""
    written: list[Review] = []
    for one in reviews:
        earlier = [other.review_id for other in written if other.decision_id == one.decision_id]
        supersedes = data.draw(st.one_of(st.none(), st.sampled_from(earlier))) if earlier else None
        written.append(one.model_copy(update={"supersedes": supersedes}))
    fold = ReviewFold()
    for offset, one in enumerate(written):
        before = fold.get("a", one.decision_id)
        counts = fold.add(one, offset)
        assert counts is (Effect.COUNTS if one.supersedes == (before.review_id if before else None) else Effect.NONE)
        after = fold.get("a", one.decision_id)
        assert (after.review_id if after else None) == (
            one.review_id if counts is Effect.COUNTS else before.review_id if before else None
        )
    kept = [fold.get("a", decision) for decision in ("d-1", "d-2")]
    for offset, one in enumerate(written):
        assert fold.add(one, offset) is Effect.NONE
    assert [fold.get("a", decision) for decision in ("d-1", "d-2")] == kept
