"""Which of the selected applications were published in a period: each record's own timestamp decides."""

from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.records import UNKNOWN, timestamp_ms
from scorer.replay.decisions import Tell, counted
from scorer.replay.selection import Selection
from scorer.settings import Settings
from scorer.stream.reading import TopicReader
from scorer.stream.worker import Record


class Period(NamedTuple):
    """From one moment up to another, in milliseconds since 1970; None where it is open."""

    begin_ms: int | None
    end_ms: int | None

    def holds(self, at_ms: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of n timestamps is in it; shape (n,)."""
        inside = np.ones(len(at_ms), dtype=np.bool_)
        if self.begin_ms is not None:
            inside &= at_ms >= self.begin_ms
        if self.end_ms is not None:
            inside &= at_ms < self.end_ms
        return inside


def published_in(
    settings: Settings, selection: Selection, period: Period, tell: Tell = lambda *_: None
) -> tuple[Selection, int]:
    """Reads the selected applications' records, and selects those whose timestamp is in a period.

    A publisher that catches up with a backlog sends old timestamps after new ones, so that no offset tells where a
    period ends: of each partition everything is read from the first record that may be in it.

    Args:
        settings: the topics.
        selection: the applications.
        period: when they were published.
        tell: told how far the reading has come.

    Returns:
        Those in the period, and how many have no timestamp any more: retention has taken their records.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: it cannot be read.
    """
    inside = np.zeros(len(selection), dtype=np.bool_)
    dated = np.zeros(len(selection), dtype=np.bool_)
    with closing(TopicReader(settings, selection.topic)) as reader:
        existing = reader.bounds()
        bounds = {p: (first, end) for p, (first, end) in selection.bounds().items() if p in existing}
        bounds = {p: (max(first, existing[p][0]), end) for p, (first, end) in bounds.items()}
        if period.begin_ms is not None:
            # What is before these offsets is certain to be older.
            narrowed = reader.narrow(bounds, period.begin_ms)
            dated |= selection.before({p: first for p, (first, _) in narrowed.items()})
            dated &= ~selection.before({p: first for p, (first, _) in existing.items()})
            bounds = narrowed
        for records in counted(reader.read(bounds), bounds, tell):
            places, among_rows = selection.pick(records)
            at_ms = _timestamps([records[place] for place in places])
            inside[among_rows] = period.holds(at_ms) & (at_ms != UNKNOWN)
            dated[among_rows] = at_ms != UNKNOWN
    return selection.keep(inside), int((~dated).sum())


def _timestamps(records: Sequence[Record]) -> NDArray[np.int64]:
    return np.fromiter(map(timestamp_ms, records), dtype=np.int64, count=len(records))
