"""Rescores selected applications without publishing: for dry runs, rate measurements and verification."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.decision import BundleReference
from scorer.core.score import Bundle, Scores, score_batch
from scorer.errors import ReplayError
from scorer.operate.reading import TopicReader
from scorer.replay.decisions import OnProgress, with_progress
from scorer.replay.selection import Selection
from scorer.settings import Settings
from scorer.stream.worker import Record

RowIndexes = NDArray[np.intp]

_SAMPLE_RECORDS: Final = 20_000
# The first batch includes one-time setup: buffers, connections, a thread.
_WARM_UP_RECORDS: Final = 2_000


def read_selected(
    settings: Settings, selection: Selection, on_progress: OnProgress = lambda *_: None
) -> Iterator[tuple[list[Record], RowIndexes]]:
    """Reads the selected applications that still exist, in batches of some thousands, with their row indexes.

    Raises:
        TopicsError: the topic does not exist any more.
        BrokerError: it cannot be read.
    """
    bounds = selection.bounds()
    with closing(TopicReader(settings, selection.topic)) as reader:
        for messages in with_progress(reader.read(bounds), bounds, on_progress):
            positions, rows = selection.pick(messages)
            if positions:
                yield (messages if len(positions) == len(messages) else [messages[i] for i in positions]), rows


def rescore(
    settings: Settings, selection: Selection, bundle: Bundle, on_progress: OnProgress = lambda *_: None
) -> Iterator[tuple[list[Record], RowIndexes, Scores]]:
    """Rescores the selected applications with a bundle: yields records, their row indexes, and their scores.

    Raises:
        TopicsError, BrokerError, ReplayError: they cannot be read.
        BundleUnusableError: the bundle cannot score.
    """
    for records, rows in _require_all(read_selected(settings, selection, on_progress), selection):
        scores = score_batch(records, bundle, settings.record_bytes_max)
        selection.require_same(records, scores, selection.rows[rows])
        yield records, rows, scores


def measure_rate(settings: Settings, selection: Selection, bundle: Bundle) -> float:
    """Measures how many records per second this machine rescores, on a sample of the selected applications.

    Raises:
        TopicsError, BrokerError, ReplayError: they cannot be read.
        BundleUnusableError: the bundle cannot score.
    """
    sample = Selection(selection.topic, selection.bundles, selection.rows[:_SAMPLE_RECORDS])
    took_s, count = 0.0, 0
    for records, rows in read_selected(settings, sample):
        score_batch(records[:_WARM_UP_RECORDS], bundle, settings.record_bytes_max)
        began_at = time.perf_counter()
        scores = score_batch(records, bundle, settings.record_bytes_max)
        took_s += time.perf_counter() - began_at
        count += len(records)
        sample.require_same(records, scores, sample.rows[rows])
    return count / took_s


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a verification."""

    decisions: int
    different: int
    first_different: tuple[str, ...]
    """Up to ten of them, as topic[partition]@offset of the application."""
    seconds: float
    """Duration of reading the applications, rescoring and comparing, without reading the decisions."""


def verify(
    settings: Settings,
    selection: Selection,
    open_bundle: Callable[[BundleReference], Bundle],
    on_progress: OnProgress = lambda *_: None,
) -> Verification:
    """Rescores the selected applications, each with the bundle that decided it, and compares the bytes.

    Args:
        settings: the topics.
        selection: decisions that were read by this process.
        open_bundle: finds and opens a bundle.
        on_progress: called with the progress.

    Raises:
        BundleError: a bundle of the decisions is not in the store.
        TopicsError, BrokerError, ReplayError: the applications cannot be read.
        BundleUnusableError: a bundle cannot score.
    """
    bundles = {bundle_index: open_bundle(bundle) for bundle_index, bundle in _current_bundles(selection).items()}
    began_at = time.monotonic()
    decisions, different = 0, 0
    examples: list[str] = []
    for records, rows in _require_all(read_selected(settings, selection, on_progress), selection):
        before = selection.rows[rows]
        for bundle_index, bundle in bundles.items():
            positions = np.flatnonzero(before["bundle"] == bundle_index)
            if not len(positions):
                continue
            bundle_records = records if len(positions) == len(records) else [records[i] for i in positions.tolist()]
            scores = score_batch(bundle_records, bundle, settings.record_bytes_max)
            selection.require_same(bundle_records, scores, before[positions])
            fingerprints = np.fromiter(
                (hash(result) for result in scores.results), dtype=np.int64, count=len(bundle_records)
            )
            differing = np.flatnonzero(fingerprints != before["fingerprint"][positions]).tolist()
            decisions += len(bundle_records)
            different += len(differing)
            examples += [
                f"{bundle_records[i].topic()}[{bundle_records[i].partition()}]@{bundle_records[i].offset()}"
                for i in differing[:10]
            ]
    return Verification(decisions, different, tuple(examples[:10]), time.monotonic() - began_at)


def _require_all(
    batches: Iterator[tuple[list[Record], RowIndexes]], selection: Selection
) -> Iterator[tuple[list[Record], RowIndexes]]:
    """Yields the same batches, and raises ReplayError in the end if applications are missing."""
    count = 0
    for records, rows in batches:
        count += len(records)
        yield records, rows
    if count < len(selection):
        raise ReplayError(
            f"{len(selection) - count:,} of {len(selection):,} applications are no longer in topic {selection.topic}: "
            "retention deleted them after they were selected. Select again"
        )


def _current_bundles(selection: Selection) -> Mapping[int, BundleReference]:
    """Returns the bundles that made current decisions, by index."""
    counts = selection.count_by_bundle()
    return {index: bundle for index, bundle in enumerate(selection.bundles) if bundle in counts}
