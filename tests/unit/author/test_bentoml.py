"""Models from BentoML: what it exports becomes a bundle that gives the same probabilities; all else is refused."""

import json
import os
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xgboost

from scorer.author import bentoml
from scorer.author.bentoml import draft_bundle, read_bentomodel
from scorer.author.build import build_bundle
from scorer.bundle.load import load_bundle, read_manifest
from scorer.bundle.manifest import Manifest
from scorer.core.policy import Policy
from scorer.errors import BundleError, MisuseError
from tests.unit.author.made_boosters import raw, train
from tests.unit.bundle.making import (
    BENTOMODEL_INFO,
    PLAIN,
    WITH_MARITAL,
    bentomodel_files,
    make_vectorizer,
    write_bentomodel,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("opens_here")]

IDENTITY = "mine", "1.0.0", datetime(2026, 1, 31, tzinfo=UTC)


def _bundle(path: Path, folder: Path, missing: float = 0.0, policy: Policy | None = None) -> Manifest:
    """What an import does, without a store."""
    folder.mkdir()
    return build_bundle(draft_bundle(read_bentomodel(path), IDENTITY, policy or Policy(), missing), folder)


@pytest.mark.parametrize("source", [PLAIN, WITH_MARITAL], ids=["1.1.0", "1.0.0"])
@pytest.mark.parametrize("prefix", ["./", ""], ids=["BentoML 1.4", "BentoML 1.0 to 1.3"])
def test_the_bundle_gives_the_models_probabilities(tmp_path: Path, source: Path, prefix: str) -> None:
    """The model's bytes and the vectorizer's columns are those of the archive, and it predicts as it did."""
    path = write_bentomodel(tmp_path / "x.bentomodel", bentomodel_files(source), prefix)
    manifest = _bundle(path, tmp_path / "bundle")
    original = read_manifest(source)
    assert manifest.files["model.ubj"] == original.files["model.ubj"]
    assert manifest.features == original.features
    opened, expected = load_bundle(tmp_path / "bundle"), load_bundle(source)
    assert np.array_equal(opened.model.predict(expected.golden_matrix), expected.golden_probabilities)


def test_the_bundle_states_its_source_and_what_is_missing(tmp_path: Path) -> None:
    """Its libraries and its tag in BentoML's store; no figures and no recipe; the card says the same."""
    path = write_bentomodel(tmp_path / "x.bentomodel", bentomodel_files())
    manifest = _bundle(path, tmp_path / "bundle", policy=Policy(maybe_above=0.2, declined_above=0.4))
    assert manifest.labels == {"imported from": "BentoML, credit_risk_model:puxjlfxhakuqeax4"}
    assert manifest.libraries == {"python": "3.11.7", "xgboost": "3.2.0", "bentoml": "1.4.39"}
    assert (manifest.metrics, manifest.training) == (None, None)
    assert manifest.policy.declined_above == 0.4
    card = " ".join((tmp_path / "bundle" / "model-card.md").read_text().split())
    assert "above 0.4 DECLINED, above 0.2 MAYBE" in card
    assert "scorer train" not in card


def test_unknown_numbers_may_be_left_to_the_model(tmp_path: Path) -> None:
    """What stood for them in training is not in the export: it is told."""
    path = write_bentomodel(tmp_path / "x.bentomodel", bentomodel_files())
    assert _bundle(path, tmp_path / "zero").features.missing == 0
    with pytest.raises(BundleError, match="it never saw one in training"):
        _bundle(path, tmp_path / "never seen", missing=float("nan"))
    write_bentomodel(path, bentomodel_files() | {"saved_model.ubj": raw(train(3))})
    assert _bundle(path, tmp_path / "nan", missing=float("nan")).features.missing is None


def test_an_export_of_the_first_releases(tmp_path: Path) -> None:
    """Before BentoML 1.0.7 there was no model_class, and every model was a booster."""
    old = BENTOMODEL_INFO.replace("  model_class: Booster\n", "").replace("options:", "options: {}").replace("v2", "v1")
    path = write_bentomodel(tmp_path / "x.bentomodel", bentomodel_files() | {"model.yaml": old.encode()})
    assert read_bentomodel(path).tag == "credit_risk_model:puxjlfxhakuqeax4"


def test_what_else_the_author_left_in_the_folder_is_left_out(tmp_path: Path) -> None:
    """Other files, folders, and custom objects that are plain data do no harm and are not looked at."""
    objects = {"dv": make_vectorizer(read_manifest(PLAIN).features.columns), "policy": {"maybe_above": 0.3}, "t": (1,)}
    files = bentomodel_files() | {"custom_objects.pkl": pickle.dumps(objects), "notes/a.txt": b"x", "run.sh": b"exit 1"}
    assert len(read_bentomodel(write_bentomodel(tmp_path / "x.bentomodel", files)).columns) == 24


class _Runs:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self._path),)


def test_a_pickle_that_calls_anything_runs_nothing(tmp_path: Path) -> None:
    """Beside a sound vectorizer, a call: refused by name, with the cure, and not made."""
    mark = tmp_path / "run"
    objects = pickle.dumps({"dv": make_vectorizer(["age"]), "x": _Runs(mark)})
    path = write_bentomodel(tmp_path / "x.bentomodel", bentomodel_files() | {"custom_objects.pkl": objects})
    with pytest.raises(
        BundleError, match=r"cannot read custom_objects\.pkl: the pickle names (posix|nt)\.mkdir.* only custom"
    ):
        read_bentomodel(path)
    assert not mark.exists()
    pickle.loads(objects)  # noqa: S301  (that it would have run is the point)
    assert mark.exists()


def _with_state(**changes: object) -> bytes:
    """A vectorizer that was tampered with."""
    vectorizer = make_vectorizer(["age", "amount"])
    vectorizer.__dict__.update(changes)
    return pickle.dumps({"dv": vectorizer})


def _short_text(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


_DEEP_PLACES = b"".join(
    (
        b"\x80\x04}(",
        *map(_short_text, ("dv", "sklearn.feature_extraction._dict_vectorizer", "DictVectorizer")),
        b"\x93)\x81}(",
        _short_text("feature_names_") + b"]" + _short_text("age") + b"a",
        _short_text("vocabulary_") + b"}" + _short_text("age") + b")" + b"\x85" * 90_000 + b"s",
        b"ubu.",
    )
)


OBJECTS: dict[str, tuple[bytes, str]] = {
    "none": (pickle.dumps({"threshold": 0.5}), "has 0 vectorizers"),
    "a list": (pickle.dumps([make_vectorizer(["age"])]), "has 0 vectorizers"),
    "two": (pickle.dumps({"a": make_vectorizer(["age"]), "b": make_vectorizer(["age"])}), "has 2 vectorizers"),
    "not fitted": (pickle.dumps({"dv": type(make_vectorizer(["age"]))(sparse=False)}), "was it fitted"),
    "sparse": (pickle.dumps({"dv": make_vectorizer(["age"], sparse=True)}), "train with DictVectorizer"),
    "another separator": (pickle.dumps({"dv": make_vectorizer(["age"], separator=":")}), "separator is not '='"),
    "other places": (_with_state(vocabulary_={"age": 1, "amount": 0}), "does not match its feature_names_"),
    "no names": (_with_state(feature_names_=[]), "was it fitted"),
    "names that are numbers": (_with_state(feature_names_=[1, 2]), "was it fitted"),
    "whole numbers": (pickle.dumps({"dv": make_vectorizer(["age"], dtype=np.int64)}), r"names numpy\.int64"),
    "deep": (b"\x80\x04}\x8c\x01a)" + b"\x85" * 90_000 + b"s.", "has 0 vectorizers"),
    "places that are deep": (_DEEP_PLACES, "does not match its feature_names_"),
    "more instructions than anybody needs": (b"\x80\x04" + b"N" * 100_001 + b".", "more than 100000 instructions"),
    "not a pickle": (b"{}", "cannot read custom_objects.pkl: the pickle"),
    "cut off": (bentomodel_files()["custom_objects.pkl"][:-20], "damaged"),
    "empty": (b"", "damaged"),
    "huge": (b"\x80\x04" + b"N0" * (1 << 20), "more than the maximum"),
}  # fmt: skip


@pytest.mark.parametrize("name", OBJECTS)
def test_custom_objects_that_are_no_vectorizer(tmp_path: Path, name: str) -> None:
    """Each is refused with the file and the reason."""
    raw, reason = OBJECTS[name]
    path = write_bentomodel(tmp_path / "x.bentomodel", bentomodel_files() | {"custom_objects.pkl": raw})
    with pytest.raises(BundleError, match=reason) as refused:
        read_bentomodel(path)
    assert str(refused.value).startswith(f"{path}: ")


MERGES = "l0: &l0 {a: 1, b: 2}\n" + "".join(
    f"l{n}: &l{n}\n  <<: [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
"""Nine levels, each merged ten times: a billion keys, of one kilobyte."""


ALIASES = "l0: &l0 [1, 2]\n" + "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 100))
"""A list of 9 to the power of 99 numbers, of seven kilobytes."""


INFOS = {
    "another framework": (BENTOMODEL_INFO.replace("bentoml.xgboost", "bentoml.sklearn"), "not saved with"),
    "no version": (BENTOMODEL_INFO.replace("version: puxjlfxhakuqeax4\n", ""), "version: is missing"),
    "a list": ("- 1\n", "is not in the format of BentoML"),
    "empty": ("", "is not in the format of BentoML"),
    "no YAML": ("a: [", "plain YAML"),
    "an object to be made": ("name: !!python/object/apply:os.getcwd []\n", "plain YAML"),
    "not text": ("\x00", "plain YAML"),
    "deep": ("[" * 1_000, "plain YAML"),
    "merges": (MERGES, "is not in the format of BentoML"),
    "a day that is not": ("name: 2024-13-45\n", "version: is missing"),
    "a long number": (f"name: {'9' * 5_000}\n", "name: must have at most 64 characters"),
    "a number in base 60": (f"name: 1{':1' * 400}.5\n", "name: must have at most 64 characters"),
    "aliases": (ALIASES + BENTOMODEL_INFO.replace("1.4.39", "*l99"), "bentoml_version: must be a text"),
    "an alias of itself": ("context: &a\n  framework_versions: *a\n" + BENTOMODEL_INFO, "plain YAML"),
    "a name that commands a terminal": (BENTOMODEL_INFO.replace("xgboost: 3", '"\\e[2J": 3'), "a control character"),
    "long": ("# " + "x" * (1 << 15), "more than 32768 bytes"),
    "nested without end": ("[" * 3_000, "more than 1000 brackets"),
    "nested again and again": (f"k: {'[' * 300}{']' * 300}\n" * 50, "more than 1000 brackets"),
    "a list in a list": (f"{'- ' * 2_000}x", "plain YAML"),
}


@pytest.mark.parametrize("name", INFOS)
def test_a_model_yaml_that_is_not_of_the_courses_service(tmp_path: Path, name: str) -> None:
    """Other frameworks and classes are refused with what to do, anything else as what it is."""
    text, reason = INFOS[name]
    path = write_bentomodel(tmp_path / "x.bentomodel", bentomodel_files() | {"model.yaml": text.encode()})
    with pytest.raises(BundleError, match=reason):
        read_bentomodel(path)


@pytest.mark.parametrize(
    "unused",
    ["2001-99-99", "9" * 5_000, f"1{':1' * 10_000}", f"1{':1' * 400}.5", "{<<: {a: 1}}", "[1, .inf, ~, 0x1F, 1e999]"],
)
def test_what_nothing_needs_is_text(tmp_path: Path, unused: str) -> None:
    """A model's author may note anything: numbers and dates are not made of it, however long or impossible they are."""
    info = BENTOMODEL_INFO.replace("metadata: {}", f"metadata: {{note: {unused}}}")
    files = bentomodel_files() | {"model.yaml": info.encode()}
    read = read_bentomodel(write_bentomodel(tmp_path / "x.bentomodel", files))
    assert read.tag == "credit_risk_model:puxjlfxhakuqeax4"
    assert read.libraries == {"python": "3.11.7", "xgboost": "3.2.0", "bentoml": "1.4.39"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["age", "Home=rent"], "columns that are not in the contract: Home=rent"),
        (
            ["age", "home=castle"],
            "not in the contract: home=castle. The contract's fields are seniority, home, time, age, marital",
        ),
        (["age", "sex=f"], "not in the contract: sex=f"),
        (["age", "x\x1b[2J"], r"not in the contract: x�\[2J"),
    ],
)
def test_a_column_that_the_contract_does_not_give(tmp_path: Path, columns: list[str], message: str) -> None:
    """The message names it and the fields that there are."""
    objects = pickle.dumps({"dv": make_vectorizer(columns)})
    path = write_bentomodel(tmp_path / "x.bentomodel", bentomodel_files() | {"custom_objects.pkl": objects})
    with pytest.raises(BundleError, match=message):
        _bundle(path, tmp_path / "bundle")


def test_a_model_of_other_columns_than_the_vectorizers(tmp_path: Path) -> None:
    """The two must fit each other."""
    objects = pickle.dumps({"dv": make_vectorizer(["age"])})
    path = write_bentomodel(tmp_path / "x.bentomodel", bentomodel_files() | {"custom_objects.pkl": objects})
    with pytest.raises(BundleError, match="expects 24 columns"):
        _bundle(path, tmp_path / "bundle")


def test_a_model_that_gives_no_probability(tmp_path: Path) -> None:
    """A regression's numbers would be compared with thresholds that they have nothing to do with."""
    matrix = np.arange(20, dtype=np.float32).reshape(-1, 1)
    data = xgboost.DMatrix(matrix, label=matrix[:, 0], feature_names=["age"])
    booster = xgboost.train({"objective": "reg:squarederror", "nthread": 1}, data, num_boost_round=2)
    files = {
        "saved_model.ubj": bytes(booster.save_raw("ubj")),
        "custom_objects.pkl": pickle.dumps({"dv": make_vectorizer(["age"])}),
    }
    path = write_bentomodel(tmp_path / "x.bentomodel", bentomodel_files() | files)
    with pytest.raises(BundleError, match=r"credit_risk_model.*objective is reg:squarederror, which gives amounts"):
        _bundle(path, tmp_path / "bundle")


def test_no_file_and_no_library_are_misuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything is begun, with what to do."""
    with pytest.raises(MisuseError, match="is the path right"):
        read_bentomodel(tmp_path / "nowhere")
    with pytest.raises(MisuseError, match="cannot be read"):
        read_bentomodel(tmp_path)
    monkeypatch.setattr(bentoml, "find_spec", lambda _: None)
    with pytest.raises(MisuseError, match=r"pip install '\.\[bentoml\]'"):
        read_bentomodel(tmp_path / "x.bentomodel")


def test_the_golden_examples_are_made_by_the_imported_model(tmp_path: Path) -> None:
    """They are what the model gives here, so that a change is noticed from the first day on."""
    _bundle(write_bentomodel(tmp_path / "x.bentomodel", bentomodel_files()), tmp_path / "bundle")
    lines = [json.loads(line) for line in (tmp_path / "bundle" / "golden.jsonl").read_bytes().splitlines()]
    assert len(lines) == 64


def _stopped() -> xgboost.XGBClassifier:
    """A classifier that stopped early, on the columns of the archive."""
    random = np.random.default_rng(1)
    matrix = random.integers(0, 2, (900, 24)).astype(np.float32)
    labels = (matrix[:, :3].sum(axis=1) + random.normal(0, 1, 900) > 1.5).astype(int)
    matrix[:, 0] += 18  # the age
    model = xgboost.XGBClassifier(n_estimators=60, learning_rate=0.9, n_jobs=1, early_stopping_rounds=5)
    model.fit(matrix[:600], labels[:600], eval_set=[(matrix[600:], labels[600:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    return model


def _export(path: Path, saved: xgboost.XGBClassifier | xgboost.Booster, folder: Path) -> Path:
    saved.save_model(folder / "saved_model.ubj")
    files = {
        "model.yaml": BENTOMODEL_INFO.replace("Booster", type(saved).__name__).encode(),
        "saved_model.ubj": (folder / "saved_model.ubj").read_bytes(),
    }
    return write_bentomodel(path, bentomodel_files() | files)


def test_a_classifier_that_stopped_early(tmp_path: Path) -> None:
    """The importer refused an XGBClassifier and advised its booster, which decides with other rounds.

    The classifier itself is imported, with the rounds that its predict_proba uses; of the booster it must be said.
    """
    model = _stopped()
    path = _export(tmp_path / "classifier.bentomodel", model, tmp_path)
    manifest = _bundle(path, tmp_path / "bundle")
    assert manifest.labels["rounds"].startswith(f"the first {model.best_iteration + 1} of ")
    opened = load_bundle(tmp_path / "bundle")
    rows = np.random.default_rng(2).integers(0, 2, (100, 24)).astype(np.float32)
    assert np.array_equal(opened.model.predict(rows), model.predict_proba(rows)[:, 1])
    booster = _export(tmp_path / "booster.bentomodel", model.get_booster(), tmp_path)
    with pytest.raises(BundleError, match=r"credit_risk_model:.*BentoML for a Booster.*--rounds"):
        _bundle(booster, tmp_path / "refused")
    for rounds, predicted in (
        ("best", model.predict_proba(rows)[:, 1]),
        ("all", model.get_booster().inplace_predict(rows)),
    ):
        draft = draft_bundle(read_bentomodel(booster), IDENTITY, Policy(), 0.0, rounds)  # type: ignore[arg-type]
        (tmp_path / rounds).mkdir()
        build_bundle(draft, tmp_path / rounds)
        assert np.array_equal(load_bundle(tmp_path / rounds).model.predict(rows), predicted)
