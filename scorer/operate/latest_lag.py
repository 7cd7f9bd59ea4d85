"""The group's lag and members as one thread last read them, for others that report them."""

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

# Read once per second; figures of this age are no longer current.
_STALE_S: Final = 15.0


class GroupFigures(NamedTuple):
    """The consumer group at one moment: its number of members, and the lag in records, by partition."""

    members: int
    lag_by_partition: Mapping[int, int]


class LatestLag:
    """The newest figures. Stale ones are not returned, because they would be taken for the current ones."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Has no figures yet; `now` returns seconds of a monotonic clock."""
        self._now = now
        self._read: tuple[float, GroupFigures] | None = None
        """When the figures were read, and the figures; written by the thread that polls the group, as a whole."""

    def set(self, figures: GroupFigures) -> None:
        """Sets the figures that were just read."""
        self._read = self._now(), figures

    def current(self) -> GroupFigures | None:
        """The figures; None before the first ones, and if they are stale."""
        read = self._read
        return None if read is None or self._now() - read[0] >= _STALE_S else read[1]
