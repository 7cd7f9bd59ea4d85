"""The hot path: one outcome a record, and a model's failure narrowed to the records on which it fails."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.contracts import shipped_contract
from schemas.decision import BundleReference, Decision
from schemas.examples import APPLICATIONS
from schemas.files import dump_application
from schemas.rejection import RejectionCode
from scorer.core.decide import Decider, Labels
from scorer.core.encode import DecisionEncoder
from scorer.core.engine import CompiledEngine, EngineMatrix, EngineScores
from scorer.core.features import FeatureEncoding
from scorer.core.policy import Policy
from scorer.core.records import Record
from scorer.core.score import Bundle, Model, Scores, score_batch
from scorer.core.slow_decode import Rejection
from scorer.errors import BundleUnusableError, ModelError
from tests.fakes import CONTRACT, DECODER

Matrix = NDArray[np.float32]
REFERENCE = BundleReference(name="linear", version="2.0.0", digest="ab" * 32)
GOLDEN = np.array([[0.0, 18.0], [80.0, 60.0]], dtype=np.float32)
POISON_AGE = 99


@dataclass(frozen=True)
class FakeRecord:
    """A record as the core sees it."""

    body: bytes | None
    place: int = 0

    def __len__(self) -> int:
        return len(self.body or b"")

    def topic(self) -> str:
        return "in"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.place

    def value(self) -> bytes | None:
        return self.body


def _probabilities(matrix: Matrix) -> Matrix:
    """Seniority as a percentage."""
    return matrix[:, 0] / np.float32(100)


@dataclass
class FakeModel:
    """Predicts by seniority; on a matrix with a poisoned row it does what `failing` does. Counts what it was asked."""

    failing: Callable[[Matrix], Any]
    rows_asked: list[int] = field(default_factory=list)

    def predict(self, matrix: Matrix) -> Matrix:
        self.rows_asked.append(len(matrix))
        if (matrix[:, 1] == POISON_AGE).any():
            answer: Matrix = self.failing(matrix)
            return answer
        return _probabilities(matrix)


def _raise(_: Matrix) -> Matrix:
    raise ModelError("poisoned")


def _spoilt(value: float) -> Callable[[Matrix], Matrix]:
    """The model's answer with this value in the place of the poisoned rows."""
    return lambda matrix: np.where(matrix[:, 1] == POISON_AGE, np.float32(value), _probabilities(matrix))


FAILURES = {
    "an error": _raise,
    "NaN": _spoilt(np.nan),
    "more than 1": _spoilt(1.5),
    "less than 0": _spoilt(-0.5),
    "infinity": _spoilt(np.inf),
    "a row too many": lambda matrix: np.zeros(len(matrix) + 1, dtype=np.float32),
    "a column too many": lambda matrix: np.zeros((len(matrix), 2), dtype=np.float32),
    "another type": lambda matrix: np.zeros(len(matrix)),
}


def _bundle(model: Model | None = None) -> Bundle:
    return Bundle(
        reference=REFERENCE,
        decoder=DECODER,
        encoding=FeatureEncoding(CONTRACT, ("seniority", "age"), missing=0.0),
        model=model or FakeModel(_raise),
        policy=Decider(Policy(), CONTRACT),
        encoder=DecisionEncoder(REFERENCE),
        golden_matrix=GOLDEN,
        golden_probabilities=_probabilities(GOLDEN),
    )


def _record(place: int = 0, **fields: object) -> FakeRecord:
    return FakeRecord(dump_application({**APPLICATIONS["plain"], **fields}, shipped_contract()), place)


def _score(records: list[FakeRecord], bundle: Bundle) -> Scores:
    batch: list[Record] = [*records]
    return score_batch(batch, bundle, record_bytes_max=65_536)


def _codes(scores: Scores) -> list[str]:
    """The rejections' codes, and "decided" for decisions."""
    return [o.code.value if isinstance(o, Rejection) else "decided" for o in scores.results]


def test_each_record_gets_its_own_outcome() -> None:
    """Outcomes stand in the records' order, each with its own record's id, source and probability."""
    records = [_record(i, application_id=f"a-{i}", seniority=i * 10) for i in range(8)]
    scores = _score(records, _bundle())
    decisions = [Decision.model_validate_json(outcome) for outcome in scores.results if isinstance(outcome, bytes)]
    assert [d.application_id for d in decisions] == [f"a-{i}" for i in range(8)]
    assert [d.source.offset for d in decisions] == list(range(8))
    assert [d.probability_of_default for d in decisions] == [
        float(np.float32(i * 10) / np.float32(100)) for i in range(8)
    ]
    assert [d.decision for d in decisions] == 3 * ["APPROVED"] + 3 * ["MAYBE"] + 2 * ["DECLINED"]
    assert {d.bundle for d in decisions} == {REFERENCE}
    assert scores.probabilities.tolist() == [d.probability_of_default for d in decisions]


def test_invalid_records_do_not_affect_their_neighbours() -> None:
    """The sound records of a batch are decided as they would be alone, whatever stands between them."""
    bad = [FakeRecord(None), FakeRecord(b"\xff"), FakeRecord(b"[]"), _record(age=17), FakeRecord(b'{"')]
    sound = [_record(place, application_id=f"a-{place}") for place in range(5)]
    mixed = [record for pair in zip(bad, sound, strict=True) for record in pair]
    scores = _score(mixed, _bundle())
    assert _codes(scores)[::2] == ["empty", "not_utf8", "not_an_object", "out_of_range", "not_json"]
    assert scores.results[1::2] == [outcome for record in sound for outcome in _score([record], _bundle()).results]
    assert len(scores.probabilities) == len(scores.decided) == 5


@pytest.mark.parametrize("records", [[], [FakeRecord(None)], [FakeRecord(b"{}"), FakeRecord(b"")]])
def test_a_batch_without_a_sound_record_asks_the_model_nothing(records: list[FakeRecord]) -> None:
    """No model is asked about no rows, and nothing is decided."""
    model = FakeModel(_raise)
    scores = _score(records, _bundle(model))
    assert len(scores.results) == len(records)
    assert (len(scores.probabilities), len(scores.decided), model.rows_asked) == (0, 0, [])


def test_the_laps_name_the_stages_in_order() -> None:
    """Whoever holds a watch hears of each step once, in order."""
    laps: list[str] = []
    score_batch([_record()], _bundle(), 65_536, laps.append)
    assert laps == ["decode", "features", "predict", "encode"]


@pytest.mark.parametrize("failing", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("poisoned", [[0], [7], [3, 4], [0, 31], [5, 6, 20, 21, 22], list(range(1, 32))])
def test_only_the_records_on_which_the_model_fails_are_set_aside(
    failing: Callable[[Matrix], Matrix], poisoned: list[int]
) -> None:
    """However the model fails, the records on which it does are `model_error` and all others are decided as ever."""
    records = [_record(i, seniority=i, age=POISON_AGE if i in poisoned else 30) for i in range(32)]
    scores = _score(records, _bundle(FakeModel(failing)))
    assert _codes(scores) == ["model_error" if i in poisoned else "decided" for i in range(32)]
    assert scores.probabilities.tolist() == [
        float(np.float32(i) / np.float32(100)) for i in range(32) if i not in poisoned
    ]
    healthy = [record for i, record in enumerate(records) if i not in poisoned]
    decided = [outcome for outcome in scores.results if isinstance(outcome, bytes)]
    assert decided == _score(healthy, _bundle()).results


def test_a_failure_is_narrowed_by_halving() -> None:
    """One poisoned record among 1,024 costs twenty more calls and the golden examples, not a thousand."""
    model = FakeModel(_raise)
    records = [_record(i, age=POISON_AGE if i == 700 else 30) for i in range(1_024)]
    assert _codes(_score(records, _bundle(model))).count("model_error") == 1
    assert model.rows_asked[:2] == [1_024, len(GOLDEN)]
    assert len(model.rows_asked) == 2 + 2 * 10


def test_one_poisoned_record_alone_is_the_records_fault() -> None:
    """A bundle that gives its golden examples is sound: a lone record on which it fails is set aside."""
    scores = _score([_record(age=POISON_AGE)], _bundle())
    assert scores.results == [Rejection(RejectionCode.MODEL_ERROR, "the record is valid; the model fails on it")]


def test_twenty_failures_of_twenty_are_the_bundles_fault() -> None:
    """19 records that all fail can be a coincidence; 20 are not, and none of them becomes a dead letter."""
    records = [_record(i, age=POISON_AGE) for i in range(20)]
    assert _codes(_score(records[:19], _bundle())) == 19 * ["model_error"]
    with pytest.raises(BundleUnusableError, match=r"linear:2\.0\.0 cannot score: it fails on each of 20 "):
        _score(records, _bundle())


def test_twenty_failures_beside_one_decision_are_the_records_fault() -> None:
    """If one record of the batch can be scored, the bundle works."""
    records = [_record(i, age=POISON_AGE) for i in range(30)]
    assert _codes(_score([*records, _record()], _bundle())) == 30 * ["model_error"] + ["decided"]


@dataclass(frozen=True)
class BrokenModel:
    """Fails, or answers otherwise than when its golden examples were made."""

    answer: Callable[[Matrix], Matrix]

    def predict(self, matrix: Matrix) -> Matrix:
        return self.answer(matrix)


@pytest.mark.parametrize("failing", FAILURES.values(), ids=FAILURES)
def test_a_bundle_that_fails_its_golden_examples_stops_the_worker(failing: Callable[[Matrix], Matrix]) -> None:
    """A model that fails on everything is no reason to set good applications aside, were it only one."""
    everything = BrokenModel(lambda matrix: failing(np.full_like(matrix, POISON_AGE)))
    with pytest.raises(BundleUnusableError, match=r"golden examples also fail.*This batch was not committed"):
        _score([_record()], _bundle(everything))


def test_a_bundle_that_gives_other_golden_probabilities_stops_the_worker() -> None:
    """A model that fails on a record and has come to answer otherwise is not trusted with the others."""

    def drifted(matrix: Matrix) -> Matrix:
        return _raise(matrix) if (matrix[:, 1] == POISON_AGE).any() else _probabilities(matrix) + np.float32(1e-4)

    with pytest.raises(BundleUnusableError, match="golden examples"):
        _score([_record(), _record(age=POISON_AGE)], _bundle(BrokenModel(drifted)))


def test_golden_examples_hold_within_a_millionth() -> None:
    """Another processor may round otherwise: a difference below 1e-6 is none, one above is."""
    bundle = _bundle()
    assert bundle.works()
    for shift, works in ((5e-7, True), (5e-6, False), (np.nan, False)):
        shifted = (bundle.golden_probabilities + np.float32(shift)).astype(np.float32)
        assert replace(bundle, golden_probabilities=shifted).works() is works


def test_the_message_of_an_unusable_bundle_holds_no_values() -> None:
    """What stops a worker is logged, so no value of an application stands in it."""
    model = FakeModel(lambda matrix: np.full(len(matrix), 17.25, dtype=np.float32))
    with pytest.raises(BundleUnusableError) as caught:
        _score([_record(i, age=POISON_AGE, application_id="marker") for i in range(20)], _bundle(model))
    assert "17.25" not in str(caught.value)
    assert "marker" not in str(caught.value)


@dataclass
class BrokenEngine:
    """A compiled engine that fails: at once, or when it encodes."""

    predicts: bool
    rows: EngineMatrix | None = None
    decided: Labels | None = None

    def score(self, *_: object) -> EngineScores | None:
        """The engine's module has raised its error."""
        return None

    def decode(self, *_: object) -> EngineMatrix | None:
        return self.rows

    def decide(self, *_: object) -> Labels | None:
        return self.decided

    def encode(self, *_: object) -> None:
        """The engine's module has raised its error."""


ONE_ROW = EngineMatrix([1], np.array([[30.0, 30.0]], dtype=np.float32), None)


@pytest.mark.parametrize(
    "broken",
    [
        BrokenEngine(predicts=True),
        BrokenEngine(predicts=False),
        BrokenEngine(predicts=False, rows=ONE_ROW),
        BrokenEngine(predicts=False, rows=ONE_ROW, decided=Labels(np.zeros(1, np.intp), np.full(1, -1, np.intp))),
    ],
)
def test_a_batch_on_which_the_engine_fails_is_the_references(broken: BrokenEngine) -> None:
    """The results are those without an engine, and the scores say that it failed."""
    records = [_record(0), _record(1), FakeRecord(b"{}"), _record(3, age=POISON_AGE)]
    bundle = _bundle()
    scores = _score(records, replace(bundle, engine=cast("CompiledEngine", broken)))
    expected = _score(records, bundle)
    assert scores.results == expected.results
    assert (scores.engine_failed, expected.engine_failed, scores.by_engine) == (True, False, 0)


def test_twenty_failures_that_the_engine_left_are_not_the_bundles_fault() -> None:
    """A record that the engine decided shows that the bundle works, so the others become dead letters."""

    class DecidesTheLast(BrokenEngine):
        def score(self, *_: object) -> EngineScores:
            return EngineScores([20], [b"decided"], np.zeros(1, np.float32), np.zeros(1, np.intp), np.zeros(1, np.intp))

    records = [*(_record(i, age=POISON_AGE) for i in range(20)), _record(20)]
    engine = cast("CompiledEngine", DecidesTheLast(predicts=True))
    scores = _score(records, replace(_bundle(), engine=engine))
    assert _codes(scores) == 20 * ["model_error"] + ["decided"]
    assert (scores.by_engine, len(scores.decided), scores.engine_failed) == (1, 1, False)
