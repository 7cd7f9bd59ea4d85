"""Observers of a worker: a base class whose methods do nothing, and a class that notifies several observers."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from schemas.decision import BundleReference
from schemas.deployment import Slot

if TYPE_CHECKING:
    from scorer.core.score import EngineName, Scores
    from scorer.stream.comparison import Comparison
    from scorer.stream.delivery import Delivered
    from scorer.stream.statistics import Statistics
    from scorer.stream.worker import Batch


class Observer:
    """Notified of what happens in a worker. Metrics, health, the watchdog, the log and spans are observers.

    Methods are called in the loop's thread, except those of the follower, which has its own thread.
    """

    # The loop

    def polled(self, batch: "Batch") -> None:
        """A poll was completed."""

    def lap(self, stage: str) -> None:
        """A step of the scoring of the current batch ended."""

    def serving(self, reference: BundleReference) -> None:
        """The loop switched to this bundle; also called with the first one."""

    def deciding(self, engine: "EngineName", fault: str) -> None:
        """The loop decides with this engine, also called with the first bundle.

        The fault says why the compiled engine is not used, although the settings allow it; empty without one.
        """

    # The link

    def delivering(self) -> None:
        """The delivery of a batch began; `committed` or `aborted` follows before the next one begins."""

    def committed(self, batch: "Batch", scores: "Scores", times: "Delivered") -> None:
        """The results of a batch are published, and exactly once its offsets are committed with them.

        At least once the offsets are committed afterwards; if they cannot be, `aborted` follows.
        """

    def aborted(self) -> None:
        """A batch was aborted; its records will be polled again."""

    def rebalanced(self, kind: str, assigned: frozenset[int]) -> None:
        """Partitions were assigned, revoked or lost; `assigned` are those that the worker has now."""

    def blocked(self, partitions: Mapping[int, str]) -> None:
        """All assigned partitions that cannot be read from their committed offset, each with its reason."""

    def lag(self, records: Mapping[int, int]) -> None:
        """The consumer lag in records, by partition; about once per second."""

    def reachable(self, yes: bool) -> None:
        """Whether any broker can be reached."""

    def statistics(self, statistics: "Statistics") -> None:
        """A report of one of the two Kafka clients; every few seconds."""

    # The follower of the deployments

    def refused(self, slot: Slot, reference: BundleReference, reason: str) -> None:
        """A deployed bundle could not be loaded; the slot keeps its previous bundle."""

    def in_step(self, slot: Slot, reference: BundleReference | None) -> None:
        """The slot holds the bundle that was deployed to it, or none."""

    def skipped(self, offset: int) -> None:
        """A record of the deployment history is malformed and was ignored."""

    # The challenger

    def compared(self, comparison: "Comparison") -> None:
        """The challenger scored a batch."""

    def challenge_failed(self) -> None:
        """The challenger could not score a batch."""


class Observers(Observer):
    """Notifies several observers, in order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers


def _notify_all(name: str) -> Callable[..., None]:
    def notify_all(self: Observers, *args: Any, **kwargs: Any) -> None:
        for observer in self._observers:
            getattr(observer, name)(*args, **kwargs)

    return notify_all


for _name in [name for name in vars(Observer) if not name.startswith("_")]:
    setattr(Observers, _name, _notify_all(_name))
