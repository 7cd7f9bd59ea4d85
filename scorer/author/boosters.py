"""Checks an XGBoost model before it becomes a bundle's model, wherever it comes from.

Every path from such a model to a bundle calls `check_booster`: a file, a booster or a classifier in Python, a BentoML
export, `scorer train`. `build_bundle` calls it again, so that no path is less strict. Opening a bundle does not call
it: bundles built by older versions still open.
"""

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from scorer.author.missing_splits import MissingSplits, collect_thresholds, find_missing_splits
from scorer.author.model_input import ModelInput
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
_NAMES_SHOWN_MAX: Final = 3
_OUTSIDE_MIN: Final = 5
_OUTSIDE_SHARE_MIN: Final = 0.25  # fewer may come from rows that the contract rejects
_BELOW_MIN: Final = 2
_SPLITS_TO_TELL_MIN: Final = 100
"""Among this many splits both defaults occur if a number was unknown in 2 of 10,000 training rows."""
_DENSE: Final = (
    "Train it on a dense matrix (DictVectorizer(sparse=False), matrix.toarray()) with missing=nan, XGBoost's default; "
    "description.matrix(applications) is the matrix that a bundle passes to its model"
)


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
    _require_numbers(learner, trees, inputs)
    _require_same_matrix(trees, inputs)
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


def _require_numbers(learner: Mapping[str, Any], trees: Iterable[Mapping[str, Any]], inputs: ModelInput) -> None:
    """Ensures that the model does not read a number as the code of a category with another value.

    A categorical split on a one-hot column is harmless: its categories are 0 and 1; those of a column of categories'
    indexes are checked elsewhere. XGBoost 3.1 and later store the values of a table's categories, which the scorer does
    not translate.
    """
    booster = learner["gradient_booster"]
    columns = inputs.columns
    encodings = booster.get("gbtree", booster)["model"].get("cats", {}).get("enc", [])
    recoded_columns = [columns[position] for position, stored in enumerate(encodings) if _is_recoded(stored)]
    split = {tree["split_indices"][node] for tree in trees for node in tree.get("categories_nodes", ())}
    number_columns = [columns[position] for position in sorted(split) if inputs.is_number(columns[position])]
    if recoded_columns or number_columns:
        raise BundleError(
            f"the model was trained with {_join_names(recoded_columns or number_columns)} as a category "
            "(enable_categorical), but a bundle passes numbers: train it with numbers, and a category as one column of "
            "0 and 1 per value, or as the index of its value in the contract with the feature type c"
        )


def _is_recoded(stored: Mapping[str, Any]) -> bool:
    """Returns whether a column's categories are anything but the numbers 0, 1, … in order."""
    values = stored.get("values", [])
    return bool(stored.get("offsets")) or list(values) != list(range(len(values)))


def _require_same_matrix(trees: Sequence[Mapping[str, Any]], inputs: ModelInput) -> None:
    """Ensures that the missing values in training are those in a bundle's matrix.

    A bundle's matrix has 0 where a category does not apply. A model that was trained on a sparse matrix, or with
    `missing=0`, saw a missing value there and never a 0: none of its splits separates 0 from 1, and some separate both
    from missing.
    """
    one_hot = {position for position, column in enumerate(inputs.columns) if inputs.is_one_hot(column)}
    splits = find_missing_splits(trees, one_hot)
    affected_columns = [inputs.columns[position] for position in sorted(splits.missing & one_hot)]
    if affected_columns and not splits.separated:
        raise BundleError(
            "the model was trained with zeros taken for missing values, for example on a sparse matrix or with "
            f"missing=0: its splits on {_join_names(affected_columns)} treat 0 and 1 alike and a missing value "
            f"differently, but a bundle passes 0. {_DENSE}"
        )
    if not splits.fits_one_hot:
        raise BundleError(
            f"the model was trained on other columns, in another order, or on numbers that were scaled: "
            f"{splits.unseparated:,} of its {splits.one_hot_splits:,} splits on columns of 0 and 1 do not separate 0 "
            "from 1. In the description, list the columns that it was trained on, in its order; a bundle does not "
            "scale numbers"
        )
    required_columns = [inputs.columns[position] for position in sorted(splits.certain - one_hot)]
    required_columns = [column for column in required_columns if not inputs.may_be_unknown(column)]
    if required_columns:
        raise BundleError(
            f"the model was trained with missing values of {_join_names(required_columns)}, which every application "
            f"has. The usual cause is zeros taken for missing values, by a sparse matrix or missing=0. {_DENSE}"
        )
    _require_same_numbers(trees, inputs)
    if inputs.missing is None:
        _require_learnt_defaults(splits, inputs)
    optional_columns = [inputs.columns[position] for position in sorted(splits.missing - one_hot)]
    if optional_columns and inputs.missing is not None:
        raise BundleError(
            f"the model was trained with missing values of {_join_names(optional_columns)}, but the description says "
            f"that {inputs.missing:g} stood for an unknown number (missing). If unknown numbers were missing values "
            "in training, set missing to nan (scorer bundle import-bentoml: --missing nan). If zeros were taken for "
            f"missing values, by a sparse matrix or missing=0: {_DENSE[0].lower()}{_DENSE[1:]}"
        )


def _require_same_numbers(trees: Sequence[Mapping[str, Any]], inputs: ModelInput) -> None:
    """Ensures that the numbers in training have the range of those in a bundle's matrix.

    XGBoost never makes a split that leaves one side empty, so splits outside a column's limits come from numbers that a
    bundle's matrix never has: in another unit, scaled, or standing for an unknown number.
    """
    for position, thresholds in collect_thresholds(trees).items():
        column = inputs.columns[position]
        is_optional = not inputs.is_one_hot(column) and inputs.may_be_unknown(column)
        # Where unknown numbers are left to the model, thresholds may separate them.
        if inputs.is_one_hot(column) or (is_optional and inputs.missing is None):
            continue
        low, high = inputs.limits_of(column)
        if is_optional and inputs.missing is not None:
            low, high = min(low, inputs.missing), max(high, inputs.missing)
        below, total = int((thresholds <= low).sum()), len(thresholds)
        outside = below + int((thresholds > high).sum())
        if outside >= max(_OUTSIDE_MIN, _OUTSIDE_SHARE_MIN * total):
            raise BundleError(
                f"the model was trained on another unit of {column}, or on scaled numbers: {outside:,} of its "
                f"{total:,} splits on it are outside {low:g} to {high:g}, the contract's limits. Train it on the "
                "numbers in applications, description.matrix(applications)"
            )
        if is_optional and below >= _BELOW_MIN:
            raise BundleError(
                f"{below:,} of the model's splits on {column} separate numbers below {low:g} from others, but the "
                f"description says that {inputs.missing:g} stood for an unknown one (missing). If a lower number "
                "did, such as -1, set missing to it in the description; if applicants had such numbers, which the "
                "contract rejects, train it without them"
            )


def _require_learnt_defaults(splits: MissingSplits, inputs: ModelInput) -> None:
    """Ensures that the model saw unknown numbers in training, if the description leaves them to the model.

    XGBoost learns the direction of missing values at each split where it saw one. If it never did, every split sends
    them to the side of the largest numbers (of the smallest with the tree method exact), which cannot be intended.
    """
    columns = inputs.columns
    positions = [
        position
        for position, column in enumerate(columns)
        if not inputs.is_one_hot(column) and inputs.may_be_unknown(column)
    ]
    defaults = sum((splits.defaults.get(position, Counter()) for position in positions), Counter[bool]())
    if defaults.total() >= _SPLITS_TO_TELL_MIN and len(defaults) == 1:
        used_columns = [columns[position] for position in positions if position in splits.defaults]
        raise BundleError(
            "unknown numbers are left to the model (missing = nan), but it never saw one in training: all of its "
            f"{defaults.total():,} splits on {_join_names(used_columns)} treat one as the "
            f"{'least' if defaults[True] else 'largest'} number of all. In the description, set missing to the number "
            "that stood for an unknown one in training, for example missing = 0 (scorer bundle import-bentoml: "
            "--missing); if the training data had none, to the number that an unknown one is to be read as"
        )


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


def require_missing(missing: float, inputs: ModelInput) -> None:
    """Ensures that the value that XGBoost's wrapper reads as missing never occurs in a bundle's matrix.

    Args:
        missing: the wrapper's parameter `missing`.
        inputs: the bundle's columns.

    Raises:
        BundleError: the matrix may have such a value, which the bundle's model would read as a number.
    """
    ambiguous_columns = [column for column in inputs.columns if inputs.may_be(column, missing)]
    if ambiguous_columns:
        raise BundleError(
            f"the model was trained with missing={missing:g}, which takes every {missing:g} for a missing value, but "
            f"{_join_names(ambiguous_columns)} may be {missing:g} without being unknown. {_DENSE}"
        )
    if missing == inputs.missing:
        raise BundleError(
            f"the model was trained with missing={missing:g}, so an unknown number was a missing value, which is NaN "
            "in a bundle: set missing to nan in the description"
        )


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


def _join_names(columns: Sequence[str]) -> str:
    joined = ", ".join(columns[:_NAMES_SHOWN_MAX])
    return f"{joined} and {len(columns) - _NAMES_SHOWN_MAX} more" if len(columns) > _NAMES_SHOWN_MAX else joined
