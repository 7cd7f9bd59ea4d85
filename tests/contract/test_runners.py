"""What every runner promises: a row's probability is its own, to the bit, whatever else is scored with it or beside."""

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from scorer.author.train import read_examples
from scorer.bundle.load import load_bundle
from scorer.core.score import Bundle, Model, checked_predict
from scorer.errors import ModelError
from tests import real_data
from tests.contract.runner_bundles import (
    CLASSIFIERS,
    KINDS,
    Kind,
    applications,
    build,
    classifier,
    defaults,
)

pytestmark = pytest.mark.usefixtures("opens_here")

ROWS = 1_000
SIZES = (*range(1, 70), *range(75, ROWS, 25), 127, 128, 129, 999)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Every kind of model in turn."""
    return KINDS[request.param]


@pytest.fixture(scope="module")
def folder(kind: Kind, installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of it."""
    assert installed.is_dir()
    return build(kind, tmp_path_factory.mktemp("made") / "bundle")


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    """That bundle, opened."""
    return load_bundle(folder)


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> Model:
    """Its model."""
    return bundle.model


@pytest.fixture(scope="module")
def matrix(bundle: Bundle) -> NDArray[np.float32]:
    """A thousand applications as the model gets them."""
    return bundle.encoding.matrix(applications(ROWS))


@pytest.fixture(scope="module")
def expected(model: Model, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """What it predicts for all of them at once."""
    return checked_predict(model, matrix)


def test_the_models_tell_people_apart(expected: NDArray[np.float32]) -> None:
    """Otherwise the tests below would hold for a constant."""
    assert len(np.unique(expected)) > 50
    assert expected.std() > 0.02


def test_batches_of_every_size(model: Model, matrix: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """The first n rows, and the rest, for many n from 1 to 999, get the bits that they get in the batch of all."""
    for size in SIZES:
        assert np.array_equal(model.predict(matrix[:size]), expected[:size]), size
        assert np.array_equal(model.predict(matrix[size:]), expected[size:]), size


def test_each_row_alone(model: Model, matrix: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """A batch of one is a batch like any other."""
    alone = [model.predict(matrix[row : row + 1])[0] for row in range(ROWS)]
    assert np.array_equal(alone, expected)


@pytest.mark.parametrize("seed", range(5))
def test_any_split_in_any_order(
    model: Model, matrix: NDArray[np.float32], expected: NDArray[np.float32], seed: int
) -> None:
    """Rows drawn into batches by chance come out in the order in which they went in, each with its own bits."""
    random = np.random.default_rng(seed)
    order = random.permutation(ROWS)
    cuts = np.sort(random.choice(np.arange(1, ROWS), size=20, replace=False))
    batches = np.split(order, cuts)
    assert np.array_equal(np.concatenate([model.predict(matrix[rows]) for rows in batches]), expected[order])


def test_from_several_threads_at_once(model: Model, matrix: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """A replay's thread or a challenger's beside the loop changes nothing."""
    starts = range(0, ROWS - 100, 7)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda start: model.predict(matrix[start : start + 100]), starts))
    assert all(np.array_equal(some, expected[s : s + 100]) for s, some in zip(starts, found, strict=True))


def test_shape_and_type(model: Model, matrix: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """float32 (n,), in memory that the next batch leaves alone; what was given is left alone too."""
    given = matrix.copy()
    first = model.predict(given[:3])
    kept = first.copy()
    assert first.dtype == expected.dtype == np.float32
    assert (first.shape, expected.shape) == ((3,), (ROWS,))
    model.predict(given[500:503])
    assert np.array_equal(first, kept)
    assert np.array_equal(given, matrix, equal_nan=True)


def test_an_unknown_number(kind: Kind, model: Model, matrix: NDArray[np.float32]) -> None:
    """A row with a NaN gets a probability, where the model knows about unknown numbers, or fails; no neighbour does.

    What never happens is that it comes out as something else, which a policy would take for approval.
    """
    row = 17
    spoilt = np.nan_to_num(matrix, nan=100.0)
    sound = checked_predict(model, spoilt)
    spoilt[row, :] = np.where(spoilt[row] > 1, np.nan, spoilt[row])
    if kind.takes_unknown:
        found = checked_predict(model, spoilt)
        assert 0 <= found[row] <= 1
        assert np.array_equal(np.delete(found, row), np.delete(sound, row))
        return
    for rows in (spoilt, spoilt[row : row + 1]):
        with pytest.raises(ModelError):
            checked_predict(model, rows)
    assert np.array_equal(checked_predict(model, np.delete(spoilt, row, axis=0)), np.delete(sound, row))


@pytest.mark.parametrize("shape", [(5, 3), (5, 99), (5,), (1, 5, 24)])
def test_a_matrix_that_does_not_fit(model: Model, shape: tuple[int, ...]) -> None:
    """It is a ModelError, which the core narrows to records, and never the library's own."""
    with pytest.raises(ModelError, match="columns"):
        model.predict(np.zeros(shape, dtype=np.float32))


FRESH = """
import hashlib, json, os, sys
from pathlib import Path
import numpy as np
import onnxruntime, xgboost  # whose own imports start threads for a linear algebra that nobody asks for anything
from scorer.bundle.load import load_bundle
threads = lambda: len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
matrix = np.load(sys.argv[2])
before = threads()
bundle = load_bundle(Path(sys.argv[1]))
found = bundle.model.predict(matrix)
print(json.dumps([hashlib.sha256(found.tobytes()).hexdigest(), threads() - before, "skl2onnx" in sys.modules]))
"""


def test_in_a_fresh_process(
    tmp_path: Path, folder: Path, installed: Path, matrix: NDArray[np.float32], expected: NDArray[np.float32]
) -> None:
    """The golden examples come out, the bits are the same whatever OpenMP is told, and it starts no pool.

    XGBoost reads its model in a thread, which is one; a pool would be three. Nor is the converter loaded: what
    decides is the ONNX model alone.
    """
    np.save(tmp_path / "matrix.npy", matrix)
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "4"}
    command = [sys.executable, "-c", FRESH, str(folder), str(tmp_path / "matrix.npy")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    digest, threads_started, has_converter = json.loads(ran.stdout)
    assert digest == hashlib.sha256(expected.tobytes()).hexdigest()
    assert threads_started <= 1
    assert not has_converter


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_scikit_learns_own_probabilities(tmp_path: Path, name: str) -> None:
    """On 5,000 applications that nobody fitted, the bundle is within a millionth of predict_proba."""
    description = CLASSIFIERS[name][1]
    opened = load_bundle(build(Kind(lambda _: classifier(name), description, takes_unknown=False), tmp_path / "bundle"))
    matrix = opened.encoding.matrix(applications(5_000, seed=8))
    theirs = classifier(name).predict_proba(matrix.astype(np.float64))[:, 1]
    assert np.abs(opened.model.predict(matrix).astype(np.float64) - theirs).max() <= 1e-6
    assert theirs.std() > 0.02


@real_data.needed
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_scikit_learns_own_probabilities_on_real_data(tmp_path: Path, name: str) -> None:
    """The same on every labelled row of the course's file, on which it is fitted."""
    make, description = CLASSIFIERS[name]
    examples = read_examples(real_data.FILE, skip_invalid=False)
    matrix = description.matrix(examples.applications)
    fitted = make().fit(matrix, examples.defaulted)
    opened = load_bundle(build(Kind(lambda _: fitted, description, takes_unknown=False), tmp_path / "bundle"))
    theirs = fitted.predict_proba(matrix.astype(np.float64))[:, 1]
    assert np.abs(opened.model.predict(matrix).astype(np.float64) - theirs).max() <= 1e-6


def test_the_drawn_defaults_have_both_outcomes() -> None:
    """The classifiers above have something to learn."""
    assert 0.1 < defaults(applications(2_000)).mean() < 0.9
