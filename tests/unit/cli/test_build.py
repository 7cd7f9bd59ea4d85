"""`scorer bundle build`: a description and a model to a bundle in the store, or one message and nothing."""

import json
import pickle
import re
import shutil
from pathlib import Path

import pytest
import xgboost

from scorer.bundle.load import read_manifest
from scorer.store.store import BundleStore
from tests.unit.bundle.making import PLAIN, write_loans
from tests.unit.cli.conftest import Run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("opens_here")]

FIELDS = read_manifest(PLAIN).features.fields
DESCRIPTION = f"""
name = "mine"
version = "1.0.0"
model = "risk.ubj"
fields = {json.dumps(FIELDS)}
missing = 0.0
holdout = "loans.csv"
holdout_about = "Made-up loans."
[labels]
licence = "none"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    """A folder with a description, its model and labelled applications; commands run in the one above."""
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "mine.toml").write_text(DESCRIPTION)
    shutil.copy(PLAIN / "model.ubj", beside / "risk.ubj")
    write_loans(beside / "loans.csv")
    return beside


def test_a_store_in_brackets_is_shown(tmp_path: Path, run: Run) -> None:
    """Its path was taken for markup, and shown without the folder."""
    ended = run("bundle", "build", "beside/mine.toml", "--store", tmp_path / "[bold]")
    assert f" to {tmp_path}/[bold]/mine/1.0.0\n" in ended.out


def test_the_result_is_a_bundle(tmp_path: Path, run: Run) -> None:
    """It is in the store, opens, carries its labels and its figures, which are printed."""
    ended = run("bundle", "build", "beside/mine.toml")
    assert ended.code == 0, ended.err
    for words in ("AUC 0.", "APPROVED", "mine:1.0.0@", "scorer bundle verify mine:1.0.0"):
        assert words in ended.out
    assert re.search(
        r"Unknown numbers: replaced by 0; \d+ of 300 held-out applications have unknown numbers", ended.out
    )
    store = BundleStore(tmp_path / "store")
    assert store.open("mine:1.0.0").works()
    manifest = store.entries()[-1].manifest
    assert manifest is not None
    assert manifest.metrics is not None
    assert (manifest.runner, manifest.model, manifest.manifest_version) == ("xgboost", "model.ubj", 1)
    assert (manifest.metrics.holdout.what, manifest.metrics.holdout.rows) == ("Made-up loans.", 300)
    assert manifest.labels == {"licence": "none"}
    assert "AUC" in run("bundle", "show", "mine:1.0.0").out


def test_without_figures(folder: Path, run: Run) -> None:
    """It says so: when it is built, in the list, when it is shown, and in its card."""
    (folder / "mine.toml").write_text(re.sub("holdout.*\n", "", DESCRIPTION))
    printed = run("bundle", "build", "beside/mine.toml").out
    assert "No metrics: no holdout was given" in printed
    assert "Unknown numbers: replaced by 0\n" in printed
    assert "No metrics: the model was not evaluated" in run("bundle", "show", "mine:1.0.0").out
    assert "mine:1.0.0" in run("bundle", "list").out
    assert json.loads(run("bundle", "list", "--json").out)[-1]["manifest"]["metrics"] is None
    card = Path("store/mine/1.0.0/model-card.md").read_text()
    assert "this model was not evaluated" in card
    assert "trained elsewhere" in card


def test_for_scripts(run: Run) -> None:
    """--json prints the place, the digest and the manifest, and nothing else."""
    report = json.loads(run("bundle", "build", "beside/mine.toml", "--json").out)
    assert Path(report["location"]).is_dir()
    assert report["manifest"]["runner"] == "xgboost"
    assert report["digest"] == json.loads(run("bundle", "show", "mine:1.0.0", "--json").out)["digest"]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (('"risk.ubj"', '"other.ubj"'), 2, "beside/other.ubj: cannot be read: No such file"),
        (('"risk.ubj"', '"loans.csv"'), 2, "beside/loans.csv: which runner opens it?"),
        (('"risk.ubj"', '"risk.pkl"'), 1, "beside/risk.pkl is a pickle, and pickles are never opened"),
        (('"risk.ubj"', '"risk.json"'), 1, "beside/risk.json is a pickle"),
        (('"risk.ubj"', '"risk.onnx"'), 1, "the runner onnx cannot open model.onnx"),
        (('"mine"', '"credit-risk"'), 1, "credit-risk:1.0.0 already exists"),
        (('"loans.csv"', '"other.csv"'), 2, "other.csv"),
        (('"age", ', ""), 1, "the model expects 24 columns, but the manifest has 23"),
        (("missing = 0.0", ""), 2, "missing: is missing"),
        (("[labels]", "[runner_settings]\ndepth = 1\n[labels]"), 1, "the runner xgboost has no settings"),
    ],
)
def test_mistakes(tmp_path: Path, folder: Path, run: Run, change: tuple[str, str], code: int, message: str) -> None:
    """One message each, without a traceback, and no store is begun."""
    shutil.copy(folder / "risk.ubj", folder / "risk.pkl")
    (folder / "risk.json").write_bytes(pickle.dumps({"not": "a model"}))
    (folder / "risk.onnx").write_bytes(b"hello")
    assert change[0] in DESCRIPTION
    (folder / "mine.toml").write_text(DESCRIPTION.replace(*change))
    ended = run("bundle", "build", "beside/mine.toml")
    assert message in ended.err
    assert ended.code == code
    assert not (tmp_path / "store").exists()


def test_the_rounds_that_decide_are_shown(folder: Path, run: Run) -> None:
    """After early stopping they are asked for, told, and printed; and they stand in the manifest."""
    booster = xgboost.Booster(model_file=PLAIN / "model.ubj")
    booster.set_attr(best_iteration="99")
    booster.save_model(folder / "risk.ubj")
    ended = run("bundle", "build", "beside/mine.toml")
    assert ended.code == 1
    assert "beside/risk.ubj: early stopping found the model's round 100 to be the best of 175" in ended.err
    (folder / "mine.toml").write_text(DESCRIPTION.replace("missing = 0.0", 'missing = 0.0\nrounds = "best"'))
    ended = run("bundle", "build", "beside/mine.toml")
    assert ended.code == 0, ended.err
    assert "Rounds: the first 100 of 175, which early stopping found to be the best" in ended.out
    assert "rounds=the first 100 of 175" in run("bundle", "show", "mine:1.0.0").out


def test_invalid_rows_stop_it(folder: Path, run: Run) -> None:
    """With --skip-invalid the others are measured on."""
    with (folder / "loans.csv").open("a") as file:
        file.write("1,7,s3cret,48,41,2,1,3,55,150,0,0,950,1111\n")
    ended = run("bundle", "build", "beside/mine.toml")
    assert ended.code == 2
    assert "line 302: home: unknown category" in ended.err
    assert "s3cret" not in ended.err
    assert run("bundle", "build", "beside/mine.toml", "--skip-invalid").code == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_model_in_json_that_went_through_an_editor(tmp_path: Path, folder: Path, run: Run, encoding: str) -> None:
    """A byte-order mark in front of model.json is no part of the model: XGBoost could not parse it."""
    booster = xgboost.Booster(model_file=folder / "risk.ubj")
    (folder / "risk.json").write_bytes(booster.save_raw("json").decode().encode(encoding))
    (folder / "mine.toml").write_text(DESCRIPTION.replace("risk.ubj", "risk.json"))
    ended = run("bundle", "build", "beside/mine.toml")
    assert ended.code == 0, ended.err
    assert (tmp_path / "store/mine/1.0.0/model.json").read_bytes() == bytes(booster.save_raw("json"))


def test_reasons_of_a_build_file(tmp_path: Path, folder: Path, run: Run) -> None:
    """A catalogue in a file next to it, or a draft: both make a manifest of version 3, which says how it explains."""
    text = (folder / "mine.toml").read_text()
    (folder / "why.json").write_text(
        '{"catalogue": [{"code": "R1", "fields": ["income"], "text": {"en": "The income is low."}}]}'
    )
    for version, reasons, count in (("1.0.0", "why.json", 1), ("1.0.1", "draft", 11)):
        described = text.replace("1.0.0", version).replace("[labels]", f'reasons = "{reasons}"\n[labels]')
        (folder / "mine.toml").write_text(described)
        ended = run("bundle", "build", "beside/mine.toml")
        assert ended.code == 0, ended.err
        assert f"Reasons: {count} in the catalogue; contributions are looked up in tables of 0." in ended.out
        manifest = read_manifest(tmp_path / "store" / "mine" / version)
        assert manifest.manifest_version == 3
        assert manifest.reasons is not None
        assert len(manifest.reasons.catalogue) == count
    (folder / "mine.toml").write_text(described.replace('"draft"', '"missing.toml"').replace("1.0.1", "1.0.2"))
    assert "missing.toml: cannot be read: No such file" in run("bundle", "build", "beside/mine.toml").err


def test_a_build_file_has_a_policy_with_segments_and_rules(tmp_path: Path, run: Run, folder: Path) -> None:
    """The metrics count what they decide on the held-out rows; a rule that does not fit the contract is one message."""
    rules = '[[policy.rules]]\nid = "all"\nwhen = "age >= 18"\nlabel = "MAYBE"\n'
    (folder / "mine.toml").write_text(DESCRIPTION + rules)
    ended = run("bundle", "build", "beside/mine.toml")
    assert ended.code == 0, ended.err
    manifest = BundleStore(tmp_path / "store").entries()[-1].manifest
    assert manifest is not None
    assert manifest.metrics is not None
    assert manifest.manifest_version == 3
    counts = {label: rows.ok + rows.default for label, rows in manifest.metrics.decisions.by_decision.items()}
    assert counts == {"APPROVED": 0, "MAYBE": 300, "DECLINED": 0}
    (folder / "mine.toml").write_text(DESCRIPTION + rules.replace("age >=", "agee >="))
    ended = run("bundle", "build", "beside/mine.toml")
    assert ended.code == 2
    assert "rule all: column 1: unknown field agee; did you mean age?" in ended.err
