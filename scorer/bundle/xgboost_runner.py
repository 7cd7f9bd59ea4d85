"""Runs trees by XGBoost, from its UBJSON or its JSON, on one thread."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from scorer.bundle.libraries import import_library
from scorer.bundle.manifest import Setting
from scorer.bundle.tree_structure import read_document, require_trees
from scorer.core.score import Model
from scorer.errors import BundleError

if TYPE_CHECKING:
    import xgboost

_SAVE: Final = "save it with save_model('model.ubj')"
_DUMP: Final = f"is a dump of the trees (dump_model), which XGBoost itself cannot load: {_SAVE}"
_BINARY: Final = (
    "a file in XGBoost's old binary format must be loaded by XGBoost 1.0 to 3.0 and saved again with "
    "save_model('model.json'), since 3.1 and later cannot read it"
)
_LIGHTGBM: Final = "convert the model to ONNX with onnxmltools"
_CATBOOST: Final = "save the model with save_model('model.onnx', format='onnx')"
_OTHER_FORMATS: Final = {
    b"[": _DUMP,
    b"booster[": _DUMP,
    b"tree\n": f"is LightGBM's text: {_LIGHTGBM}",
    b"CBM1": f"is CatBoost's: {_CATBOOST}",
}
"""What else a file is, by its first bytes."""
_OTHER_DOCUMENTS: Final = {
    "tree_info": f"LightGBM's dump of the trees (dump_model): {_LIGHTGBM}",
    "oblivious_trees": f"CatBoost's: {_CATBOOST}",
}
"""What else a JSON document is, by a key that it has."""
_SAID_MAX: Final = 300  # XGBoost quotes the whole document


class XGBoostModel:
    """Trees by XGBoost, on one thread: more make small batches slower (xgboost#3100)."""

    def __init__(self, booster: "xgboost.Booster") -> None:
        self._inplace_predict = booster.inplace_predict

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability of default of each row: shape (n, columns) to (n,)."""
        # The number of columns was compared before, by whoever opened the model; the names cannot differ.
        return self._inplace_predict(matrix, validate_features=False)


def open_xgboost(model: bytes, columns: Sequence[str], settings: Mapping[str, Setting]) -> Model:
    """Opens a booster that `save_model` wrote as `.ubj` or `.json`. It takes no settings.

    Raises:
        RunnerMissingError: XGBoost cannot be imported.
        BundleError: it is neither, XGBoost cannot read it, it was trained on other columns, or there are settings.
    """
    if settings:
        raise BundleError(f"the runner xgboost takes no settings, and the manifest has {', '.join(sorted(settings))}")
    booster = load_booster(model)
    require_columns(booster, columns)
    return XGBoostModel(booster)


def load_booster(model: bytes) -> "xgboost.Booster":
    """Loads a booster that `save_model` wrote as `.ubj` or `.json`.

    Raises:
        RunnerMissingError: XGBoost cannot be imported.
        BundleError: the bytes have another format, or XGBoost cannot read them.
    """
    import_library("xgboost")
    import xgboost

    if not model.startswith(b"{"):
        format_ = next((what for head, what in _OTHER_FORMATS.items() if model.startswith(head)), None)
        cure = f"it {format_}" if format_ else f"{_SAVE}; {_BINARY}"
        raise BundleError(f"the model is neither in XGBoost's UBJSON format nor in its JSON: {cure}")
    try:
        document = read_document(model)
        _require_xgboost(document)
        require_trees(document)
    except ValueError as fault:  # XGBoost itself would crash
        raise BundleError(f"the model is damaged: {fault}. Copy the file again, or save the model again") from None
    try:
        booster = xgboost.Booster(params={"nthread": 1})
        booster.load_model(bytearray(model))
        booster.num_features()
    except ValueError as error:
        said = str(error).strip().partition("\n")[0][:_SAID_MAX]  # without its stack trace
        raise BundleError(f"XGBoost cannot read the model: {said}") from error
    return booster


def _require_xgboost(document: Mapping[str, object]) -> None:
    """Makes sure that a document is a model, and one of XGBoost's."""
    learner = document.get("learner")
    if not isinstance(learner, Mapping):
        other = next((what for key, what in _OTHER_DOCUMENTS.items() if key in document), None)
        raise BundleError(
            f"the model is not XGBoost's, but {other}" if other else f"the model is not XGBoost's: {_SAVE}"
        )
    if "learner_train_param" in learner:
        raise BundleError(f"the model is a booster's configuration (save_config), without its trees: {_SAVE}")


def require_columns(booster: "xgboost.Booster", columns: Sequence[str]) -> None:
    """Makes sure that a booster was trained on these columns, as far as it knows.

    Raises:
        BundleError: it wants more or fewer, or has other names for them.
    """
    count, names = booster.num_features(), booster.feature_names
    if count != len(columns):
        apart = (
            f"only the model has {_few(names, columns)}; only the manifest has {_few(columns, names)}"
            if names
            else "describe the columns that it was trained on, in its order"
        )
        raise BundleError(f"the model wants {count} columns and the manifest names {len(columns)}: {apart}")
    if names is not None:
        require_same_columns(names, columns)


def _few(names: Sequence[str], others: Sequence[str]) -> str:
    """The first names that are not among the others."""
    alone = [name for name in names if name not in others]
    return ", ".join(alone[:3] + ["…"] * (len(alone) > 3)) or "none"


def require_same_columns(names: Sequence[str], columns: Sequence[str]) -> None:
    """Makes sure that a model's own names of its columns are the manifest's, of which there are as many.

    Names that are only numbers (`0`, `1`, … of a table without names, or `f0`, `f1`, …) say nothing and are accepted.

    Raises:
        BundleError: with the first three that differ.
    """
    if any(list(names) == [f"{prefix}{place}" for place in range(len(columns))] for prefix in ("", "f")):
        return
    strange = [f"{theirs} for {ours}" for theirs, ours in zip(names, columns, strict=True) if theirs != ours]
    if strange:
        cure = (
            "give `columns` in the model's order, not `fields`"
            if set(names) == set(columns)
            else "a category's column is field=value; where only the names differ, set model.feature_names = None and "
            "save the model again"
        )
        raise BundleError(
            f"the model has other columns than the manifest, or in another order: {', '.join(strange[:3])}; {cure}"
        )
