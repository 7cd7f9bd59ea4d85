"""What observers of a worker can be told: one class whose methods do nothing, and one that tells several observers."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from schemas.decision import BundleReference
from schemas.deployment import Slot

if TYPE_CHECKING:
    from scorer.core.score import Scores
    from scorer.stream.challenge import Comparison
    from scorer.stream.delivery import Delivered
    from scorer.stream.statistics import Statistics
    from scorer.stream.worker import Batch


class Observer:
    """Told what happens to a worker. Metrics, health, the watchdog, the log and spans are observers.

    Methods are called in the thread of the loop, but for those of the follower, which has a thread of its own.
    """

    # The loop

    def polled(self, batch: "Batch") -> None:
        """A poll was completed."""

    def lap(self, stage: str) -> None:
        """A step of the scoring of the batch that was polled last ended."""

    def serving(self, reference: BundleReference) -> None:
        """This bundle decides from here on; also called with the first one."""

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
        """All assigned partitions that cannot be read from where the group is, with the reason of each."""

    def lag(self, records: Mapping[int, int]) -> None:
        """Records not yet processed, by partition; about once per second."""

    def reachable(self, yes: bool) -> None:
        """Whether any broker can be reached."""

    def statistics(self, statistics: "Statistics") -> None:
        """A report of one of the two Kafka clients; every few seconds."""

    # The follower of the deployments

    def refused(self, slot: Slot, reference: BundleReference, reason: str) -> None:
        """A deployed bundle could not be loaded; the slot keeps the bundle that it had."""

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
    """Tells several observers, in their order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers


def _tell_all(name: str) -> Callable[..., None]:
    def tell_all(self: Observers, *args: Any, **kwargs: Any) -> None:
        for observer in self._observers:
            getattr(observer, name)(*args, **kwargs)

    return tell_all


for _name in [name for name in vars(Observer) if not name.startswith("_")]:
    setattr(Observers, _name, _tell_all(_name))
