"""Health of a worker: liveness and readiness for the probes, with details for operators."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from schemas.decision import BundleReference
from schemas.deployment import Slot
from schemas.printable import shorten_text
from scorer.core.score import EngineName, Scores
from scorer.stream.delivery import Delivered
from scorer.stream.observer import Observer
from scorer.stream.worker import Batch

# Probes run every few seconds; a message of a store or broker can be long, and the log has more of it.
_REASON_CHARACTERS_MAX: Final = 1_000


class Engine(NamedTuple):
    """The engine that decides, and why it is not the compiled one although the settings allow it."""

    name: EngineName
    fault: str


class Progress(NamedTuple):
    """When the loop last polled, None while the worker starts; and since when a batch is delivered, None without one.

    If the start takes too long, the process exits by itself.
    """

    polled_at: float | None
    delivering_since: float | None


@dataclass(slots=True)
class Health(Observer):
    """The worker's state. Loop and follower write, the HTTP thread reads; each field is replaced as a whole."""

    bundle: BundleReference
    poll_stalled_after_s: Final[float]
    """Age of the last poll from which on the loop counts as stuck."""
    delivery_stalled_after_s: Final[float]
    """Age of a delivery from which on the coordinator has aborted its transaction."""
    clock: Final[Callable[[], float]] = time.monotonic
    assigned: frozenset[int] | None = None
    """None until the first assignment; empty if the group has more workers than partitions."""
    blocked_partitions: Mapping[int, str] = field(default_factory=dict)
    """Partitions that cannot be read from their committed offset, each with the reason."""
    broker_reachable: bool = True
    challenger: BundleReference | None = None
    """The bundle that scores in shadow mode; None without one."""
    load_failures: Mapping[Slot, str] = field(default_factory=dict)
    """Why a deployed champion or challenger is not loaded. The worker is ready nevertheless, with its other bundle."""
    engine: Engine = field(default_factory=lambda: Engine("python", ""))
    """The engine that decides. The worker is ready whichever it is."""
    progress: Progress = field(default_factory=lambda: Progress(None, None))
    """Written by the loop."""

    def alive(self) -> tuple[bool, dict[str, Any]]:
        """Whether the loop and the delivery make progress, with their ages in seconds."""
        now = self.clock()
        polled_at, delivering_since = self.progress
        poll_age_s = None if polled_at is None else now - polled_at
        delivery_age_s = None if delivering_since is None else now - delivering_since
        alive = (poll_age_s or 0) < self.poll_stalled_after_s and (delivery_age_s or 0) < self.delivery_stalled_after_s
        return alive, {
            "starting": polled_at is None,
            "last_poll_age_s": _rounded(poll_age_s),
            "poll_stalled_after_s": self.poll_stalled_after_s,
            "delivery_age_s": _rounded(delivery_age_s),
            "delivery_stalled_after_s": self.delivery_stalled_after_s,
        }

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether this worker decides the applications of all assigned partitions, and if not, which check fails."""
        alive, detail = self.alive()
        checks = {
            "alive": alive,
            "assigned": self.assigned is not None,
            "broker_reachable": self.broker_reachable,
            "partitions_readable": not self.blocked_partitions,
        }
        detail |= {
            "checks": checks,
            "partitions": sorted(self.assigned or ()),
            "blocked_partitions": {str(p): _shortened(why) for p, why in sorted(self.blocked_partitions.items())},
            "bundle": self.bundle.model_dump(),
            "engine": self.engine.name,
            "engine_fault": _shortened(self.engine.fault),
            "load_failure": _shortened(self.load_failures.get("champion", "")),
            "challenger": None if self.challenger is None else self.challenger.model_dump(),
            "challenger_load_failure": _shortened(self.load_failures.get("challenger", "")),
        }
        return all(checks.values()), detail

    def polled(self, batch: Batch) -> None:  # noqa: ARG002
        """A poll was completed."""
        self.progress = self.progress._replace(polled_at=self.clock())

    def serving(self, reference: BundleReference) -> None:
        """The worker has switched to this bundle."""
        self.bundle = reference

    def deciding(self, engine: EngineName, fault: str) -> None:
        """The worker decides with this engine."""
        self.engine = Engine(engine, fault)

    def delivering(self) -> None:
        """The delivery of a batch began."""
        self.progress = self.progress._replace(delivering_since=self.clock())

    def committed(self, batch: Batch, scores: Scores, times: Delivered) -> None:  # noqa: ARG002
        """The delivery of a batch was committed."""
        self.progress = self.progress._replace(delivering_since=None)

    def aborted(self) -> None:
        """The delivery of a batch was aborted."""
        self.progress = self.progress._replace(delivering_since=None)

    def rebalanced(self, kind: str, assigned: frozenset[int]) -> None:  # noqa: ARG002
        """Partitions were assigned or revoked."""
        self.assigned = assigned

    def blocked(self, partitions: Mapping[int, str]) -> None:
        """These partitions cannot be read."""
        self.blocked_partitions = dict(partitions)

    def reachable(self, yes: bool) -> None:
        """Whether any broker can be reached."""
        self.broker_reachable = yes

    def refused(self, slot: Slot, reference: BundleReference, reason: str) -> None:
        """A deployed bundle could not be loaded."""
        text = f"{reference} was deployed and cannot be loaded: {reason}"
        self.load_failures = {**self.load_failures, slot: text}

    def in_step(self, slot: Slot, reference: BundleReference | None) -> None:
        """The deployed bundle is loaded; a champion decides after the loop has switched to it."""
        self.load_failures = {name: why for name, why in self.load_failures.items() if name != slot}
        if slot == "challenger":
            self.challenger = reference


def _shortened(reason: str) -> str:
    return shorten_text(reason, _REASON_CHARACTERS_MAX)


def _rounded(age_s: float | None) -> float | None:
    return None if age_s is None else round(age_s, 3)
