"""Is the worker alive, and is it ready: what the probes ask, with the detail that a person asks next."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from schemas.decision import BundleReference


@dataclass(slots=True)
class Health:
    """What is known of the worker. The loop writes, the HTTP thread reads; each field is replaced whole."""

    bundle: BundleReference
    stalled_after_s: float
    """A poll older than this means that the loop is stuck: the group has given the partitions away by then."""
    clock: Callable[[], float] = time.monotonic
    assigned: frozenset[int] | None = None
    """None until the group has answered; empty if it has more workers than partitions."""
    reachable: bool = True
    refused: str = ""
    """Why a bundle that was deployed is not the one that serves; empty if all is well."""
    challenger: BundleReference | None = None
    """What scores along; None if nothing does."""
    challenger_refused: str = ""
    """Why a challenger that was deployed is not the one that scores along. It decides nothing: the worker is ready."""
    polled_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.polled_at = self.clock()

    def alive(self) -> tuple[bool, dict[str, Any]]:
        """Whether the loop goes round, with its last poll's age in seconds."""
        age_s = self.clock() - self.polled_at
        return age_s < self.stalled_after_s, {
            "last_poll_age_s": round(age_s, 3),
            "stalled_after_s": self.stalled_after_s,
        }

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether applications are being decided here, and if not, what is missing."""
        alive, detail = self.alive()
        checks = {"alive": alive, "assigned": self.assigned is not None, "broker_reachable": self.reachable}
        detail |= {
            "checks": checks,
            "partitions": sorted(self.assigned or ()),
            "bundle": self.bundle.model_dump(),
            "refused": self.refused,
            "challenger": None if self.challenger is None else self.challenger.model_dump(),
            "challenger_refused": self.challenger_refused,
        }
        return all(checks.values()), detail
