"""Selects applications by the time of publication, using each record's timestamp."""

from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.records import UNKNOWN, timestamp_ms
from scorer.operate.reading import TopicReader
from scorer.replay.decisions import OnProgress, with_progress
from scorer.replay.selection import Selection
from scorer.settings import Settings
from scorer.stream.worker import Record


class Period(NamedTuple):
    """A period in milliseconds since 1970, its end excluded; None means unbounded."""

    begin_ms: int | None
    end_ms: int | None

    def contains(self, at_ms: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of n timestamps is in the period; shape (n,)."""
        in_period = np.ones(len(at_ms), dtype=np.bool_)
        if self.begin_ms is not None:
            in_period &= at_ms >= self.begin_ms
        if self.end_ms is not None:
            in_period &= at_ms < self.end_ms
        return in_period


def select_published(
    settings: Settings, selection: Selection, period: Period, on_progress: OnProgress = lambda *_: None
) -> tuple[Selection, int]:
    """Reads the selected applications' records, and selects those with a timestamp in the period.

    A publisher that catches up with a backlog sends old timestamps after new ones, so no offset marks the end of a
    period: each partition is read completely from the first record that may be in the period.

    Args:
        settings: the topics.
        selection: the applications.
        period: the time of publication.
        on_progress: called with the progress of reading.

    Returns:
        The applications in the period, and the number without a timestamp because retention deleted their records.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: it cannot be read.
    """
    in_period = np.zeros(len(selection), dtype=np.bool_)
    has_timestamp = np.zeros(len(selection), dtype=np.bool_)
    with closing(TopicReader(settings, selection.topic)) as reader:
        existing = reader.bounds()
        bounds = {p: (first, end) for p, (first, end) in selection.bounds().items() if p in existing}
        bounds = {p: (max(first, existing[p][0]), end) for p, (first, end) in bounds.items()}
        if period.begin_ms is not None:
            # Records before these offsets are older than the period.
            narrowed = reader.narrow(bounds, period.begin_ms)
            has_timestamp |= selection.before({p: first for p, (first, _) in narrowed.items()})
            has_timestamp &= ~selection.before({p: first for p, (first, _) in existing.items()})
            bounds = narrowed
        for records in with_progress(reader.read(bounds), bounds, on_progress):
            positions, rows = selection.pick(records)
            at_ms = _timestamps([records[position] for position in positions])
            in_period[rows] = period.contains(at_ms) & (at_ms != UNKNOWN)
            has_timestamp[rows] = at_ms != UNKNOWN
    return selection.keep(in_period), int((~has_timestamp).sum())


def _timestamps(records: Sequence[Record]) -> NDArray[np.int64]:
    return np.fromiter(map(timestamp_ms, records), dtype=np.int64, count=len(records))
