"""The queue of MAYBE decisions: which wait, in which order, whatever is read first and however often."""

from collections.abc import Sequence
from itertools import permutations
from random import Random
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decision import Label
from schemas.examples import BUNDLE
from schemas.records import ReadDecision
from schemas.review import Review, ReviewLabel
from scorer.operate.application_records import Written, choose_current_decision
from scorer.operate.review_queue import ReviewQueue
from scorer.operate.reviews import Effect, PendingReview, ReviewFold
from tests.unit.schemas.test_review import review


def decision(  # noqa: PLR0917  (a decision has as many fields)
    application: str,
    at: int,
    label: Label = "MAYBE",
    made_by: str = "1",
    supersedes: str = "",
    source: int = 0,
    partition: int = 0,
) -> Written:
    """A decision of a bundle that is written at this offset and time; its id names the record and the bundle."""
    read = ReadDecision(
        f"{application}:{source}@{made_by}",
        application,
        label,
        0.4,
        BUNDLE,
        "t",
        0,
        source,
        supersedes and f"{application}:{source}@{supersedes}",
        supersedes and f"replay-{at}",
        bool(supersedes),
    )
    return Written(read, partition, at, at)


def ids(queue: ReviewQueue) -> list[str]:
    """The decisions that wait, in the order of the queue."""
    return [one.decision.decision_id for one in queue.page(0, 1_000)]


def filled(*decisions: Written, reviews: Sequence[Review] = ()) -> ReviewQueue:
    """A queue to which these were added one by one, the reviews last."""
    queue = ReviewQueue()
    for one in decisions:
        queue.add_decisions([one])
    queue.add_reviews(list(enumerate(reviews)), len(reviews))
    return queue


def test_maybe_decisions_wait_and_the_oldest_is_first() -> None:
    """By the time of writing, in whatever order they were read; others do not wait."""
    decisions = [decision("c", 3), decision("a", 1), decision("b", 2), decision("x", 0, "APPROVED")]
    for order in permutations(decisions):
        queue = filled(*order)
        assert ids(queue) == ["a:0@1", "b:0@1", "c:0@1"]
        assert (queue.state().waiting, queue.state().oldest_ms) == (3, 1)
        assert [one.decision.application_id for one in queue.page(1, 1)] == ["b"]
        assert queue.page(3, 10) == []


def test_a_review_removes_its_decision() -> None:
    """Whether it is read before the decision or after it, once or twice; a void review removes nothing."""
    reviews = [(0, review("b", "b:0@1", "r-0", "unknown")), (1, review("a", "a:0@1", "r-1"))]
    before, after = ReviewQueue(), filled(decision("a", 0), decision("b", 1))
    before.add_reviews(reviews, 2)
    for queue in (before, after):
        queue.add_reviews(reviews, 2)
        queue.add_decisions([decision("a", 0), decision("b", 1)])
        assert ids(queue) == ["b:0@1"]
        assert queue.find("a", "a:0@1") is None
        assert queue.find("b", "b:0@1") is not None
        counting = queue.counting_review("a", "a:0@1")
        assert counting is not None
        assert counting.review_id == "r-1"


def test_a_decision_waits_for_a_second_reviewer() -> None:
    """It stays in the queue, and is not counted as reviewed, until two reviewers agree."""
    queue = filled(decision("a", 0), decision("b", 1))
    queue.complete()
    names: tuple[tuple[str, ReviewLabel], ...] = (("ana", "APPROVED"), ("ben", "DECLINED"), ("cleo", "DECLINED"))
    for offset, (name, label) in enumerate(names):
        assert ids(queue) == ["a:0@1", "b:0@1"]
        assert queue.find("a", "a:0@1") is not None
        assert queue.state().reviews == {}
        assert queue.pending_reviews("a", "a:0@1") == tuple(PendingReview(*one) for one in names[:offset])
        one = review("a", "a:0@1", f"r-{name}", None, label, name).model_copy(update={"needs_second": True})
        queue.add_reviews([(offset, one)], offset + 1)
        assert queue.wait_for_review(offset, 0.0) is (Effect.COUNTS if name == "cleo" else Effect.PENDING)
    assert ids(queue) == ["b:0@1"]
    assert queue.state().reviews == {"DECLINED": 1}
    assert queue.pending_reviews("a", "a:0@1") == ()


def test_a_correction_replaces_what_waits() -> None:
    """To another label it removes the decision; a MAYBE correction by another bundle waits itself."""
    first = decision("a", 0)
    approved, maybe = decision("a", 1, "APPROVED", "2", "1"), decision("a", 2, "MAYBE", "3", "1")
    assert ids(filled(first, approved)) == []
    assert ids(filled(first, maybe)) == ["a:0@3"]
    assert ids(filled(first, maybe, reviews=[review("a", "a:0@1", "r-1")])) == ["a:0@3"]
    back = decision("a", 3, "MAYBE", "1", "2")
    assert ids(filled(first, approved, back)) == ["a:0@1"]
    assert ids(filled(first, approved, back, reviews=[review("a", "a:0@1", "r-1")])) == []


def test_an_application_that_is_sent_again() -> None:
    """Its last record counts; a correction of the earlier one does not bring that back once all of it is known."""
    first, again = decision("a", 0), decision("a", 1, "APPROVED", source=7)
    assert ids(filled(first, again)) == []
    correction = decision("a", 2, "MAYBE", "2", "1")
    queue = filled(first, again, correction)
    queue.add_decisions([first, again, correction])  # as when somebody looks at the application
    assert ids(queue) == []
    assert ids(filled(first, decision("a", 1, source=7))) == ["a:7@1"]


def test_an_id_that_all_applications_have() -> None:
    """The decision on the last record waits, and earlier ones are not kept; added again, they change nothing."""
    queue, decisions = ReviewQueue(), [decision("a", at, source=at) for at in range(20_000)]
    for one in decisions:
        queue.add_decisions([one])
    queue.add_decisions(decisions)
    assert ids(queue) == ["a:19999@1"]
    queue.add_decisions([decision("a", 20_000, "APPROVED", source=20_000)])
    assert ids(queue) == []
    queue.add_decisions(decisions)
    assert ids(queue) == []


def test_figures() -> None:
    """Reviews are counted by label once the queue is complete, and not again if the topics are read again."""
    queue = filled(decision("a", 5), decision("b", 6), reviews=[review("x", "x:0@1", "r-0")])
    assert not queue.is_complete
    queue.complete()
    assert queue.state().reviews == {}
    written = [(1, review("a", "a:0@1", "r-1")), (2, review("b", "b:0@1", "r-2", label="DECLINED"))]
    late = (3, review("a", "a:0@1", "r-3"))
    queue.add_reviews([*written, late], 4)
    assert queue.state().reviews == {"APPROVED": 1, "DECLINED": 1}
    assert queue.state().oldest_ms is None
    queue.clear()
    assert not queue.is_complete
    queue.add_reviews([*written, late], 4)
    queue.complete()
    assert queue.state().reviews == {"APPROVED": 1, "DECLINED": 1}


def test_a_writer_waits_for_its_review() -> None:
    """It gets to know the review's effect; None if nobody reads it."""
    queue = ReviewQueue()
    assert queue.wait_for_review(0, 0.0) is None
    reader = Thread(target=queue.add_reviews, args=([(0, review("a", "d", "r-1")), (1, review("a", "d", "r-2"))], 2))
    reader.start()
    assert queue.wait_for_review(1, 60.0) is Effect.NONE
    assert queue.wait_for_review(0, 60.0) is Effect.COUNTS
    queue.add_reviews([(2, review("a", "d", "r-3", "r-1"))], 3)
    assert queue.wait_for_review(0, 60.0) is Effect.COUNTS, "it counted until another one replaced it"
    reader.join(60.0)


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("123"), st.booleans()), max_size=10)
WRITTEN_REVIEWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.sampled_from("123"), st.integers(0, 5)), max_size=6
)


def history_of(steps: Sequence[tuple[str, str, bool]]) -> list[Written]:
    """What workers and replays write: decisions, applications sent again, and corrections of the last record."""
    written: list[Written] = []
    for at, (application, made_by, is_sent_again) in enumerate(steps):
        earlier = [one for one in written if one.decision.application_id == application]
        current = choose_current_decision(earlier) if earlier else None
        source = 0 if current is None else current.decision.source_offset + is_sent_again
        corrects = current is not None and not is_sent_again
        supersedes = current.decision.decision_id.partition("@")[2] if current is not None and corrects else ""
        label: Label = "MAYBE" if (ord(application) + source + int(made_by)) % 2 else "APPROVED"
        written.append(decision(application, at, label, made_by, supersedes, source))
    return written


@pytest.mark.slow
@given(STEPS, WRITTEN_REVIEWS, st.randoms())
def test_any_interleaving_gives_one_decision_of_record(
    steps: list[tuple[str, str, bool]], reviewed: list[tuple[str, int, str, int]], random: Random
) -> None:
    """Decisions and reviews are read in the order of each topic, interleaved at random and some of them twice.

    What waits then is what the whole topics say: current, MAYBE and without a review that counts. Nothing waits twice,
    and no decision that waits has a review.
    """
    decisions = history_of(steps)
    reviews = [
        review(application, f"{application}:{source}@{made_by}", f"r-{number}", None if number % 2 else f"r-{target}")
        for number, (application, source, made_by, target) in enumerate(reviewed)
    ]
    queue = ReviewQueue()
    next_decision = next_review = 0
    while next_decision < len(decisions) or next_review < len(reviews):
        if random.random() < 0.5 and next_decision < len(decisions):
            count = random.randint(1, 3)
            queue.add_decisions(decisions[next_decision : next_decision + count])
            next_decision += count
        elif next_review < len(reviews):
            queue.add_reviews([(next_review, reviews[next_review])], next_review + 1)
            next_review += 1
    for application in random.sample("abc", 2):  # somebody looks at an application
        queue.add_decisions([one for one in decisions if one.decision.application_id == application])
    fold = ReviewFold()
    for offset, one in enumerate(reviews):
        fold.add(one, offset)
    current = [
        choose_current_decision(of_one)
        for application in "abc"
        if (of_one := [one for one in decisions if one.decision.application_id == application])
    ]
    wanted = sorted(
        (one.at_ms, one.decision.decision_id)
        for one in current
        if one.decision.decision == "MAYBE" and fold.get(one.decision.application_id, one.decision.decision_id) is None
    )
    assert ids(queue) == [decision_id for _, decision_id in wanted]
