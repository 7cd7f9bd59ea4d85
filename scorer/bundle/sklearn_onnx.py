"""A fitted scikit-learn classifier, pipelines included, to an ONNX model that says the same."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scorer.bundle.libraries import import_library
from scorer.bundle.manifest import Setting
from scorer.bundle.runners import open_model
from scorer.bundle.sklearn_steps import advise_conversion, require_convertible
from scorer.bundle.xgboost_runner import require_same_columns
from scorer.core.score import checked_predict
from scorer.errors import BundleError, MisuseError, ModelError

_TOLERANCE: Final = 1e-6
_OUTPUT: Final = "probabilities"
_SAID_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class Converted:
    """An ONNX model, and what its runner must know."""

    model: bytes
    settings: dict[str, Setting]
    libraries: dict[str, str]
    """By name, the version that it was made with."""


def convert(estimator: Any, columns: Sequence[str], default_class: object, matrix: NDArray[np.float32]) -> Converted:
    """Converts a classifier with skl2onnx, and makes sure that what comes of it says what the classifier says.

    It is converted in double precision, in which scikit-learn computes; or in single precision where onnxruntime runs
    no other (boosted trees) or double is not what the classifier says.

    Args:
        estimator: fitted on matrices of these columns.
        columns: in order.
        default_class: which of its two classes stands for a loan that is not paid back; None for 1 of 0 and 1.
        matrix: the rows on which the two must agree within a millionth, shape (n, columns).

    Raises:
        RunnerMissingError: a library cannot be imported.
        MisuseError: a library is not installed; the classifier is not fitted, has a step that takes no matrix, or has
            not two classes, or nobody said which of them is the one.
        BundleError: it was fitted on other columns, cannot be converted, or says something else once it is.
    """
    _require_converter()
    require_convertible(estimator)
    column = _find_class(estimator, default_class)
    _check_columns(estimator, columns)
    theirs = _ask(estimator, matrix)[:, column]
    faults = []
    for bits in (64, 32):
        try:
            converted = _convert(estimator, columns, column, bits)
            _require_same_answers(converted, columns, matrix, theirs)
        except (BundleError, ModelError) as error:
            faults.append(f"in {bits} bits, {error}")
        else:
            return converted
    raise BundleError(
        f"no ONNX model says what this {type(estimator).__name__} says: {'; '.join(faults)}. "
        f"{advise_conversion(estimator)}docs/runners.md tells what cannot be converted, and what to do then"
    )


def _ask(estimator: Any, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the classifier itself predicts, shape (n, 2)."""
    from sklearn.exceptions import NotFittedError

    name = type(estimator).__name__
    try:
        with warnings.catch_warnings():
            # Fitted on a table with named columns, asked with a plain matrix of the same: the names were compared.
            warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
            theirs = np.asarray(estimator.predict_proba(matrix.astype(np.float64)), dtype=np.float64)
    except NotFittedError as error:
        raise MisuseError(f"this {name} is not fitted, or a part of it is not: {_shorten(error)}") from error
    except Exception as error:  # each estimator raises as it likes
        if np.isnan(matrix).any() and "NaN" in str(error):
            raise BundleError(
                "scikit-learn itself cannot score the golden examples, in some of which a number is unknown: "
                f"{_shorten(error)}. Fit it on such rows too, or say what else stands for an unknown number (missing)"
            ) from error
        raise BundleError(
            f"this {name} cannot score the matrix that a bundle gives its model: {type(error).__name__}: "
            f"{_shorten(error)}. Fit it on description.matrix(applications), which is that matrix"
        ) from error
    if theirs.shape != (len(matrix), 2):
        raise BundleError(
            f"this {name} gives probabilities of shape {theirs.shape} for {len(matrix)} rows, not two per row: fit it "
            "on one label per row, 1 for loans that were not paid back"
        )
    return theirs


def _convert(estimator: Any, columns: Sequence[str], column: int, bits: int) -> Converted:
    import onnx
    import skl2onnx
    import sklearn
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    numbers = DoubleTensorType if bits == 64 else FloatTensorType
    try:
        with warnings.catch_warnings():
            # Of protobuf to skl2onnx, which only its authors can heed; a later protobuf refuses what this one warns of.
            warnings.filterwarnings("ignore", "Field onnx", DeprecationWarning)
            # With a name of its own the model would have another each time, and so another digest.
            made = skl2onnx.convert_sklearn(
                estimator,
                name="probability of default",
                initial_types=[("applications", numbers([None, len(columns)]))],
                options={id(estimator): {"zipmap": False}},
            )
    except Exception as error:  # each of its converters raises as it likes
        cause = error.__cause__ or error
        raise BundleError(f"skl2onnx cannot convert it: {type(cause).__name__}: {_shorten(cause)}") from error
    libraries = {"scikit-learn": sklearn.__version__, "skl2onnx": skl2onnx.__version__, "onnx": onnx.__version__}
    return Converted(made.SerializeToString(), {"output": _OUTPUT, "column": column}, libraries)


def _require_same_answers(
    converted: Converted, columns: Sequence[str], matrix: NDArray[np.float32], theirs: NDArray[np.float64]
) -> None:
    model = open_model("onnx", "the converted model", converted.model, columns, converted.settings)
    away = np.abs(checked_predict(model, matrix).astype(np.float64) - theirs)
    wrong = ~(away <= _TOLERANCE)
    if wrong.any():
        raise BundleError(
            f"{wrong.sum()} of {len(matrix)} applications get another probability than from scikit-learn, "
            f"by up to {away.max():.2g}, and {_TOLERANCE:g} is allowed"
        )


def _shorten(error: BaseException) -> str:
    return " ".join(str(error).split())[:_SAID_MAX]


def _require_converter() -> None:
    modules = "sklearn", "skl2onnx", "onnxruntime"
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MisuseError(
            f"converting a scikit-learn model needs {', '.join(missing)}: "
            "pip install 'streaming-credit-scorer[sklearn]'"
        )
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
    known: list[object] = np.asarray(classes).tolist()
    if len(known) != 2:
        raise MisuseError(
            f"this {name} tells the classes {known} apart, and two are needed: fit it with the label 1 for loans that "
            "were not paid back and 0 for the others"
        )
    if default_class is None and set(known) != {0, 1}:
        raise MisuseError(
            f"this {name} tells the classes {known} apart: which of them stands for loans that were not paid back? Say "
            f"default_class={known[0]!r} or default_class={known[1]!r}"
        )
    if default_class is None:
        return known.index(1)
    if default_class not in known:
        raise MisuseError(
            f"this {name} tells the classes {known} apart, and default_class must name the one for loans that were not "
            f"paid back, which {default_class!r} does not"
        )
    return known.index(default_class)


def _check_columns(estimator: Any, columns: Sequence[str]) -> None:
    count = getattr(estimator, "n_features_in_", len(columns))
    if count != len(columns):
        raise BundleError(
            f"the model wants {count} columns and the description names {len(columns)}: fit it on "
            "description.matrix(applications), or name its columns in the description"
        )
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        require_same_columns([str(name) for name in names], columns)
