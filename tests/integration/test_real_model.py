"""The course's data file: the shipped models come out of it, with the figures that they claim, and none of its rows."""

import csv
import json
import platform
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import xgboost

from schemas.contracts import shipped_contract
from schemas.files import read_applications
from scorer.author.train import Examples, Recipe, read_examples, train_model
from scorer.bundle.load import load_bundle, read_manifest
from scorer.core.score import score_batch
from scorer.store.store import SHIPPED
from tests import real_data

DATA = real_data.FILE
pytestmark = real_data.needed
VERSIONS = {"1.0.0": (), "1.1.0": ("marital",), "1.1.1": ("marital",)}
NAMES = {
    "home": ["unk", "rent", "owner", "private", "ignore", "parents", "other"],
    "marital": ["unk", "single", "married", "widow", "separated", "divorced"],
    "records": ["unk", "no", "yes"],
    "job": ["unk", "fixed", "partime", "freelance", "others"],
}


@pytest.fixture(scope="module")
def examples() -> Examples:
    """The file's labelled rows."""
    return read_examples(DATA, skip_invalid=False)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """The file's rows as the course decodes them: names for codes, 0 for 99999999; the outcome left out."""
    with DATA.open() as file:
        return [
            {
                field.lower(): NAMES[field.lower()][int(cell)]
                if field.lower() in NAMES
                else (0 if cell == "99999999" else int(cell))
                for field, cell in row.items()
                if field != "Status"
            }
            for row in csv.DictReader(file)
        ]


def test_the_contract_refuses_no_row(examples: Examples) -> None:
    """3,564 rows, of which one does not say what became of the loan."""
    dataset = examples.dataset
    assert (dataset.rows, dataset.rows_labelled, dataset.rows_refused) == (3_564, 3_563, 0)
    assert int(examples.defaulted.sum()) == 995


@pytest.mark.parametrize(("version", "auc"), [("1.0.0", 0.8461), ("1.1.0", 0.8449), ("1.1.1", 0.8449)])
def test_the_figures_that_the_bundles_claim(examples: Examples, version: str, auc: float) -> None:
    """AUC 0.846 with all fields and 0.845 without the marital status, and every other figure as in the manifest."""
    manifest = read_manifest(SHIPPED / "credit-risk" / version)
    trained = train_model(examples, Recipe(dropped=VERSIONS[version]), ("x", "1.0.0", datetime.now(UTC)), {})
    assert round(trained.metrics.holdout.auc, 4) == auc
    assert trained.metrics.holdout.rows == 713
    if platform.machine() != manifest.platform or xgboost.__version__ != manifest.libraries["xgboost"]:
        pytest.skip("the model's bytes can be compared only where it was made")
    assert trained.metrics == manifest.metrics
    assert trained.draft.model == (SHIPPED / "credit-risk" / version / manifest.model).read_bytes()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_row_is_scored_as_xgboost_scores_it(rows: list[dict[str, Any]], version: str) -> None:
    """From the file's bytes to the decision's probability, ours are the bits of XGBoost on a matrix made by hand."""
    folder = SHIPPED / "credit-risk" / version
    booster = xgboost.Booster(model_file=folder / "model.ubj")
    names = booster.feature_names
    assert names is not None
    by_hand = [
        {(f"{f}={v}" if isinstance(v, str) else f): (1 if isinstance(v, str) else v) for f, v in row.items()}
        for row in rows
    ]
    matrix = np.array([[row.get(name, 0) for name in names] for row in by_hand], dtype=np.float32)
    direct = booster.predict(xgboost.DMatrix(matrix, feature_names=names)).astype(np.float64)
    records = [_Record(row.line, row.value) for row in read_applications(DATA, shipped_contract())]
    outcomes = score_batch(records, load_bundle(folder), 65_536).results
    decisions = [json.loads(outcome) for outcome in outcomes if isinstance(outcome, bytes)]
    assert [d["probability_of_default"] for d in decisions] == direct.tolist()
    expected = np.where(direct > 0.5, "DECLINED", np.where(direct > 0.3, "MAYBE", "APPROVED"))
    assert [d["decision"] for d in decisions] == expected.tolist()


def test_no_row_of_the_data_is_shipped(rows: list[dict[str, Any]]) -> None:
    """The golden examples are made up: none of them is an applicant of the file."""
    applicants = {tuple(sorted(row.items())) for row in rows}
    for version in VERSIONS:
        for line in (SHIPPED / "credit-risk" / version / "golden.jsonl").read_bytes().splitlines():
            application = json.loads(line)["application"]
            del application["application_id"]
            made_up = {"marital": "unk"} | {field: value or 0 for field, value in application.items()}
            assert tuple(sorted(made_up.items())) not in applicants


class _Record:
    def __init__(self, line: int, value: bytes) -> None:
        self._line, self._value = line, value

    def __len__(self) -> int:
        return len(self._value)

    def topic(self) -> str:
        return "file"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._line

    def value(self) -> bytes:
        return self._value
