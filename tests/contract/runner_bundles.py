"""A bundle of every kind of model that there is a runner for, built as its author would build it."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import xgboost
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from producer.generator import generate_applications
from scorer.author.build import build_bundle
from scorer.author.describe import Description
from scorer.author.import_model import draft_model
from scorer.core.columns import Columns
from tests.fakes import CATEGORIES, NUMBERS, columns_of_values
from tests.unit.bundle.making import PLAIN

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "custom-runner"
FIELDS: Final = tuple(field for field in (*CATEGORIES, *NUMBERS) if field != "marital")
ZEROS: Final = Description(name="made", version="1.0.0", fields=FIELDS, missing=0.0)
UNKNOWN: Final = ZEROS.model_copy(update={"missing": float("nan")})


@cache
def applications(count: int, seed: int = 3) -> Columns:
    """Made-up applications that resemble real ones."""
    return columns_of_values([record.value for record in islice(generate_applications(seed), count)])


def defaults(applicants: Columns) -> NDArray[np.int64]:
    """What becomes of their loans: drawn, the likelier a default the shorter in the job and the deeper in trouble."""
    values = applicants.values
    has_records = values["records"] == CATEGORIES["records"].index("yes")
    odds = 1.5 * has_records - values["seniority"] / 8 + values["amount"] / 1_000 - 1.5
    drawn: NDArray[np.int64] = (np.random.default_rng(4).random(len(odds)) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    return drawn


CLASSIFIERS: Final[dict[str, tuple[Callable[[], Any], Description]]] = {
    "logistic": (lambda: make_pipeline(StandardScaler(), LogisticRegression()), ZEROS),
    # Converted in 32 bits, in which onnxruntime gives a row other bits alone than in a batch.
    "imputed": (lambda: make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()), UNKNOWN),
    "forest": (lambda: RandomForestClassifier(20, max_depth=6, random_state=1), ZEROS),
    "boosting": (lambda: GradientBoostingClassifier(n_estimators=30, random_state=1), ZEROS),
    "histograms": (lambda: HistGradientBoostingClassifier(max_iter=30, random_state=1), UNKNOWN),
    "network": (
        lambda: make_pipeline(StandardScaler(), MLPClassifier((16, 8), max_iter=20, random_state=1, tol=1)),
        ZEROS,
    ),
}  # fmt: skip


@cache
def classifier(name: str) -> Any:
    """A fitted scikit-learn classifier."""
    make, description = CLASSIFIERS[name]
    learnt = applications(2_000)
    return make().fit(description.matrix(learnt), defaults(learnt))


def network(columns: int) -> Any:
    """An ONNX model that no converter made: two layers in 32 bits, whose only output is a column of probabilities."""
    random = np.random.default_rng(5)
    weights = {
        "scale": np.full((1, columns), 1e-3),
        "inner": random.normal(size=(columns, 32)),
        "outer": random.normal(size=(32, 1)),
    }
    nodes = [
        helper.make_node("Mul", ["given", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "inner"], ["summed"]),
        helper.make_node("Tanh", ["summed"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "outer"], ["odds"]),
        helper.make_node("Sigmoid", ["odds"], ["found"]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("given", TensorProto.FLOAT, ["rows", columns])],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(weight.astype(np.float32), name) for name, weight in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def install_example(target: Path) -> None:
    """Installs the example of a custom runner into a folder, as pip installs any package."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--disable-pip-version-check", "--target", str(target), str(EXAMPLE)]
    subprocess.run(command, check=True, timeout=300)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of model."""

    model: Callable[[Path], object]
    """Makes what `draft_model` takes, given a folder to write to."""
    description: Description
    takes_unknown: bool
    """Whether a row with a number that is not known gets a probability."""


def _json(folder: Path) -> Path:
    learnt = applications(2_000)
    data = xgboost.DMatrix(UNKNOWN.matrix(learnt), defaults(learnt))
    path = folder / "model.json"
    xgboost.train({"objective": "binary:logistic", "nthread": 1, "max_depth": 4}, data, 30).save_model(path)
    return path


_SCORECARD: Final = ZEROS.model_copy(update={"runner": "scorecard", "runner_settings": {"base": -1.2}})

KINDS: Final[dict[str, Kind]] = {
    "xgboost-ubj": Kind(lambda _: PLAIN / "model.ubj", ZEROS, takes_unknown=True),
    "xgboost-json": Kind(_json, UNKNOWN, takes_unknown=True),
    "sklearn-logistic": Kind(lambda _: classifier("logistic"), ZEROS, takes_unknown=False),
    "sklearn-imputed": Kind(lambda _: classifier("imputed"), UNKNOWN, takes_unknown=True),
    "sklearn-histograms": Kind(lambda _: classifier("histograms"), UNKNOWN, takes_unknown=True),
    "onnx": Kind(lambda _: network(len(ZEROS.features.columns)), ZEROS, takes_unknown=False),
    "custom": Kind(lambda _: EXAMPLE / "scorecard.json", _SCORECARD, takes_unknown=False),
}


def build(kind: Kind, folder: Path) -> Path:
    """A bundle of this kind."""
    folder.mkdir()
    build_bundle(draft_model(kind.model(folder.parent), kind.description), folder)
    return folder
