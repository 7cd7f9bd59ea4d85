"""Runners: the model's format and columns are what the manifest says, and a pickle is never opened."""

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import xgboost

from scorer.bundle.manifest import parse_manifest
from scorer.bundle.runners import open_model
from scorer.errors import BundleError, ModelError
from tests.unit.bundle.making import PLAIN

MODEL = (PLAIN / "model.ubj").read_bytes()
COLUMNS = parse_manifest((PLAIN / "bundle.json").read_bytes()).features.columns


class _Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self._target,)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["model.ubj", "model.bin"])
def test_a_pickle_is_known_by_its_bytes(tmp_path: Path, protocol: int, name: str) -> None:
    """Whatever it is called, a pickle is refused as one, and the code that it carries does not run."""
    target = tmp_path / "sprung"
    with pytest.raises(BundleError, match="pickles are never opened"):
        open_model("xgboost", name, pickle.dumps(_Trap(target), protocol), COLUMNS)
    assert not target.exists()


@pytest.mark.parametrize("protocol", [0, 1])
def test_an_ancient_pickle_is_refused_too(tmp_path: Path, protocol: int) -> None:
    """Protocols 0 and 1 have no mark; they are not the runner's format, so nothing opens them."""
    target = tmp_path / "sprung"
    with pytest.raises(BundleError, match="UBJSON"):
        open_model("xgboost", "model.ubj", pickle.dumps(_Trap(target), protocol), COLUMNS)
    assert not target.exists()


@pytest.mark.parametrize("name", ["model.pkl", "model.PICKLE", "model.joblib"])
def test_a_pickle_is_known_by_its_name(name: str) -> None:
    """Who names a model so meant a pickle, whatever is in it."""
    with pytest.raises(BundleError, match=f"{name} is a pickle"):
        open_model("xgboost", name, MODEL, COLUMNS)


@pytest.mark.parametrize("content", [b"", b"\x80", b"binf\x00", b"hello", b'{"learner":{}}', b"\x7fELF"])
def test_only_ubjson_is_read(content: bytes) -> None:
    """Another format is refused before XGBoost's parser sees it."""
    with pytest.raises(BundleError, match="UBJSON"):
        open_model("xgboost", "model.ubj", content, COLUMNS)


def test_what_xgboost_cannot_read_is_a_bundle_error() -> None:
    """Its message comes in one line, without XGBoost's stack trace."""
    with pytest.raises(BundleError, match="XGBoost cannot read the model") as raised:
        open_model("xgboost", "model.ubj", b"{}", COLUMNS)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (COLUMNS[:-1], "wants 24 columns and the manifest names 23"),
        ((*COLUMNS, "marital=unk"), "wants 24 columns and the manifest names 25"),
        (COLUMNS[::-1], "in another order: age for time, amount for seniority, assets for records=yes"),
        (("price", *COLUMNS[1:]), "age for price"),
    ],
)
def test_the_columns_are_those_the_model_was_trained_on(columns: Sequence[str], message: str) -> None:
    """A matrix in another order would be scored without a word, and wrongly."""
    with pytest.raises(BundleError, match=message):
        open_model("xgboost", "model.ubj", MODEL, columns)


def test_a_model_without_names_is_taken_by_its_count() -> None:
    """XGBoost keeps no names if it was trained without; then the manifest's are believed."""
    examples = xgboost.DMatrix(np.eye(4, dtype=np.float32), label=[0, 1, 0, 1])
    raw = bytes(xgboost.train({"nthread": 1}, examples, 1).save_raw("ubj"))
    open_model("xgboost", "model.ubj", raw, ("age", "amount", "assets", "debt"))


def test_an_unknown_runner_is_refused_by_name() -> None:
    """The message says what there is."""
    with pytest.raises(BundleError, match="no runner 'torch' here: xgboost"):
        open_model("torch", "model.pt", MODEL, COLUMNS)


def test_a_matrix_that_does_not_fit_is_a_model_error() -> None:
    """What the core narrows down to records: one line, with no stack trace."""
    model = open_model("xgboost", "model.ubj", MODEL, COLUMNS)
    with pytest.raises(ModelError, match="Number of columns") as raised:
        model.predict(np.zeros((2, 3), dtype=np.float32))
    assert "\n" not in str(raised.value)


def test_predictions_do_not_share_memory() -> None:
    """What one batch returned is not overwritten by the next."""
    model = open_model("xgboost", "model.ubj", MODEL, COLUMNS)
    first = model.predict(np.zeros((3, len(COLUMNS)), dtype=np.float32))
    kept = first.copy()
    second = model.predict(np.full((3, len(COLUMNS)), 50, dtype=np.float32))
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)
