"""Deciding what is selected again without publishing anything: a dry run, a measurement, a proof."""

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
from scorer.replay.decisions import Tell, counted
from scorer.replay.selection import Selection
from scorer.settings import Settings
from scorer.stream.reading import TopicReader
from scorer.stream.worker import Record

Places = NDArray[np.intp]

_SAMPLE_RECORDS: Final = 20_000
# The first batch pays for what is set up once: buffers, connections, a thread.
_WARM_UP_RECORDS: Final = 2_000


def read_selected(
    settings: Settings, selection: Selection, tell: Tell = lambda *_: None
) -> Iterator[tuple[list[Record], Places]]:
    """Reads the selected applications that are still there, some thousands at a time, with their places among the rows.

    Raises:
        TopicsError: the topic is gone.
        BrokerError: it cannot be read.
    """
    bounds = selection.bounds()
    with closing(TopicReader(settings, selection.topic)) as reader:
        for messages in counted(reader.read(bounds), bounds, tell):
            places, among_rows = selection.pick(messages)
            if places:
                yield (messages if len(places) == len(messages) else [messages[place] for place in places]), among_rows


def decide_again(
    settings: Settings, selection: Selection, bundle: Bundle, tell: Tell = lambda *_: None
) -> Iterator[tuple[list[Record], Places, Scores]]:
    """Decides the selected applications with a bundle: records, their places among the rows, and what is decided now.

    Raises:
        TopicsError, BrokerError, ReplayError: they cannot be read.
        BundleUnusableError: the bundle cannot score.
    """
    for records, places in _all(read_selected(settings, selection, tell), selection):
        scores = score_batch(records, bundle, settings.record_bytes_max)
        selection.require_same(records, scores, selection.rows[places])
        yield records, places, scores


def measure_rate(settings: Settings, selection: Selection, bundle: Bundle) -> float:
    """Records a second at which this machine decides a sample of the selected applications again.

    Raises:
        TopicsError, BrokerError, ReplayError: they cannot be read.
        BundleUnusableError: the bundle cannot score.
    """
    sample = Selection(selection.topic, selection.bundles, selection.rows[:_SAMPLE_RECORDS])
    took_s, count = 0.0, 0
    for records, places in read_selected(settings, sample):
        score_batch(records[:_WARM_UP_RECORDS], bundle, settings.record_bytes_max)
        began_at = time.perf_counter()
        scores = score_batch(records, bundle, settings.record_bytes_max)
        took_s += time.perf_counter() - began_at
        count += len(records)
        sample.require_same(records, scores, sample.rows[places])
    return count / took_s


@dataclass(frozen=True, slots=True)
class Verified:
    """What a proof found."""

    decisions: int
    different: int
    first_different: tuple[str, ...]
    """Some of them, as topic[partition]@offset of the application."""
    seconds: float
    """For reading the applications, deciding them again and comparing; not for reading the decisions back."""


def verify(
    settings: Settings,
    selection: Selection,
    open_bundle: Callable[[BundleReference], Bundle],
    tell: Tell = lambda *_: None,
) -> Verified:
    """Decides the selected applications again, each with the bundle that decided it, and compares the bytes.

    Args:
        settings: the topics.
        selection: decisions that this process has read.
        open_bundle: finds and opens a bundle.
        tell: told how far it has come.

    Raises:
        BundleError: a bundle that decided is not in the store.
        TopicsError, BrokerError, ReplayError: the applications cannot be read.
        BundleUnusableError: a bundle cannot score.
    """
    bundles = {place: open_bundle(bundle) for place, bundle in _bundles_of(selection).items()}
    began_at = time.monotonic()
    decisions, different = 0, 0
    examples: list[str] = []
    for records, places in _all(read_selected(settings, selection, tell), selection):
        before = selection.rows[places]
        for place, bundle in bundles.items():
            mine = np.flatnonzero(before["bundle"] == place)
            if not len(mine):
                continue
            own = records if len(mine) == len(records) else [records[i] for i in mine.tolist()]
            scores = score_batch(own, bundle, settings.record_bytes_max)
            selection.require_same(own, scores, before[mine])
            found = np.fromiter((hash(outcome) for outcome in scores.outcomes), dtype=np.int64, count=len(own))
            wrong = np.flatnonzero(found != before["fingerprint"][mine]).tolist()
            decisions += len(own)
            different += len(wrong)
            examples += [f"{own[i].topic()}[{own[i].partition()}]@{own[i].offset()}" for i in wrong[:10]]
    return Verified(decisions, different, tuple(examples[:10]), time.monotonic() - began_at)


def _all(batches: Iterator[tuple[list[Record], Places]], selection: Selection) -> Iterator[tuple[list[Record], Places]]:
    """The same batches, if in the end they had all applications."""
    found = 0
    for records, places in batches:
        found += len(records)
        yield records, places
    if found < len(selection):
        raise ReplayError(
            f"{len(selection) - found:,} of {len(selection):,} applications are no longer in topic {selection.topic}: "
            "retention has taken them since they were selected. Select anew"
        )


def _bundles_of(selection: Selection) -> Mapping[int, BundleReference]:
    """The bundles of which decisions stand, by their place."""
    standing = selection.count_by_bundle()
    return {place: bundle for place, bundle in enumerate(selection.bundles) if bundle in standing}
