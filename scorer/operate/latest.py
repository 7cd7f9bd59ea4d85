"""What threads last read of the group and of the cluster, for others that report it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

from scorer.operate.cluster import ClusterState

T = TypeVar("T")

# Read once per second; older figures are stale.
_GROUP_STALE_S: Final = 15.0
# Read every five seconds. If a broker hangs, some requests time out until the client leaves it.
_CLUSTER_STALE_S: Final = 30.0


class GroupFigures(NamedTuple):
    """The consumer group and its topic at one moment.

    Attributes:
        members: number of its members.
        lag_by_partition: the lag in records, by partition.
        end_offset: the end offsets of all partitions, added up.
    """

    members: int
    lag_by_partition: Mapping[int, int]
    end_offset: int


class Latest(Generic[T]):
    """The newest figures. Stale ones are not returned, because they would be taken for the current ones."""

    def __init__(self, stale_s: float, now: Callable[[], float] = time.monotonic) -> None:
        """Has no figures yet.

        Args:
            stale_s: the age from which figures are stale, in seconds.
            now: returns seconds of a monotonic clock.
        """
        self._stale_s = stale_s
        self._now = now
        self._read: tuple[float, T] | None = None
        """When the figures were read, and the figures; written by the thread that polls them, as a whole."""

    def set(self, figures: T) -> None:
        """Sets the figures that were just read."""
        self._read = self._now(), figures

    def current(self) -> T | None:
        """The figures; None before the first ones, and if they are stale."""
        read = self._read
        return None if read is None or self._now() - read[0] >= self._stale_s else read[1]


@dataclass(frozen=True, slots=True)
class LatestFigures:
    """The newest figures of the consumer group and of the cluster."""

    group: Latest[GroupFigures] = field(default_factory=lambda: Latest(_GROUP_STALE_S))
    cluster: Latest[ClusterState] = field(default_factory=lambda: Latest(_CLUSTER_STALE_S))
