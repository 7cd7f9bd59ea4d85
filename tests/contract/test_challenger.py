"""A challenger beside the loop: whatever it finds, and however it fails, what is published is the champion's alone."""

import json
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scorer.core.decide import Decider
from scorer.core.decode import Decoder
from scorer.core.encode import DecisionEncoder
from scorer.core.features import FeatureEncoding
from scorer.core.policy import Policy
from scorer.core.score import Bundle, score_batch
from scorer.stream.challenge import Challenger, Comparison
from scorer.stream.observer import Observer
from scorer.stream.worker import run
from tests.contract.stages import WAIT_S, Stage
from tests.engines import with_chosen_engine
from tests.fakes import (
    CONTRACT,
    RECORD_BYTES_MAX,
    CountingMonitor,
    FakeRecord,
    Headers,
    ModelThatFails,
    application,
    tiny_bundle,
)
from tests.unit.bundle.contracts import CAR_LOAN, car_loan

CHAMPION = with_chosen_engine(tiny_bundle())
OTHER = CHAMPION.reference.model_copy(update={"version": "2.0.0", "digest": "2" * 64})


class Stumbling:
    """Raises what no model should."""

    def predict(self, _: NDArray[np.float32]) -> NDArray[np.float32]:
        raise ZeroDivisionError


class Tally(Observer):
    """Counts what a challenger found."""

    def __init__(self) -> None:
        self.applications = self.disagreements = self.failures = 0
        self.only_champion = self.only_challenger = 0

    def compared(self, comparison: Comparison) -> None:
        self.applications += comparison.applications
        self.disagreements += comparison.disagreements
        self.only_champion += comparison.only_champion
        self.only_challenger += comparison.only_challenger

    def challenge_failed(self) -> None:
        self.failures += 1


CARS = replace(
    tiny_bundle(),
    reference=OTHER,
    decoder=Decoder(CAR_LOAN),
    encoding=FeatureEncoding(CAR_LOAN, ("salary", "owner"), missing=0.0),
    encoder=DecisionEncoder(OTHER),
)
"""A bundle for car loans, whose applications the champion's contract rejects, and the other way round."""
STRICTEST = Decider(Policy(maybe_above=0, declined_above=0), CONTRACT)
DECLINES_ALL = replace(tiny_bundle(), reference=OTHER, policy=STRICTEST)
UNUSABLE = replace(tiny_bundle(ModelThatFails()), reference=OTHER)
STUMBLING = replace(tiny_bundle(Stumbling()), reference=OTHER)


@pytest.mark.parametrize("challenger", [DECLINES_ALL, UNUSABLE, STUMBLING], ids=["disagrees", "unusable", "stumbles"])
def test_changes_nothing(stage: Stage, challenger: Bundle) -> None:
    """Decisions, dead letters, offsets and what they say of who decided are as if there were no challenger."""
    values = [application(f"a-{i}", amount=100, age=17 if i == 4 else 30) for i in range(10)]
    for i, value in enumerate(values):
        stage.append(i % 2, value, f"a-{i}".encode())
    link, tally = stage.link(), Tally()
    along = Challenger(lambda: challenger, RECORD_BYTES_MAX, tally)
    done = _soon(lambda: stage.committed() == {0: 5, 1: 5})
    run(link, lambda: CHAMPION, CountingMonitor(), RECORD_BYTES_MAX, done, along.score_in_shadow)
    assert stage.committed() == {0: 5, 1: 5}
    assert stage.bundles() == dict.fromkeys((0, 1), str(CHAMPION.reference))
    topic = _topic_of(stage)
    records = [FakeRecord((i % 2, i // 2), value, topic_name=topic) for i, value in enumerate(values) if i != 4]
    expected = score_batch(records, CHAMPION, RECORD_BYTES_MAX).results
    nothing: Headers = ()
    found = {(written.value, written.headers) for written in stage.decisions()}
    assert found == {(decision, nothing) for decision in expected}
    assert len(stage.decisions()) == 9
    assert [dict(letter.headers)["dlq.code"] for letter in stage.dead_letters()] == [b"out_of_range"]
    if challenger is DECLINES_ALL:
        assert (tally.applications, tally.disagreements, tally.failures) == (9, 9, 0)
    else:
        assert tally.applications == 0
        assert tally.failures >= 1


@pytest.mark.parametrize("of_cars", ["champion", "challenger"])
def test_another_contract(stage: Stage, of_cars: str) -> None:
    """Applications of two kinds on one topic: the champion decides its own, and the challenger in shadow the others.

    Each decodes with its own contract. What only one of the two accepts is counted as exactly that, and is a dead
    letter if it is the challenger's.
    """
    loans = [application(f"a-{i}", amount=100) for i in range(6)]
    cars = [car_loan(f"c-{i}", salary=100) for i in range(4)]
    for i, value in enumerate([*loans, *cars, b"{}"]):
        stage.append(i % 2, value, b"key")
    champion, challenger = (CARS, CHAMPION) if of_cars == "champion" else (CHAMPION, CARS)
    tally = Tally()
    shadow = Challenger(lambda: challenger, RECORD_BYTES_MAX, tally)
    done = _soon(lambda: stage.committed() == {0: 6, 1: 5})
    run(stage.link(), lambda: champion, CountingMonitor(), RECORD_BYTES_MAX, done, shadow.score_in_shadow)
    decided = {json.loads(written.value or b"")["application_id"][0] for written in stage.decisions()}
    if of_cars == "champion":
        assert (len(stage.decisions()), decided, len(stage.dead_letters())) == (4, {"c"}, 7)
        assert (tally.only_champion, tally.only_challenger) == (4, 6)
    else:
        assert (len(stage.decisions()), decided, len(stage.dead_letters())) == (6, {"a"}, 5)
        assert (tally.only_champion, tally.only_challenger) == (6, 4)
    assert (tally.applications, tally.disagreements, tally.failures) == (10, 10, 0)


def _soon(holds: Callable[[], bool]) -> Callable[[], bool]:
    """Whether a condition holds, or has not for too long."""
    ends_at = time.monotonic() + WAIT_S
    return lambda: holds() or time.monotonic() > ends_at


def _topic_of(stage: Stage) -> str:
    """The applications topic, as the decisions name it."""
    return str(json.loads(stage.decisions()[0].value or b"")["source"]["topic"])
