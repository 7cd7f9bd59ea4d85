"""Runs trees by XGBoost, from its UBJSON or its JSON, on one thread."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scorer.bundle.manifest import Setting
from scorer.core.score import Model
from scorer.errors import BundleError

if TYPE_CHECKING:
    import xgboost


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
        BundleError: it is neither, XGBoost cannot read it, it was trained on other columns, or there are settings.
    """
    import xgboost

    if settings:
        raise BundleError(f"the runner xgboost takes no settings, and the manifest has {', '.join(sorted(settings))}")
    if not model.startswith(b"{"):
        raise BundleError(
            "the model is neither in XGBoost's UBJSON format nor in its JSON: save it with save_model('model.ubj')"
        )
    try:
        booster = xgboost.Booster(params={"nthread": 1})
        booster.load_model(bytearray(model))
        names, count = booster.feature_names, booster.num_features()
    except ValueError as error:
        said = str(error).strip().partition("\n")[0]  # without its stack trace
        raise BundleError(f"XGBoost cannot read the model: {said}") from error
    if count != len(columns):
        raise BundleError(f"the model wants {count} columns and the manifest names {len(columns)}")
    if names is not None:
        require_same_columns(names, columns)
    return XGBoostModel(booster)


def require_same_columns(names: Sequence[str], columns: Sequence[str]) -> None:
    """Makes sure that a model's own names of its columns are the manifest's, of which there are as many.

    Raises:
        BundleError: with the first three that differ.
    """
    strange = [f"{theirs} for {ours}" for theirs, ours in zip(names, columns, strict=True) if theirs != ours]
    if strange:
        raise BundleError(
            f"the model has other columns than the manifest, or in another order: {', '.join(strange[:3])}"
        )
