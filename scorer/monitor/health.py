"""Is the worker alive, and is it ready: what the probes ask, with the detail that a person asks next."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.decision import BundleReference
from schemas.deployment import Slot
from schemas.printable import shorten_text
from scorer.core.score import Scores
from scorer.stream.delivery import Delivered
from scorer.stream.observer import Observer
from scorer.stream.worker import Batch

# A probe asks every few seconds; what a store or a broker says can be long, and the log has more of it.
_REASON_CHARACTERS_MAX: Final = 1_000


@dataclass(slots=True)
class Health(Observer):
    """What is known of the worker. Loop and follower write, the HTTP thread reads; each field is replaced whole."""

    bundle: BundleReference
    poll_stalled_after_s: float
    """A poll that is older means that the loop is stuck."""
    delivery_stalled_after_s: float
    """A delivery that is older: the coordinator has aborted its transaction by then."""
    clock: Callable[[], float] = time.monotonic
    assigned: frozenset[int] | None = None
    """None until the group has answered; empty if it has more workers than partitions."""
    blocked_partitions: Mapping[int, str] = field(default_factory=dict)
    """Partitions that cannot be read from where the group is, with the reason of each."""
    broker_reachable: bool = True
    champion_refused: str = ""
    """Why a bundle that was deployed is not the one that decides; empty if it is."""
    challenger: BundleReference | None = None
    """The bundle that scores in shadow mode; None without one."""
    challenger_refused: str = ""
    """Why a challenger that was deployed does not score. It decides nothing: the worker is ready."""
    polled_at: float | None = None
    """None while the worker starts: the process ends by itself where that takes too long."""
    delivering_since: float | None = None
    """None if nothing is in flight."""

    def alive(self) -> tuple[bool, dict[str, Any]]:
        """Whether the loop and the delivery make progress, with their ages in seconds."""
        now = self.clock()
        poll_age_s = None if self.polled_at is None else now - self.polled_at
        delivery_age_s = None if self.delivering_since is None else now - self.delivering_since
        alive = (poll_age_s or 0) < self.poll_stalled_after_s and (delivery_age_s or 0) < self.delivery_stalled_after_s
        return alive, {
            "starting": self.polled_at is None,
            "last_poll_age_s": _rounded(poll_age_s),
            "poll_stalled_after_s": self.poll_stalled_after_s,
            "delivery_age_s": _rounded(delivery_age_s),
            "delivery_stalled_after_s": self.delivery_stalled_after_s,
        }

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether applications of all assigned partitions are being decided here, and if not, what is missing."""
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
            "blocked_partitions": {str(p): _shown(why) for p, why in sorted(self.blocked_partitions.items())},
            "bundle": self.bundle.model_dump(),
            "refused": _shown(self.champion_refused),
            "challenger": None if self.challenger is None else self.challenger.model_dump(),
            "challenger_refused": _shown(self.challenger_refused),
        }
        return all(checks.values()), detail

    def polled(self, batch: Batch) -> None:  # noqa: ARG002
        """A poll was completed."""
        self.polled_at = self.clock()

    def serving(self, reference: BundleReference) -> None:
        """This bundle decides from here on."""
        self.bundle = reference

    def delivering(self) -> None:
        """The delivery of a batch began."""
        self.delivering_since = self.clock()

    def committed(self, batch: Batch, scores: Scores, times: Delivered) -> None:  # noqa: ARG002
        """The delivery of a batch ended well."""
        self.delivering_since = None

    def aborted(self) -> None:
        """The delivery of a batch was aborted."""
        self.delivering_since = None

    def rebalanced(self, kind: str, assigned: frozenset[int]) -> None:  # noqa: ARG002
        """Partitions came or went."""
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
        if slot == "champion":
            self.champion_refused = text
        else:
            self.challenger_refused = text

    def in_step(self, slot: Slot, reference: BundleReference | None) -> None:
        """The deployed bundle is loaded; a champion decides once the loop has switched to it."""
        if slot == "champion":
            self.champion_refused = ""
        else:
            self.challenger, self.challenger_refused = reference, ""


def _shown(reason: str) -> str:
    return shorten_text(reason, _REASON_CHARACTERS_MAX)


def _rounded(age_s: float | None) -> float | None:
    return None if age_s is None else round(age_s, 3)
