"""The console's live state: written by the background threads, read every second for the open pages."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock
from typing import Any, Final

from schemas.records import OTHER_CODES
from schemas.rejection import RejectionCode
from scorer.console.unswitched import Unswitched
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

    STANDING = "standing"
    RESULTS = "outcomes"
    WAITS = "waits"


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of the group and of the deployment history.

    Attributes:
        arriving: applications published per second, since the last poll.
        waiting: applications that are not decided yet.
        workers: the number of members in the group.
        deciding: the bundles of the latest decisions, from the metadata of committed offsets, with full digests.
        deployments: the history.
        unswitched: the deployments that some workers have not switched to.
    """

    arriving: float
    waiting: int
    workers: int
    deciding: tuple[str, ...]
    deployments: tuple[Line, ...]
    unswitched: tuple[Unswitched, ...]


@dataclass(slots=True)
class _Second:
    """What is counted until the next tick; `began_at` is in seconds since 1970, None before the first one."""

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
        self._troubles: dict[Part, str] = {}
        self._tries: OrderedDict[str, dict[str, Any] | None] = OrderedDict()
        self._result_callback: Callable[[dict[str, Any]], object] = lambda _: None
        self.standing: Standing | None = None
        self.following = False
        """Whether results are being read; before that, the result of a try could be missed."""

    # Written by the background threads

    def counted(self, kinds: Mapping[str, int], codes: Mapping[str, int], corrections: int) -> None:
        """Counts results: decisions by label, dead letters as REJECTED and by code, and corrections of a replay."""
        with self._lock:
            self._second.kinds.update(kinds)
            self._second.corrections += corrections
            self._codes.update(codes)

    def skipped(self) -> None:
        """Counts a malformed record."""
        with self._lock:
            self._skipped += 1

    def waited(self, now: float, seconds: Sequence[float]) -> None:
        """Adds latencies of decisions, in seconds, from publishing to being readable."""
        with self._lock:
            self._latencies.extend((now, wait) for wait in seconds)

    def trouble(self, part: Part, text: str) -> None:
        """Sets why a part cannot be read; empty once it can be read again."""
        with self._lock:
            self._troubles[part] = text

    def tries(self) -> frozenset[str]:
        """The ids of the tries that have no result yet."""
        with self._lock:
            return frozenset(name for name, result in self._tries.items() if result is None)

    def tried(self, name: str, result: dict[str, Any]) -> None:
        """Sets the result of a try; only the first one counts, as for other readers."""
        with self._lock:
            if self._tries.get(name, result) is not None:
                return
            self._tries[name] = result
        self._result_callback(result)

    # Read by requests

    def on_outcome(self, tell: Callable[[dict[str, Any]], object]) -> None:
        """Sets the callback for the result of each try; it runs in the thread that read the result."""
        self._result_callback = tell

    def expect(self, name: str) -> None:
        """Registers a try that is about to be published; beyond a limit, the oldest ones are dropped."""
        with self._lock:
            self._tries[name] = None
            while len(self._tries) > _TRIES_MAX:
                self._tries.popitem(last=False)

    def outcomes(self) -> list[dict[str, Any]]:
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
            latencies = sorted(wait for _, wait in self._latencies)
            standing = self.standing
            known = None if any(self._troubles.values()) else standing
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
        """What changes rarely, as JSON: bundles, workers, problems, and counts of deployments and rejections."""
        with self._lock:
            standing = self.standing
            return {
                "trouble": next(filter(None, self._troubles.values()), ""),
                "workers": None if standing is None else standing.workers,
                "deciding": [] if standing is None else list(standing.deciding),
                "unswitched": [] if standing is None else [entry.as_json() for entry in standing.unswitched],
                "deployments": 0 if standing is None else len(standing.deployments),
                "codes": {code: self._codes[code] for code in (*RejectionCode, OTHER_CODES) if code in self._codes},
                "skipped": self._skipped,
            }

    def series(self) -> list[dict[str, Any]]:
        """The figures of the last minutes, oldest first."""
        with self._lock:
            return list(self._series)


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """A quantile of the values; None without values."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None
