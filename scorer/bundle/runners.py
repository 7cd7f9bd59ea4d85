"""What turns a matrix into probabilities: one opener for each kind of model that a bundle may hold."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from scorer.core.score import Model
from scorer.errors import BundleError, ModelError

if TYPE_CHECKING:
    import xgboost

_PICKLE_SUFFIXES: Final = (".pkl", ".pickle", ".joblib")
# A pickle of protocol 2 or later begins with this byte and its protocol.
_PICKLE_MARK: Final = b"\x80"
_PICKLE_PROTOCOLS: Final = range(2, 6)


class XGBoostModel:
    """Trees by XGBoost, on one thread: more make small batches slower (xgboost#3100)."""

    def __init__(self, booster: "xgboost.Booster") -> None:
        self._inplace_predict = booster.inplace_predict

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability of default of each row: shape (n, columns) to (n,). Raises ModelError when it cannot."""
        try:
            # XGBoost compares the number of columns itself; validate_features would only do it twice.
            return self._inplace_predict(matrix, validate_features=False)
        except ValueError as error:  # XGBoostError is one
            raise ModelError(f"XGBoost: {_first_line(error)}") from error


def _open_xgboost(model: bytes, columns: Sequence[str]) -> Model:
    import xgboost

    if not model.startswith(b"{") or model.startswith(b'{"'):
        raise BundleError("the model is not in XGBoost's UBJSON format: save it with save_model('model.ubj')")
    try:
        booster = xgboost.Booster(params={"nthread": 1})
        booster.load_model(bytearray(model))
        names, count = booster.feature_names, booster.num_features()
    except ValueError as error:
        raise BundleError(f"XGBoost cannot read the model: {_first_line(error)}") from error
    if count != len(columns):
        raise BundleError(f"the model wants {count} columns and the manifest names {len(columns)}")
    if names is not None and tuple(names) != tuple(columns):
        strange = [f"{theirs} for {ours}" for theirs, ours in zip(names, columns, strict=True) if theirs != ours]
        raise BundleError(
            f"the model has other columns than the manifest, or in another order: {', '.join(strange[:3])}"
        )
    return XGBoostModel(booster)


RUNNERS: Final[Mapping[str, Callable[[bytes, Sequence[str]], Model]]] = {"xgboost": _open_xgboost}
"""By the name that a manifest gives: what opens a model, given its bytes and the matrix's columns."""


def open_model(runner: str, name: str, model: bytes, columns: Sequence[str]) -> Model:
    """Opens a bundle's model.

    The model libraries trust what they read, and may crash on what is damaged: check the digest first.

    Args:
        runner: the name of the kind of model.
        name: the file's name.
        model: the file's bytes.
        columns: the columns that the matrix will have, in order.

    Raises:
        BundleError: there is no such runner, the model is a pickle or otherwise not the runner's format, or it was
            trained on other columns.
    """
    refuse_pickle(name, model)
    if runner not in RUNNERS:
        raise BundleError(f"there is no runner {runner!r} here: {', '.join(RUNNERS)} is what this release has")
    return RUNNERS[runner](model, columns)


def refuse_pickle(name: str, content: bytes) -> None:
    """Makes sure that a file is no pickle, by its name and by how it begins.

    Raises:
        BundleError: it is one.
    """
    if name.lower().endswith(_PICKLE_SUFFIXES) or _looks_like_a_pickle(content):
        raise BundleError(
            f"{name} is a pickle, and pickles are never opened: they run whatever code they carry. "
            "Save the model in its library's open format instead (XGBoost: UBJSON)"
        )


def _looks_like_a_pickle(content: bytes) -> bool:
    return content[:1] == _PICKLE_MARK and content[1:2] != b"" and content[1] in _PICKLE_PROTOCOLS


def _first_line(error: ValueError) -> str:
    """What XGBoost says without its stack trace."""
    return str(error).strip().partition("\n")[0]
