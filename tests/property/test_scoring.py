"""Laws of scoring: a record's result depends on it and on the bundle, and on nothing and nobody else."""

import json
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas.decision import BundleReference, Decision
from schemas.examples import APPLICATIONS
from scorer.core.decide import Decider
from scorer.core.encode import DecisionEncoder, id_of
from scorer.core.features import FeatureEncoding, columns_of
from scorer.core.policy import LABELS, Policy
from scorer.core.records import Record
from scorer.core.score import Bundle, Result, score_batch
from scorer.core.slow_decode import Rejection
from scorer.errors import ModelError
from tests.fakes import CATEGORIES, CONTRACT, DECODER, NUMBERS, columns_of_values

law = settings.get_profile("laws")

REFERENCE: Final = BundleReference(name="hash", version="1.0.0", digest="5e" * 32)
BYTES_MAX: Final = 4_096
POISON_AGE: Final = 99.0
RECORDS_MAX: Final = 7  # from 20 on, records that all fail are the bundle's fault, which is another law

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class FakeRecord:
    """A record as the core sees it."""

    body: bytes | None
    position: int

    def __len__(self) -> int:
        return len(self.body or b"")

    def topic(self) -> str:
        return "in"

    def partition(self) -> int:
        return self.position % 3

    def offset(self) -> int:
        return self.position

    def value(self) -> bytes | None:
        return self.body


class HashModel:
    """A probability that looks like chance and depends on every bit of its row; fails where a row is poisoned."""

    def predict(self, matrix: Matrix) -> Matrix:
        if (matrix[:, AGE] == POISON_AGE).any():
            raise ModelError("poisoned")
        return np.array([crc32(row.tobytes()) / 2**32 for row in matrix], dtype=np.float32)


COLUMNS: Final = columns_of(CONTRACT, [*NUMBERS, *CATEGORIES])
AGE: Final = COLUMNS.index("age")
GOLDEN: Final = np.arange(2 * len(COLUMNS), dtype=np.float32).reshape(2, -1)
BUNDLE: Final = Bundle(
    reference=REFERENCE,
    decoder=DECODER,
    encoding=FeatureEncoding(CONTRACT, COLUMNS, missing=0.0),
    model=HashModel(),
    policy=Decider(Policy(), CONTRACT),
    encoder=DecisionEncoder(REFERENCE),
    golden_matrix=GOLDEN,
    golden_probabilities=HashModel().predict(GOLDEN),
)


def _raw(application: dict[str, object]) -> bytes:
    return json.dumps({name: value for name, value in application.items() if value is not ...}).encode()


ids = st.text('ab:"\\é\n\N{GRINNING FACE}', min_size=1, max_size=4)
money = st.floats(0, 50_000_000) | st.integers(0, 50_000_000)
maybe_money = money | st.sampled_from((None, ..., 0))
CHANGES: Final[dict[str, st.SearchStrategy[Any]]] = {
    "application_id": ids,
    "seniority": st.floats(0, 80),
    "age": st.integers(18, 120),
    "marital": st.sampled_from((*CATEGORIES["marital"], ...)),
    "expenses": money,
    "income": maybe_money,
    "assets": maybe_money,
    "debt": maybe_money,
    **{field: st.sampled_from(CATEGORIES[field]) for field in ("home", "records", "job")},
}
changes = st.one_of(*(st.tuples(st.just(field), value) for field, value in CHANGES.items()))
applications = st.lists(changes, max_size=5).map(lambda changed: {**APPLICATIONS["plain"], **dict(changed)})
poisoned = applications.map(lambda application: {**application, "age": POISON_AGE})
unsound = st.sampled_from(
    (None, b"", b"\xff", b"{", b"[]", b"{}", b" " * (BYTES_MAX + 1), _raw({**APPLICATIONS["plain"], "home": "RENT"}))
) | st.binary(max_size=20)
values = st.one_of(applications.map(_raw), applications.map(_raw), poisoned.map(_raw), unsound)
batches = st.lists(values, max_size=RECORDS_MAX).map(lambda all_: [FakeRecord(v, i) for i, v in enumerate(all_)])


def _results(records: list[FakeRecord]) -> list[Result]:
    batch: list[Record] = [*records]
    return score_batch(batch, BUNDLE, BYTES_MAX).results


def _decisions(results: list[Result]) -> list[Decision]:
    return [Decision.model_validate_json(result) for result in results if isinstance(result, bytes)]


@law
@given(batches)
def test_isolation(records: list[FakeRecord]) -> None:
    """Scoring a batch is scoring each of its records alone: neighbours, bad and poisoned ones too, change nothing."""
    assert _results(records) == [result for record in records for result in _results([record])]


@law
@given(batches, st.randoms(use_true_random=False))
def test_order_and_batch_do_not_matter(records: list[FakeRecord], random: Any) -> None:
    """Shuffled, and cut into two batches anywhere, the records have the results that they had before."""
    wanted = dict(zip(records, _results(records), strict=True))
    shuffled = random.sample(records, len(records))
    middle = random.randint(0, len(records))
    results = _results(shuffled[:middle]) + _results(shuffled[middle:])
    assert results == [wanted[record] for record in shuffled]


@law
@given(batches)
def test_totality_and_determinism(records: list[FakeRecord]) -> None:
    """Every record has one result, the same each time, and the figures beside the results are the decisions' own."""
    batch: list[Record] = [*records]
    scores, second = (score_batch(batch, BUNDLE, BYTES_MAX) for _ in range(2))
    assert scores.results == second.results
    assert len(scores.results) == len(records)
    assert all(isinstance(result, bytes | Rejection) for result in scores.results)
    decisions = _decisions(scores.results)
    assert [d.probability_of_default for d in decisions] == scores.probabilities.tolist()
    assert [d.decision for d in decisions] == [LABELS[label_index] for label_index in scores.decided]


@law
@given(st.lists(applications, min_size=1, max_size=5))
def test_each_decision_is_of_its_own_application(sound: list[dict[str, object]]) -> None:
    """A decision has its application's id and source, and the probability that the model gives for its own values."""
    healthy = [{**application, "age": 30} for application in sound]
    records = [FakeRecord(_raw(application), index) for index, application in enumerate(healthy)]
    for index, decision in enumerate(_decisions(_results(records))):
        assert decision.application_id == healthy[index]["application_id"]
        assert (decision.source.partition, decision.source.offset) == (index % 3, index)
        row = np.array([_by_hand(healthy[index], COLUMNS, missing=0.0)], dtype=np.float32)
        assert decision.probability_of_default == HashModel().predict(row)[0]


def _by_hand(application: dict[str, object], columns: tuple[str, ...], missing: float) -> list[float]:
    """The features of an application, one dictionary an application and one look-up a column."""
    encoded: dict[str, float] = {}
    for field in NUMBERS:
        value = application.get(field)
        encoded[field] = float(value) if isinstance(value, int | float) else missing
    for field in CATEGORIES:
        value = application[field]
        encoded[f"{field}={'unk' if value is ... else value}"] = 1.0
    return [encoded.get(column, 0.0) for column in columns]


@law
@given(
    st.lists(applications, max_size=4),
    st.lists(st.sampled_from(COLUMNS), unique=True, max_size=len(COLUMNS)),
    st.sampled_from((0.0, -1.0, np.nan)),
)
def test_features_are_those_of_a_dictionary(sound: list[dict[str, object]], columns: list[str], missing: float) -> None:
    """For any columns in any order, the matrix holds what a look-up by column finds, to the bit."""
    decoded = columns_of_values([_raw(application) for application in sound])
    matrix = FeatureEncoding(CONTRACT, columns, missing).matrix(decoded)
    wanted = [_by_hand(application, tuple(columns), missing) for application in sound]
    expected = np.array(wanted, dtype=np.float32).reshape(len(sound), len(columns))
    np.testing.assert_array_equal(matrix, expected, strict=True)


probabilities = st.floats(0, 1, width=32)


@law
@given(ids | st.text(min_size=1, max_size=64), st.sampled_from(LABELS), probabilities, st.integers(0, 2**63 - 1))
def test_decisions_are_read_back_as_they_were_written(
    application_id: str, result: str, probability: float, offset: int
) -> None:
    """The contract's model reads every field of a decision back, the probability with every bit of its float32."""
    (raw,) = DecisionEncoder(REFERENCE).encode(("in", [7], [offset]), [application_id], [result], [probability])
    decision = Decision.model_validate_json(raw)
    assert decision.decision_id == f"in:7:{offset}@{'5e' * 6}"
    assert (decision.application_id, decision.decision, decision.bundle) == (application_id, result, REFERENCE)
    assert (decision.source.topic, decision.source.partition, decision.source.offset) == ("in", 7, offset)
    assert np.float32(decision.probability_of_default).tobytes() == np.float32(probability).tobytes()
    assert id_of(raw) == application_id.encode()


thresholds = st.lists(st.floats(0, 1) | st.sampled_from((0.0, 0.3, 0.5, 1.0)), min_size=2, max_size=2).map(sorted)


@law
@given(thresholds, st.lists(probabilities, max_size=12))
def test_the_policy_is_monotone_and_follows_its_thresholds(limits: list[float], unsorted: list[float]) -> None:
    """A greater probability never has a milder decision, and each is what comparing by hand gives."""
    policy = Decider(Policy(maybe_above=limits[0], declined_above=limits[1]), CONTRACT)
    around = [float(np.nextafter(np.float32(limit), np.float32(to))) for limit in limits for to in (0, 1)]
    ordered = sorted([*unsorted, *around])
    label_indexes = policy.decide(np.array(ordered, dtype=np.float32), {}).labels.tolist()
    assert label_indexes == sorted(label_indexes)
    assert label_indexes == [2 if p > limits[1] else 1 if p > limits[0] else 0 for p in ordered]
