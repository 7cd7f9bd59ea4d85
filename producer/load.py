"""Load by the clock: records leave when they are due, whether or not anybody keeps up with them.

An open loop: the schedule knows nothing of decisions or acknowledgements. Each record carries the time when it was due
as its timestamp, so that a latency measured from it counts the wait of a record that left late, too.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from producer.client import ApplicationPublisher
from producer.generator import GeneratedRecord

# Shorter sleeps would cost more than they gain; at high rates each wake sends what fell due meanwhile.
_TICK_S: Final = 0.001
# After a hold-up, a wake sends at most what falls due in this time, lest one stall turn into one great burst.
_BURST_S: Final = 0.1
# After a signal, acknowledgements are awaited only so long.
_DRAIN_STOPPED_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load did.

    Attributes:
        scheduled: records that were due until the end, or until the signal.
        sent: records handed to the client; fewer than scheduled if this machine or the broker could not keep the rate.
        bad: how many of those sent were made unsound.
        acknowledged: records that the broker has.
        failed: records that the broker did not take.
        rate_achieved: records sent a second.
        lateness_max_ms: how long after its due time the latest record was sent, in milliseconds.
        stopped: whether a signal ended it early.
    """

    scheduled: int
    sent: int
    bad: int
    acknowledged: int
    failed: int
    rate_achieved: float
    lateness_max_ms: float
    stopped: bool


class LoadRun:
    """One load: a schedule, and how far it has come.

    Attributes:
        total: records that are due until the end.
        sent: records sent so far.
    """

    def __init__(
        self, publisher: ApplicationPublisher, records: Iterator[GeneratedRecord], rate: float, for_s: float
    ) -> None:
        """Plans a load.

        Args:
            publisher: sends the records.
            records: what to send, without end.
            rate: records a second.
            for_s: for how many seconds.
        """
        self.total = max(1, round(rate * for_s))
        self.sent = 0
        self._publisher = publisher
        self._records = records
        self._rate = rate
        self._for_s = for_s
        self._next = next(records)
        self._bad = 0
        self._lateness_s = 0.0

    def run(self, stop: Callable[[], bool], on_wake: Callable[[], None] = lambda: None) -> LoadReport:
        """Runs until the end, or until it is told to stop.

        Args:
            stop: asked at every wake; True ends the load.
            on_wake: called at every wake.
        """
        start_s, start_ms = time.monotonic(), time.time() * 1_000
        elapsed_s, stopped = 0.0, False
        while self.sent < self.total and elapsed_s < self._for_s and not (stopped := stop()):
            elapsed_s = time.monotonic() - start_s
            self._send_due(elapsed_s, start_s, start_ms)
            on_wake()
            next_due_s = start_s + self.sent / self._rate - time.monotonic()
            self._publisher.poll(min(max(next_due_s, _TICK_S), _BURST_S))
        self._publisher.drain(_DRAIN_STOPPED_S if stopped else None)
        return LoadReport(
            scheduled=self._due(elapsed_s),
            sent=self.sent,
            bad=self._bad,
            acknowledged=self._publisher.acknowledged,
            failed=self._publisher.failed,
            rate_achieved=round(self.sent / max(elapsed_s, self.sent / self._rate), 3),
            lateness_max_ms=round(self._lateness_s * 1_000, 3),
            stopped=stopped,
        )

    def _due(self, elapsed_s: float) -> int:
        """How many records are due by now: the first at once, each other a `1 / rate` after the one before."""
        return min(self.total, int(elapsed_s * self._rate) + 1)

    def _send_due(self, elapsed_s: float, start_s: float, start_ms: float) -> None:
        """Sends what is due, within the limit of a burst and of the client's queue."""
        for _ in range(min(self._due(elapsed_s) - self.sent, max(1, int(self._rate * _BURST_S)))):
            due_s = self.sent / self._rate
            if not self._publisher.try_send(self._next.key, self._next.value, int(start_ms + due_s * 1_000)):
                return
            self._lateness_s = max(self._lateness_s, time.monotonic() - start_s - due_s)
            self._bad += self._next.code is not None
            self.sent += 1
            self._next = next(self._records)
