"""Runs XGBoost tree models in UBJSON or JSON, on one thread."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from scorer.bundle.categories import require_categories
from scorer.bundle.libraries import import_library
from scorer.bundle.manifest import Setting
from scorer.bundle.tree_structure import read_document, require_trees
from scorer.bundle.xgboost_trees import read_trees
from scorer.core.score import Model
from scorer.core.trees import TreesTable
from scorer.errors import BundleError

if TYPE_CHECKING:
    import xgboost

_SAVE: Final = "save it with save_model('model.ubj')"
_DUMP: Final = f"is a dump of the trees (dump_model), which XGBoost itself cannot load: {_SAVE}"
_BINARY: Final = (
    "a file in XGBoost's old binary format must be loaded by XGBoost 1.0 to 3.0 and saved again with "
    "save_model('model.json'), because 3.1 and later cannot read it"
)
_LIGHTGBM: Final = "convert the model to ONNX with onnxmltools"
_CATBOOST: Final = "save the model with save_model('model.onnx', format='onnx')"
_OTHER_FORMATS: Final = {
    b"[": _DUMP,
    b"booster[": _DUMP,
    b"tree\n": f"is LightGBM's text format: {_LIGHTGBM}",
    b"CBM1": f"is CatBoost's format: {_CATBOOST}",
}
"""Other formats of files, by their first bytes."""
_OTHER_DOCUMENTS: Final = {
    "tree_info": f"LightGBM's dump of the trees (dump_model): {_LIGHTGBM}",
    "oblivious_trees": f"CatBoost's: {_CATBOOST}",
}
"""Other kinds of JSON documents, by a key in them."""
_checked: Final[set[bytes]] = set()
"""Digests of the documents that XGBoost can load. Building a bundle opens its model several times, and the check of a
large one takes longer than the rest."""
_NUMBER_MAX: Final = np.finfo(np.float32).max
_MESSAGE_CHARACTERS_MAX: Final = 300  # XGBoost quotes the whole document


class XGBoostModel:
    """An XGBoost model on one thread: more threads make small batches slower (xgboost#3100)."""

    def __init__(self, booster: "xgboost.Booster") -> None:
        self._booster = booster
        self._inplace_predict = booster.inplace_predict

    def trees(self) -> TreesTable | None:
        """Returns the model's trees as XGBoost loaded them; None if the compiled engine does not know their kind."""
        return read_trees(read_document(bytes(self._booster.save_raw("ubj"))))

    def contributions(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the exact contribution of each column to the log-odds of each row, shape (n, columns)."""
        import xgboost

        types = self._booster.feature_types
        # A DMatrix rejects infinite numbers. The largest finite ones are on the same side of each split.
        finite = np.clip(matrix, -_NUMBER_MAX, _NUMBER_MAX)
        rows = xgboost.DMatrix(
            finite, feature_names=self._booster.feature_names, feature_types=types, enable_categorical=True, nthread=1
        )
        contributions: NDArray[np.float32] = self._booster.predict(rows, pred_contribs=True, approx_contribs=False)
        return contributions[:, :-1]  # the last one is the mean prediction

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the probability of default of each row: shape (n, columns) to (n,)."""
        # The number of columns was checked when the model was opened, and a matrix has no names to compare.
        return self._inplace_predict(matrix, validate_features=False)


def open_xgboost(
    model: bytes,
    columns: Sequence[str],
    settings: Mapping[str, Setting],
    categories: Mapping[str, Sequence[str]] | None = None,
) -> Model:
    """Opens a booster written by `save_model` as `.ubj` or `.json`. This runner has no settings.

    Args:
        model: the file's bytes.
        columns: the matrix's columns, in order.
        settings: must be empty.
        categories: by column of category indexes, the category's values in order of their index.

    Raises:
        RunnerMissingError: XGBoost cannot be imported.
        BundleError: the model has another format, XGBoost cannot read it, it was trained on other columns or
            categories, or the manifest has settings.
    """
    if settings:
        raise BundleError(f"the runner xgboost has no settings, but the manifest has {', '.join(sorted(settings))}")
    booster = load_booster(model)
    require_columns(booster, columns)
    if categories:
        require_categories(read_learner(booster), columns, categories)
    return XGBoostModel(booster)


def load_booster(model: bytes) -> "xgboost.Booster":
    """Loads a booster written by `save_model` as `.ubj` or `.json`.

    Raises:
        RunnerMissingError: XGBoost cannot be imported.
        BundleError: the bytes have another format, or XGBoost cannot read them.
    """
    import_library("xgboost")
    import xgboost

    if not model.startswith(b"{"):
        format_ = next(
            (description for prefix, description in _OTHER_FORMATS.items() if model.startswith(prefix)), None
        )
        fix = f"it {format_}" if format_ else f"{_SAVE}; {_BINARY}"
        raise BundleError(f"the model is neither in XGBoost's UBJSON format nor in its JSON: {fix}")
    digest = hashlib.sha256(model).digest()
    if digest not in _checked:
        _require_readable(model)
        _checked.add(digest)
    try:
        booster = xgboost.Booster(params={"nthread": 1})
        booster.load_model(bytearray(model))
        booster.num_features()
    except ValueError as error:
        message = str(error).strip().partition("\n")[0][:_MESSAGE_CHARACTERS_MAX]  # without its stack trace
        raise BundleError(f"XGBoost cannot read the model: {message}") from error
    return booster


def _require_readable(model: bytes) -> None:
    """Ensures that XGBoost, which trusts its input, can load a document."""
    try:
        document = read_document(model)
        _require_xgboost(document)
        require_trees(document)
    except ValueError as error:
        raise BundleError(f"the model is damaged: {error}. Copy the file again, or save the model again") from None


def _require_xgboost(document: Mapping[str, object]) -> None:
    """Ensures that a document is an XGBoost model."""
    learner = document.get("learner")
    if not isinstance(learner, Mapping):
        other = next((description for key, description in _OTHER_DOCUMENTS.items() if key in document), None)
        raise BundleError(
            f"the model is not XGBoost's, but {other}" if other else f"the model is not XGBoost's: {_SAVE}"
        )
    if "learner_train_param" in learner:
        raise BundleError(f"the model is a booster's configuration (save_config) without trees: {_SAVE}")


def require_columns(booster: "xgboost.Booster", columns: Sequence[str]) -> None:
    """Ensures that a booster was trained on these columns, as far as it records them.

    Raises:
        BundleError: the number or the names of the columns differ.
    """
    count, names = booster.num_features(), booster.feature_names
    if count != len(columns):
        difference = (
            f"only the model has {_first_missing(names, columns)}; only the manifest has "
            f"{_first_missing(columns, names)}"
            if names
            else "list the columns that it was trained on, in its order"
        )
        raise BundleError(f"the model expects {count} columns, but the manifest has {len(columns)}: {difference}")
    if names is not None and list(names) != feature_names(columns):
        require_same_columns(names, columns)


def feature_names(columns: Sequence[str]) -> list[str]:
    """Returns the names of columns as XGBoost allows them: without [, ] and <, which a category's value may have."""
    names = [column.translate(_NOT_IN_NAMES) for column in columns]
    return [name if names.index(name) == index else f"{name} ({index})" for index, name in enumerate(names)]


_NOT_IN_NAMES: Final = str.maketrans({"[": "(", "]": ")", "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}"})


def _first_missing(names: Sequence[str], others: Sequence[str]) -> str:
    """Returns the first three names that are not among the others."""
    missing = [name for name in names if name not in others]
    return ", ".join(missing[:3] + ["…"] * (len(missing) > 3)) or "none"


def require_same_columns(names: Sequence[str], columns: Sequence[str]) -> None:
    """Ensures that a model's column names are those of the manifest; both must have the same number of columns.

    Generated names (`0`, `1`, … of a table without names, or `f0`, `f1`, …) are accepted.

    Raises:
        BundleError: names differ; the message has the first three.
    """
    if any(list(names) == [f"{prefix}{position}" for position in range(len(columns))] for prefix in ("", "f")):
        return
    differences = [
        f"{model_column} for {column}"
        for model_column, column in zip(names, columns, strict=True)
        if model_column != column
    ]
    if differences:
        fix = (
            "give `columns` in the model's order, not `fields`"
            if set(names) == set(columns)
            else "a category's column is field=value; if only the names differ, set model.feature_names = None and "
            "save the model again"
        )
        raise BundleError(
            f"the model has other columns than the manifest, or in another order: {', '.join(differences[:3])}; {fix}"
        )


def read_learner(booster: "xgboost.Booster") -> dict[str, Any]:
    """Returns the model as XGBoost writes it: in the installed version's layout, whichever version wrote the file.

    Raises:
        BundleError: XGBoost writes no valid document, because a text in the model is damaged.
    """
    try:
        learner: dict[str, Any] = json.loads(bytes(booster.save_raw("json")))["learner"]
    except ValueError as error:
        message = str(error).strip().partition("\n")[0]  # without its stack trace
        raise BundleError(f"the model is damaged: {message}. Copy the file again, or save the model again") from error
    return learner
