"""The replay's link: of what is polled only the selected, of what is decided only what came out otherwise."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from confluent_kafka import OFFSET_END

from schemas.decision import BundleReference
from scorer.core.score import Scores, score_batch
from scorer.core.slow_decode import Rejection
from scorer.errors import ReplayError
from scorer.replay.link import CorrectionHeaders, RateLimit, ReplayLink, start_within
from scorer.replay.plan import Plan
from scorer.replay.selection import DECIDED, Selection, checksum
from scorer.stream.worker import Batch
from tests.fakes import BROKEN_PRICE, TOPIC, FakeRecord, application, tiny_bundle

EARLIER = BundleReference(name="tiny", version="0.9.0", digest="9" * 64)
TINY = tiny_bundle()


class InnerLink:
    """Hands out one batch after another, and remembers what is published and paused."""

    def __init__(self, *batches: Batch) -> None:
        self.batches = list(batches)
        self.published: list[tuple[Batch, Scores]] = []
        self.paused: set[int] = set()
        self.unreadable: dict[int, str] = {}

    def poll(self, _: BundleReference) -> Batch:
        return self.batches.pop(0)

    def publish(self, batch: Batch, scores: Scores) -> None:
        self.published.append((batch, scores))

    def settle(self) -> bool:
        return True

    def pause(self, partitions: Iterable[int]) -> None:
        self.paused |= set(partitions)

    def blocked(self) -> dict[int, str]:
        return dict(self.unreadable)


def record(partition: int, offset: int, amount: float = 100, **fields: object) -> FakeRecord:
    """An application on which the tiny model says amount/1000."""
    return FakeRecord((partition, offset), application(f"a-{offset}", amount=amount, **fields))


def plan(*rows: tuple[int, int, float, int, int]) -> Plan:
    """Of applications given as partition, offset, probability, outcome and the place of the bundle."""
    made = np.array([(*row, 0, checksum(f"a-{row[1]}".encode())) for row in rows], dtype=DECIDED)
    selection = Selection(TOPIC, (EARLIER, TINY.reference), made)
    topics = ("decisions", "dead-letters")
    return Plan("r-1", datetime.now(UTC), "some", *topics, {}, TINY.reference, selection, expired=0)


def link(inner: InnerLink, of: Plan, everything: bool = False) -> ReplayLink:
    """A replay's link on it, in no hurry to wait."""
    return ReplayLink(inner, of, RateLimit(1_000_000), everything)


SOME = plan((0, 3, 0.1, 0, 0), (0, 5, 0.1, 0, 1), (0, 7, 0.9, 2, 1), (2, 1, 0.1, 0, 0))


def test_polls_only_what_is_selected() -> None:
    """Offsets go on for all records of partitions of which something is selected."""
    records = [record(0, offset) for offset in (3, 4, 5)] + [record(1, 0), record(2, 0)]
    inner = InnerLink(Batch(records, {0: 6, 1: 1, 2: 1}))
    batch = link(inner, SOME).poll(TINY.reference)
    assert [(r.partition(), r.offset()) for r in batch.records] == [(0, 3), (0, 5)]
    assert batch.offsets_next == {0: 6, 2: 1}
    assert inner.paused == {1}, "nothing of it is selected"


def test_what_retention_took_ends_the_replay() -> None:
    """A partition that cannot be read any more where the replay is ends it: it would never be complete."""
    inner = InnerLink(Batch([], {}))
    inner.unreadable[0] = "gone"
    with pytest.raises(ReplayError, match="retention deleted applications of this replay"):
        link(inner, SOME).poll(TINY.reference)


def test_leaves_off_behind_the_last_selected() -> None:
    """What comes later is the live workers'."""
    inner = InnerLink(Batch([record(0, offset) for offset in (6, 7, 8, 9)], {0: 10, 2: 1}))
    batch = link(inner, SOME).poll(TINY.reference)
    assert [r.offset() for r in batch.records] == [7]
    assert batch.offsets_next == {0: 8, 2: 1}
    assert inner.paused == {0}


@pytest.mark.parametrize("everything", [False, True])
def test_publishes_only_decisions_that_differ(everything: bool) -> None:
    """Another bundle, another outcome or another probability make other bytes; the offsets go on for all."""
    records = [record(0, 3, 100), record(0, 5, 100), record(0, 7, 100, price=BROKEN_PRICE), record(2, 1, 100)]
    batch = Batch(records, {0: 8, 2: 2})
    inner = InnerLink()
    scores = replace(score_batch(records, TINY, 65_536), rule_ids=("high",))
    link(inner, SOME, everything).publish(batch, scores)
    (published, published_scores), *_ = inner.published
    offsets = [r.offset() for r in published.records]
    assert offsets == ([3, 5, 7, 1] if everything else [3, 7, 1]), "the one at 5 is the same, byte for byte"
    assert published.offsets_next == {0: 8, 2: 2}
    assert len(published_scores.results) == len(offsets)
    assert published_scores.rule_ids == scores.rule_ids
    assert isinstance(published_scores.results[-2], Rejection)
    assert len(published_scores.probabilities) == len(published_scores.decided) == len(offsets) - 1
    assert [o for o in published_scores.results if isinstance(o, bytes)] == [
        o for o, r in zip(scores.results, records, strict=True) if isinstance(o, bytes) and r.offset() in offsets
    ]


def test_other_applications_are_not_corrected() -> None:
    """Where the topic was deleted and created again, other applications have the offsets that decisions name."""
    records = [FakeRecord((0, 3), application("a-3", amount=100)), FakeRecord((0, 5), application("b-5", amount=100))]
    inner = InnerLink()
    with pytest.raises(
        ReplayError, match=r"applications\[0\]@5 is not the application .* 1 of 2 records differ\..*--since"
    ):
        link(inner, SOME).publish(Batch(records, {0: 6}), score_batch(records, TINY, 65_536))
    assert not inner.published


def test_corrections_name_what_they_supersede() -> None:
    """By the id that the earlier bundle's decision has."""
    headers = CorrectionHeaders(SOME)([record(0, 5), record(2, 1)])
    assert headers == [
        [("replay-id", b"r-1"), ("supersedes", f"{TOPIC}:0:5@111111111111".encode())],
        [("replay-id", b"r-1"), ("supersedes", f"{TOPIC}:2:1@999999999999".encode())],
    ]


def test_starts_at_the_first_selected_or_where_it_was() -> None:
    """And nowhere where nothing is left to do."""
    start_at = start_within(SOME)
    nothing_committed = -1001
    assert [start_at(0, nothing_committed), start_at(0, 5), start_at(0, 8)] == [3, 5, OFFSET_END]
    assert [start_at(1, nothing_committed), start_at(1, 4)] == [OFFSET_END, OFFSET_END]


def test_the_rate_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that passed without work is not made up for, and a long wait is one of short naps."""
    now, slept = [100.0], list[float]()
    monkeypatch.setattr("scorer.replay.link.time.monotonic", lambda: now[0])

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr("scorer.replay.link.time.sleep", sleep)
    pace = RateLimit(1_000)
    assert not pace.wait_briefly()
    now[0] = 200.0
    pace.count(500)
    assert [pace.wait_briefly(), pace.wait_briefly(), pace.wait_briefly()] == [True, True, False]
    assert sum(slept) == pytest.approx(0.5)
    assert not pace.wait_briefly()
