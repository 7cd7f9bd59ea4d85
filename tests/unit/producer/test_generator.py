"""Made-up applications: sound ones that resemble the real ones, and unsound ones of every kind."""

import csv
import json
from collections import Counter
from hashlib import sha256
from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from producer.errors import InvalidApplicationError
from producer.generator import GeneratedRecord, generate_applications
from producer.validation import validate_application
from schemas.application import CreditApplication
from schemas.contracts import shipped_contract
from schemas.contracts.credit_applicants import draw_applicants
from schemas.files import read_applications
from schemas.rejection import RejectionCode
from scorer.core.slow_decode import Rejection
from tests import real_data
from tests.fakes import DECODER

pytestmark = pytest.mark.slow

BYTES_MAX = 65_536  # the scorer's default
NUMBERS = ("seniority", "time", "age", "expenses", "income", "assets", "debt", "amount", "price")
CATEGORIES = ("home", "marital", "records", "job")


def _take(count: int, seed: int = 1, prefix: str | None = None, invalid_share: float = 0.0) -> list[GeneratedRecord]:
    return list(islice(generate_applications(seed, prefix, invalid_share), count))


def test_the_same_seed_makes_the_same_records() -> None:
    """Records are a function of seed, prefix and share, the unsound ones included; another seed makes others."""
    assert _take(1_500, invalid_share=0.1) == _take(1_500, invalid_share=0.1)
    assert [r.value for r in _take(10, seed=1, prefix="x")] != [r.value for r in _take(10, seed=2, prefix="x")]


def test_a_seed_makes_the_same_records_in_every_version() -> None:
    """Load tests of two versions send the same bytes: a change of statistics or defects must be deliberate."""
    digests = {
        0.0: "b1439439132521c457fbf09f12af1f3c539034df3de06a74ddce0745f0a955a5",
        0.1: "912179253dc0301a506f1913cea959fdf8714d3af368cbb01552e30ff753f020",
    }
    for share, digest in digests.items():
        records = _take(1_500, seed=7, invalid_share=share)
        assert sha256(b"".join(r.key + b"\0" + r.value + b"\n" for r in records)).hexdigest() == digest


def test_every_record_is_valid_and_keyed_by_its_own_id() -> None:
    """Without a bad share the contract accepts every record, ids count up, and the key is the id."""
    for number, record in enumerate(_take(2_000, prefix="100%-run")):
        application = CreditApplication.model_validate_json(record.value)
        assert application.application_id == f"100%-run-{number}"
        assert record.key == application.application_id.encode()
        assert record.code is None


def test_a_record_is_compact_and_in_the_contracts_order() -> None:
    """A record has the contract's fields in its order, and whole numbers where the real data has them."""
    (record,) = _take(1)
    read = json.loads(record.value)
    assert tuple(read) == tuple(CreditApplication.model_fields)
    assert all(isinstance(read[name], int) or read[name] is None for name in NUMBERS)
    assert b" " not in record.value


def test_another_prefix_changes_nothing_but_the_ids() -> None:
    """Two loads with one seed and two prefixes send the same applicants and share no id."""
    ours, others = (json.loads(_take(1, prefix=prefix)[0].value) for prefix in ("a", "b"))
    assert (ours.pop("application_id"), others.pop("application_id")) == ("a-0", "b-0")
    assert ours == others


@pytest.mark.parametrize(("prefix", "share"), [("x" * 49, 0.0), ('"', 0.0), ("é", 0.0), ("x", -0.1), ("x", 1.1)])
def test_what_cannot_be_generated_is_rejected_at_once(prefix: str, share: float) -> None:
    """A prefix that no id can begin with, and a share that is none, are refused before the first record."""
    with pytest.raises(ValueError, match="must be"):
        generate_applications(1, prefix, share)


def test_invalid_records_have_every_code_that_a_record_can_cause() -> None:
    """The unsound records are their share, and over every code that a value can have; too large ones are rare."""
    records = _take(6_000, invalid_share=0.25)
    codes = Counter(record.code for record in records if record.code is not None)
    assert 0.22 < codes.total() / len(records) < 0.28
    assert set(codes) == set(RejectionCode) - {RejectionCode.MODEL_ERROR, RejectionCode.UNREADABLE}
    common = [count for code, count in codes.items() if code is not RejectionCode.TOO_LARGE]
    assert codes[RejectionCode.TOO_LARGE] < min(common) < max(common) < 2 * min(common)


def test_the_scorer_rejects_invalid_records_with_the_expected_code() -> None:
    """A scorer decides every sound record, rejects every other for the code that the record says, and so by key."""
    for record in _take(2_000, invalid_share=0.5):
        decoded = DECODER.decode(record.value, BYTES_MAX)
        assert (decoded.code if isinstance(decoded, Rejection) else None) == record.code


def test_the_publisher_rejects_what_the_scorer_would_reject() -> None:
    """The check before sending and the scorer's decoding agree on every record, too large ones aside."""
    for record in _take(1_500, seed=2, invalid_share=0.5):
        if record.code is None or record.code is RejectionCode.TOO_LARGE:
            validate_application(record.value, shipped_contract())
        else:
            with pytest.raises(InvalidApplicationError):
                validate_application(record.value, shipped_contract())


def test_applicants_hold_together() -> None:
    """Nobody worked as a small child, borrows more than the price, or has a value beyond the contract's limits."""
    drawn = draw_applicants(np.random.default_rng(7), 50_000)
    assert (drawn["seniority"] <= drawn["age"] - 14).all()
    assert (drawn["amount"] <= drawn["price"]).all()
    assert (drawn["amount"] > 0).all()
    assert drawn["age"].min() >= 18
    assert {name: drawn[name].dtype.kind for name in NUMBERS} == dict.fromkeys(NUMBERS, "i")
    assert 0.005 < (drawn["income"] < 0).mean() < 0.015


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks, ties sharing their mean."""
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(count) - (count - 1) / 2)[inverse]
    return ranks


def _rank_correlations(columns: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    known = np.all([~np.isnan(column) for column in columns.values()], axis=0)
    return np.corrcoef([_ranks(column[known]) for column in columns.values()])


@pytest.fixture(scope="module")
def real() -> dict[str, list[object]]:
    """The columns of the course's data file."""
    rows = [json.loads(row.value) for row in read_applications(real_data.file(), shipped_contract())]
    return {name: [row.get(name) for row in rows] for name in (*NUMBERS, *CATEGORIES)}


@pytest.fixture(scope="module")
def made() -> dict[str, list[object]]:
    """The columns of as many made-up applications as make chance small."""
    rows = [json.loads(record.value) for record in _take(60_000, seed=3)]
    return {name: [row[name] for row in rows] for name in (*NUMBERS, *CATEGORIES)}


def _numbers(columns: dict[str, list[object]]) -> dict[str, NDArray[np.float64]]:
    return {name: np.array(columns[name], dtype=np.float64) for name in NUMBERS}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_distributed_as_in_the_real_data(
    real: dict[str, list[object]], made: dict[str, list[object]], name: str
) -> None:
    """Mean, shares of zeros and of unknowns, and quantiles of each number are near those of the real data."""
    theirs, ours = _numbers(real)[name], _numbers(made)[name]
    assert np.nanmean(ours) == pytest.approx(np.nanmean(theirs), rel=0.1)
    assert (ours == 0).mean() == pytest.approx((theirs == 0).mean(), abs=0.03)
    assert np.isnan(ours).mean() == pytest.approx(np.isnan(theirs).mean(), abs=0.005)
    for share in (0.05, 0.25, 0.5, 0.75, 0.9, 0.95):
        apart = np.nanquantile(ours, share) - np.nanquantile(theirs, share)
        assert abs(apart) < 0.3 * np.nanstd(theirs)


@pytest.mark.parametrize("name", CATEGORIES)
def test_categories_have_the_shares_of_the_real_data(
    real: dict[str, list[object]], made: dict[str, list[object]], name: str
) -> None:
    """Every category of the real data comes about as often among the made-up applicants."""
    theirs, ours = Counter(real[name]), Counter(made[name])
    for category in theirs | ours:
        assert ours[category] / ours.total() == pytest.approx(theirs[category] / theirs.total(), abs=0.02)


def test_ranks_correlate_as_in_the_real_data(real: dict[str, list[object]], made: dict[str, list[object]]) -> None:
    """The numbers go together as they do in the real data: every rank correlation within 0.1."""
    apart = np.abs(_rank_correlations(_numbers(made)) - _rank_correlations(_numbers(real)))
    assert apart.max() < 0.1


@pytest.mark.parametrize(
    ("category", "value", "number"),
    [
        *(("home", value, number) for value in ("rent", "owner", "parents") for number in ("age", "assets")),
        *(("marital", value, number) for value in ("single", "married") for number in ("age", "seniority")),
        *(("job", value, number) for value in ("fixed", "partime", "freelance") for number in ("seniority", "income")),
    ],
)
def test_categories_go_with_numbers_as_in_the_real_data(
    real: dict[str, list[object]], made: dict[str, list[object]], category: str, value: str, number: str
) -> None:
    """Those who live with their parents are young and own little, part-timers are new at work: medians are near."""
    ours, theirs = (
        np.nanmedian(_numbers(columns)[number][np.array(columns[category]) == value]) for columns in (made, real)
    )
    assert abs(ours - theirs) < 0.3 * np.nanstd(_numbers(real)[number])


def test_no_real_row_is_among_the_statistics() -> None:
    """The tables hold at most three significant digits: too few to identify a row of the data."""
    from schemas.contracts import credit_applicants

    for values in credit_applicants._QUANTILES.values():
        assert all(len(f"{value:g}".replace("0.", "").strip("0")) <= 3 for value in values)


def test_the_file_and_the_generator_speak_the_same_dialect(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Made-up applications written to CSV read back as the same applications."""
    path = tmp_path_factory.mktemp("made") / "made.csv"
    records = _take(200)
    rows = [json.loads(record.value) for record in records]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for row, record in zip(read_applications(path, shipped_contract()), records, strict=True):
        assert CreditApplication.model_validate_json(row.value) == CreditApplication.model_validate_json(record.value)
