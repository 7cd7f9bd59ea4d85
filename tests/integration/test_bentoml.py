"""Coming over from BentoML, with BentoML itself: its own export is imported, and decides as its runner does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from schemas.files import read_applications
from scorer.core.wire import Application, decode
from scorer.store.store import BundleStore
from tests.integration.environments import python_with
from tests.unit.bundle.making import write_loans

PEER = Path(__file__).parents[2] / "benchmarks" / "peers" / "bentoml"

# Saves the model again with one more custom object, and shows that BentoML's own reading of it runs what it carries.
SAVE_WITH_A_HOOK = """
import os, sys, bentoml
class Hook:
    def __reduce__(self):
        return os.mkdir, (sys.argv[2],)
hook = {"call": Hook(), "function": lambda application: application}[sys.argv[3]]
model = bentoml.xgboost.get("credit_risk_model:latest")
saved = bentoml.xgboost.save_model(
    "hooked", bentoml.xgboost.load_model(model), custom_objects={**model.custom_objects, "hook": hook}
)
bentoml.models.export_model(saved.tag, sys.argv[1])
bentoml.models.get(saved.tag).custom_objects
print(os.path.exists(sys.argv[2]))
"""

# Trains an XGBClassifier that stops early, saves it, or its booster, and prints what BentoML then predicts.
SAVE_STOPPED = """
import json, sys, bentoml, xgboost
from sklearn.feature_extraction import DictVectorizer
rows = [json.loads(line) for line in open(sys.argv[1])]
labels = [int(row.pop("status") == "default") for row in rows]
applications = [{name: value or 0 for name, value in row.items() if name != "application_id"} for row in rows]
vectorizer = DictVectorizer(sparse=False)
matrix = vectorizer.fit_transform(applications)
model = xgboost.XGBClassifier(n_estimators=80, learning_rate=0.9, early_stopping_rounds=5)
model.fit(matrix[:400], labels[:400], eval_set=[(matrix[400:], labels[400:])], verbose=False)
assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
given = {"classifier": model, "booster": model.get_booster()}[sys.argv[3]]
saved = bentoml.xgboost.save_model("stopped", given, custom_objects={"dictVectorizer": vectorizer})
bentoml.models.export_model(saved.tag, sys.argv[2])
loaded = bentoml.xgboost.load_model(saved)
if sys.argv[3] == "classifier":
    predicted = loaded.predict_proba(matrix)[:, 1]
else:
    predicted = loaded.predict(xgboost.DMatrix(matrix))
print(json.dumps([float(probability) for probability in predicted]))
"""


class Bento:
    """BentoML in an environment of its own, with a model store of its own."""

    def __init__(self, home: Path) -> None:
        self._python = python_with(PEER / "requirements-bentoml.lock")
        home.mkdir()
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self._environment = own | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}

    def run(self, *arguments: object) -> str:
        """Runs its Python, and returns what it printed last."""
        command = [str(self._python), *map(str, arguments)]
        ran = subprocess.run(command, env=self._environment, check=False, capture_output=True, text=True, timeout=300)
        assert ran.returncode == 0, ran.stderr[-2_000:]
        return ran.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Bento:
    """BentoML, set up."""
    return Bento(tmp_path_factory.mktemp("bento") / "home")


@pytest.fixture(scope="module")
def loans(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Made-up applications; their outcomes are in the `status` that each brings along."""
    file = write_loans(tmp_path_factory.mktemp("loans") / "loans.csv", rows=600)
    return [json.dumps(json.loads(row.value) | {"status": row.status}).encode() for row in read_applications(file)]


@pytest.fixture(scope="module")
def exported(bento: Bento, loans: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """The course's model as BentoML exports it, and what BentoML's runner predicts for the applications."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "loans.jsonl").write_bytes(b"\n".join(loans))
    path = folder / "credit_risk.bentomodel"
    return path, json.loads(bento.run(PEER / "export_model.py", folder / "loans.jsonl", path))


def _import(path: Path, store: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scorer", "bundle", "import-bentoml", str(path)]
    options = ["--name", "from-bento", "--version", "1.0.0", "--store", str(store), *more]
    return subprocess.run([*command, *options], check=False, capture_output=True, text=True, timeout=300)


def test_the_imported_bundle_predicts_as_bentomls_runner(
    exported: tuple[Path, list[float]], loans: list[bytes], tmp_path: Path
) -> None:
    """For every application the same probability, to the bit."""
    path, expected = exported
    ran = _import(path, tmp_path / "store")
    assert ran.returncode == 0, ran.stderr
    bundle = BundleStore(tmp_path / "store").open("from-bento:1.0.0")
    applications = [decode(loan, 65_536) for loan in loans]
    assert all(type(application) is Application for application in applications)
    probabilities = bundle.model.predict(bundle.encoding.matrix(applications))  # type: ignore[arg-type]
    assert len(expected) == 600
    assert len(set(expected)) > 100
    assert np.array_equal(probabilities, np.array(expected, dtype=np.float32))


@pytest.mark.parametrize(("kind", "options"), [("classifier", []), ("booster", ["--rounds", "all"])])
def test_a_model_that_stopped_early_predicts_as_bentoml_loads_it(
    bento: Bento, loans: list[bytes], tmp_path: Path, kind: str, options: list[str]
) -> None:
    """A classifier with the rounds that its predict_proba uses; a booster, which BentoML runs whole, if told so."""
    (tmp_path / "loans.jsonl").write_bytes(b"\n".join(loans))
    path = tmp_path / "stopped.bentomodel"
    expected = json.loads(bento.run("-c", SAVE_STOPPED, tmp_path / "loans.jsonl", path, kind))
    if options:
        assert "Which rounds should the bundle use" in _import(path, tmp_path / "store").stderr
    ran = _import(path, tmp_path / "store", *options)
    assert ran.returncode == 0, ran.stderr
    assert "Rounds: " in ran.stdout
    bundle = BundleStore(tmp_path / "store").open("from-bento:1.0.0")
    applications = [decode(loan, 65_536) for loan in loans]
    probabilities = bundle.model.predict(bundle.encoding.matrix(applications))  # type: ignore[arg-type]
    assert np.array_equal(probabilities, np.array(expected, dtype=np.float32))


@pytest.mark.parametrize(("kind", "named"), [("call", "posix.mkdir"), ("function", "cloudpickle")])
def test_an_export_that_carries_code_is_rejected_and_runs_nothing(
    bento: Bento, exported: tuple[Path, list[float]], tmp_path: Path, kind: str, named: str
) -> None:
    """BentoML runs it when it reads the model; we name it, exit 1, and leave no trace of it."""
    assert exported
    path, mark = tmp_path / "hooked.bentomodel", tmp_path / "run"
    ran_by_bentoml = bento.run("-c", SAVE_WITH_A_HOOK, path, mark, kind)
    assert ran_by_bentoml == str(kind == "call")
    if mark.exists():
        mark.rmdir()
    ran = _import(path, tmp_path / "store")
    assert ran.returncode == 1
    assert named in ran.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["hooked.bentomodel"]
