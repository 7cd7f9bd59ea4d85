"""Health: what the probes answer, and when."""

import pytest

from schemas.decision import BundleReference
from scorer.core.score import score_batch
from scorer.monitor.health import Health
from scorer.stream.delivery import Delivered
from scorer.stream.worker import Batch
from tests.fakes import RECORD_BYTES_MAX, tiny_bundle

REFERENCE = BundleReference(name="tiny", version="1.0.0", digest="0" * 64)
OTHER = REFERENCE.model_copy(update={"version": "2.0.0"})
EMPTY = Batch([], {})


class Clock:
    """A clock that is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock at its start."""
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    """A worker that has polled once."""
    made = Health(REFERENCE, poll_stalled_after_s=30, delivery_stalled_after_s=20, clock=clock)
    made.polled(EMPTY)
    return made


def test_alive_while_it_polls(health: Health, clock: Clock) -> None:
    """The worker is alive until its last poll is too old; a poll revives it."""
    clock.now += 29
    alive, detail = health.alive()
    assert alive
    assert (detail["last_poll_age_s"], detail["poll_stalled_after_s"]) == (29.0, 30)
    clock.now += 1
    assert not health.alive()[0]
    health.polled(EMPTY)
    assert health.alive()[0]


def test_alive_while_it_starts(clock: Clock) -> None:
    """A worker that waits for its brokers at start is alive and not ready: a restart would only wait again."""
    health = Health(REFERENCE, poll_stalled_after_s=30, delivery_stalled_after_s=20, clock=clock)
    clock.now += 3_600
    alive, detail = health.alive()
    assert alive
    assert (detail["starting"], detail["last_poll_age_s"]) == (True, None)
    assert not health.ready()[0]


def test_not_alive_while_a_delivery_hangs(health: Health, clock: Clock) -> None:
    """A delivery that is older than its transaction can live fails the probe, although polls go on.

    A worker whose delivery never returned used to be alive and ready for as long as anybody looked.
    """
    health.delivering()
    clock.now += 19
    health.polled(EMPTY)
    assert health.alive()[1]["delivery_age_s"] == 19.0
    assert health.alive()[0]
    clock.now += 1
    health.polled(EMPTY)
    assert not health.alive()[0]


@pytest.mark.parametrize("ends_well", [True, False])
def test_a_delivery_that_ended_counts_no_more(health: Health, clock: Clock, ends_well: bool) -> None:
    """Once a delivery is committed or aborted, nothing is in flight."""
    health.delivering()
    if ends_well:
        scores = score_batch([], tiny_bundle(), RECORD_BYTES_MAX)
        health.committed(EMPTY, scores, Delivered(1.0, 1.5, 2.0))
    else:
        health.aborted()
    clock.now += 25
    health.polled(EMPTY)
    assert health.alive()[0]
    assert health.alive()[1]["delivery_age_s"] is None


def test_ready_when_nothing_is_missing(health: Health, clock: Clock) -> None:
    """Ready is: partitions known and readable, a broker in reach, a loop that polls; the detail says what lacks."""
    checks = {"alive": True, "assigned": False, "broker_reachable": True, "partitions_readable": True}
    assert health.ready()[1]["checks"] == checks
    assert not health.ready()[0]
    health.rebalanced("assigned", frozenset({3, 1}))
    ready, detail = health.ready()
    assert ready
    assert detail["partitions"] == [1, 3]
    assert detail["bundle"] == REFERENCE.model_dump()
    health.reachable(False)
    assert not health.ready()[0]
    health.reachable(True)
    clock.now += 31
    assert health.ready()[1]["checks"]["alive"] is False


def test_not_ready_while_a_partition_is_blocked(health: Health) -> None:
    """A partition that cannot be read is named with its reason; the worker is alive, and ready once it is gone."""
    health.rebalanced("assigned", frozenset({0, 1}))
    health.blocked({1: "offset 4 is no longer there"})
    ready, detail = health.ready()
    assert not ready
    assert detail["blocked_partitions"] == {"1": "offset 4 is no longer there"}
    assert health.alive()[0]
    health.blocked({})
    assert health.ready()[0]


def test_the_engine_is_named_with_what_is_wrong_with_the_compiled_one(health: Health) -> None:
    """A worker that decides with the slower engine says why, and is ready."""
    health.rebalanced("assigned", frozenset({0}))
    health.deciding("python", "it leaves all golden examples to the reference")
    ready, detail = health.ready()
    assert ready
    assert (detail["engine"], detail["engine_fault"]) == ("python", "it leaves all golden examples to the reference")
    health.deciding("compiled", "")
    assert (health.ready()[1]["engine"], health.ready()[1]["engine_fault"]) == ("compiled", "")


def test_slots_are_distinguished(health: Health) -> None:
    """What is refused and what is loaded goes to its own slot: a challenger is never said to decide."""
    health.rebalanced("assigned", frozenset({0}))
    health.refused("challenger", OTHER, "no such bundle")
    text = f"{OTHER} was deployed and cannot be loaded: no such bundle"
    detail = health.ready()[1]
    assert (detail["load_failure"], detail["challenger"], detail["challenger_load_failure"]) == ("", None, text)
    health.refused("champion", OTHER, "no such bundle")
    assert health.ready()[1]["load_failure"] == text
    health.in_step("challenger", OTHER)
    detail = health.ready()[1]
    assert (detail["bundle"], detail["challenger"]) == (REFERENCE.model_dump(), OTHER.model_dump())
    assert (detail["load_failure"], detail["challenger_load_failure"]) == (text, "")
    health.in_step("champion", REFERENCE)
    health.serving(OTHER)
    ready, detail = health.ready()
    assert ready
    assert (detail["load_failure"], detail["bundle"]) == ("", OTHER.model_dump())
    health.in_step("challenger", None)
    assert health.ready()[1]["challenger"] is None


def test_spare_worker_is_ready(health: Health) -> None:
    """A worker for whom no partition is left is ready all the same: it takes over when another goes."""
    health.rebalanced("assigned", frozenset())
    assert health.ready()[0]


def test_answers_stay_small(health: Health) -> None:
    """What a store says of a bundle, and a broker of a partition, is cut: probes ask every few seconds."""
    health.refused("champion", OTHER, "x" * 1_000_000)
    health.refused("challenger", OTHER, "y" * 1_000_000)
    health.blocked({0: "z" * 1_000_000})
    detail = health.ready()[1]
    assert len(str(detail)) < 5_000
    assert detail["load_failure"].startswith(f"{OTHER} was deployed and cannot be loaded: xxx")
