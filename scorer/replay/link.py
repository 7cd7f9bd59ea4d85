"""The link of a replay: polls only the selected applications, and publishes only decisions that changed."""

import time
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import numpy as np
from confluent_kafka import OFFSET_END
from numpy.typing import NDArray

from schemas.decision import REPLAY_ID_HEADER, SUPERSEDES_HEADER, BundleReference, decision_id
from schemas.record_headers import Headers
from scorer.core.score import Scores
from scorer.errors import ReplayError
from scorer.replay.plan import Plan
from scorer.replay.selection import Decided, Selection
from scorer.stream.partition import StartAt
from scorer.stream.worker import Batch, Link, Record

# Longest sleep while limiting the rate; a stop is noticed after this time at the latest.
_SLEEP_MAX_S: Final = 0.2


class PausableLink(Link, Protocol):
    """A Link that can pause partitions."""

    def pause(self, partitions: Iterable[int]) -> None:
        """Stops polling these partitions while they are assigned."""
        ...

    def blocked(self) -> dict[int, str]:
        """Returns the partitions that cannot be read from their committed offset, with the reasons."""
        ...


class RateLimit:
    """Limits the number of records per second; a slow period is not followed by a faster one."""

    def __init__(self, records_per_s: float) -> None:
        self._records_per_s = records_per_s
        self._next_at = time.monotonic()

    def count(self, records: int) -> None:
        """Counts polled records."""
        self._next_at = max(self._next_at, time.monotonic()) + records / self._records_per_s

    def wait_briefly(self) -> bool:
        """Sleeps briefly if the rate is exceeded; returns True if it still is afterwards."""
        early_s = self._next_at - time.monotonic()
        if early_s > 0:
            time.sleep(min(early_s, _SLEEP_MAX_S))
        return early_s > _SLEEP_MAX_S


class ReplayLink:
    """Restricts the link of the replay's consumer group to the applications of a plan."""

    def __init__(self, link: PausableLink, plan: Plan, rate_limit: RateLimit, publish_unchanged: bool) -> None:
        """Creates the link.

        Args:
            link: the link to poll from and publish to.
            plan: the selected applications and their current decisions.
            rate_limit: the rate limit.
            publish_unchanged: whether to publish unchanged decisions, too.
        """
        self._link = link
        self._selection = plan.selection
        self._ends = {p: end for p, (_, end) in plan.selection.bounds().items()}
        self._rate_limit = rate_limit
        self._publish_unchanged = publish_unchanged

    def poll(self, reference: BundleReference) -> Batch:
        """Polls the next records and returns the selected ones; an empty batch while the rate is exceeded.

        Raises:
            ReplayError: retention deleted some of them.
        """
        if self._rate_limit.wait_briefly():
            return Batch((), {})
        batch = self._link.poll(reference)
        if self._link.blocked():
            raise ReplayError(
                "retention deleted applications of this replay while it ran. Published corrections remain; make a new "
                "plan for the rest, which also shows how many are lost"
            )
        # Records after a partition's last selected application are left to the live workers.
        self._link.pause({p for p, offset in batch.offsets_next.items() if offset >= self._ends.get(p, 0)})
        positions, _ = self._selection.pick(batch.records)
        self._rate_limit.count(len(positions))
        return Batch(
            [batch.records[position] for position in positions],
            {p: min(offset, self._ends[p]) for p, offset in batch.offsets_next.items() if p in self._ends},
        )

    def publish(self, batch: Batch, scores: Scores) -> None:
        """Publishes the changed decisions, and commits the offsets of all records.

        Raises:
            ReplayError: a record is not the application that was decided before.
        """
        _, rows = self._selection.pick(batch.records)
        before = self._selection.rows[rows]
        self._selection.require_same(batch.records, scores, before)
        published = np.ones(len(rows), dtype=np.bool_)
        if not self._publish_unchanged:
            published = differs(self._selection, before, scores)
        self._link.publish(
            Batch([batch.records[position] for position in np.flatnonzero(published).tolist()], batch.offsets_next),
            _filter_scores(scores, published),
        )

    def settle(self) -> bool:
        """Waits for the delivery in flight."""
        return self._link.settle()


def differs(selection: Selection, before: Decided, scores: Scores) -> NDArray[np.bool_]:
    """Returns whether each result differs, byte for byte, from the current decision; shape (n,).

    A decision's bytes are a function of the record, the bundle, the label and the probability.
    """
    bundle_index = selection.bundles.index(scores.bundle) if scores.bundle in selection.bundles else -1
    is_decided = scores.is_decided
    changed = np.ones(len(before), dtype=np.bool_)
    rows = before[is_decided]
    changed[is_decided] = (
        (rows["bundle"] != bundle_index)
        | (rows["outcome"] != scores.decided)
        | (rows["probability"] != scores.probabilities)
    )
    return changed


def _filter_scores(scores: Scores, mask: NDArray[np.bool_]) -> Scores:
    decision_mask = mask[scores.is_decided]
    return Scores(
        scores.bundle,
        [scores.results[position] for position in np.flatnonzero(mask).tolist()],
        scores.probabilities[decision_mask],
        scores.decided[decision_mask],
        scores.rules[decision_mask],
        None if scores.reasons is None else scores.reasons[decision_mask],
        scores.codes,
        scores.rule_ids,
    )


class CorrectionHeaders:
    """Creates the headers of a replay's results: the replay's id, and the id of the superseded decision."""

    def __init__(self, plan: Plan) -> None:
        self._selection = plan.selection
        self._replay_id = plan.replay_id.encode()

    def __call__(self, records: Sequence[Record]) -> list[Headers]:
        """Returns the headers of each record's result."""
        _, rows = self._selection.pick(records)
        bundles = self._selection.bundles
        superseded_ids = (
            decision_id(record.topic(), record.partition(), record.offset(), bundles[bundle_index])
            for record, bundle_index in zip(records, self._selection.rows["bundle"][rows].tolist(), strict=True)
        )
        return [
            [(REPLAY_ID_HEADER, self._replay_id), (SUPERSEDES_HEADER, superseded_id.encode())]
            for superseded_id in superseded_ids
        ]


def start_within(plan: Plan) -> StartAt:
    """Returns the start offset per partition: the first selected application, or the committed offset if later."""
    bounds = plan.selection.bounds()

    def start_at(partition: int, committed: int) -> int:
        if partition not in bounds or committed >= bounds[partition][1]:
            return OFFSET_END  # nothing left to do, and earlier offsets may have been deleted
        return max(bounds[partition][0], committed)

    return start_at
