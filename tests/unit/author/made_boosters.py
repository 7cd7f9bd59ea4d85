"""XGBoost models for tests of their adoption."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from xgboost import Booster, DMatrix, XGBClassifier

from scorer.author.describe import Description
from scorer.author.model_input import ModelInput
from scorer.bundle.load import read_manifest
from scorer.bundle.runners import open_model
from tests.fakes import CONTRACT
from tests.unit.bundle.making import PLAIN

VERSIONS = Path(__file__).parent / "xgboost_versions"
INPUTS = ModelInput(CONTRACT, read_manifest(PLAIN).features)
COLUMNS = INPUTS.columns
DESCRIPTION = Description(name="made", version="1.0.0", columns=COLUMNS, missing=0.0)
ONE_HOT = [index for index, column in enumerate(COLUMNS) if "=" in column]
INCOME = COLUMNS.index("income")


def make_rows(count: int, seed: int) -> NDArray[np.float32]:
    """Rows of whole numbers, and of 0 and 1 in the categories; the same as those that the old versions were given."""
    random = np.random.RandomState(seed)
    rows = random.randint(0, 200, size=(count, len(COLUMNS))).astype(np.float32)
    rows[:, ONE_HOT] = random.randint(0, 2, size=(count, len(ONE_HOT)))
    return rows


MATRIX = make_rows(900, 1)
MATRIX[:, COLUMNS.index("age")] = 18 + MATRIX[:, COLUMNS.index("age")] // 2
MATRIX[:, COLUMNS.index("seniority")] //= 3
LABELS = (MATRIX[:, INCOME] + 100 * MATRIX[:, ONE_HOT[0]] + np.random.RandomState(2).normal(0, 80, 900) < 150) * 1
UNSEEN = make_rows(200, 3)


def train(rounds: int = 10, **parameters: Any) -> Booster:
    """A booster on those rows."""
    given = {"objective": "binary:logistic", "nthread": 1, "max_depth": 3, **parameters}
    return xgboost.train(given, DMatrix(MATRIX, LABELS), rounds)


def stopped() -> XGBClassifier:
    """A classifier that stopped early: its best round is not its last."""
    model = XGBClassifier(n_estimators=60, learning_rate=0.9, n_jobs=1, early_stopping_rounds=5)
    model.fit(MATRIX[:600], LABELS[:600], eval_set=[(MATRIX[600:], LABELS[600:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    return model


STOPPED = stopped()
BEST = STOPPED.best_iteration + 1
TOTAL = STOPPED.get_booster().num_boosted_rounds()


def raw(booster: Booster, form: str = "ubj") -> bytes:
    """A booster's bytes."""
    return bytes(booster.save_raw(form))


def predict(model: bytes) -> NDArray[np.float32]:
    """What a bundle with this model predicts."""
    return open_model("xgboost", "model.ubj", model, COLUMNS).predict(UNSEEN)


def edit(booster: Booster, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A booster's JSON, changed by hand."""
    model = json.loads(raw(booster, "json"))
    change(model["learner"])
    return json.dumps(model).encode()
