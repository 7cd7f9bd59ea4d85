"""The loop on a scripted link: what it asks of whom, in which order, and when it ends."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from schemas.decision import BundleReference
from scorer.core.score import Bundle, Result, Scores
from scorer.errors import BundleUnusableError
from scorer.stream.worker import Batch, Record, run
from tests.fakes import RECORD_BYTES_MAX, CountingMonitor, FakeRecord, ModelThatFails, application, tiny_bundle


class ScriptedLink:
    """Hands out the batches it was given and remembers what came back."""

    def __init__(self, *batches: Batch) -> None:
        self.batches = list(batches)
        self.published: list[tuple[Batch, Sequence[Result]]] = []
        self.published_by: list[BundleReference] = []
        self.asked_for: list[BundleReference] = []
        self.settled_after: list[int] = []

    def poll(self, reference: BundleReference) -> Batch:
        self.asked_for.append(reference)
        return self.batches.pop(0) if self.batches else Batch([], {})

    def publish(self, batch: Batch, scores: Scores) -> None:
        self.published_by.append(scores.bundle)
        self.published.append((batch, scores.results))

    def settle(self) -> bool:
        self.settled_after.append(len(self.published))
        return True


def batch_of(*values: bytes) -> Batch:
    """A batch of one partition."""
    return Batch([FakeRecord((0, i), value) for i, value in enumerate(values)], {0: len(values)})


def run_all(link: ScriptedLink, bundle: Bundle | None = None) -> CountingMonitor:
    """Runs the loop until the link has no more batches."""
    monitor = CountingMonitor()
    used = bundle or tiny_bundle()
    run(link, lambda: used, monitor, RECORD_BYTES_MAX, lambda: not link.batches)
    return monitor


def test_one_round() -> None:
    """A batch is polled, scored and published, one result a record in order; and each step of the scoring is told."""
    link = ScriptedLink(batch_of(application("a"), b"bad", application("b")))
    monitor = run_all(link)
    ((_, results),) = link.published
    assert [isinstance(result, bytes) for result in results] == [True, False, True]
    assert monitor.stages == ["decode", "features", "predict", "encode"]
    assert monitor.polls == 1


def test_empty_poll_publishes_nothing() -> None:
    """Where nothing moved there is nothing to commit."""
    link = ScriptedLink(Batch([], {}), Batch([], {}))
    assert run_all(link).polls == 2
    assert link.published == []


def test_move_without_records_is_committed() -> None:
    """A partition that moved past markers is committed although nothing was decided."""
    link = ScriptedLink(Batch([], {0: 7}))
    run_all(link)
    assert [(batch.offsets_next, list(results)) for batch, results in link.published] == [({0: 7}, [])]


def test_settles_at_the_end_alone() -> None:
    """The loop waits for a commit on its way once, when it ends; between batches that is the link's business."""
    link = ScriptedLink(batch_of(application("a")), batch_of(application("b")))
    run_all(link)
    assert link.settled_after == [2]


def test_stop_is_asked_between_batches() -> None:
    """Told to stop, the loop ends before the next poll; a batch in hand has been published."""
    link = ScriptedLink(batch_of(application("a")), batch_of(application("b")))
    bundle = tiny_bundle()
    run(link, lambda: bundle, CountingMonitor(), RECORD_BYTES_MAX, lambda: bool(link.published))
    assert len(link.published) == 1
    assert len(link.batches) == 1


def test_unusable_bundle_stops_the_loop() -> None:
    """Where the bundle scores nothing, the loop ends with its error and nothing of the batch is published."""
    link = ScriptedLink(batch_of(application("a")))
    with pytest.raises(BundleUnusableError):
        run_all(link, tiny_bundle(model=ModelThatFails()))
    assert link.published == []


def test_swap_between_two_batches() -> None:
    """Another bundle decides from the next batch on: each batch is one bundle's, and the monitor is told once each."""
    first = tiny_bundle()
    second = replace(first, reference=first.reference.model_copy(update={"version": "2.0.0"}))
    link = ScriptedLink(*(batch_of(application("a"), application("b")) for _ in range(4)))
    monitor = CountingMonitor()
    run(
        link,
        lambda: first if len(link.batches) > 2 else second,
        monitor,
        RECORD_BYTES_MAX,
        lambda: not link.batches,
    )
    assert monitor.served == [first.reference, second.reference]
    assert link.asked_for == [first.reference] * 2 + [second.reference] * 2
    assert link.published_by == [first.reference] * 2 + [second.reference] * 2


def test_challenge_comes_last() -> None:
    """A batch is challenged once it is handed over, with what became of it; a move without records is no batch."""
    link = ScriptedLink(batch_of(application("a"), b"bad"), Batch([], {}), batch_of(application("b")))
    bundle = tiny_bundle()
    challenged: list[tuple[int, Sequence[Result]]] = []

    def challenge(records: Sequence[Record], scores: Scores) -> None:
        assert records is link.published[-1][0].records
        challenged.append((len(link.published), scores.results))

    run(link, lambda: bundle, CountingMonitor(), RECORD_BYTES_MAX, lambda: not link.batches, challenge)
    assert challenged == [(1, link.published[0][1]), (2, link.published[1][1])]
