"""Which deployed bundles the workers have not switched to, once that has lasted longer than a deployment takes."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from schemas.decision import shorten
from schemas.deployment import Slot
from scorer.stream.deployments import fold
from scorer.stream.group import Group
from scorer.stream.line import Line
from scorer.stream.metadata import CommittedMetadata
from scorer.stream.rollout import compare, refusals

TAKES_S: Final = 10.0
"""Workers notice a deployment within half a second and load a bundle in one or two."""


@dataclass(frozen=True, slots=True)
class Unswitched:
    """A deployment that some workers do not follow.

    Attributes:
        slot: where it was deployed.
        offset: of its line in the history.
        text: how many workers, what was deployed, and what they decide with instead.
        reasons: why, as the workers say it: one for each different reason.
    """

    slot: Slot
    offset: int
    text: str
    reasons: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For the pages."""
        return asdict(self)


class Unfollowed:
    """Remembers since when the workers have not followed what was deployed last."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes the time from a clock, in seconds."""
        self._clock = clock
        self._since: dict[tuple[Slot, int], float] = {}

    def look(
        self, lines: Iterable[Line], group: Group, committed: Mapping[int, CommittedMetadata]
    ) -> tuple[Unswitched, ...]:
        """The deployments that have not been followed for longer than they take.

        While partitions move, assignments are incomplete: nothing new is counted then, and nothing is dropped.

        Args:
            lines: the history.
            group: the workers and their partitions.
            committed: by partition, what its committed offset says.
        """
        behind = {(entry.slot, entry.offset): entry for entry in _unswitched(tuple(lines), group, committed)}
        now = self._clock()
        if not group.rebalancing:
            self._since = {key: self._since.get(key, now) for key in behind}
        return tuple(entry for key, entry in behind.items() if now - self._since.get(key, now) > TAKES_S)


def _unswitched(
    lines: tuple[Line, ...], group: Group, committed: Mapping[int, CommittedMetadata]
) -> Iterable[Unswitched]:
    state = fold(lines)
    offsets = {line.event.slot: line.offset for line in lines if line.event is not None}  # the last one of each slot
    champion, challenger = state.current("champion"), state.current("challenger")
    workers = len(group.members)
    if champion is not None and (behind := compare(group, committed, str(champion)).behind):
        others = sorted({_name(bundle) for worker in behind for bundle in worker.deciding})
        still = " and ".join(others) or "deciding nothing"
        text = f"{_count(len(behind), workers)} not switched to {_name(str(champion))}; still {still}"
        yield Unswitched("champion", offsets["champion"], text, _distinct(worker.reason for worker in behind))
    if challenger is not None and (said := refusals(group, committed, "challenger", str(challenger))):
        text = f"{_count(len(said), workers)} not loaded the challenger {_name(str(challenger))}"
        yield Unswitched("challenger", offsets["challenger"], text, _distinct(reason for _, reason in said))


def _count(behind: int, workers: int) -> str:
    return f"{behind} of {workers} workers {'has' if behind == 1 else 'have'}"


def _name(bundle: str) -> str:
    """A bundle that is spelt in full, by name and version."""
    return shorten(bundle).partition("@")[0]


def _distinct(reasons: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reason for reason in reasons if reason))
