"""Finds deployed bundles that workers have not switched to within the time that a deployment takes."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from schemas.decision import shorten
from schemas.deployment import Slot
from scorer.operate.group import Group
from scorer.operate.rollout import compare, load_failures
from scorer.stream.history import fold
from scorer.stream.history_record import Line
from scorer.stream.metadata import CommittedMetadata

SWITCH_S: Final = 10.0
"""Time for workers to switch: they notice a deployment within half a second and load a bundle in one or two seconds."""


@dataclass(frozen=True, slots=True)
class UnswitchedDeployment:
    """A deployment that some workers have not switched to.

    Attributes:
        slot: the slot that it was deployed to.
        offset: the offset of its event in the history.
        text: how many workers, what was deployed, and what they decide with instead.
        reasons: the workers' reasons, each once.
    """

    slot: Slot
    offset: int
    text: str
    reasons: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """As JSON, for the pages."""
        return asdict(self)


class UnswitchedTracker:
    """Tracks since when workers have not switched to the latest deployments."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Creates the tracker; `clock` returns seconds."""
        self._clock = clock
        self._since: dict[tuple[Slot, int], float] = {}

    def update(
        self, lines: Iterable[Line], group: Group, committed: Mapping[int, CommittedMetadata]
    ) -> tuple[UnswitchedDeployment, ...]:
        """The deployments that workers have not switched to for longer than `SWITCH_S`.

        During a rebalance, assignments are incomplete: nothing new is counted then, and nothing is dropped.

        Args:
            lines: the history.
            group: the workers and their partitions.
            committed: by partition, the metadata of its committed offset.
        """
        entries = {(entry.slot, entry.offset): entry for entry in _unswitched(tuple(lines), group, committed)}
        now = self._clock()
        if not group.rebalancing:
            self._since = {key: self._since.get(key, now) for key in entries}
        return tuple(entry for key, entry in entries.items() if now - self._since.get(key, now) > SWITCH_S)


def _unswitched(
    lines: tuple[Line, ...], group: Group, committed: Mapping[int, CommittedMetadata]
) -> Iterable[UnswitchedDeployment]:
    state = fold(lines)
    offsets = {line.event.slot: line.offset for line in lines if line.event is not None}  # the latest of each slot
    champion, challenger = state.current("champion"), state.current("challenger")
    workers = len(group.members)
    if champion is not None and (unswitched := compare(group, committed, str(champion)).unswitched):
        bundles = sorted({_name(bundle) for worker in unswitched for bundle in worker.bundles})
        current = " and ".join(bundles) or "without decisions"
        text = f"{_count(len(unswitched), workers)} not switched to {_name(str(champion))}; still {current}"
        yield UnswitchedDeployment(
            "champion", offsets["champion"], text, _distinct(worker.reason for worker in unswitched)
        )
    if challenger is not None and (failures := load_failures(group, committed, "challenger", str(challenger))):
        text = f"{_count(len(failures), workers)} not loaded the challenger {_name(str(challenger))}"
        yield UnswitchedDeployment(
            "challenger", offsets["challenger"], text, _distinct(reason for _, reason in failures)
        )


def _count(count: int, workers: int) -> str:
    return f"{count} of {workers} workers {'has' if count == 1 else 'have'}"


def _name(bundle: str) -> str:
    """Name and version of a full bundle reference."""
    return shorten(bundle).partition("@")[0]


def _distinct(reasons: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reason for reason in reasons if reason))
