"""Open-loop load: sends records on a fixed schedule, whether or not the broker and the scorer keep up.

The schedule does not depend on decisions or acknowledgements. Each record's timestamp is its scheduled time, so that a
latency measured from it includes the delay of a record that was sent late.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from producer.client import ApplicationPublisher
from producer.generator import GeneratedRecord

# Shorter sleeps cost more than they gain; at high rates each wake-up sends all records that are due.
_TICK_S: Final = 0.001
# After a stall, a wake-up sends at most the records of this time, to avoid one large burst.
_BURST_S: Final = 0.1
# Time to wait for acknowledgements after a signal.
_STOPPED_WAIT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The results of a load.

    Attributes:
        scheduled: records that were due until the end or the signal.
        sent: records handed to the client; fewer than scheduled if this machine or the broker was too slow.
        invalid: invalid records among those sent.
        acknowledged: records acknowledged by the broker.
        failed: records that were not delivered.
        rate_achieved: records sent per second.
        lateness_max_ms: maximum delay of a record after its scheduled time, in milliseconds.
        stopped: whether a signal stopped it early.
    """

    scheduled: int
    sent: int
    invalid: int
    acknowledged: int
    failed: int
    rate_achieved: float
    lateness_max_ms: float
    stopped: bool


class LoadRun:
    """One load: its schedule and progress.

    Attributes:
        total: records in the schedule.
        sent: records sent so far.
    """

    def __init__(
        self, publisher: ApplicationPublisher, records: Iterator[GeneratedRecord], rate: float, for_s: float
    ) -> None:
        """Schedules a load.

        Args:
            publisher: the client that sends the records.
            records: an endless iterator of records.
            rate: records per second.
            for_s: duration in seconds.
        """
        self.total = max(1, round(rate * for_s))
        self.sent = 0
        self._publisher = publisher
        self._records = records
        self._rate = rate
        self._for_s = for_s
        self._next = next(records)
        self._invalid = 0
        self._lateness_s = 0.0

    def run(self, stop: Callable[[], bool], on_wake: Callable[[], None] = lambda: None) -> LoadReport:
        """Runs until the end of the schedule, or until `stop` returns True.

        Args:
            stop: called at every wake-up; True stops the load.
            on_wake: called at every wake-up.
        """
        start_s, start_ms = time.monotonic(), time.time() * 1_000
        elapsed_s, stopped = 0.0, False
        while self.sent < self.total and elapsed_s < self._for_s and not (stopped := stop()):
            elapsed_s = time.monotonic() - start_s
            self._send_due(elapsed_s, start_s, start_ms)
            on_wake()
            next_due_s = start_s + self.sent / self._rate - time.monotonic()
            self._publisher.poll(min(max(next_due_s, _TICK_S), _BURST_S))
        self._publisher.wait_for_delivery(_STOPPED_WAIT_S if stopped else None)
        return LoadReport(
            scheduled=self._due(elapsed_s),
            sent=self.sent,
            invalid=self._invalid,
            acknowledged=self._publisher.acknowledged,
            failed=self._publisher.failed,
            rate_achieved=round(self.sent / max(elapsed_s, self.sent / self._rate), 3),
            lateness_max_ms=round(self._lateness_s * 1_000, 3),
            stopped=stopped,
        )

    def _due(self, elapsed_s: float) -> int:
        """The number of records due so far: the first at once, then one every `1 / rate` seconds."""
        return min(self.total, int(elapsed_s * self._rate) + 1)

    def _send_due(self, elapsed_s: float, start_s: float, start_ms: float) -> None:
        """Sends the records that are due, up to the burst limit and the size of the client's queue."""
        for _ in range(min(self._due(elapsed_s) - self.sent, max(1, int(self._rate * _BURST_S)))):
            due_s = self.sent / self._rate
            if not self._publisher.try_send(self._next.key, self._next.value, int(start_ms + due_s * 1_000)):
                return
            self._lateness_s = max(self._lateness_s, time.monotonic() - start_s - due_s)
            self._invalid += self._next.code is not None
            self.sent += 1
            self._next = next(self._records)
