"""The challenger beside the loop: what it finds, what it costs when it fails, and when it does nothing at all."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.contract import Contract
from schemas.contract_parser import parse_contract
from scorer.core.decide import Decider
from scorer.core.decode import Decoder
from scorer.core.features import FeatureEncoding
from scorer.core.policy import Policy
from scorer.core.score import Bundle, Model, Scores, score_batch
from scorer.stream.challenge import Challenger
from scorer.stream.comparison import Comparison
from scorer.stream.observer import Observer
from tests.fakes import (
    BROKEN_PRICE,
    CONTRACT,
    RECORD_BYTES_MAX,
    FakeRecord,
    ModelThatFails,
    TinyModel,
    application,
    tiny_bundle,
)
from tests.unit.bundle.contracts import CAR_LOAN, car_loan

CHAMPION = tiny_bundle()
OTHER = CHAMPION.reference.model_copy(update={"name": "car-loan"})
CARS = replace(
    CHAMPION,
    reference=OTHER,
    decoder=Decoder(CAR_LOAN),
    encoding=FeatureEncoding(CAR_LOAN, ("salary", "owner"), missing=0.0),
)
"""The tiny bundle for car loans: it decides by the salary."""


class Recorder(Observer):
    """Remembers what was told."""

    def __init__(self) -> None:
        self.comparisons: list[Comparison] = []
        self.failures = 0

    def compared(self, comparison: Comparison) -> None:
        self.comparisons.append(comparison)

    def challenge_failed(self) -> None:
        self.failures += 1


class NeverAsked:
    """Scores nothing, because nobody asks."""

    def predict(self, _: NDArray[np.float32]) -> NDArray[np.float32]:
        raise AssertionError("nobody was to ask")


class Stumbling:
    """Raises what no model should, with an applicant's figures in it."""

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        raise ZeroDivisionError(f"income {matrix[0, 0]}")


class FailsOnTheWorst(TinyModel):
    """Fails where the tiny model is all but sure of a default."""

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        broken = matrix.copy()
        broken[matrix[:, 0] > 950, 1] = BROKEN_PRICE
        return super().predict(broken)


class IgnoresThePrice(TinyModel):
    """Fails on nothing."""

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        return super().predict(np.column_stack([matrix[:, 0], np.zeros(len(matrix), dtype=np.float32)]))


def rival(model: Model | None = None, version: str = "2.0.0", policy: Decider = CHAMPION.policy) -> Bundle:
    """A challenger of the tiny bundle."""
    bundle = tiny_bundle(model)
    reference = bundle.reference.model_copy(update={"version": version})
    return replace(bundle, reference=reference, policy=policy)


def changed(change: Callable[[dict[str, Any]], object]) -> Contract:
    """The shipped contract with changed properties."""
    document = json.loads(CONTRACT.canonical)
    change(document["properties"])
    return parse_contract(json.dumps(document))


def batch(*values: bytes) -> tuple[Sequence[FakeRecord], Scores]:
    """Records, and what the champion made of them."""
    records = [FakeRecord((0, i), value) for i, value in enumerate(values)]
    return records, score_batch(records, CHAMPION, RECORD_BYTES_MAX)


def of_amounts(*amounts: int) -> tuple[Sequence[FakeRecord], Scores]:
    """Sound applications; the tiny bundle declines above 500 and doubts above 300."""
    return batch(*(application(f"a-{amount}", amount=amount) for amount in amounts))


def test_counts_decisions_that_would_have_differed() -> None:
    """A stricter challenger disagrees exactly where its thresholds part from the champion's."""
    observer = Recorder()
    stricter = rival(policy=Decider(Policy(maybe_above=0.2, declined_above=0.4), CONTRACT))
    challenger = Challenger(lambda: stricter, RECORD_BYTES_MAX, observer)
    challenger.score_in_shadow(*of_amounts(100, 250, 350, 450, 600))
    challenger.score_in_shadow(*of_amounts(100))
    assert observer.comparisons == [
        Comparison(
            CHAMPION.reference,
            stricter.reference,
            applications=5,
            disagreements=2,
            only_champion=0,
            only_challenger=0,
            flips={("APPROVED", "MAYBE"): 1, ("MAYBE", "DECLINED"): 1},
        ),
        Comparison(
            CHAMPION.reference, stricter.reference, applications=1, disagreements=0, only_champion=0, only_challenger=0
        ),
    ]
    assert observer.failures == 0


def test_records_that_neither_bundle_can_decide_are_not_compared() -> None:
    """Records that the contract refuses are nobody's; those beside them are compared, each with itself."""
    observer = Recorder()
    stricter = rival(policy=Decider(Policy(maybe_above=0.2, declined_above=0.4), CONTRACT))
    values = b"bad", application("a", amount=250), b"", application("b", amount=100), application("c", age=17)
    Challenger(lambda: stricter, RECORD_BYTES_MAX, observer).score_in_shadow(*batch(*values))
    assert [(c.applications, c.disagreements) for c in observer.comparisons] == [(2, 1)]


def test_what_only_one_can_decide_is_a_disagreement() -> None:
    """An application on which one of the two models fails would have come out otherwise."""
    observer = Recorder()
    only_theirs = application("d", amount=100, price=BROKEN_PRICE)  # the champion fails on it
    records, scores = batch(application("a", amount=100), application("b", amount=990), only_theirs)
    frail = rival(FailsOnTheWorst())
    Challenger(lambda: frail, RECORD_BYTES_MAX, observer).score_in_shadow(records, scores)
    assert [(c.applications, c.disagreements) for c in observer.comparisons] == [(2, 1)]
    steady = rival(IgnoresThePrice())
    Challenger(lambda: steady, RECORD_BYTES_MAX, observer).score_in_shadow(records, scores)
    assert (observer.comparisons[-1].applications, observer.comparisons[-1].disagreements) == (3, 1)


def test_another_contract() -> None:
    """Each bundle decodes with its own contract; what only one of the two accepts is counted as exactly that.

    What neither accepts counts for nobody, and an application on which a model fails is accepted: only who decides it
    differs.
    """
    observer = Recorder()
    records, scores = batch(
        application("a", amount=100), application("b", amount=100), application("c", amount=900, price=BROKEN_PRICE),
        application("d", age=17), car_loan(salary=100), car_loan(salary=900), car_loan(salary=-1), b"{}",
    )  # fmt: skip
    Challenger(lambda: CARS, RECORD_BYTES_MAX, observer).score_in_shadow(records, scores)
    assert observer.comparisons == [
        Comparison(CHAMPION.reference, OTHER, applications=4, disagreements=4, only_champion=3, only_challenger=2)
    ]


def test_a_contract_that_rejects_more() -> None:
    """Where both accept an application, their decisions are compared; the rest is the champion's alone."""
    observer = Recorder()
    adults = changed(lambda properties: properties["age"].update(minimum=21))
    challenger = replace(rival(), decoder=Decoder(adults))
    values = (application("a", age=20), application("b", age=21), application("c", age=17))
    Challenger(lambda: challenger, RECORD_BYTES_MAX, observer).score_in_shadow(*batch(*values))
    (comparison,) = observer.comparisons
    assert (comparison.applications, comparison.disagreements) == (2, 1)
    assert (comparison.only_champion, comparison.only_challenger) == (1, 0)


@pytest.mark.parametrize("model", [ModelThatFails(), Stumbling()], ids=["unusable", "raises anything"])
def test_a_failure_is_counted_and_logged_once(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    """A challenger that fails does so quietly: each batch counts, one line is logged, and no figure stands in it."""
    observer = Recorder()
    failing = rival(model)
    challenger = Challenger(lambda: failing, RECORD_BYTES_MAX, observer)
    for _ in range(3):
        challenger.score_in_shadow(*of_amounts(123, 456))
    assert observer.failures == 3
    assert observer.comparisons == []
    (line,) = caplog.records
    assert line.__dict__["event"] == "challenger_failed"
    observer = line.__dict__["fields"]
    assert (observer["challenger"], observer["bundle"]) == (str(failing.reference), str(CHAMPION.reference))
    assert "123" not in observer["error"]


def test_another_one_that_fails_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    """The log tells of each challenger that fails, not only of the first."""
    failing = [rival(ModelThatFails(), version=f"{n}.0.0") for n in (2, 2, 3)]
    challenger = Challenger(lambda: failing.pop(0), RECORD_BYTES_MAX, Recorder())
    for _ in range(3):
        challenger.score_in_shadow(*of_amounts(100))
    assert len(caplog.messages) == 2


def test_nothing_is_scored_in_vain() -> None:
    """Without a challenger, without records, and where the champion is the challenger itself, nothing is done."""
    observer = Recorder()
    records, scores = of_amounts(100)
    Challenger(lambda: None, RECORD_BYTES_MAX, observer).score_in_shadow(records, scores)
    Challenger(lambda: rival(NeverAsked()), RECORD_BYTES_MAX, observer).score_in_shadow([], batch()[1])
    Challenger(lambda: replace(CHAMPION, model=NeverAsked()), RECORD_BYTES_MAX, observer).score_in_shadow(
        records, scores
    )
    assert observer.comparisons == []
    assert observer.failures == 0
