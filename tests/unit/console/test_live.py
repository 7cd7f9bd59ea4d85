"""What the pages hear, second by second."""

from typing import Any

import pytest

from scorer.console.deployed import not_deployed
from scorer.console.live import SERIES_POINTS_MAX, GroupState, Live, Part

GROUP = GroupState(
    arriving=10.0,
    lag_by_partition={0: 1, 1: 2},
    end_offset=30,
    workers=2,
    deciding=("a:1@b",),
    deployments=(),
    deployed=not_deployed(),
    unswitched=(),
)


def test_a_second_contains_what_was_counted_in_it() -> None:
    """Counts are of the second alone, as rates over the time that it really took; the next one begins at 0."""
    live = Live()
    live.group_state = GROUP
    live.tick(100.0)
    live.add_counts({"APPROVED": 3, "REJECTED": 1}, {"empty": 1}, 2)
    point = live.tick(102.0)
    assert point["decided"] == 2.0
    assert point["kinds"] == {"APPROVED": 3, "MAYBE": 0, "DECLINED": 0, "REJECTED": 1}
    assert point["corrections"] == 2
    assert live.tick(103.0)["decided"] == 0
    assert live.state()["codes"] == {"empty": 1}


def test_unknown_figures_are_null() -> None:
    """Before the first look, and while a part is in trouble, nothing is said that would be a guess."""
    live = Live()
    assert live.tick(0.0)["waiting"] is None
    assert live.state()["workers"] is None
    live.group_state = GROUP
    assert live.tick(1.0)["waiting"] == 3
    live.set_error(Part.GROUP, "it is away")
    point = live.tick(2.0)
    assert (point["waiting"], point["arriving"], point["decided"]) == (None, None, None)
    assert live.state()["error"] == "it is away"
    assert live.state()["errors"] == {"group": "it is away"}
    live.set_error(Part.GROUP, "")
    assert live.tick(3.0)["waiting"] == 3
    assert live.state()["error"] == ""
    assert live.state()["errors"] == {}


def test_latencies_are_of_the_last_minute() -> None:
    """Median and 99th percentile of what was measured, forgotten after a minute."""
    live = Live()
    live.add_latencies(100.0, [number / 100 for number in range(100)])
    point = live.tick(100.0)
    assert (point["p50"], point["p99"]) == (0.5, 0.99)
    live.add_latencies(150.0, [7.0])
    assert live.tick(160.5)["p50"] == 7.0
    assert live.tick(211.0)["p50"] is None


def test_the_series_has_an_end() -> None:
    """Five minutes of it are kept, oldest first."""
    live = Live()
    for second in range(SERIES_POINTS_MAX + 50):
        live.tick(float(second))
    series = live.series()
    assert len(series) == SERIES_POINTS_MAX
    assert series[0]["at"] == 50
    assert series[-1]["at"] == SERIES_POINTS_MAX + 49


def test_a_try_has_one_result() -> None:
    """Whoever listens hears of the first and of no other; whoever comes later finds it; nobody else's is kept."""
    live, received = Live(), list[dict[str, Any]]()
    live.on_result(received.append)
    live.expect_result("try-1")
    assert live.pending_tries() == {"try-1"}
    live.set_result("try-1", {"id": "try-1", "kind": "MAYBE"})
    live.set_result("try-1", {"id": "try-1", "kind": "DECLINED"})
    assert received == live.results() == [{"id": "try-1", "kind": "MAYBE"}]
    assert live.pending_tries() == frozenset()


@pytest.mark.parametrize("count", [199, 500])
def test_tries_are_forgotten_in_the_end(count: int) -> None:
    """However many are tried, a bounded number is remembered: the latest."""
    live = Live()
    for number in range(count):
        live.expect_result(f"try-{number}")
    assert len(live.pending_tries()) == min(count, 200)
    assert f"try-{count - 1}" in live.pending_tries()


def test_probabilities_are_of_the_newest_decisions() -> None:
    """Counted in twenty equal intervals from 0 to 1, both ends included; older ones than the newest thousand go."""
    live = Live()
    assert live.state()["probabilities"] == [0] * 20
    live.probabilities.record([0.0, 0.049, 0.05, 0.999, 1.0])
    assert live.state()["probabilities"] == [2, 1, *[0] * 16, 0, 2]
    live.probabilities.record([0.5] * 1_000)
    assert live.state()["probabilities"] == [*[0] * 10, 1_000, *[0] * 9]
