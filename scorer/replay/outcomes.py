"""What came of a replay: of each application in the plan, the decision that it has now."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.records import UNKNOWN, DeadLetter, Malformed, read_dead_letter
from scorer.core.score import Scores
from scorer.core.wire import Rejection
from scorer.replay.again import Places
from scorer.replay.decisions import DecisionTable, Tell, counted
from scorer.replay.plan import Plan
from scorer.replay.selection import Selection
from scorer.settings import Settings
from scorer.stream.reading import Skipped, TopicReader
from scorer.stream.worker import Record

REFUSED: Final = 3
"""In the place of an outcome: the application became a dead letter; the earlier decision stands."""
PENDING: Final = 4
"""In the place of an outcome: not decided again yet."""


@dataclass(slots=True)
class Outcomes:
    """Of n applications, in the order of the plan's rows."""

    outcomes: NDArray[np.uint8]
    """Shape (n,): places in `OUTCOMES`, `REFUSED` or `PENDING`."""
    probabilities: NDArray[np.float32]
    """Shape (n,): of default; NaN where there is no decision."""
    published: bool
    """False for a dry run, which publishes nothing."""
    corrections: int = 0
    """Decisions that were published, each for an application of its own."""
    refused: Counter[str] = field(default_factory=Counter)
    """Dead letters by code."""
    skipped: Skipped = field(default_factory=Skipped)
    """Records that are neither decisions nor dead letters; none for a dry run, which reads neither topic."""


def nothing_yet(plan: Plan, published: bool) -> Outcomes:
    """Before the first application is decided again."""
    n = len(plan.selection)
    return Outcomes(np.full(n, PENDING, dtype=np.uint8), np.full(n, np.nan, dtype=np.float32), published)


def enter(into: Outcomes, places: Places, scores: Scores) -> None:
    """Enters what was decided of some applications, published or not."""
    is_decided = scores.is_decided
    into.outcomes[places] = REFUSED
    into.outcomes[places[is_decided]] = scores.decided
    into.probabilities[places[is_decided]] = scores.probabilities
    into.refused.update(outcome.code.value for outcome in scores.outcomes if isinstance(outcome, Rejection))


def read_outcomes(settings: Settings, plan: Plan, offsets: dict[int, int], tell: Tell = lambda *_: None) -> Outcomes:
    """Reads back what a replay has published.

    Args:
        settings: the topics.
        plan: the replay.
        offsets: by partition, where its group goes on: what lies before and has no correction came out the same.
        tell: told how far the reading has come.

    Raises:
        TopicsError: a topic is gone.
        BrokerError: it cannot be read.
        ReplayError: more bundles have decided than a replay can number.
    """
    selection = plan.selection
    outcomes = nothing_yet(plan, published=True)
    done = selection.before(offsets)
    outcomes.outcomes[done] = selection.rows["outcome"][done]
    outcomes.probabilities[done] = selection.rows["probability"][done]
    table = DecisionTable(selection.topic, replay_id=plan.replay_id)
    outcomes.skipped = table.skipped
    _read_since_planned(settings, plan, plan.decisions_topic, table.add, outcomes.skipped, tell)
    corrections = table.current().selection.rows
    for partition in np.unique(corrections["partition"]).tolist():
        mine = corrections[corrections["partition"] == partition]
        places = selection.find(partition, mine["offset"])
        known, places = mine[places >= 0], places[places >= 0]
        outcomes.outcomes[places] = known["outcome"]
        outcomes.probabilities[places] = known["probability"]
        outcomes.corrections += len(known)

    def refuse(records: list[Record]) -> None:
        for letter in map(read_dead_letter, records):
            if isinstance(letter, Malformed):
                outcomes.skipped.add(letter)
            elif isinstance(letter, DeadLetter) and letter.replay_id == plan.replay_id:
                _enter_dead_letter(outcomes, selection, letter)

    _read_since_planned(settings, plan, plan.dead_letters_topic, refuse, outcomes.skipped)
    return outcomes


def _enter_dead_letter(into: Outcomes, selection: Selection, letter: DeadLetter) -> None:
    """A publisher can send a replay's id along: what counts is whether the application is in the plan."""
    if letter.topic != selection.topic or letter.offset == UNKNOWN:
        return
    (place,) = selection.find(letter.partition, np.array([letter.offset], dtype=np.int64)).tolist()
    if place >= 0:
        into.outcomes[place] = REFUSED
        into.probabilities[place] = np.nan
        into.refused[letter.counted_as] += 1


def _read_since_planned(
    settings: Settings,
    plan: Plan,
    topic: str,
    take: Callable[[list[Record]], None],
    skipped: Skipped,
    tell: Tell = lambda *_: None,
) -> None:
    """Hands on what was written to a topic since the replay was planned."""
    with closing(TopicReader(settings, topic, skipped)) as reader:
        bounds = {p: (plan.outcomes_from[topic].get(p, 0), end) for p, (_, end) in reader.bounds().items()}
        for records in counted(reader.read(bounds), bounds, tell):
            take(records)
