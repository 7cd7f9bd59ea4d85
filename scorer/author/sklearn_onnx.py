"""Converts a fitted scikit-learn classifier or pipeline to an ONNX model that gives the same predictions."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scorer.author.comparison import TOLERANCE
from scorer.author.sklearn_steps import advise_conversion, require_convertible
from scorer.bundle.libraries import import_library
from scorer.bundle.manifest import Setting
from scorer.bundle.runners import open_model
from scorer.bundle.xgboost_runner import require_same_columns
from scorer.core.score import checked_predict
from scorer.errors import BundleError, MisuseError, ModelError
from scorer.extras import install_command

_OUTPUT: Final = "probabilities"
_MESSAGE_CHARACTERS_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class Converted:
    """An ONNX model, with the settings of its runner."""

    model: bytes
    settings: dict[str, Setting]
    libraries: dict[str, str]
    """Version of each library that it was converted with, by name."""


def convert(estimator: Any, columns: Sequence[str], default_class: object, matrix: NDArray[np.float32]) -> Converted:
    """Converts a classifier with skl2onnx, and ensures that both give the same predictions.

    The conversion uses double precision, as scikit-learn does; or single precision, if onnxruntime supports only that
    (boosted trees) or the predictions in double precision differ.

    Args:
        estimator: a classifier that was fitted on a matrix with these columns.
        columns: the columns, in order.
        default_class: the class that means "not paid back"; None if the classes are 0 and 1, where it is 1.
        matrix: the rows on which the predictions must agree within 1e-6, shape (n, columns).

    Raises:
        RunnerMissingError: a library cannot be imported.
        MisuseError: a library is not installed; or the classifier is not fitted, has a step whose input is not a
            matrix, does not have two classes, or it is not specified which one means "not paid back".
        BundleError: the classifier was fitted on other columns, cannot be converted, or its predictions differ from
            those of the converted model.
    """
    _require_converter()
    require_convertible(estimator)
    column = _find_class(estimator, default_class)
    _check_columns(estimator, columns)
    original_predictions = _predict_original(estimator, matrix)[:, column]
    failures = []
    for bits in (64, 32):
        try:
            converted = _convert(estimator, columns, column, bits)
            _require_same_predictions(converted, columns, matrix, original_predictions)
        except (BundleError, ModelError) as error:
            failures.append(f"in {bits} bits, {error}")
        else:
            return converted
    raise BundleError(
        f"cannot convert this {type(estimator).__name__} to an ONNX model with the same predictions: "
        f"{'; '.join(failures)}. {advise_conversion(estimator)}docs/runners.md lists what cannot be converted, with "
        "alternatives"
    )


def _predict_original(estimator: Any, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns the predictions of the original classifier, shape (n, 2)."""
    from sklearn.exceptions import NotFittedError

    name = type(estimator).__name__
    try:
        with warnings.catch_warnings():
            # Fitted on a table with column names, called with a matrix without names: the names were already compared.
            warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
            predictions = np.asarray(estimator.predict_proba(matrix.astype(np.float64)), dtype=np.float64)
    except NotFittedError as error:
        raise MisuseError(f"this {name} is not fitted, or a part of it is not: {_shorten(error)}") from error
    except Exception as error:  # estimators have no common base exception
        if np.isnan(matrix).any() and "NaN" in str(error):
            raise BundleError(
                "scikit-learn itself cannot score the golden examples, in some of which a number is unknown: "
                f"{_shorten(error)}. Fit it on such rows too, or set missing to a number that stands for unknown ones"
            ) from error
        raise BundleError(
            f"this {name} cannot score a bundle's matrix: {type(error).__name__}: {_shorten(error)}. "
            "Fit it on description.matrix(applications), which is that matrix"
        ) from error
    if predictions.shape != (len(matrix), 2):
        raise BundleError(
            f"this {name} gives probabilities of shape {predictions.shape} for {len(matrix)} rows, expected two per "
            "row: fit it on one label per row, 1 for loans that were not paid back"
        )
    return predictions


def _convert(estimator: Any, columns: Sequence[str], column: int, bits: int) -> Converted:
    import onnx
    import skl2onnx
    import sklearn
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    numbers = DoubleTensorType if bits == 64 else FloatTensorType
    try:
        with warnings.catch_warnings():
            # A protobuf warning about skl2onnx that only its authors can fix; a later protobuf raises an error instead.
            warnings.filterwarnings("ignore", "Field onnx", DeprecationWarning)
            # Without a fixed name skl2onnx would generate a new one each time, and the digest would differ.
            onnx_model = skl2onnx.convert_sklearn(
                estimator,
                name="probability of default",
                initial_types=[("applications", numbers([None, len(columns)]))],
                options={id(estimator): {"zipmap": False}},
            )
    except Exception as error:  # its converters have no common base exception
        cause = error.__cause__ or error
        raise BundleError(f"skl2onnx cannot convert it: {type(cause).__name__}: {_shorten(cause)}") from error
    libraries = {"scikit-learn": sklearn.__version__, "skl2onnx": skl2onnx.__version__, "onnx": onnx.__version__}
    return Converted(onnx_model.SerializeToString(), {"output": _OUTPUT, "column": column}, libraries)


def _require_same_predictions(
    converted: Converted, columns: Sequence[str], matrix: NDArray[np.float32], original_predictions: NDArray[np.float64]
) -> None:
    model = open_model("onnx", "the converted model", converted.model, columns, converted.settings)
    differences = np.abs(checked_predict(model, matrix).astype(np.float64) - original_predictions)
    differs = ~(differences <= TOLERANCE)
    if differs.any():
        raise BundleError(
            f"{differs.sum()} of {len(matrix)} applications get another probability than from scikit-learn: the "
            f"largest difference is {differences.max():.2g}, {TOLERANCE:g} is allowed"
        )


def _shorten(error: BaseException) -> str:
    return " ".join(str(error).split())[:_MESSAGE_CHARACTERS_MAX]


def _require_converter() -> None:
    modules = "sklearn", "skl2onnx", "onnxruntime"
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MisuseError(f"converting a scikit-learn model needs {', '.join(missing)}: {install_command('sklearn')}")
    for module in modules:
        import_library(module)


def _find_class(estimator: Any, default_class: object) -> int:
    name = type(estimator).__name__
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        raise MisuseError(f"this {name} is not fitted: fit it on description.matrix(applications)")
    if isinstance(classes, list):
        raise MisuseError(
            f"this {name} was fitted on several labels per row: fit it on one, 1 for loans that were not paid back"
        )
    class_values: list[object] = np.asarray(classes).tolist()
    if len(class_values) != 2:
        raise MisuseError(
            f"this {name} has the classes {class_values}, but two are needed: fit it with the label 1 for loans that "
            "were not paid back and 0 for the others"
        )
    if default_class is None and set(class_values) != {0, 1}:
        raise MisuseError(
            f"this {name} has the classes {class_values}: which of them stands for loans that were not paid back? "
            f"Pass default_class={class_values[0]!r} or default_class={class_values[1]!r}"
        )
    if default_class is None:
        return class_values.index(1)
    if default_class not in class_values:
        raise MisuseError(
            f"this {name} has the classes {class_values}, but default_class is {default_class!r}: pass the class for "
            "loans that were not paid back"
        )
    return class_values.index(default_class)


def _check_columns(estimator: Any, columns: Sequence[str]) -> None:
    count = getattr(estimator, "n_features_in_", len(columns))
    if count != len(columns):
        raise BundleError(
            f"the model expects {count} columns, but the description has {len(columns)}: fit it on "
            "description.matrix(applications), or list its columns in the description"
        )
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        require_same_columns([str(name) for name in names], columns)
