"""Golden examples: made of the contract alone, the same every time, and a bundle that misses one is refused."""

import json
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.application import CreditApplication
from schemas.made_up import make_applications
from scorer.bundle.golden import Golden, read_golden, write_golden
from scorer.core.decide import Decider
from scorer.core.features import FeatureEncoding, columns_of
from scorer.core.policy import Policy
from scorer.errors import BundleError, ModelError
from tests.fakes import CATEGORIES, CONTRACT, DECODER, NUMBERS

POLICY = Decider(Policy(), CONTRACT)
ENCODING = FeatureEncoding(CONTRACT, columns_of(CONTRACT, [*CATEGORIES, *NUMBERS]), 0.0)


class _Formula:
    """A model that a test can bend: some function of the columns' sum, from 0 to 1."""

    def __init__(self, shift: float = 0.0, *, batch_dependent: bool = False) -> None:
        self._shift = shift
        self._batch_dependent = batch_dependent

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        found = np.asarray(matrix.sum(axis=1, dtype=np.float64) % 997 / 1_000 + self._shift, dtype=np.float32)
        return found * np.float32(1 - 0.001 * len(matrix)) if self._batch_dependent else found


def _golden() -> Golden:
    return read_golden(write_golden(ENCODING, _Formula(), POLICY), DECODER)


def test_the_applications_are_the_same_every_time_and_all_differ() -> None:
    """64 of them, named golden-1 to golden-64, made without chance or clock."""
    applications = make_applications(CONTRACT)
    assert applications == make_applications(CONTRACT)
    assert [a["application_id"] for a in applications] == [f"golden-{n}" for n in range(1, 65)]
    assert len({json.dumps({**a, "application_id": ""}) for a in applications}) == 64


def test_the_applications_of_the_shipped_contract_never_change() -> None:
    """Byte for byte those of releases whose contract was code: a model built again has the same digest as then."""
    lines = [line.partition(b',"probability')[0] for line in write_golden(ENCODING, _Formula(), POLICY).splitlines()]
    applications = [line.removeprefix(b'{"application":') for line in lines]
    digest = sha256(b"\n".join(applications)).hexdigest()
    assert digest == "c41c42791777075fa4eda8304d9902013578416300c1d3bb98bdc321bcf488e1"


def test_the_applications_keep_to_the_contract() -> None:
    """Pydantic, which has the last word, accepts each."""
    for application in make_applications(CONTRACT):
        CreditApplication.model_validate_json(json.dumps(application))


def test_the_applications_reach_every_corner_of_the_contract() -> None:
    """Each category, the limits of each number, and each field that may be absent or null are among them."""
    applications: list[dict[str, Any]] = make_applications(CONTRACT)
    for name, values in CATEGORIES.items():
        assert {a.get(name) for a in applications} >= set(values)
    properties = CreditApplication.model_json_schema()["properties"]
    for name in NUMBERS:
        rule = properties[name].get("anyOf", [properties[name]])[0]
        found = [a[name] for a in applications if a.get(name) is not None]
        assert max(found) == rule["maximum"]
        assert min(found) <= rule.get("minimum", 1)
    for name in ("marital", "income", "assets", "debt"):
        assert any(name not in a for a in applications)
    assert any(a.get("income", 0) is None for a in applications)


def test_what_is_written_is_read() -> None:
    """Probabilities come back as the exact values of the float32, and the bytes are the same every time."""
    raw = write_golden(ENCODING, _Formula(), POLICY)
    assert raw == write_golden(ENCODING, _Formula(), POLICY)
    golden = read_golden(raw, DECODER)
    matrix, found = golden.reproduce(ENCODING, _Formula(), POLICY, exact=True)
    assert matrix.shape == (64, 30)
    assert np.array_equal(found.astype(np.float64), golden.probabilities)
    assert set(golden.decisions) == {"APPROVED", "MAYBE", "DECLINED"}


@pytest.mark.parametrize(
    ("shift", "exact", "refused"), [(0, True, False), (3e-7, True, True), (3e-7, False, False), (3e-6, False, True)]
)
def test_how_far_a_model_may_be_off(shift: float, exact: bool, refused: bool) -> None:
    """Not a bit on the same kind of machine, a millionth on another."""
    golden = _golden()
    if not refused:
        golden.reproduce(ENCODING, _Formula(shift), POLICY, exact=exact)
        return
    with pytest.raises(BundleError, match=r"of 64 golden examples are not reproduced: they differ by up to \d"):
        golden.reproduce(ENCODING, _Formula(shift), POLICY, exact=exact)


@pytest.mark.parametrize("shift", [np.nan, 5.0, -5.0])
def test_a_model_that_gives_no_probability_is_refused(shift: float) -> None:
    """Neither when the bundle is made nor when it is opened: a NaN would pass every threshold as approved."""
    with pytest.raises(ModelError, match="not a probability"):
        write_golden(ENCODING, _Formula(shift), POLICY)
    with pytest.raises(ModelError, match="not a probability"):
        _golden().reproduce(ENCODING, _Formula(shift), POLICY, exact=False)


class _ByPlace(_Formula):
    """A model that gives the last row of a batch another probability."""

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        found = super().predict(matrix)
        found[-1] = np.nextafter(found[-1], np.float32(0.5))
        return found


@pytest.mark.parametrize("model", [_Formula(batch_dependent=True), _ByPlace()], ids=["size", "place"])
def test_a_model_whose_answer_depends_on_the_batch_is_refused(model: _Formula) -> None:
    """Neither is made a bundle nor opened: a replay in other batches could not reproduce a decision."""
    with pytest.raises(BundleError, match="bit-identical probabilities for a row alone and in a batch"):
        write_golden(ENCODING, model, POLICY)
    with pytest.raises(BundleError, match="bit-identical probabilities for a row alone and in a batch"):
        _golden().reproduce(ENCODING, model, POLICY, exact=False)


def test_a_failing_model_fails_here() -> None:
    """The model's own error comes through, for the loader to put the folder's name before it."""

    class Failing:
        def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
            raise ModelError(f"no {len(matrix)} rows today")

    with pytest.raises(ModelError, match="today"):
        _golden().reproduce(ENCODING, Failing(), POLICY, exact=True)


def test_another_policy_is_noticed() -> None:
    """The same probabilities, decided differently, are another bundle."""
    with pytest.raises(BundleError, match="policy's decisions"):
        _golden().reproduce(ENCODING, _Formula(), Decider(Policy(maybe_above=0.2), CONTRACT), exact=True)


PLAIN_LINE = write_golden(ENCODING, _Formula(), POLICY).splitlines()[0]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "there are 0 golden examples"),
        (PLAIN_LINE + b"\n\n" + PLAIN_LINE, "line 2"),
        (b"not json", "line 1"),
        (b"\xff\xfe", "line 1"),
        (PLAIN_LINE.replace(b'"decision"', b'"more":1,"decision"'), "line 1"),
        (PLAIN_LINE.replace(b'"decision":"', b'"decision":"NOT '), "line 1"),
        (PLAIN_LINE.replace(b'"home":"rent"', b'"home":"s3cret"'), "invalid application: home: unknown category"),
        (PLAIN_LINE.replace(b'"application":{', b'"application":[{').replace(b"},", b"}],"), "not an object"),
        (b"\n".join([PLAIN_LINE] * 10_001), "there are 10001"),
    ],
)
def test_lines_that_are_no_examples_are_refused(raw: bytes, message: str) -> None:
    """The message names the line and the fault, and no value that stands there."""
    with pytest.raises(BundleError, match=message) as raised:
        read_golden(raw, DECODER)
    assert "s3cret" not in str(raised.value)


class _Rounded(_Formula):
    """A model that gives whole multiples of a step."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self._step = step

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.round(super().predict(matrix) / self._step) * self._step, dtype=np.float32)


def test_a_model_that_gives_labels_is_refused() -> None:
    """Nobody would be MAYBE: it is another output of the model, or a tree that knows every training row."""
    with pytest.raises(BundleError, match="classes, 0 or 1, instead of probabilities"):
        write_golden(ENCODING, _Rounded(1.0), POLICY)
    assert write_golden(ENCODING, _Rounded(0.5), POLICY)


def test_a_model_that_tells_nobody_apart_is_refused() -> None:
    """With the probability that all have."""
    with pytest.raises(BundleError, match="the same probability, 0, for all 64 golden examples:"):
        write_golden(ENCODING, _Rounded(1_000.0), POLICY)
