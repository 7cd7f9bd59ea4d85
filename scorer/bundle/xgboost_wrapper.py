"""Takes a model of XGBoost's scikit-learn wrapper as the wrapper itself would use its booster."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scorer.bundle.boosters import Rounds, require_missing
from scorer.bundle.libraries import describe_failure
from scorer.bundle.manifest import Features
from scorer.errors import BundleError, MisuseError

_TOLERANCE: Final = 1e-6


def is_wrapper(model: object) -> bool:
    """Whether it is a model of XGBoost's wrapper, such as XGBClassifier, or of a class derived from one."""
    return hasattr(model, "get_booster")


def read_features(model: Any, features: Features, default_class: object) -> Features:
    """The bundle's features, with what the wrapper takes for a missing value as NaN.

    Args:
        model: the wrapper.
        features: as they are described.
        default_class: the class that stands for a loan that was not paid back; None leaves it to the wrapper.

    Raises:
        MisuseError: the wrapper is not fitted, or does not tell two classes apart, of which 1 is the default.
        BundleError: it takes values for missing that an application may have.
    """
    name = type(model).__name__
    if not model.__sklearn_is_fitted__():
        raise MisuseError(f"this {name} is not fitted: fit it on description.matrix(applications)")
    classes = getattr(model, "n_classes_", 2)
    if classes != 2:
        raise MisuseError(
            f"this {name} tells {classes} classes apart, and two are needed: fit it with the label 1 for loans that "
            "were not paid back and 0 for the others"
        )
    if default_class not in (None, 1):
        raise MisuseError(
            f"an XGBoost model gives the probability of the label 1, and default_class is {default_class!r}: fit this "
            f"{name} with the label 1 for loans that were not paid back, and leave default_class out"
        )
    missing = model.get_params().get("missing")
    if not isinstance(missing, int | float | np.number):
        raise MisuseError(
            f"this {name} has missing={missing!r}, with which XGBoost cannot predict: "
            "model.set_params(missing=float('nan')), its default"
        )
    if np.isnan(missing):
        return features
    if missing == features.missing:
        features = features.model_copy(update={"missing": None})  # what the wrapper makes a missing value of itself
    require_missing(float(missing), features)
    return features


def require_same_answers(
    model: Any, matrix: NDArray[np.float32], ours: NDArray[np.float32], rounds: Rounds | None
) -> None:
    """Makes sure that the wrapper predicts what its booster predicts in the bundle.

    Args:
        model: the wrapper.
        matrix: what the wrapper is asked with, shape (n, columns).
        ours: the bundle's probabilities of the same applications, shape (n,).
        rounds: "all" if all rounds decide, and not those that the wrapper would choose.

    Raises:
        BundleError: they differ by more than a millionth, or the wrapper cannot predict.
    """
    asked = {"iteration_range": (0, model.get_booster().num_boosted_rounds())} if rounds == "all" else {}
    try:
        if hasattr(model, "predict_proba"):
            theirs = model.predict_proba(matrix, validate_features=False, **asked)[:, 1]
        else:
            theirs = model.predict(matrix, validate_features=False, **asked)
    except Exception as error:  # a derived class raises as it likes
        raise BundleError(
            f"this {type(model).__name__} cannot score the matrix that a bundle gives its model: "
            f"{describe_failure(error)}. Give its booster, model.get_booster()"
        ) from error
    away = np.abs(theirs.astype(np.float64) - ours)
    wrong = ~(away <= _TOLERANCE)
    if wrong.any():
        raise BundleError(
            f"{wrong.sum()} of {len(wrong)} applications get another probability than from this "
            f"{type(model).__name__}, by up to {away.max():.2g}, and {_TOLERANCE:g} is allowed: was it changed "
            "after it was fitted?"
        )
