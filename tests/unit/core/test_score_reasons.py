"""Reasons in the results of a batch, also where a model fails on rows, or an engine leaves records."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from scorer.core.decide import Decider, Labels
from scorer.core.encode import DecisionEncoder
from scorer.core.engine import CompiledEngine, EngineMatrix, EngineScores, Source
from scorer.core.policy import LABELS, Policy
from scorer.core.reasons import NONE, Explainer
from scorer.core.score import Bundle, score_batch
from scorer.core.slow_decode import Rejection
from scorer.errors import BundleUnusableError, ModelError
from tests.fakes import BROKEN_PRICE, CONTRACT, FakeRecord, TinyModel, application, tiny_bundle

BYTES_MAX = 65_536


class ExplainedModel(TinyModel):
    """The amount is against an applicant, and the price for one below 500."""

    def contributions(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(matrix) and np.isin(matrix[:, 1], 13).any():
            raise ModelError("some rows")
        contributions: NDArray[np.float32] = (matrix - np.array([0, 500], dtype=np.float32)) / np.float32(1_000)
        return contributions


def _bundle() -> Bundle:
    model = ExplainedModel()
    explainer = Explainer(("RULE", "AMOUNT", "PRICE"), (1, 2), None, model)
    bundle = tiny_bundle(model)
    return replace(bundle, explainer=explainer, encoder=DecisionEncoder(bundle.reference, explainer.codes))


VALUES = [
    application("a", amount=100, price=600),
    application("b", amount=400, price=400),
    b"{",
    application("c", amount=900, price=1_900),
    application("d", amount=400, price=BROKEN_PRICE),
    application("e", amount=900, price=900),
]
EXPECTED: list[list[str] | None] = [None, ["AMOUNT"], None, ["PRICE", "AMOUNT"], None, ["AMOUNT", "PRICE"]]


def _records(values: Sequence[bytes] = VALUES) -> list[Any]:
    return [FakeRecord((0, number), value) for number, value in enumerate(values)]


def _reasons(results: Sequence[bytes | Rejection]) -> list[list[str] | None]:
    return [None if isinstance(result, Rejection) else json.loads(result).get("reasons") for result in results]


def test_decisions_that_are_not_approved_have_reasons() -> None:
    """APPROVED ones do not, nor do rejections; the arrays have one row per decision."""
    laps: list[str] = []
    scores = score_batch(_records(), _bundle(), BYTES_MAX, laps.append)
    assert _reasons(scores.results) == EXPECTED
    assert scores.codes == ("RULE", "AMOUNT", "PRICE")
    assert scores.reasons is not None
    assert scores.reasons.tolist() == [[NONE] * 4, [1] + [NONE] * 3, [2, 1, NONE, NONE], [1, 2, NONE, NONE]]
    assert laps == ["decode", "features", "predict", "explain", "encode"]


def test_a_bundle_without_a_catalogue_has_no_reasons() -> None:
    """Its decisions have the bytes that they always had."""
    scores = score_batch(_records(), tiny_bundle(), BYTES_MAX)
    assert (scores.reasons, scores.codes) == (None, ())
    assert _reasons(scores.results) == [None] * len(VALUES)


class HalfEngine:
    """Vouches for every other record, and has the reference compute what it needs."""

    def __init__(self, bundle: Bundle, *, predicts: bool) -> None:
        self.bundle = bundle
        self.predicts = predicts

    def score(self, values: list[Any], source: Source, bytes_max: int) -> EngineScores:
        kept = range(1, len(values), 2)
        records = [FakeRecord((source.partitions[n], source.offsets[n]), values[n]) for n in kept]
        scores = score_batch(records, self.bundle, bytes_max)
        decided = np.flatnonzero(scores.is_decided)
        decisions = [cast("bytes", scores.results[n]) for n in decided]
        scored = (scores.probabilities, scores.decided, scores.rules, scores.reasons)
        return EngineScores([kept[n] for n in decided], decisions, *scored)

    def decode(self, values: list[Any], bytes_max: int) -> EngineMatrix:
        kept = range(1, len(values), 2)
        decoded = self.bundle.decoder.decode_batch([values[n] for n in kept], bytes_max)
        return EngineMatrix([kept[n] for n in decoded.rows], self.bundle.encoding.matrix(decoded.columns), decoded)

    def decide(self, rows: EngineMatrix, probabilities: NDArray[np.float32]) -> Labels:
        return self.bundle.policy.decide(probabilities, rows.decoded.columns.values)

    def encode(
        self, rows: EngineMatrix, probabilities: NDArray[np.float32], source: Source, reasons: NDArray[np.uint8]
    ) -> list[bytes]:
        kept = np.flatnonzero(~np.isnan(probabilities)).tolist()
        positions = [rows.positions[n] for n in kept]
        encoded = self.bundle.encoder.encode(
            (source.topic, [source.partitions[n] for n in positions], [source.offsets[n] for n in positions]),
            [rows.decoded.columns.ids[n] for n in kept],
            [LABELS[label] for label in self.decide(rows, probabilities).labels[kept]],
            probabilities[kept].astype(float).tolist(),
            reasons[kept],
        )
        decisions = [b""] * len(probabilities)
        for row, decision in zip(kept, encoded, strict=True):
            decisions[row] = decision
        return decisions


@pytest.mark.parametrize("predicts", [True, False])
def test_what_an_engine_leaves_is_explained_by_the_reference(predicts: bool) -> None:
    """Both parts are in the records' order, whether or not the engine predicts."""
    bundle = _bundle()
    engine = cast("CompiledEngine", HalfEngine(bundle, predicts=predicts))
    expected = score_batch(_records(), bundle, BYTES_MAX)
    actual = score_batch(_records(), replace(bundle, engine=engine), BYTES_MAX)
    assert actual.by_engine > 0
    assert actual.results == expected.results
    assert actual.reasons is not None
    assert expected.reasons is not None
    assert actual.reasons.tolist() == expected.reasons.tolist()
    assert actual.codes == expected.codes


def test_a_model_that_cannot_explain_stops_the_worker() -> None:
    """A decision without its reasons is not published; nothing of the batch is committed."""
    with pytest.raises(BundleUnusableError, match=r"tiny:1\.0\.0 cannot score: it cannot explain decisions"):
        score_batch(_records([application("a", amount=900, price=13)]), _bundle(), BYTES_MAX)


def test_a_batch_without_decisions() -> None:
    """Nothing to explain: of a batch of rejections, of an empty one, and where the model fails on its only row."""
    for values in ([b"{"], [], [application("d", price=BROKEN_PRICE)]):
        scores = score_batch(_records(values), _bundle(), BYTES_MAX)
        assert scores.reasons is not None
        assert scores.reasons.shape == (0, 4)


def test_the_reason_of_a_rule_comes_first() -> None:
    """Before the model's reasons, and not twice; an approved application has none."""
    rules = [
        {"id": "small", "when": "amount < 200", "label": "APPROVED", "reason": "RULE"},
        {"id": "large", "when": "amount >= 900", "label": "DECLINED", "reason": "RULE"},
        {"id": "dear", "when": "price > 1500", "label": "MAYBE", "reason": "PRICE"},
    ]
    policy = Decider(Policy.model_validate({"rules": rules}), CONTRACT)
    amounts_and_prices = ((100, 600), (900, 1_900), (400, 1_900), (400, 400))
    records = _records([application("a", amount=amount, price=price) for amount, price in amounts_and_prices])
    scores = score_batch(records, replace(_bundle(), policy=policy), BYTES_MAX)
    assert scores.rules.tolist() == [0, 1, 2, -1]
    assert _reasons(scores.results) == [None, ["RULE", "PRICE", "AMOUNT"], ["PRICE", "AMOUNT"], ["AMOUNT"]]
