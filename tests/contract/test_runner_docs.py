"""docs/runners.md does what it says: its Python runs, its description builds, its commands end well."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scorer.author.describe import Description
from scorer.author.sklearn_onnx import convert
from scorer.author.train import read_examples
from scorer.local.broker import Broker
from scorer.store.store import BundleStore
from tests.contract.runner_bundles import CLASSIFIERS
from tests.integration.worker_process import Topics, scorer
from tests.unit.bundle.making import write_loans

PAGE = (Path(__file__).parents[2] / "docs" / "runners.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """A section's text."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(language: str, title: str) -> list[str]:
    """The code blocks of a language in a section."""
    found = re.findall(rf"^```{language}\n(.*?)^```", section(title), re.MULTILINE | re.DOTALL)
    assert found, f"{title} has {language} blocks"
    return found


def run_python(code: str, folder: Path) -> str:
    """Runs code in a process of its own, whose default store is in the folder; returns what it printed."""
    command, environment = [sys.executable, "-c", code], os.environ | {"XDG_DATA_HOME": str(folder)}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def default_store(folder: Path) -> str:
    """The default store of a user with this XDG_DATA_HOME."""
    return str(folder / "streaming-credit-scorer" / "bundles")


@pytest.mark.broker
def test_the_notebook_runs_twice_and_its_bundle_is_deployed(broker: Broker, tmp_path: Path) -> None:
    """The bundles are in the store of the commands, with their figures, and the newest one becomes the champion.

    The page used to put it into a folder of its own, in which `scorer deploy` did not find it, and a second run of the
    cell failed because the version existed.
    """
    write_loans(tmp_path / "loans.csv")
    (code,) = blocks("python", "From a notebook: scikit-learn, XGBoost")
    (commands,) = blocks("sh", "From a notebook: scikit-learn, XGBoost")
    assert "plain-risk:1.0.0" in run_python(code, tmp_path)
    assert "plain-risk:1.0.1" in run_python(code, tmp_path)
    manifest = BundleStore(default_store(tmp_path)).entries()[-1].manifest
    assert manifest is not None
    assert manifest.version == "1.0.1"
    assert manifest.metrics is not None
    assert manifest.metrics.holdout.auc > 0.6
    assert "LogisticRegression()" in manifest.labels["estimator"]
    topics = Topics(broker.bootstrap_servers, 1)
    environment = topics.environment() | {"XDG_DATA_HOME": str(tmp_path), "SCORER_STORE": default_store(tmp_path)}
    for line in commands.splitlines():
        command = [sys.executable, "-m", *shlex.split(line), *(["--wait", "0"] if "deploy" in line else [])]
        ran = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert ran.returncode == 0, ran.stderr
    history = scorer(topics, "history", "--json")[1]
    assert [event["bundle"]["digest"] for event in json.loads(history)] == [manifest.digest]


FIT = """
from sklearn.feature_extraction import DictVectorizer
from sklearn.preprocessing import MaxAbsScaler
from schemas.contracts import shipped_contract

fields = description.fields
values = {field: np.nan_to_num(examples.applications.values[field]).tolist() for field in fields}
for field in ("home", "records", "job"):
    values[field] = [shipped_contract().fields[field].categories[code] for code in values[field]]
dictionaries = [dict(zip(fields, row)) for row in zip(*values.values())]
pipeline = make_pipeline(DictVectorizer(), MaxAbsScaler(), LogisticRegression()).fit(dictionaries, examples.defaulted)
"""


def test_a_vectorizer_is_left_out(tmp_path: Path) -> None:
    """The bundle of the other steps predicts what the whole pipeline does."""
    write_loans(tmp_path / "loans.csv")
    (notebook,) = blocks("python", "From a notebook: scikit-learn, XGBoost")
    (code,) = blocks("python", "A pipeline that begins with a DictVectorizer")
    compare = """
opened = store.open("plain-risk:1.1.0")
theirs = pipeline.predict_proba(dictionaries)[:, 1]
print(np.abs(opened.model.predict(opened.encoding.matrix(examples.applications)) - theirs).max())
"""
    assert float(run_python(f"{notebook}\n{FIT}\n{code}\n{compare}", tmp_path).split()[-1]) < 1e-6


def test_the_notebook_runs_with_lightgbm(tmp_path: Path) -> None:
    """The booster's probabilities and the bundle's are the same within a millionth."""
    pytest.importorskip("lightgbm")
    pytest.importorskip("onnxmltools")
    write_loans(tmp_path / "loans.csv")
    code = blocks("python", "From a notebook: scikit-learn, XGBoost") + blocks("python", "LightGBM")
    assert float(run_python("\n".join(code), tmp_path).split()[-1]) < 1e-6
    assert BundleStore(default_store(tmp_path)).open("light-risk:1.0.0").works()


def test_the_description_builds(tmp_path: Path) -> None:
    """The TOML file and the commands as they stand there, but for the deployment, which wants a broker."""
    (description,) = blocks("toml", "From a file")
    (commands,) = blocks("sh", "From a file")
    (tmp_path / "vendor-risk.toml").write_text(description)
    loans = write_loans(tmp_path / "loans-2025.csv")
    fields = re.findall(r'"(\w+)"', description.partition("fields = [")[2].partition("]")[0])
    told = Description(name="x", version="1.0.0", fields=fields, missing=0.0)
    examples = read_examples(loans, skip_invalid=False)
    matrix = told.matrix(examples.applications)
    fitted = CLASSIFIERS["logistic"][0]().fit(matrix, examples.defaulted)
    (tmp_path / "risk.onnx").write_bytes(convert(fitted, told.features.columns, 1, matrix).model)
    lines = [shlex.split(line) for line in commands.splitlines() if not line.startswith("scorer deploy")]
    assert len(lines) == 2
    for _, *arguments in lines:
        environment = os.environ | {"SCORER_STORE": str(tmp_path / "store")}
        command = [sys.executable, "-m", "scorer", *arguments]
        ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
    opened = BundleStore(tmp_path / "store").open("vendor-risk:1.0.0")
    assert np.abs(opened.model.predict(matrix) - fitted.predict_proba(matrix.astype(float))[:, 1]).max() <= 1e-6
