"""What came of a replay: of each application in the plan, the decision that it has now."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from schemas import rejection
from schemas.decision import REPLAY_ID_HEADER
from scorer.core.score import Scores
from scorer.core.wire import Rejection
from scorer.replay.again import Places
from scorer.replay.decisions import DecisionTable, Tell, counted
from scorer.replay.plan import Plan
from scorer.settings import Settings
from scorer.stream.reading import TopicReader
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
        ReplayError: something on the decisions topic is no decision.
    """
    selection = plan.selection
    found = nothing_yet(plan, published=True)
    done = selection.before(offsets)
    found.outcomes[done] = selection.rows["outcome"][done]
    found.probabilities[done] = selection.rows["probability"][done]
    table = DecisionTable(selection.topic)
    _read_own(settings, plan, plan.decisions_topic, table.add, tell)
    corrections = table.standing().rows
    for partition in np.unique(corrections["partition"]).tolist():
        mine = corrections[corrections["partition"] == partition]
        places = selection.find(partition, mine["offset"])
        found.outcomes[places] = mine["outcome"]
        found.probabilities[places] = mine["probability"]
    found.corrections = len(corrections)

    def refuse(messages: list[Record]) -> None:
        for message in messages:
            header = dict(cast("list[tuple[str, bytes]]", message.headers()))
            partition, offset = (int(header[name]) for name in (rejection.PARTITION_HEADER, rejection.OFFSET_HEADER))
            places = selection.find(partition, np.array([offset], dtype=np.int64))
            found.outcomes[places] = REFUSED
            found.probabilities[places] = np.nan
            found.refused[header[rejection.CODE_HEADER].decode()] += 1

    _read_own(settings, plan, plan.dead_letters_topic, refuse)
    return found


def _read_own(
    settings: Settings, plan: Plan, topic: str, take: Callable[[list[Record]], None], tell: Tell = lambda *_: None
) -> None:
    """Hands on what the replay has published on a topic."""
    own = (REPLAY_ID_HEADER, plan.replay_id.encode())
    with closing(TopicReader(settings, topic)) as reader:
        bounds = {p: (plan.outcomes_from[topic].get(p, 0), end) for p, (_, end) in reader.bounds().items()}
        for messages in counted(reader.read(bounds), bounds, tell):
            mine = [message for message in messages if own in (message.headers() or ())]
            if mine:
                take(mine)
