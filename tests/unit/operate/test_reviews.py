"""Which review of a decision counts: the order of the topic says it, whoever wrote and in whatever time."""

from collections.abc import Sequence
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from schemas.review import Review
from scorer.operate.reviews import CountingReview, ReviewFold, mark_counting
from tests.unit.schemas.test_review import review


def fold_of(reviews: Sequence[Review]) -> ReviewFold:
    """The fold of a topic with these reviews."""
    fold = ReviewFold()
    for offset, one in enumerate(reviews):
        fold.add(one, offset)
    return fold


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
    assert [counts for _, counts in mark_counting(enumerate([first, second, late]))] == [True, True, False]


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
        assert counts == (one.supersedes == (before.review_id if before else None))
        after = fold.get("a", one.decision_id)
        assert (after.review_id if after else None) == (
            one.review_id if counts else before.review_id if before else None
        )
    kept = [fold.get("a", decision) for decision in ("d-1", "d-2")]
    for offset, one in enumerate(written):
        assert not fold.add(one, offset)
    assert [fold.get("a", decision) for decision in ("d-1", "d-2")] == kept
