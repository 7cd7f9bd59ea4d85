"""The results of a replay: the current decision on each application in the plan."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.records import UNKNOWN, DeadLetter, read_results
from scorer.core.score import Scores
from scorer.core.slow_decode import Rejection
from scorer.operate.reading import Skipped, TopicReader
from scorer.replay.decisions import DecisionTable, OnProgress, with_progress
from scorer.replay.plan import Plan
from scorer.replay.rescore import RowIndexes
from scorer.replay.selection import Selection
from scorer.settings import Settings
from scorer.stream.worker import Record

REJECTED: Final = 3
"""In place of a label's index: the application became a dead letter; its earlier decision stays current."""
PENDING: Final = 4
"""In place of a label's index: not rescored yet."""


@dataclass(slots=True)
class Results:
    """The results of n applications, in the order of the plan's rows."""

    label_indexes: NDArray[np.uint8]
    """Shape (n,): indexes into `LABELS`, `REJECTED` or `PENDING`."""
    probabilities: NDArray[np.float32]
    """Shape (n,): probabilities of default; NaN without a decision."""
    published: bool
    """False for a dry run, which publishes nothing."""
    corrections: int = 0
    """Published decisions, one per application."""
    written_ms: tuple[int, int] | None = None
    """The first and the last timestamp of the corrections' records, in ms since 1970; None without corrections."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Dead letters by rejection code."""
    skipped: Skipped = field(default_factory=Skipped)
    """Records that are neither decisions nor dead letters; empty for a dry run, which does not read these topics."""


def empty_results(plan: Plan, published: bool) -> Results:
    """Returns the results before the first application is rescored."""
    n = len(plan.selection)
    return Results(np.full(n, PENDING, dtype=np.uint8), np.full(n, np.nan, dtype=np.float32), published)


def add_scores(results: Results, rows: RowIndexes, scores: Scores) -> None:
    """Adds the scores of some applications, published or not."""
    is_decided = scores.is_decided
    results.label_indexes[rows] = REJECTED
    results.label_indexes[rows[is_decided]] = scores.decided
    results.probabilities[rows[is_decided]] = scores.probabilities
    results.rejected.update(result.code.value for result in scores.results if isinstance(result, Rejection))


def read_replay_results(
    settings: Settings, plan: Plan, offsets: dict[int, int], on_progress: OnProgress = lambda *_: None
) -> Results:
    """Reads the published results of a replay.

    Args:
        settings: the topics.
        plan: the replay.
        offsets: committed offset per partition: earlier applications without a correction did not change.
        on_progress: called with the progress of reading.

    Raises:
        TopicsError: a topic does not exist any more.
        BrokerError: it cannot be read.
        ReplayError: the decisions are by more bundles than a replay supports.
    """
    selection = plan.selection
    results = empty_results(plan, published=True)
    done = selection.before(offsets)
    results.label_indexes[done] = selection.rows["outcome"][done]
    results.probabilities[done] = selection.rows["probability"][done]
    table = DecisionTable(selection.topic, replay_id=plan.replay_id)
    results.skipped = table.skipped
    _read_since_planned(settings, plan, plan.decisions_topic, table.add, results.skipped, on_progress)
    results.written_ms = table.written_ms()
    corrections = table.current().selection.rows
    for partition in np.unique(corrections["partition"]).tolist():
        in_partition = corrections[corrections["partition"] == partition]
        rows = selection.find(partition, in_partition["offset"])
        known, rows = in_partition[rows >= 0], rows[rows >= 0]
        results.label_indexes[rows] = known["outcome"]
        results.probabilities[rows] = known["probability"]
        results.corrections += len(known)

    def add_dead_letters(records: list[Record]) -> None:
        for _, letter in read_results(records, plan.dead_letters_topic, results.skipped.add):
            if isinstance(letter, DeadLetter) and letter.replay_id == plan.replay_id:
                _add_dead_letter(results, selection, letter)

    _read_since_planned(settings, plan, plan.dead_letters_topic, add_dead_letters, results.skipped)
    return results


def _add_dead_letter(results: Results, selection: Selection, letter: DeadLetter) -> None:
    """Adds a dead letter if its application is in the plan: publishers can set the replay id header, too."""
    if letter.topic != selection.topic or letter.offset == UNKNOWN:
        return
    (row,) = selection.find(letter.partition, np.array([letter.offset], dtype=np.int64)).tolist()
    if row >= 0:
        results.label_indexes[row] = REJECTED
        results.probabilities[row] = np.nan
        results.rejected[letter.counted_as] += 1


def _read_since_planned(
    settings: Settings,
    plan: Plan,
    topic: str,
    consume: Callable[[list[Record]], None],
    skipped: Skipped,
    on_progress: OnProgress = lambda *_: None,
) -> None:
    """Passes on the records written to a topic since the replay was planned."""
    with closing(TopicReader(settings, topic, skipped)) as reader:
        bounds = {p: (plan.results_from[topic].get(p, 0), end) for p, (_, end) in reader.bounds().items()}
        for records in with_progress(reader.read(bounds), bounds, on_progress):
            consume(records)
