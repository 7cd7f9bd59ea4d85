"""A Link for the worker's loop that polls only what a plan selects, and publishes only what comes out otherwise."""

import time
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import numpy as np
from confluent_kafka import OFFSET_END
from numpy.typing import NDArray

from schemas.decision import REPLAY_ID_HEADER, SUPERSEDES_HEADER, BundleReference, decision_id
from schemas.records import Headers
from scorer.core.score import Bundle, Scores
from scorer.errors import ReplayError
from scorer.replay.plan import Plan
from scorer.replay.selection import Decided, Selection
from scorer.stream.partition import StartAt
from scorer.stream.worker import Batch, Link, Record

# Between two looks at the clock while a pace is kept; a stop is noticed after it at the latest.
_NAP_S: Final = 0.2


class PausableLink(Link, Protocol):
    """A Link that can leave partitions alone."""

    def pause(self, partitions: Iterable[int]) -> None:
        """Polls no more from these while they are assigned."""
        ...

    def blocked(self) -> dict[int, str]:
        """Partitions that cannot be read from where the replay is, with the reason of each."""
        ...


class Pace:
    """Keeps to so many records a second, without making up for time in which there was nothing to do."""

    def __init__(self, records_per_s: float) -> None:
        self._records_per_s = records_per_s
        self._next_at = time.monotonic()

    def spend(self, records: int) -> None:
        """So many were polled."""
        self._next_at = max(self._next_at, time.monotonic()) + records / self._records_per_s

    def nap(self) -> bool:
        """Waits a moment if it is too early for more; True if it still is."""
        early_s = self._next_at - time.monotonic()
        if early_s > 0:
            time.sleep(min(early_s, _NAP_S))
        return early_s > _NAP_S


class ReplayLink:
    """A Link on a link in the replay's own group."""

    def __init__(self, link: PausableLink, plan: Plan, pace: Pace, everything: bool) -> None:
        """Wraps it.

        Args:
            link: where applications come from and outcomes go to.
            plan: what is selected, and what was decided of it.
            pace: how fast to go.
            everything: whether to publish decisions too that come out the same.
        """
        self._link = link
        self._selection = plan.selection
        self._ends = {p: end for p, (_, end) in plan.selection.bounds().items()}
        self._pace = pace
        self._everything = everything

    def poll(self, reference: BundleReference) -> Batch:
        """The selected ones among the records that come next; nothing while the pace wants a wait.

        Raises:
            ReplayError: some can no longer be read.
        """
        if self._pace.nap():
            return Batch((), {})
        batch = self._link.poll(reference)
        if self._link.blocked():
            raise ReplayError(
                "retention has taken applications of this replay while it ran. What is done is done; plan again for "
                "what is left, and the new plan says how many are gone"
            )
        # What lies behind a partition's last selected application is the live workers' alone.
        self._link.pause({p for p, offset in batch.offsets_next.items() if offset >= self._ends.get(p, 0)})
        places, _ = self._selection.pick(batch.records)
        self._pace.spend(len(places))
        return Batch(
            [batch.records[place] for place in places],
            {p: min(offset, self._ends[p]) for p, offset in batch.offsets_next.items() if p in self._ends},
        )

    def publish(self, batch: Batch, scores: Scores, bundle: Bundle) -> None:
        """Publishes what is not as it was decided before; the offsets go on for all.

        Raises:
            ReplayError: the records are not the applications that were decided.
        """
        _, places = self._selection.pick(batch.records)
        before = self._selection.rows[places]
        self._selection.require_same(batch.records, scores, before)
        published = np.ones(len(places), dtype=np.bool_)
        if not self._everything:
            published = differs(self._selection, before, scores)
        self._link.publish(
            Batch([batch.records[place] for place in np.flatnonzero(published).tolist()], batch.offsets_next),
            _only(scores, published),
            bundle,
        )

    def settle(self) -> bool:
        """Waits for what is on its way."""
        return self._link.settle()


def differs(selection: Selection, before: Decided, scores: Scores) -> NDArray[np.bool_]:
    """Whether each outcome is not, byte for byte, the decision that stands; shape (n,).

    A decision's bytes follow from the record, the bundle, the outcome and the probability.
    """
    own = selection.bundles.index(scores.bundle) if scores.bundle in selection.bundles else -1
    is_decided = scores.is_decided
    found = np.ones(len(before), dtype=np.bool_)
    rows = before[is_decided]
    found[is_decided] = (
        (rows["bundle"] != own) | (rows["outcome"] != scores.decided) | (rows["probability"] != scores.probabilities)
    )
    return found


def _only(scores: Scores, kept: NDArray[np.bool_]) -> Scores:
    kept_decisions = kept[scores.is_decided]
    return Scores(
        scores.bundle,
        [scores.outcomes[place] for place in np.flatnonzero(kept).tolist()],
        scores.probabilities[kept_decisions],
        scores.decided[kept_decisions],
    )


class CorrectionHeaders:
    """What a replay's outcome says in its headers: whose it is, and which decision it takes the place of."""

    def __init__(self, plan: Plan) -> None:
        self._selection = plan.selection
        self._replay_id = plan.replay_id.encode()

    def __call__(self, records: Sequence[Record]) -> list[Headers]:
        """The headers of each record's outcome."""
        _, places = self._selection.pick(records)
        bundles = self._selection.bundles
        earlier = (
            decision_id(record.topic(), record.partition(), record.offset(), bundles[place])
            for record, place in zip(records, self._selection.rows["bundle"][places].tolist(), strict=True)
        )
        return [[(REPLAY_ID_HEADER, self._replay_id), (SUPERSEDES_HEADER, of_record.encode())] for of_record in earlier]


def start_within(plan: Plan) -> StartAt:
    """Where the replay's group starts in a partition: at the first application selected, or where it has come to."""
    bounds = plan.selection.bounds()

    def start_at(partition: int, committed: int) -> int:
        if partition not in bounds or committed >= bounds[partition][1]:
            return OFFSET_END  # nothing is to be done there, and what was may have expired
        return max(bounds[partition][0], committed)

    return start_at
