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
from scorer.replay.decisions import DecisionTable, Tell, counted
from scorer.replay.plan import Plan
from scorer.replay.rescore import Places
from scorer.replay.selection import Selection
from scorer.settings import Settings
from scorer.stream.worker import Record

REFUSED: Final = 3
"""Code instead of a label: the application became a dead letter; its earlier decision stays current."""
PENDING: Final = 4
"""Code instead of a label: not rescored yet."""


@dataclass(slots=True)
class Outcomes:
    """The results of n applications, in the order of the plan's rows."""

    outcomes: NDArray[np.uint8]
    """Shape (n,): indexes into `LABELS`, `REFUSED` or `PENDING`."""
    probabilities: NDArray[np.float32]
    """Shape (n,): probabilities of default; NaN without a decision."""
    published: bool
    """False for a dry run, which publishes nothing."""
    corrections: int = 0
    """Published decisions, one per application."""
    refused: Counter[str] = field(default_factory=Counter)
    """Dead letters by rejection code."""
    skipped: Skipped = field(default_factory=Skipped)
    """Records that are neither decisions nor dead letters; empty for a dry run, which does not read these topics."""


def empty_results(plan: Plan, published: bool) -> Outcomes:
    """Returns the results before the first application is rescored."""
    n = len(plan.selection)
    return Outcomes(np.full(n, PENDING, dtype=np.uint8), np.full(n, np.nan, dtype=np.float32), published)


def enter(into: Outcomes, places: Places, scores: Scores) -> None:
    """Adds the scores of some applications, published or not."""
    is_decided = scores.is_decided
    into.outcomes[places] = REFUSED
    into.outcomes[places[is_decided]] = scores.decided
    into.probabilities[places[is_decided]] = scores.probabilities
    into.refused.update(outcome.code.value for outcome in scores.results if isinstance(outcome, Rejection))


def read_replay_results(
    settings: Settings, plan: Plan, offsets: dict[int, int], tell: Tell = lambda *_: None
) -> Outcomes:
    """Reads the published results of a replay.

    Args:
        settings: the topics.
        plan: the replay.
        offsets: committed offset per partition: earlier applications without a correction did not change.
        tell: called with the progress of reading.

    Raises:
        TopicsError: a topic does not exist any more.
        BrokerError: it cannot be read.
        ReplayError: the decisions are by more bundles than a replay supports.
    """
    selection = plan.selection
    outcomes = empty_results(plan, published=True)
    done = selection.before(offsets)
    outcomes.outcomes[done] = selection.rows["outcome"][done]
    outcomes.probabilities[done] = selection.rows["probability"][done]
    table = DecisionTable(selection.topic, replay_id=plan.replay_id)
    outcomes.skipped = table.skipped
    _read_since_planned(settings, plan, plan.decisions_topic, table.add, outcomes.skipped, tell)
    corrections = table.current().selection.rows
    for partition in np.unique(corrections["partition"]).tolist():
        in_partition = corrections[corrections["partition"] == partition]
        rows = selection.find(partition, in_partition["offset"])
        known, rows = in_partition[rows >= 0], rows[rows >= 0]
        outcomes.outcomes[rows] = known["outcome"]
        outcomes.probabilities[rows] = known["probability"]
        outcomes.corrections += len(known)

    def add_dead_letters(records: list[Record]) -> None:
        for _, letter in read_results(records, plan.dead_letters_topic, outcomes.skipped.add):
            if isinstance(letter, DeadLetter) and letter.replay_id == plan.replay_id:
                _add_dead_letter(outcomes, selection, letter)

    _read_since_planned(settings, plan, plan.dead_letters_topic, add_dead_letters, outcomes.skipped)
    return outcomes


def _add_dead_letter(outcomes: Outcomes, selection: Selection, letter: DeadLetter) -> None:
    """Adds a dead letter if its application is in the plan: publishers can set the replay id header, too."""
    if letter.topic != selection.topic or letter.offset == UNKNOWN:
        return
    (row,) = selection.find(letter.partition, np.array([letter.offset], dtype=np.int64)).tolist()
    if row >= 0:
        outcomes.outcomes[row] = REFUSED
        outcomes.probabilities[row] = np.nan
        outcomes.refused[letter.counted_as] += 1


def _read_since_planned(
    settings: Settings,
    plan: Plan,
    topic: str,
    consume: Callable[[list[Record]], None],
    skipped: Skipped,
    tell: Tell = lambda *_: None,
) -> None:
    """Passes on the records written to a topic since the replay was planned."""
    with closing(TopicReader(settings, topic, skipped)) as reader:
        bounds = {p: (plan.outcomes_from[topic].get(p, 0), end) for p, (_, end) in reader.bounds().items()}
        for records in counted(reader.read(bounds), bounds, tell):
            consume(records)
