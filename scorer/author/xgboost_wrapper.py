"""Supports XGBoost's scikit-learn wrappers: uses their booster exactly as the wrapper does."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.author.boosters import Rounds
from scorer.author.comparison import TOLERANCE
from scorer.author.model_input import ModelInput
from scorer.author.training_matrix import require_missing
from scorer.bundle.libraries import describe_failure
from scorer.errors import BundleError, MisuseError


def is_wrapper(model: object) -> bool:
    """Whether the model is an XGBoost scikit-learn wrapper, such as XGBClassifier or a subclass."""
    return hasattr(model, "get_booster")


def read_input(model: Any, inputs: ModelInput, default_class: object) -> ModelInput:
    """Returns what the bundle's model reads, with the wrapper's missing value as NaN.

    Args:
        model: the wrapper.
        inputs: what the model reads, as described by the user.
        default_class: the class of loans that were not paid back; None means the wrapper's class 1.

    Raises:
        MisuseError: the wrapper is not fitted, or does not have two classes with 1 for the defaults.
        BundleError: its missing value is one that a field of an application can have.
    """
    name = type(model).__name__
    if not model.__sklearn_is_fitted__():
        raise MisuseError(f"this {name} is not fitted: fit it on description.matrix(applications)")
    classes = getattr(model, "n_classes_", 2)
    if classes != 2:
        raise MisuseError(
            f"this {name} has {classes} classes, but two are needed: fit it with the label 1 for loans that were not "
            "paid back and 0 for the others"
        )
    if default_class not in (None, 1):
        raise MisuseError(
            f"an XGBoost model predicts the probability of the label 1, but default_class is {default_class!r}: fit "
            f"this {name} with the label 1 for loans that were not paid back, and omit default_class"
        )
    missing = model.get_params().get("missing")
    if not isinstance(missing, int | float | np.number):
        raise MisuseError(
            f"this {name} has missing={missing!r}, with which XGBoost cannot predict: call "
            "model.set_params(missing=float('nan')), the default"
        )
    if np.isnan(missing):
        return inputs
    if missing == inputs.missing:
        inputs = inputs.leave_missing()  # the wrapper itself replaces this value by NaN
    require_missing(float(missing), inputs)
    return inputs


def require_same_answers(
    model: Any, matrix: NDArray[np.float32], bundle_probabilities: NDArray[np.float32], rounds: Rounds | None
) -> None:
    """Checks that the wrapper and its booster in the bundle predict the same.

    Args:
        model: the wrapper.
        matrix: the input of the wrapper, shape (n, columns).
        bundle_probabilities: the bundle's probabilities of the same applications, shape (n,).
        rounds: "all" to use all rounds instead of those that the wrapper would choose.

    Raises:
        BundleError: they differ by more than 1e-6, or the wrapper cannot predict.
    """
    options = {"iteration_range": (0, model.get_booster().num_boosted_rounds())} if rounds == "all" else {}
    try:
        if hasattr(model, "predict_proba"):
            wrapper_probabilities = model.predict_proba(matrix, validate_features=False, **options)[:, 1]
        else:
            wrapper_probabilities = model.predict(matrix, validate_features=False, **options)
    except Exception as error:  # a subclass may raise anything
        raise BundleError(
            f"this {type(model).__name__} cannot score the matrix of a bundle: {describe_failure(error)}. Pass its "
            "booster, model.get_booster()"
        ) from error
    differences = np.abs(wrapper_probabilities.astype(np.float64) - bundle_probabilities)
    differing = ~(differences <= TOLERANCE)
    if differing.any():
        raise BundleError(
            f"the probabilities of {differing.sum()} of {len(differing)} applications differ from those of this "
            f"{type(model).__name__}, by up to {differences.max():.2g} (allowed: {TOLERANCE:g}): was it changed "
            "after it was fitted?"
        )
