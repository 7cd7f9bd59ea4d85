"""Checks that an XGBoost model was trained on a matrix like the one that a bundle passes to it."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from scorer.author.missing_splits import MissingSplits, collect_thresholds, find_missing_splits
from scorer.author.model_input import ModelInput
from scorer.errors import BundleError

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


def require_numbers(learner: Mapping[str, Any], trees: Iterable[Mapping[str, Any]], inputs: ModelInput) -> None:
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


def require_same_matrix(trees: Sequence[Mapping[str, Any]], inputs: ModelInput) -> None:
    """Ensures that the missing values in training are those in a bundle's matrix.

    A bundle's matrix has 0 where a category does not apply, and where a boolean is false. A model that was trained on a
    sparse matrix, or with `missing=0`, saw a missing value there and never a 0: none of its splits separates 0 from 1,
    and some separate both from missing.

    Raises:
        BundleError: the training matrix differed; the message names the columns, and has the fix.
    """
    flags = {position for position, column in enumerate(inputs.columns) if inputs.is_flag(column)}
    always_known = {position for position in flags if not inputs.may_be_missing(inputs.columns[position])}
    splits = find_missing_splits(trees, always_known)
    affected = set() if splits.separated else splits.missing & always_known
    affected_columns = [
        inputs.columns[position] for position in sorted(affected or _find_merged(trees, flags - always_known))
    ]
    if affected_columns:
        raise BundleError(
            "the model was trained with zeros taken for missing values, for example on a sparse matrix or with "
            f"missing=0: its splits on {_join_names(affected_columns)} treat 0 and 1 alike and a missing value "
            f"differently, but a bundle passes 0. {_DENSE}"
        )
    if not splits.fits_flags:
        raise BundleError(
            f"the model was trained on other columns, in another order, or on numbers that were scaled: "
            f"{splits.unseparated:,} of its {splits.flag_splits:,} splits on columns of 0 and 1 do not separate 0 "
            "from 1. In the description, list the columns that it was trained on, in its order; a bundle does not "
            "scale numbers"
        )
    gaps = (splits.certain - always_known) | splits.missing_categories
    required_columns = [
        column
        for position, column in enumerate(inputs.columns)
        if position in gaps and not inputs.may_be_unknown(column)
    ]
    if required_columns:
        raise BundleError(
            f"the model was trained with missing values of {_join_names(required_columns)}, which every application "
            f"has. The usual cause is zeros taken for missing values, by a sparse matrix or missing=0. {_DENSE}"
        )
    _require_same_numbers(trees, inputs)
    if inputs.missing is None:
        _require_learnt_defaults(splits, inputs)
    optional_columns = [inputs.columns[position] for position in sorted(splits.missing - always_known)]
    if optional_columns and inputs.missing is not None:
        raise BundleError(
            f"the model was trained with missing values of {_join_names(optional_columns)}, but the description says "
            f"that {inputs.missing:g} stood for an unknown number (missing). If unknown numbers were missing values "
            "in training, set missing to nan (scorer bundle import-bentoml: --missing nan). If zeros were taken for "
            f"missing values, by a sparse matrix or missing=0: {_DENSE[0].lower()}{_DENSE[1:]}"
        )


def _find_merged(trees: Iterable[Mapping[str, Any]], optional_flags: Collection[int]) -> set[int]:
    """Returns the columns of 0, 1 and missing values that have enough splits to tell, none of which separates 0 and 1.

    If missing values of such a column are legitimate, a split for them proves nothing.
    """
    return {
        position
        for position, thresholds in collect_thresholds(trees).items()
        if position in optional_flags
        and len(thresholds) >= _OUTSIDE_MIN
        and not ((thresholds > 0) & (thresholds <= 1)).any()
    }


def _require_same_numbers(trees: Sequence[Mapping[str, Any]], inputs: ModelInput) -> None:
    """Ensures that the numbers in training have the range of those in a bundle's matrix.

    XGBoost never makes a split that leaves one side empty, so splits outside a column's limits come from numbers that a
    bundle's matrix never has: in another unit, scaled, or standing for an unknown number.
    """
    for position, thresholds in collect_thresholds(trees).items():
        column = inputs.columns[position]
        is_optional = inputs.may_be_unknown(column)
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
    positions = [position for position, column in enumerate(columns) if inputs.may_be_unknown(column)]
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


def _join_names(columns: Sequence[str]) -> str:
    joined = ", ".join(columns[:_NAMES_SHOWN_MAX])
    return f"{joined} and {len(columns) - _NAMES_SHOWN_MAX} more" if len(columns) > _NAMES_SHOWN_MAX else joined
