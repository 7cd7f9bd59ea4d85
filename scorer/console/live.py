"""The console's live state: written by the background threads, read every second for the open pages."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock
from typing import Any, Final

from schemas.records import OTHER_CODES
from schemas.rejection import RejectionCode
from scorer.console.deployed import Deployed
from scorer.console.probabilities import Probabilities
from scorer.console.unswitched import UnswitchedDeployment
from scorer.core.policy import LABELS
from scorer.stream.history_record import Line

REJECTED: Final = "REJECTED"
KINDS: Final = (*LABELS, REJECTED)

SERIES_POINTS_MAX: Final = 300
"""Seconds shown by a page's charts: five minutes."""
_LATENCIES_S: Final = 60.0
_LATENCIES_MAX: Final = 20_000
_TRIES_MAX: Final = 200


class Part(StrEnum):
    """The parts of the state, each watched by one thread."""

    GROUP = "group"
    RESULTS = "results"
    LATENCY = "latency"
    REVIEWS = "reviews"
    BROKERS = "brokers"


# The figures of a second do not depend on these.
_APART: Final = frozenset({Part.REVIEWS, Part.BROKERS})


@dataclass(frozen=True, slots=True)
class GroupState:
    """The state of the group and of the deployment history.

    Attributes:
        arriving: applications published per second, since the last poll.
        lag_by_partition: applications that are not decided yet, by partition.
        end_offset: the end offsets of all partitions, added up.
        workers: the number of members in the group.
        deciding: the bundles of the latest decisions, from the metadata of committed offsets, with full digests.
        deployments: the history, without contracts.
        deployed: the champion and its contract.
        unswitched: the deployments that some workers have not switched to.
    """

    arriving: float
    lag_by_partition: Mapping[int, int]
    end_offset: int
    workers: int
    deciding: tuple[str, ...]
    deployments: tuple[Line, ...]
    deployed: Deployed
    unswitched: tuple[UnswitchedDeployment, ...]

    @property
    def waiting(self) -> int:
        """Applications that are not decided yet, in all partitions."""
        return sum(self.lag_by_partition.values())


@dataclass(slots=True)
class _Second:
    """Counts since the last tick, which was at `began_at` (seconds since 1970; None before the first one)."""

    began_at: float | None = None
    kinds: Counter[str] = field(default_factory=Counter)
    corrections: int = 0


class Live:
    """The live state. Background threads write, requests read; a lock makes each call atomic."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._second = _Second()
        self._codes: Counter[str] = Counter()
        self._skipped = 0
        self._latencies: deque[tuple[float, float]] = deque(maxlen=_LATENCIES_MAX)
        self._series: deque[dict[str, Any]] = deque(maxlen=SERIES_POINTS_MAX)
        self._errors: dict[Part, str] = {}
        self._tries: OrderedDict[str, dict[str, Any] | None] = OrderedDict()
        self._result_callback: Callable[[dict[str, Any]], object] = lambda _: None
        self.probabilities = Probabilities()
        self.group_state: GroupState | None = None
        self.reads_results = False
        """Whether results are being read; before that, the result of a try could be missed."""

    # Written by the background threads

    def add_counts(self, kinds: Mapping[str, int], codes: Mapping[str, int], corrections: int) -> None:
        """Counts results: decisions by label, dead letters as REJECTED and by code, and corrections of a replay."""
        with self._lock:
            self._second.kinds.update(kinds)
            self._second.corrections += corrections
            self._codes.update(codes)

    def skipped(self) -> None:
        """Counts a malformed record."""
        with self._lock:
            self._skipped += 1

    def add_latencies(self, now: float, latencies_s: Sequence[float]) -> None:
        """Adds latencies of decisions, in seconds, from publishing to being readable."""
        with self._lock:
            self._latencies.extend((now, latency_s) for latency_s in latencies_s)

    def set_error(self, part: Part, text: str) -> None:
        """Sets why a part cannot be read; empty once it can be read again."""
        with self._lock:
            self._errors[part] = text

    def pending_tries(self) -> frozenset[str]:
        """The ids of the tries that have no result yet."""
        with self._lock:
            return frozenset(try_id for try_id, result in self._tries.items() if result is None)

    def set_result(self, try_id: str, result: dict[str, Any]) -> None:
        """Sets the result of a try; only the first one counts, as for other readers."""
        with self._lock:
            if self._tries.get(try_id, result) is not None:
                return
            self._tries[try_id] = result
        self._result_callback(result)

    # Read by requests

    def on_result(self, callback: Callable[[dict[str, Any]], object]) -> None:
        """Sets the callback for the result of each try; it runs in the thread that read the result."""
        self._result_callback = callback

    def expect_result(self, try_id: str) -> None:
        """Registers a try that is about to be published; beyond a limit, the oldest ones are dropped."""
        with self._lock:
            self._tries[try_id] = None
            while len(self._tries) > _TRIES_MAX:
                self._tries.popitem(last=False)

    @property
    def deployed(self) -> Deployed | None:
        """The champion and its contract; None before the deployment history was read."""
        group_state = self.group_state
        return None if group_state is None else group_state.deployed

    def results(self) -> list[dict[str, Any]]:
        """The results of the registered tries."""
        with self._lock:
            return [result for result in self._tries.values() if result is not None]

    def tick(self, now: float) -> dict[str, Any]:
        """Ends a second, and returns its figures as JSON. Unknown figures are null.

        Args:
            now: seconds since 1970.
        """
        with self._lock:
            second, self._second = self._second, _Second(began_at=now)
            elapsed_s = 1.0 if second.began_at is None else max(now - second.began_at, 1e-3)
            while self._latencies and self._latencies[0][0] < now - _LATENCIES_S:
                self._latencies.popleft()
            latencies = sorted(latency_s for _, latency_s in self._latencies)
            group_state = self.group_state
            faults = [text for part, text in self._errors.items() if part not in _APART and text]
            known = None if faults else group_state
            point = {
                "at": round(now),
                "decided": None if known is None else second.kinds.total() / elapsed_s,
                "kinds": {kind: second.kinds[kind] for kind in KINDS},
                "corrections": second.corrections,
                "arriving": None if known is None else known.arriving,
                "waiting": None if known is None else known.waiting,
                "p50": _quantile(latencies, 0.5),
                "p99": _quantile(latencies, 0.99),
            }
            self._series.append(point)
            return point

    def state(self) -> dict[str, Any]:
        """The state that changes rarely, as JSON: bundles, workers, errors, counts of deployments and rejections."""
        with self._lock:
            group_state = self.group_state
            return {
                "error": next(filter(None, self._errors.values()), ""),
                "errors": {part: text for part, text in self._errors.items() if text},
                "workers": None if group_state is None else group_state.workers,
                "deciding": [] if group_state is None else list(group_state.deciding),
                "unswitched": [] if group_state is None else [entry.as_json() for entry in group_state.unswitched],
                "deployments": 0 if group_state is None else len(group_state.deployments),
                "deployed": None if group_state is None else group_state.deployed.as_json(),
                "codes": {code: self._codes[code] for code in (*RejectionCode, OTHER_CODES) if code in self._codes},
                "skipped": self._skipped,
                "probabilities": self.probabilities.counts(),
            }

    def series(self) -> list[dict[str, Any]]:
        """The figures of the last minutes, oldest first."""
        with self._lock:
            return list(self._series)


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """A quantile of the values; None without values."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None
