"""Checks an XGBoost model before it becomes a bundle's model, whichever way it comes.

Everything that makes such a model a bundle's goes through `check_booster`: a file, a booster or a classifier in Python,
an export of BentoML, `scorer train`; `build_bundle` itself asks once more, so that no way is laxer than another.
Opening a bundle does not come here: old bundles stay what they were.
"""

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from scorer.bundle.column_values import is_one_hot, limits_of, may_be, may_be_unknown
from scorer.bundle.manifest import Features
from scorer.bundle.missing_splits import MissingSplits, collect_thresholds, find_missing_splits
from scorer.bundle.ubjson import is_ubjson
from scorer.bundle.xgboost_runner import load_booster, require_columns
from scorer.errors import BundleError, MisuseError

if TYPE_CHECKING:
    import xgboost

Rounds = Literal["best", "all"]
"""Which boosting rounds of a model that was trained with early stopping decide: up to the best one, or all."""

_OBJECTIVES: Final = ("binary:logistic", "reg:logistic")
"""Those whose output is the probability of the label 1."""

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
"""What the other objectives give, by the beginning of their names."""

_CUSTOM: Final = (
    ". XGBoost also writes reg:squarederror for an objective of your own (obj=…): pass objective='binary:logistic' "
    "as well, so that the model knows how its output becomes a probability"
)
_TEXT_FORMAT_SINCE: Final = (1, 6)  # the layout of the JSON that XGBoost reads without a warning
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_NAMES_SHOWN_MAX: Final = 3
_OUTSIDE_MIN: Final = 5
_OUTSIDE_SHARE_MIN: Final = 0.25  # fewer may be of rows that the contract rejects
_BELOW_MIN: Final = 2
_SPLITS_TO_TELL_MIN: Final = 100
"""As many splits have both defaults among them where a number was unknown in two of 10,000 rows of training."""
_DENSE: Final = (
    "Train it on a dense matrix (DictVectorizer(sparse=False), matrix.toarray()) with missing=nan, XGBoost's default; "
    "description.matrix(applications) is the matrix that a bundle gives its model"
)


@dataclass(frozen=True, slots=True)
class CheckedBooster:
    """A model that may become a bundle's."""

    model: bytes
    """As it was given; in UBJSON if rounds were left out, or if XGBoost before 1.6 wrote it."""
    is_rewritten: bool
    note: str | None
    """Which rounds it has, if some were left out or might have been."""


def check_booster(
    model: bytes, features: Features, rounds: Rounds | None = None, *, by_wrapper: bool = False
) -> CheckedBooster:
    """Checks that a model gives probabilities of default for the matrix of a bundle, and takes the rounds that decide.

    What comes out passes again unchanged.

    Args:
        model: as `save_model` wrote it, in UBJSON or JSON.
        features: the bundle's columns, and what stands for an unknown number.
        rounds: which rounds decide after early stopping; None if the model's author did not say.
        by_wrapper: whether it was XGBoost's scikit-learn wrapper that saved it, as far as the caller knows; the wrapper
            predicts with the rounds up to the best one.

    Raises:
        RunnerMissingError: XGBoost cannot be imported.
        BundleError: XGBoost cannot read the model; it has other columns, gives no probability, was trained on a matrix
            that no bundle gives its model, or nobody said which rounds decide. The message has the fix.
    """
    model = model.removeprefix(_BYTE_ORDER_MARK).lstrip()  # an editor's, around the JSON
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*saved before XGBoost", UserWarning)  # see _keep
        booster = load_booster(model)
    learner = _read_learner(booster)
    _require_probabilities(learner)
    require_columns(booster, features.columns)
    trees = _trees_of(learner)
    if not any(tree["left_children"][0] != -1 for tree in trees):
        raise BundleError(
            "none of the model's trees has a split, so that everybody gets the same probability: was it trained on one "
            "outcome only, or on too few rows?"
        )
    _require_numbers(learner, trees, features.columns)
    _require_same_matrix(trees, features)
    saved_by_wrapper = _read_wrapper(learner, features)
    kept = _keep(booster, model)
    return _take_rounds(booster, _read_best(learner), kept, rounds, by_wrapper=by_wrapper or saved_by_wrapper)


def read_booster(booster: Any) -> bytes:
    """What `check_booster` takes, of a booster in Python.

    Raises:
        MisuseError: the booster was never trained.
    """
    try:
        return bytes(booster.save_raw("ubj"))
    except ValueError as error:
        said = str(error).strip().partition("\n")[0]  # without its stack trace
        raise MisuseError(f"XGBoost cannot save this {type(booster).__name__}: was it trained? {said}") from error


def _require_probabilities(learner: Mapping[str, Any]) -> None:
    """Makes sure that the output is one number per row, the probability of the label 1."""
    booster = learner["gradient_booster"]["name"]
    if booster == "gblinear":
        raise BundleError(
            "the model's booster is gblinear, a linear model, and the runner xgboost runs trees (gbtree, dart): train "
            "trees, or scikit-learn's LogisticRegression"
        )
    objective = learner["objective"]["name"]
    if objective not in _OBJECTIVES:
        output = next((what for head, what in _OUTPUTS.items() if objective.startswith(head)), "something else")
        custom = _CUSTOM if objective == "reg:squarederror" else ""
        raise BundleError(
            f"the model's objective is {objective}, which gives {output} and not the probability of default: train it "
            f"with objective='binary:logistic' and the label 1 for loans that were not paid back{custom}"
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


def _require_numbers(learner: Mapping[str, Any], trees: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Makes sure that no number is taken for the code of a category that has another value here.

    A categorical split on a one-hot column is harmless: its categories are 0 and 1. XGBoost 3.1 and later keep the
    values that a table's categories stood for, and nothing here translates them.
    """
    booster = learner["gradient_booster"]
    encodings = booster.get("gbtree", booster)["model"].get("cats", {}).get("enc", [])
    recoded = [columns[place] for place, stored in enumerate(encodings) if _is_recoded(stored)]
    split = {tree["split_indices"][node] for tree in trees for node in tree.get("categories_nodes", ())}
    numbers = [columns[place] for place in sorted(split) if not is_one_hot(columns[place])]
    if recoded or numbers:
        raise BundleError(
            f"the model was trained with {_list(recoded or numbers)} as a category (enable_categorical), while the "
            "bundle gives it a number: train it with numbers, a category as one column of 0 and 1 for each value"
        )


def _is_recoded(stored: Mapping[str, Any]) -> bool:
    """Whether a column's categories are anything but the numbers 0, 1, … in order."""
    values = stored.get("values", [])
    return bool(stored.get("offsets")) or list(values) != list(range(len(values)))


def _require_same_matrix(trees: Sequence[Mapping[str, Any]], features: Features) -> None:
    """Makes sure that missing values in training were what a bundle gives for missing.

    A bundle gives 0 where a category does not apply. A model that was trained on a sparse matrix, or with `missing=0`,
    saw a missing value there, and never a 0: none of its splits tells 0 from 1, and some tell both from missing.
    """
    one_hot = {place for place, column in enumerate(features.columns) if is_one_hot(column)}
    splits = find_missing_splits(trees, one_hot)
    absent = [features.columns[place] for place in sorted(splits.missing & one_hot)]
    if absent and not splits.told_apart:
        raise BundleError(
            "the model was trained with zeros taken for missing values, as a sparse matrix or missing=0 do: its splits "
            f"on {_list(absent)} treat 0 and 1 alike and a missing value differently, while a bundle gives it a 0 "
            f"there. {_DENSE}"
        )
    if not splits.fits_one_hot:
        raise BundleError(
            f"the model was trained on other columns, in another order, or on numbers that were scaled: "
            f"{splits.alike:,} of its {splits.one_hot_splits:,} splits on columns of 0 and 1 do not tell 0 from 1. "
            "Describe the columns that it was trained on, in its order; a bundle gives its model numbers as they are"
        )
    known = [features.columns[place] for place in sorted(splits.certain - one_hot)]
    known = [column for column in known if not may_be_unknown(column)]
    if known:
        raise BundleError(
            f"the model was trained with missing values of {_list(known)}, which every application has. Usually this "
            f"comes from zeros taken for missing values, as a sparse matrix or missing=0 do. {_DENSE}"
        )
    _require_same_numbers(trees, features)
    if features.missing is None:
        _require_learnt_defaults(splits, features.columns)
    unknown = [features.columns[place] for place in sorted(splits.missing - one_hot)]
    if unknown and features.missing is not None:
        raise BundleError(
            f"the model was trained with missing values of {_list(unknown)}, while the description says that "
            f"{features.missing:g} stood for an unknown number (missing). If unknown numbers were missing values in "
            "training, set missing to nan (scorer bundle import-bentoml: --missing nan). If zeros were taken for "
            f"missing values, as a sparse matrix or missing=0 do: {_DENSE[0].lower()}{_DENSE[1:]}"
        )


def _require_same_numbers(trees: Sequence[Mapping[str, Any]], features: Features) -> None:
    """Makes sure that numbers in training were those that a bundle gives its model.

    XGBoost makes no split that leaves one side empty, so splits outside a column's limits are of numbers that no
    bundle's matrix has: of another unit, scaled, or standing for an unknown number.
    """
    for place, thresholds in collect_thresholds(trees).items():
        column = features.columns[place]
        is_optional = not is_one_hot(column) and may_be_unknown(column)
        if is_one_hot(column) or (is_optional and features.missing is None):  # some may be of missing values
            continue
        low, high = limits_of(column)
        if is_optional and features.missing is not None:
            low, high = min(low, features.missing), max(high, features.missing)
        below, total = int((thresholds <= low).sum()), len(thresholds)
        outside = below + int((thresholds > high).sum())
        if outside >= max(_OUTSIDE_MIN, _OUTSIDE_SHARE_MIN * total):
            raise BundleError(
                f"the model was trained on another unit of {column}, or on scaled numbers: {outside:,} of its "
                f"{total:,} splits on it are outside {low:g} to {high:g}, within which every application is. Train it "
                "on numbers as applications have them, description.matrix(applications)"
            )
        if is_optional and below >= _BELOW_MIN:
            raise BundleError(
                f"{below:,} of the model's splits on {column} tell numbers below {low:g} from others, while the "
                f"description says that {features.missing:g} stood for an unknown one (missing). If a lower number "
                "did, such as -1, say so in the description; if applicants had such numbers, which the contract "
                "rejects, train it without them"
            )


def _require_learnt_defaults(splits: MissingSplits, columns: Sequence[str]) -> None:
    """Makes sure that a model which unknown numbers are left to has seen some.

    XGBoost learns where a missing value goes at each split that it saw one at. If it never did, every split sends it to
    the side of the largest numbers (to that of the least with the tree method exact), which nobody can have meant.
    """
    places = [place for place, column in enumerate(columns) if not is_one_hot(column) and may_be_unknown(column)]
    defaults = sum((splits.defaults.get(place, Counter()) for place in places), Counter[bool]())
    if defaults.total() >= _SPLITS_TO_TELL_MIN and len(defaults) == 1:
        used = [columns[place] for place in places if place in splits.defaults]
        raise BundleError(
            "unknown numbers are left to the model (missing = nan), and it never saw one in training: all of its "
            f"{defaults.total():,} splits on {_list(used)} treat one as the {'least' if defaults[True] else 'largest'} "
            "number of all. Say in the description which number stood for an unknown one when the model was trained, "
            "such as missing = 0 (scorer bundle import-bentoml: --missing); if the training data had none, which "
            "number an unknown one is to count as"
        )


def _read_wrapper(learner: Mapping[str, Any], features: Features) -> bool:
    """Whether XGBoost's scikit-learn wrapper saved it; up to XGBoost 1.7 the wrapper wrote its parameters with it."""
    written = learner["attributes"].get("scikit_learn")
    if written is None:
        return False
    try:
        parameters = json.loads(written)
    except ValueError:
        return True
    missing = parameters.get("missing") if isinstance(parameters, dict) else None
    if isinstance(missing, int | float):
        require_missing(float(missing), features)
    return True


def require_missing(missing: float, features: Features) -> None:
    """Makes sure that what XGBoost's wrapper takes for a missing value is none in a bundle's matrix.

    Args:
        missing: the wrapper's parameter.
        features: the bundle's.

    Raises:
        BundleError: the matrix may have such a value, which the bundle's model would take for a number.
    """
    alike = [column for column in features.columns if may_be(column, missing)]
    if alike:
        raise BundleError(
            f"the model was trained with missing={missing:g}, which takes every {missing:g} for a missing value, and "
            f"{_list(alike)} may be {missing:g} without being unknown. {_DENSE}"
        )
    if missing == features.missing:
        raise BundleError(
            f"the model was trained with missing={missing:g}, so that an unknown number was a missing value; a bundle "
            "has NaN for that: set missing to nan in the description"
        )


def _take_rounds(
    booster: "xgboost.Booster", best: int | None, whole: CheckedBooster, rounds: Rounds | None, *, by_wrapper: bool
) -> CheckedBooster:
    """The whole model, or without the rounds after the best one, where these do not decide."""
    total = booster.num_boosted_rounds()
    if rounds == "best" and (best is None or best > total):
        raise BundleError(
            f"rounds is 'best', and the model does not say which of its {total} rounds is: it was not trained with "
            "early stopping, or was cut already. Leave rounds out"
        )
    if best is None or best == total:
        return whole
    if rounds is None and best > total:
        raise BundleError(
            f"the model says that its round {best} is the best, and has {total}: it was cut after training. If all of "
            "these are to decide, say rounds = 'all' in the description (scorer bundle import-bentoml: --rounds)"
        )
    if rounds is None and by_wrapper:
        rounds = "best"
    if rounds is None:
        raise BundleError(
            f"early stopping found the model's round {best} to be the best of {total}: XGBClassifier.predict_proba "
            f"uses the rounds up to it, Booster.predict (and BentoML for a Booster) all {total}. Which are to decide? "
            "Say rounds = 'best' or rounds = 'all' in the description (scorer bundle import-bentoml: --rounds)"
        )
    if rounds == "best":
        note = f"the first {best} of {total}, which early stopping found to be the best"
        return CheckedBooster(bytes(booster[:best].save_raw("ubj")), is_rewritten=True, note=note)
    booster.set_attr(best_iteration=None, best_score=None)
    note = f"all {total}, though early stopping found the first {best} to be the best"
    return CheckedBooster(bytes(booster.save_raw("ubj")), is_rewritten=True, note=note)


def _read_best(learner: Mapping[str, Any]) -> int | None:
    """How many rounds there are up to the best one; None if the model does not say."""
    written = learner["attributes"].get("best_iteration")
    if written is None:
        return None
    try:
        best = int(written) + 1
    except ValueError:
        best = 0
    if best < 1:
        raise BundleError(
            "the model's attribute best_iteration is not the number of a round: delete it, "
            "booster.set_attr(best_iteration=None), and save the model again"
        )
    return best


def _read_learner(booster: "xgboost.Booster") -> dict[str, Any]:
    """What XGBoost writes of a model that it has read: in today's layout, whichever version wrote the file."""
    try:
        learner: dict[str, Any] = json.loads(bytes(booster.save_raw("json")))["learner"]
    except ValueError as error:
        said = str(error).strip().partition("\n")[0]  # without its stack trace
        raise BundleError(f"the model is damaged: {said}. Copy the file again, or save the model again") from error
    return learner


def _keep(booster: "xgboost.Booster", model: bytes) -> CheckedBooster:
    """The model as it is; or written anew, if a later XGBoost may not read it any more."""
    if not is_ubjson(model):
        version = json.loads(model).get("version", [0, 0])
        if tuple(version[:2]) < _TEXT_FORMAT_SINCE:
            return CheckedBooster(bytes(booster.save_raw("ubj")), is_rewritten=True, note=None)
    return CheckedBooster(model, is_rewritten=False, note=None)


def _list(columns: Sequence[str]) -> str:
    shown = ", ".join(columns[:_NAMES_SHOWN_MAX])
    return f"{shown} and {len(columns) - _NAMES_SHOWN_MAX} more" if len(columns) > _NAMES_SHOWN_MAX else shown
