"""What is happening now: what the watching threads tell, second by second, for the pages that are open."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock
from typing import Any, Final

from schemas.records import OTHER_CODES
from schemas.rejection import RejectionCode
from scorer.console.unswitched import Unswitched
from scorer.core.policy import OUTCOMES
from scorer.stream.line import Line

REJECTED: Final = "REJECTED"
KINDS: Final = (*OUTCOMES, REJECTED)

SERIES_POINTS_MAX: Final = 300
"""Seconds that a page's charts show: five minutes."""
_LATENCIES_S: Final = 60.0
_LATENCIES_MAX: Final = 20_000
_TRIES_MAX: Final = 200


class Part(StrEnum):
    """What is watched, each by a thread of its own."""

    STANDING = "standing"
    OUTCOMES = "outcomes"
    WAITS = "waits"


@dataclass(frozen=True, slots=True)
class Standing:
    """How the group and the history stand.

    Attributes:
        arriving: applications a second, since the look before.
        waiting: applications that are not decided yet.
        workers: how many are in the group.
        deciding: the bundles that have decided last, as the group's offsets say it, spelt in full.
        deployments: the history.
        unswitched: the deployments that workers do not follow.
    """

    arriving: float
    waiting: int
    workers: int
    deciding: tuple[str, ...]
    deployments: tuple[Line, ...]
    unswitched: tuple[Unswitched, ...]


class Live:
    """What is known now. Threads write, the pages' answers read; a lock keeps each call whole."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._corrections = 0
        self._codes: Counter[str] = Counter()
        self._skipped = 0
        self._latencies: deque[tuple[float, float]] = deque(maxlen=_LATENCIES_MAX)
        self._series: deque[dict[str, Any]] = deque(maxlen=SERIES_POINTS_MAX)
        self._troubles: dict[Part, str] = {}
        self._tries: OrderedDict[str, dict[str, Any] | None] = OrderedDict()
        self._ticked_at: float | None = None
        self._tell: Callable[[dict[str, Any]], object] = lambda _: None
        self.standing: Standing | None = None
        self.following = False
        """Whether outcomes are being read; before that, that of a try could be missed."""

    # Told by the threads

    def counted(self, kinds: Mapping[str, int], codes: Mapping[str, int], corrections: int) -> None:
        """Outcomes were read: decisions by kind, dead letters as REJECTED and by code, and corrections of a replay."""
        with self._lock:
            self._counts.update(kinds)
            self._codes.update(codes)
            self._corrections += corrections

    def skipped(self) -> None:
        """A record was read that is not what its topic holds."""
        with self._lock:
            self._skipped += 1

    def waited(self, now: float, seconds: Sequence[float]) -> None:
        """So long some applications have waited for their decisions to be readable."""
        with self._lock:
            self._latencies.extend((now, wait) for wait in seconds)

    def trouble(self, part: Part, text: str) -> None:
        """What keeps a part from seeing anything; empty once it sees again."""
        with self._lock:
            self._troubles[part] = text

    def tries(self) -> frozenset[str]:
        """The ids of the tries that have no outcome yet."""
        with self._lock:
            return frozenset(name for name, outcome in self._tries.items() if outcome is None)

    def tried(self, name: str, outcome: dict[str, Any]) -> None:
        """A try has its outcome; of two the first stays, as a reader would take it."""
        with self._lock:
            if self._tries.get(name, outcome) is not None:
                return
            self._tries[name] = outcome
        self._tell(outcome)

    # Asked by the pages

    def on_outcome(self, tell: Callable[[dict[str, Any]], object]) -> None:
        """Names who hears of the outcome of each try, in the thread that read it."""
        self._tell = tell

    def expect(self, name: str) -> None:
        """A try with this id is about to be published; of many, the oldest are forgotten."""
        with self._lock:
            self._tries[name] = None
            while len(self._tries) > _TRIES_MAX:
                self._tries.popitem(last=False)

    def outcomes(self) -> list[dict[str, Any]]:
        """The outcomes of the tries that are remembered."""
        with self._lock:
            return [outcome for outcome in self._tries.values() if outcome is not None]

    def tick(self, now: float) -> dict[str, Any]:
        """Ends a second: its figures, as JSON. What is not known is null.

        Args:
            now: seconds since 1970.
        """
        with self._lock:
            spent_s = 1.0 if self._ticked_at is None else max(now - self._ticked_at, 1e-3)
            self._ticked_at = now
            while self._latencies and self._latencies[0][0] < now - _LATENCIES_S:
                self._latencies.popleft()
            waits = sorted(wait for _, wait in self._latencies)
            standing = self.standing
            seen = None if any(self._troubles.values()) else standing
            point = {
                "at": round(now),
                "decided": None if seen is None else self._counts.total() / spent_s,
                "kinds": {kind: self._counts[kind] for kind in KINDS},
                "corrections": self._corrections,
                "arriving": None if seen is None else seen.arriving,
                "waiting": None if seen is None else seen.waiting,
                "p50": _quantile(waits, 0.5),
                "p99": _quantile(waits, 0.99),
            }
            self._counts.clear()
            self._corrections = 0
            self._series.append(point)
            return point

    def state(self) -> dict[str, Any]:
        """What changes seldom, as JSON: what decides, who works, what troubles, and how far the lists have come."""
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
    """What a share of the values do not pass; None if there are none."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None
