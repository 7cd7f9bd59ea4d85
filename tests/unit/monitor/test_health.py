"""Health: what the probes are told, and when."""

import pytest

from schemas.decision import BundleReference
from scorer.monitor.health import Health

REFERENCE = BundleReference(name="tiny", version="1.0.0", digest="0" * 64)


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
    """A worker that has just started."""
    return Health(REFERENCE, stalled_after_s=300, clock=clock)


def test_alive_while_it_polls(health: Health, clock: Clock) -> None:
    """The worker is alive until its last poll is older than the group waits; a poll revives it."""
    assert health.alive()[0]
    clock.now += 299
    assert health.alive() == (True, {"last_poll_age_s": 299.0, "stalled_after_s": 300})
    clock.now += 1
    assert not health.alive()[0]
    health.polled_at = clock.now
    assert health.alive()[0]


def test_ready_when_nothing_is_missing(health: Health, clock: Clock) -> None:
    """Ready is: partitions known, a broker in reach, a loop that goes round; the detail says what is missing."""
    assert health.ready()[1]["checks"] == {"alive": True, "assigned": False, "broker_reachable": True}
    assert not health.ready()[0]
    health.assigned = frozenset({3, 1})
    ready, detail = health.ready()
    assert ready
    assert detail["partitions"] == [1, 3]
    assert detail["bundle"] == REFERENCE.model_dump()
    health.reachable = False
    assert not health.ready()[0]
    health.reachable = True
    clock.now += 301
    assert health.ready()[1]["checks"]["alive"] is False


def test_challenger_is_told_and_needs_nothing(health: Health) -> None:
    """What scores along is in the detail, and so is why it does not; a worker that decides is ready without it."""
    health.assigned = frozenset({0})
    assert health.ready()[1]["challenger"] is None
    health.challenger = REFERENCE
    health.challenger_refused = "no such bundle"
    ready, detail = health.ready()
    assert ready
    assert detail["challenger"] == REFERENCE.model_dump()
    assert detail["challenger_refused"] == "no such bundle"


def test_spare_worker_is_ready(health: Health) -> None:
    """A worker for whom no partition is left is ready all the same: it takes over when another goes."""
    health.assigned = frozenset()
    assert health.ready()[0]
