"""Checks an XGBoost model before it becomes a bundle's model, wherever it comes from.

Every path from such a model to a bundle calls `check_booster`: a file, a booster or a classifier in Python, a BentoML
export, `scorer train`. `build_bundle` calls it again, so that no path is less strict. Opening a bundle does not call
it: bundles built by older versions still open.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from scorer.author.model_input import ModelInput
from scorer.author.training_matrix import require_missing, require_numbers, require_same_matrix
from scorer.bundle.categories import require_categories
from scorer.bundle.ubjson import is_ubjson
from scorer.bundle.xgboost_runner import load_booster, read_learner, require_columns
from scorer.errors import BundleError, MisuseError

if TYPE_CHECKING:
    import xgboost

Rounds = Literal["best", "all"]
"""Boosting rounds to use of a model that was trained with early stopping: up to the best one, or all."""

_OBJECTIVES: Final = ("binary:logistic", "reg:logistic")
"""The objectives whose output is the probability of the label 1."""

_OUTPUTS: Final = {
    "binary:logitraw": "log-odds",
    "binary:hinge": "labels, 0 or 1",
    "multi:softmax": "labels",
    "multi:softprob": "one probability for each class",
    "rank:": "ranking scores",
    "count:": "counts",
    "survival:": "survival times or hazards",
    "reg:": "amounts",
}
"""Output of the other objectives, by prefix of their names."""

_CUSTOM: Final = (
    ". XGBoost also writes reg:squarederror for a custom objective (obj=…): pass objective='binary:logistic' as well, "
    "so that the model converts its output to a probability"
)
_TEXT_FORMAT_SINCE: Final = (1, 6)  # XGBoost reads JSON of this version and later without a warning
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class CheckedBooster:
    """A model that passed the checks for a bundle."""

    model: bytes
    """Unchanged; or rewritten as UBJSON, if rounds were left out or XGBoost before 1.6 wrote it."""
    is_rewritten: bool
    note: str | None
    """Which rounds the model has, if it was trained with early stopping."""


def check_booster(
    model: bytes, inputs: ModelInput, rounds: Rounds | None = None, *, by_wrapper: bool = False
) -> CheckedBooster:
    """Checks that a model predicts probabilities of default from a bundle's matrix, and selects its rounds.

    The function is idempotent: the returned model passes unchanged.

    Args:
        model: as written by `save_model`, in UBJSON or JSON.
        inputs: the bundle's columns, and the number that stands for unknown numbers.
        rounds: the rounds to use after early stopping; None if the model's author did not specify them.
        by_wrapper: whether the caller knows that XGBoost's scikit-learn wrapper saved the model; the wrapper predicts
            with the rounds up to the best one.

    Raises:
        RunnerMissingError: XGBoost cannot be imported.
        BundleError: XGBoost cannot read the model; it has other columns, does not output a probability, was trained on
            a matrix that a bundle never passes, or it is not specified which rounds to use. The message has the fix.
    """
    model = model.removeprefix(_BYTE_ORDER_MARK).lstrip()  # an editor may add these to JSON
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*saved before XGBoost", UserWarning)  # see _modernize
        booster = load_booster(model)
    learner = read_learner(booster)
    _require_probabilities(learner)
    require_columns(booster, inputs.columns)
    trees = _trees_of(learner)
    if not any(tree["left_children"][0] != -1 for tree in trees):
        raise BundleError(
            "none of the model's trees has a split, so every application gets the same probability: was the model "
            "trained on one outcome only, or on too few rows?"
        )
    require_categories(learner, inputs.columns, inputs.encoding.categories)
    require_numbers(learner, trees, inputs)
    require_same_matrix(trees, inputs)
    saved_by_wrapper = _is_saved_by_wrapper(learner, inputs)
    whole_model = _modernize(booster, model)
    return _select_rounds(booster, _read_best(learner), whole_model, rounds, by_wrapper=by_wrapper or saved_by_wrapper)


def read_booster(booster: Any) -> bytes:
    """Serializes a booster object for `check_booster`.

    Raises:
        MisuseError: the booster is not trained.
    """
    try:
        return bytes(booster.save_raw("ubj"))
    except ValueError as error:
        message = str(error).strip().partition("\n")[0]  # without its stack trace
        raise MisuseError(f"XGBoost cannot save this {type(booster).__name__}: was it trained? {message}") from error


def _require_probabilities(learner: Mapping[str, Any]) -> None:
    """Ensures that the output is one number per row, the probability of the label 1."""
    booster = learner["gradient_booster"]["name"]
    if booster == "gblinear":
        raise BundleError(
            "the model's booster is gblinear, a linear model, but the runner xgboost supports trees only (gbtree, "
            "dart): train trees, or scikit-learn's LogisticRegression"
        )
    objective = learner["objective"]["name"]
    if objective not in _OBJECTIVES:
        output = next(
            (description for prefix, description in _OUTPUTS.items() if objective.startswith(prefix)), "something else"
        )
        custom = _CUSTOM if objective == "reg:squarederror" else ""
        raise BundleError(
            f"the model's objective is {objective}, which gives {output} instead of the probability of default: train "
            f"it with objective='binary:logistic' and the label 1 for loans that were not paid back{custom}"
        )
    targets = int(learner["learner_model_param"].get("num_target", "1"))
    if targets != 1:
        raise BundleError(
            f"the model predicts {targets} targets at once: train it on one label per row, 1 for loans that were not "
            "paid back"
        )


def _trees_of(learner: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    booster = learner["gradient_booster"]
    trees: Sequence[Mapping[str, Any]] = booster.get("gbtree", booster)["model"]["trees"]  # dart has gbtree within
    return trees


def _is_saved_by_wrapper(learner: Mapping[str, Any], inputs: ModelInput) -> bool:
    """Returns whether XGBoost's scikit-learn wrapper saved the model, and checks the wrapper's `missing` parameter.

    Up to XGBoost 1.7 the wrapper wrote its parameters into the model.
    """
    serialized_parameters = learner["attributes"].get("scikit_learn")
    if serialized_parameters is None:
        return False
    try:
        parameters = json.loads(serialized_parameters)
    except ValueError:
        return True
    missing = parameters.get("missing") if isinstance(parameters, dict) else None
    if isinstance(missing, int | float):
        require_missing(float(missing), inputs)
    return True


def _select_rounds(
    booster: "xgboost.Booster",
    best: int | None,
    whole_model: CheckedBooster,
    rounds: Rounds | None,
    *,
    by_wrapper: bool,
) -> CheckedBooster:
    """Returns the whole model, or the model without the rounds after the best one, as `rounds` specifies."""
    total = booster.num_boosted_rounds()
    if rounds == "best" and (best is None or best > total):
        raise BundleError(
            f"rounds is 'best', but the model does not record which of its {total} rounds is the best: it was not "
            "trained with early stopping, or later rounds were already removed. Leave rounds out"
        )
    if best is None or best == total:
        return whole_model
    if rounds is None and best > total:
        raise BundleError(
            f"the model records that round {best} is the best, but has only {total} rounds: rounds were removed after "
            "training. To use all that remain, set rounds = 'all' in the description (scorer bundle import-bentoml: "
            "--rounds)"
        )
    if rounds is None and by_wrapper:
        rounds = "best"
    if rounds is None:
        raise BundleError(
            f"early stopping found the model's round {best} to be the best of {total}: XGBClassifier.predict_proba "
            f"uses the rounds up to it, Booster.predict (and BentoML for a Booster) all {total}. Which rounds should "
            "the bundle use? Set rounds = 'best' or rounds = 'all' in the description (scorer bundle import-bentoml: "
            "--rounds)"
        )
    if rounds == "best":
        note = f"the first {best} of {total}, which early stopping found to be the best"
        return CheckedBooster(bytes(booster[:best].save_raw("ubj")), is_rewritten=True, note=note)
    booster.set_attr(best_iteration=None, best_score=None)
    note = f"all {total}, though early stopping found the first {best} to be the best"
    return CheckedBooster(bytes(booster.save_raw("ubj")), is_rewritten=True, note=note)


def _read_best(learner: Mapping[str, Any]) -> int | None:
    """Returns the number of rounds up to the best one; None if the model does not record it."""
    best_iteration = learner["attributes"].get("best_iteration")
    if best_iteration is None:
        return None
    try:
        best = int(best_iteration) + 1
    except ValueError:
        best = 0
    if best < 1:
        raise BundleError(
            "the model's attribute best_iteration is not the number of a round: delete it with "
            "booster.set_attr(best_iteration=None), and save the model again"
        )
    return best


def _modernize(booster: "xgboost.Booster", model: bytes) -> CheckedBooster:
    """Returns the model unchanged; or rewritten, if a later XGBoost may no longer read it."""
    if not is_ubjson(model):
        version = json.loads(model).get("version", [0, 0])
        if tuple(version[:2]) < _TEXT_FORMAT_SINCE:
            return CheckedBooster(bytes(booster.save_raw("ubj")), is_rewritten=True, note=None)
    return CheckedBooster(model, is_rewritten=False, note=None)
