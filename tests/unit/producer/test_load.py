"""Load by the clock: on time, late and honest about it, bounded in its bursts, and ended by a signal."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from producer import load
from producer.client import ApplicationPublisher
from producer.generator import GeneratedRecord
from producer.load import LoadReport, LoadRun
from schemas.rejection import RejectionCode

START_S = 1_000_000.0


class FakeWorld(ApplicationPublisher):
    """A clock that only sleeping moves, and a publisher that notes what it is given and when.

    Args:
        full: whether the client's queue is full at a time, in seconds since the start.
    """

    def __init__(self, full: Callable[[float], bool] = lambda _: False) -> None:
        self.now_s = START_S
        self.hold_up_s = 0.0
        self.sent = self.acknowledged = self.failed = 0
        self.given: list[tuple[float, bytes | None, int]] = []
        self.drained_s: list[float | None] = []
        self._full = full

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.now_s

    def poll(self, timeout_s: float) -> None:
        self.now_s += timeout_s + self.hold_up_s
        self.hold_up_s = 0.0

    def try_send(self, key: bytes | None, value: bytes, timestamp_ms: int = 0) -> bool:
        assert value
        if self._full(self.now_s - START_S):
            return False
        self.given.append((self.now_s - START_S, key, timestamp_ms))
        self.acknowledged += 1
        return True

    def wait_for_delivery(self, timeout_s: float | None = None) -> int:
        self.drained_s.append(timeout_s)
        return 0


def _records() -> Iterator[GeneratedRecord]:
    return (
        GeneratedRecord(b"%d" % n, b"{}", RejectionCode.EMPTY if n % 10 == 0 else None) for n in count()
    )  # pragma: no branch


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., LoadReport]:
    """Runs a load in a fake world."""

    def run_in(
        world: FakeWorld,
        rate: float,
        for_s: float,
        stop: Callable[[], bool] = lambda: False,
        on_wake: Callable[[], None] = lambda: None,
    ) -> LoadReport:
        monkeypatch.setattr(load, "time", world)
        return LoadRun(world, _records(), rate, for_s).run(stop, on_wake)

    return run_in


def test_every_record_leaves_when_it_is_due(run: Callable[..., LoadReport]) -> None:
    """On an idle machine every record leaves within a tick of its time, which is also its timestamp."""
    world = FakeWorld()
    report = run(world, 200, 2)
    assert (report.scheduled, report.sent, report.invalid, report.stopped) == (400, 400, 40, False)
    assert [key for _, key, _ in world.given] == [b"%d" % n for n in range(400)]
    for number, (left_s, _, timestamp_ms) in enumerate(world.given):
        assert left_s == pytest.approx(number / 200, abs=0.001_1)
        assert timestamp_ms == pytest.approx(START_S * 1_000 + number * 5, abs=1)
    assert report.lateness_max_ms < 1.1
    assert report.rate_achieved == pytest.approx(200)


def test_high_rates_leave_in_small_bursts(run: Callable[..., LoadReport]) -> None:
    """At a rate beyond the ticks each wake sends what fell due meanwhile, and all of it is sent."""
    world = FakeWorld()
    assert run(world, 50_000, 0.5).sent == 25_000
    moments = [left_s for left_s, _, _ in world.given]
    assert max(moments.count(moment) for moment in set(moments)) <= 52


def test_a_hold_up_is_caught_up_in_bounded_bursts_and_shows(run: Callable[..., LoadReport]) -> None:
    """After a stall nothing is left out, no wake sends more than 100 ms worth, and timestamps and report tell of it."""
    world = FakeWorld()

    def stall_once() -> None:
        if len(world.given) == 100:
            world.hold_up_s = 0.5

    report = run(world, 100, 4, on_wake=stall_once)
    moments = [left_s for left_s, _, _ in world.given]
    assert report.sent == report.scheduled == 400
    assert max(moments.count(moment) for moment in set(moments)) == 10
    assert report.lateness_max_ms == pytest.approx(500, abs=15)
    assert [timestamp_ms for _, _, timestamp_ms in world.given] == [
        pytest.approx(START_S * 1_000 + n * 10, abs=1) for n in range(400)
    ]


def test_records_that_could_not_be_sent_in_time_are_reported(run: Callable[..., LoadReport]) -> None:
    """With the client's queue full for half of the time the load still ends on time, and owns up to what is missing."""
    world = FakeWorld(full=lambda elapsed_s: elapsed_s > 1)
    report = run(world, 100, 2)
    assert report.scheduled == 200
    assert 100 <= report.sent <= 102
    assert report.rate_achieved == pytest.approx(50, rel=0.05)
    assert world.now_s - START_S < 2.2


def test_a_signal_ends_it_with_what_was_due_until_then(run: Callable[..., LoadReport]) -> None:
    """Told to stop, the load sends nothing more and waits only a little for acknowledgements."""
    world = FakeWorld()
    report = run(world, 10, 60, stop=lambda: world.now_s - START_S >= 1)
    assert report.stopped
    assert (report.scheduled, report.sent, report.acknowledged) == (10, 10, 10)
    assert world.drained_s == [5.0]


def test_slow_loads_look_at_the_signal_often(run: Callable[..., LoadReport]) -> None:
    """Between two records that are far apart the stop is still asked for, ten times a second."""
    world = FakeWorld()
    run(world, 0.1, 60, stop=lambda: world.now_s - START_S >= 3)
    assert len(world.given) == 1
    assert world.now_s - START_S < 3.2
