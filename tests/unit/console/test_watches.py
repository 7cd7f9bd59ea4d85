"""What the console's threads read: nothing that anybody writes ends them, or spoils what they measure."""

import logging
from collections.abc import Iterator
from threading import Event
from typing import cast

import pytest

from scorer.console import latency as waits
from scorer.console import watch
from scorer.console.live import Live, Part
from scorer.errors import BrokerError
from scorer.operate.reading import Bounds, TopicReader
from tests.fakes import FakeRecord

NOW_S = 1_795_685_400.0


class Applications:
    """The applications topic: offsets 3 to 5 of partition 0, at these times."""

    def __init__(self, *at_ms: int) -> None:
        self._at_ms = at_ms
        self.read_bounds: Bounds = {}

    def bounds(self) -> dict[int, tuple[int, int]]:
        """What there is."""
        return {0: (3, 6)}

    def read(self, bounds: Bounds) -> Iterator[list[FakeRecord]]:
        """What is within the bounds."""
        self.read_bounds = bounds
        first, end = bounds.get(0, (0, 0))
        records = [FakeRecord((0, offset), b"", timestamp_ms=at) for offset, at in enumerate(self._at_ms, 3)]
        yield [record for record in records if first <= record.offset() < end]


def measure(applications: Applications, read_times: dict[int, dict[int, float]]) -> list[float]:
    """How long the applications of these decisions waited."""
    return waits._measure(cast("TopicReader", applications), read_times)


def test_a_forged_decision_spoils_no_measurement() -> None:
    """A decision that names an offset or a partition that is not there made the console read the whole topic."""
    applications = Applications(*[int(NOW_S * 1_000) - 500] * 3)
    read_times = {0: {2: NOW_S, 3: NOW_S, 2**62: NOW_S}, 2**31 - 1: {0: NOW_S}}
    assert measure(applications, read_times) == pytest.approx([0.5])
    assert applications.read_bounds == {0: (3, 4)}
    measure(applications, {7: {1: NOW_S}})
    assert applications.read_bounds == {}


def test_timestamps_in_other_units_are_no_latencies() -> None:
    """Seconds and microseconds in the place of milliseconds are left out."""
    applications = Applications(int(NOW_S), int(NOW_S * 1e6), int(NOW_S * 1_000) - 250)
    assert measure(applications, {0: dict.fromkeys((3, 4, 5), NOW_S)}) == pytest.approx([0.25])


def test_a_watch_outlives_every_fault(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A fault in the program ended the console's counting for good. It is logged without its text, and shown."""
    monkeypatch.setattr(watch, "_RETRY_S", 0)
    live, stop, watched = Live(), Event(), 0
    personal_data = "what an applicant earns"

    def look() -> None:
        nonlocal watched
        watched += 1
        if watched == 1:
            raise ValueError(personal_data)
        if watched == 2:
            assert "ValueError" in live.state()["error"]
            raise BrokerError("no broker answers")
        assert live.state()["error"] == "no broker answers"
        stop.set()

    with caplog.at_level(logging.ERROR, "scorer"):
        watch.run_with_restarts(Part.RESULTS, look, live, stop)
    assert watched == 3
    (line,) = caplog.records
    assert (line.__dict__["event"], line.__dict__["fields"]["error"]) == ("thread_crashed", "ValueError")
    assert "earns" not in str(line.__dict__)
