"""`scorer train --categories native`: XGBoost's categorical splits, from training to the opened bundle."""

import csv
import io
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray

from schemas.rows import OutcomeColumn
from scorer.author.boosters import check_booster
from scorer.author.build import build_bundle
from scorer.author.describe import Description
from scorer.author.import_model import draft_model
from scorer.author.lint import lint_bundle
from scorer.author.model_input import ModelInput
from scorer.author.train import Examples, Recipe, Trained, read_examples, train_model
from scorer.bundle.engine import with_engine
from scorer.bundle.load import load_bundle, read_manifest
from scorer.bundle.manifest import Features
from scorer.bundle.runners import open_model
from scorer.core.engine import IS_INSTALLED
from scorer.errors import BundleError, MisuseError
from tests.fakes import make_contract
from tests.unit.bundle.making import remake

pytestmark = pytest.mark.slow

VALUES: Final = [f"branch {number}" for number in range(200)]
NEVER_SEEN: Final = VALUES[150:]
CONTRACT: Final = make_contract(
    "branch", "country", "age",
    branch={"type": "string", "enum": VALUES},
    home={"type": ["string", "null"], "enum": ["rent", "own", "other", None], "x-unknown": ["unk"]},
    country={"type": "string", "enum": ["PT"]},
    age={"type": "integer", "minimum": 18, "maximum": 120, "x-prohibited": "age"},
)  # fmt: skip
COLUMNS: Final = ("age", "branch", "country", "home")
TYPES: Final = ["float", "c", "c", "c"]
INPUTS: Final = ModelInput(CONTRACT, Features(columns=COLUMNS, missing=0.0))
OUTCOME: Final = OutcomeColumn("repaid", {"0": "default", "": None}, others="ok")
COURSE: Final = {
    "eta": 0.1, "max_depth": 3, "min_child_weight": 1, "objective": "binary:logistic", "seed": 1, "nthread": 1,
}  # fmt: skip


def make_rows(count: int = 600, seed: int = 3) -> list[dict[str, str]]:
    """Loans: some branches are worse than others, whoever rents defaults more often, and some homes are unknown."""
    chance = random.Random(seed)
    rows = []
    for _ in range(count):
        branch, home = chance.randrange(150), chance.choice(["rent", "own", "other", "unk", ""])
        bad = chance.random() < 0.1 + 0.4 * (branch % 3 == 0) + 0.3 * (home == "rent") + 0.2 * (home == "unk")
        age = str(chance.randint(18, 80))
        row = {"branch": VALUES[branch], "home": home, "country": "PT", "age": age, "repaid": str(int(not bad))}
        rows.append(row)
    return rows


def by_hand(rows: list[dict[str, str]]) -> NDArray[np.float32]:
    """The matrix of the rows: ages, and the place of each value in the contract's list."""
    homes = {"rent": 0.0, "own": 1.0, "other": 2.0}
    lines = [(float(r["age"]), VALUES.index(r["branch"]), 0.0, homes.get(r["home"], np.nan)) for r in rows]
    return np.array(lines, dtype=np.float32)


def labels_of(rows: list[dict[str, str]]) -> NDArray[np.float32]:
    """1 where the loan was not repaid."""
    return np.array([row["repaid"] == "0" for row in rows], dtype=np.float32)


def train_directly(rows: list[dict[str, str]], **parameters: Any) -> xgboost.Booster:
    """XGBoost itself on the matrix made by hand."""
    matrix = xgboost.DMatrix(by_hand(rows), labels_of(rows), feature_types=TYPES, enable_categorical=True)
    return xgboost.train(COURSE | parameters, matrix, num_boost_round=175)


def read_rows(rows: list[dict[str, str]], folder: Path) -> Examples:
    """The rows as `scorer train` reads them from a file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    (folder / "loans.csv").write_text(text.getvalue(), encoding="utf-8")
    return read_examples(folder / "loans.csv", skip_invalid=False, contract=CONTRACT, outcome=OUTCOME)


def train(examples: Examples, **recipe: Any) -> Trained:
    """A model with categorical splits."""
    identity = ("native", "1.0.0", datetime(2026, 1, 31, tzinfo=UTC))
    return train_model(examples, Recipe(categories="native", **recipe), identity, {})


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """The loans."""
    return read_rows(make_rows(), tmp_path_factory.mktemp("loans"))


@pytest.fixture(scope="module")
def trained(examples: Examples) -> Trained:
    """What comes of them."""
    return train(examples)


@pytest.fixture(scope="module")
def bundle(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of it."""
    folder = tmp_path_factory.mktemp("bundle")
    build_bundle(trained.draft, folder)
    return folder


def test_the_predictions_are_xgboosts(bundle: Path, tmp_path: Path) -> None:
    """Bit for bit, those of XGBoost trained on the indexes; also for values that training never saw."""
    rows = make_rows(400, seed=9)
    for row, value in zip(rows, NEVER_SEEN * 3, strict=False):
        row["branch"] = value
    opened = load_bundle(bundle)
    predicted = opened.model.predict(opened.encoding.matrix(read_rows(rows, tmp_path).applications))
    expected = train_directly(make_rows()).inplace_predict(by_hand(rows))
    assert np.array_equal(predicted, expected)
    assert len(np.unique(predicted)) > 50


@pytest.mark.skipif(not IS_INSTALLED, reason="the compiled engine is not installed")
def test_the_compiled_engine_leaves_only_the_prediction_to_xgboost(bundle: Path) -> None:
    """It decodes, writes the indexes and encodes with the bytes of the reference; it has no trees of this model."""
    opened = with_engine(load_bundle(bundle), "compiled")
    assert not opened.engine_fault
    assert opened.engine is not None
    assert not opened.engine.predicts


def test_the_model_has_categorical_splits(trained: Trained) -> None:
    """XGBoost was not given numbers that happen to be indexes."""
    booster = xgboost.Booster(model_file=bytearray(trained.draft.model))
    assert booster.feature_types == TYPES
    assert booster.feature_names == list(COLUMNS)
    assert any(":{" in split for split in booster.get_dump())


def test_the_same_file_gives_the_same_model(examples: Examples, trained: Trained) -> None:
    """Byte for byte, metrics included."""
    again = train(examples)
    assert again.draft == trained.draft


def test_the_manifest_says_which_columns_are_indexes(bundle: Path) -> None:
    """A column of indexes has the field's name, the version is the first with such columns, and the card says so."""
    manifest = read_manifest(bundle)
    assert manifest.features.columns == COLUMNS
    assert manifest.manifest_version == 3
    card = " ".join((bundle / "model-card.md").read_text().split())
    assert "one column per category, with the index" in card
    assert "--version 1.0.0 --contract contract.schema.json --target COLUMN=VALUE --categories native`" in card


def test_the_shipped_contract_needs_the_third_version_too(tmp_path: Path) -> None:
    """Earlier releases reject a column `home`, so they must not get one in a manifest that they claim to read."""
    from tests.unit.bundle.making import write_loans

    loans = read_examples(write_loans(tmp_path / "loans.csv"), skip_invalid=False)
    (tmp_path / "bundle").mkdir()
    manifest = build_bundle(train(loans, dropped=("marital",)).draft, tmp_path / "bundle")
    assert manifest.manifest_version == 3
    assert manifest.contract is not None
    assert "home" in manifest.features.columns
    assert load_bundle(tmp_path / "bundle").works()


def test_one_hot_stays_the_default(examples: Examples) -> None:
    """A recipe that says nothing has a column per value."""
    draft = train_model(examples, Recipe(), ("plain", "1.0.0", datetime(2026, 1, 31, tzinfo=UTC)), {}).draft
    assert len(draft.inputs.columns) == 1 + 200 + 1 + 3
    assert draft.inputs.encoding.categories == {}


def test_a_category_has_no_direction(examples: Examples) -> None:
    """A constraint on an index would mean nothing."""
    with pytest.raises(MisuseError, match="no field 'home' with a number"):
        train(examples, monotone={"home": 1})
    assert train(examples, monotone={"age": -1}).draft.training.parameters["monotone_constraints"] == "(-1,0,0,0)"  # type: ignore[union-attr]


def test_lint_finds_nothing_missing(bundle: Path) -> None:
    """An index has all values of a category: none is reported as lacking a column, and none as an age."""
    findings = lint_bundle(bundle)
    assert not [finding for finding in findings if finding.severity == "error" or finding.rule == "columns"]


def test_bands_of_ages_are_no_ages(tmp_path: Path) -> None:
    """A category that the contract marks as age is not varied as if its indexes were years."""
    bands = ["18-25", "26-61", "62 or more"]
    contract = make_contract(
        "age", "income", age={"type": "string", "enum": bands, "x-prohibited": "age"}, income={"type": "number"}
    )
    chance = np.random.default_rng(1)
    matrix = np.column_stack([chance.integers(0, 3, 300), chance.integers(0, 9, 300)]).astype(np.float32)
    types = {"feature_types": ["c", "q"], "enable_categorical": True}
    learnt = xgboost.DMatrix(matrix, matrix[:, 0] + matrix[:, 1] > 5, feature_names=["age", "income"], **types)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, learnt, 9)
    description = Description(
        name="bands", version="1.0.0", contract=contract, columns=["age", "income"], missing=np.nan
    )
    build_bundle(draft_model(booster, description), tmp_path)
    assert "elderly" not in {finding.rule for finding in lint_bundle(tmp_path)}


def _booster(types: list[str], values: int = 3, column: int = 3) -> xgboost.Booster:
    """A model that was trained elsewhere: its column has so many values, and its columns these types."""
    chance = np.random.default_rng(1)
    matrix = np.zeros((400, 4), dtype=np.float32)
    matrix[:, 0] = chance.integers(18, 80, 400)
    matrix[:, column] = chance.integers(0, values, 400)
    labels = (matrix[:, column] % 3 == 2) | (matrix[:, 0] < 25)
    learnt = xgboost.DMatrix(matrix, labels, feature_names=list(COLUMNS), feature_types=types, enable_categorical=True)
    return xgboost.train({"objective": "binary:logistic", "nthread": 1}, learnt, 9)


def _raw(booster: xgboost.Booster) -> bytes:
    return bytes(booster.save_raw("ubj"))


@pytest.mark.parametrize(
    ("types", "values", "column", "message"),
    [
        (["float", "c", "c", "float"], 3, 3, "reads home as a number"),
        (["float", "float", "float", "float"], 3, 3, "reads branch as a number"),
        (TYPES, 6, 3, r"split on category \d of home, but the contract's are 0 to 2"),
        (TYPES, 3, 2, r"split on category 2 of country, but the contract's are 0 to 0"),
    ],
)
def test_other_categories_are_rejected(
    bundle: Path, tmp_path: Path, types: list[str], values: int, column: int, message: str
) -> None:
    """A model that reads indexes as numbers, or has more values than the contract, is neither taken in nor opened."""
    model = _raw(_booster(types, values, column))
    with pytest.raises(BundleError, match=message):
        check_booster(model, INPUTS)
    with pytest.raises(BundleError, match=message):
        open_model("xgboost", "model.ubj", model, COLUMNS, {}, INPUTS.encoding.categories)
    for name, content in {path.name: path.read_bytes() for path in bundle.iterdir()}.items():
        (tmp_path / name).write_bytes(model if name == "model.ubj" else content)
    with pytest.raises(BundleError, match=message):
        load_bundle(remake(tmp_path))


def test_numbers_as_categories_are_still_rejected() -> None:
    """The age is a number in the contract, so a categorical split on it would read years as codes."""
    with pytest.raises(BundleError, match="trained with age as a category"):
        check_booster(_raw(_booster(["c", "c", "c", "c"])), INPUTS)


def test_a_model_from_elsewhere_is_a_bundle(tmp_path: Path) -> None:
    """Trained on the contract's indexes it becomes a bundle as it is, and gives its own predictions."""
    booster = _booster(TYPES)
    description = Description(name="own", version="1.0.0", contract=CONTRACT, columns=COLUMNS, missing=0.0)
    build_bundle(draft_model(booster, description), tmp_path)
    matrix = by_hand(make_rows(50))
    assert np.array_equal(load_bundle(tmp_path).model.predict(matrix), booster.inplace_predict(matrix))


def test_other_runners_read_no_indexes() -> None:
    """A converted scikit-learn model would take an index for an amount; a column per value is asked for instead."""
    from sklearn.linear_model import LogisticRegression

    matrix = np.nan_to_num(by_hand(make_rows()))
    model = LogisticRegression(max_iter=5_000)  # type: ignore[no-untyped-call]
    model.fit(matrix, labels_of(make_rows()))
    described = Description(name="own", version="1.0.0", contract=CONTRACT, columns=COLUMNS, missing=0.0)
    with pytest.raises(
        BundleError, match="onnx would read the index of a category's value as a number, in branch, country, home"
    ):
        draft_model(model, described)


def test_a_wrapper_that_takes_an_index_for_missing() -> None:
    """XGBClassifier(missing=0) would lose the first value of each category."""
    model = xgboost.XGBClassifier(
        n_estimators=5, n_jobs=1, missing=0, feature_types=TYPES, enable_categorical=True
    ).fit(np.nan_to_num(by_hand(make_rows()), nan=2), labels_of(make_rows()))
    described = Description(name="own", version="1.0.0", contract=CONTRACT, columns=COLUMNS, missing=np.nan)
    with pytest.raises(BundleError, match="trained with missing=0"):
        draft_model(model, described)
