"""Labelled applications to a model and its figures, by the recipe of ML Zoomcamp's credit-risk service (module 7).

The applications are decoded and encoded by the code that decodes and encodes them when they are scored, so that
training and serving cannot drift apart.
"""

import difflib
import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from numpy.typing import NDArray

from schemas.files import read_applications
from schemas.rows import STATUS_UNREADABLE, ApplicationsFileError, Hints
from scorer.bundle.boosters import check_booster
from scorer.bundle.build import Draft
from scorer.bundle.figures import measure
from scorer.bundle.libraries import import_library
from scorer.bundle.manifest import Dataset, Features, Metrics, Training
from scorer.core.features import CATEGORIES, NUMBERS, FeatureEncoding, columns_of
from scorer.core.policy import Policy
from scorer.core.wire import Application, Rejection, decode
from scorer.errors import InputFileError, MisuseError

if TYPE_CHECKING:
    import xgboost

PARAMETERS: Final[Mapping[str, str | int | float]] = {
    "eta": 0.1,
    "max_depth": 3,
    "min_child_weight": 1,
    "objective": "binary:logistic",
    "seed": 1,
    "nthread": 1,
}
ROUNDS: Final = 175
MISSING: Final = 0.0
TEST_SIZE: Final = 0.2
RANDOM_STATE: Final = 11

_PACKAGES: Final = {"sklearn": "scikit-learn"}  # by module, where the names differ
_RECORD_BYTES_MAX: Final = 65_536  # as the worker's default
_REFUSALS_SHOWN_MAX: Final = 20
_SPLIT: Final = (
    f"the held-out fifth of the labelled rows (train_test_split, test_size {TEST_SIZE}, random_state {RANDOM_STATE})"
)
_STATUS_RULE: Final = "status: one of ok, default, 1 (ok), 2 (default) is needed, or nothing or 0 where it is not known"
_WHAT_HOLDOUT: Final = (
    f"Trained on four fifths, measured on {_SPLIT}. The model in the bundle is trained on all labelled rows."
)
_WHERE: Final = f"{_SPLIT}, by the model trained on the others"


@dataclass(frozen=True, slots=True)
class Examples:
    """A file of applications whose outcome is known, in the file's order."""

    applications: list[Application]
    defaulted: NDArray[np.float32]
    """1 where the loan was not paid back, else 0; shape (n,)."""
    dataset: Dataset

    def take(self, rows: Iterable[int]) -> Self:
        """Some of them, by their places."""
        places = list(rows)
        return replace(
            self, applications=[self.applications[place] for place in places], defaulted=self.defaulted[places]
        )


@dataclass(frozen=True, slots=True)
class Trained:
    """A model with its figures, and what they were measured on: shape (held-out rows,) each."""

    draft: Draft
    holdout_probabilities: NDArray[np.float32]
    holdout_defaulted: NDArray[np.float32]

    @property
    def metrics(self) -> Metrics:
        """The figures."""
        assert self.draft.metrics is not None, "training measures"
        return self.draft.metrics


def require_libraries(*modules: str) -> None:
    """Makes sure that the libraries are there which only training and reports need.

    Raises:
        MisuseError: says how to install them.
    """
    missing = [_PACKAGES.get(module, module) for module in modules if find_spec(module) is None]
    if missing:
        raise MisuseError(
            f"this needs {', '.join(missing)}, which scoring does not: pip install 'streaming-credit-scorer[train]'"
        )


def choose_fields(dropped: Collection[str]) -> tuple[str, ...]:
    """The fields to train on, in the contract's order.

    Raises:
        MisuseError: a field to drop is none, or nothing is left.
    """
    fields = (*CATEGORIES, *NUMBERS)
    for name in dropped:
        if name not in fields:
            close = difflib.get_close_matches(name, fields, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise MisuseError(f"there is no field {name!r} to drop.{hint} The model's fields are {', '.join(fields)}")
    kept = tuple(name for name in fields if name not in dropped)
    if not kept:
        raise MisuseError("every field is dropped: nothing is left to train on")
    return kept


def read_examples(file: Path, hints: Hints | None = None, *, skip_refused: bool) -> Examples:
    """Reads a file to train on; rows that do not say what became of the loan are left out, and counted.

    Args:
        file: as `schemas.files.read_applications` reads it.
        hints: is given what to change in the file, and what of it nothing reads.
        skip_refused: leave out the rows that are refused, rather than stop.

    Raises:
        InputFileError: the file cannot be read, has rows that the contract refuses or of which the outcome cannot be
            read (their lines and the reasons), or has no outcomes.
    """
    applications, statuses, refusals, rows = [], [], [], 0
    hints, digest = hints or Hints(), hashlib.sha256()
    try:
        for row in read_applications(file, hints, digest.update):
            rows += 1
            application = decode(row.value, _RECORD_BYTES_MAX)
            if isinstance(application, Rejection):
                refusals.append(f"  line {row.line}: {application.reason}")
                hints.add(row.line, row.hint)
            elif row.status == STATUS_UNREADABLE:
                refusals.append(f"  line {row.line}: {_STATUS_RULE}")
            elif row.status is not None:
                applications.append(application)
                statuses.append(row.status)
    except ApplicationsFileError as error:
        raise InputFileError(str(error)) from None
    if refusals and not skip_refused:
        more = [f"  and {len(refusals) - _REFUSALS_SHOWN_MAX} more"] if len(refusals) > _REFUSALS_SHOWN_MAX else []
        listed = "\n".join([*refusals[:_REFUSALS_SHOWN_MAX], *more, *(f"  {hint}" for hint in hints.texts())])
        raise InputFileError(
            f"{file}: {len(refusals)} of {rows} rows cannot be learned from:\n{listed}\n"
            "Correct them, or leave them out with --skip-refused"
        )
    if rows and not statuses and not refusals:
        hint = "".join(f"; {hint}" for hint in hints.texts())
        raise InputFileError(f"{file}: no row says what became of its loan; {_STATUS_RULE}{hint}")
    defaulted = np.array([status == "default" for status in statuses], dtype=np.float32)
    dataset = Dataset(sha256=digest.hexdigest(), rows=rows, rows_labelled=len(statuses), rows_refused=len(refusals))
    return Examples(applications, defaulted, dataset)


def train_model(
    examples: Examples,
    dropped: Collection[str],
    policy: Policy,
    identity: tuple[str, str, datetime],
    labels: dict[str, str],
) -> Trained:
    """Trains twice: on four fifths for the figures, on everything for the bundle.

    Args:
        examples: what to learn from.
        dropped: the fields that the model must not see.
        policy: what the bundle decides by, for the figures.
        identity: the bundle's name, version and time of making (UTC).
        labels: the bundle's labels.

    Returns:
        The draft of a bundle; its model has the same bytes whenever the same examples are trained on.

    Raises:
        MisuseError: a field to drop is none.
        InputFileError: there are too few rows of one outcome to learn from and to measure on.
    """
    for library in ("sklearn", "xgboost"):
        import_library(library)
    import sklearn
    import xgboost

    fields = choose_fields(dropped)
    features = Features(columns=columns_of(fields), missing=MISSING)
    matrix = FeatureEncoding(features.columns, MISSING).matrix(examples.applications)
    learnt, held_out = _split(examples.defaulted)
    measured = _fit(matrix[learnt], examples.defaulted[learnt], features.columns)
    probabilities, defaulted = measured.inplace_predict(matrix[held_out]), examples.defaulted[held_out]
    name, version, created = identity
    draft = Draft(
        name=name,
        version=version,
        created=created,
        runner="xgboost",
        model=check_booster(bytes(_fit(matrix, examples.defaulted, features.columns).save_raw("ubj")), features).model,
        features=features,
        policy=policy,
        metrics=measure(examples.dataset, probabilities, defaulted, policy, _WHAT_HOLDOUT, _WHERE),
        training=Training(parameters=dict(PARAMETERS), rounds=ROUNDS, dropped_fields=tuple(sorted(set(dropped)))),
        libraries={
            "python": python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "xgboost": xgboost.__version__,
        },
        labels=labels,
    )
    return Trained(draft, probabilities, defaulted)


def _split(defaulted: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows to learn from and the rows to hold out, drawn as the course draws them."""
    from sklearn.model_selection import train_test_split

    too_few = "training needs rows that were paid back and rows that were not, a dozen of each at the very least"
    if min(np.count_nonzero(defaulted), np.count_nonzero(defaulted == 0)) < 12:
        raise InputFileError(f"{too_few}: {np.count_nonzero(defaulted)} of {len(defaulted)} labelled rows defaulted")
    learnt, held_out = train_test_split(np.arange(len(defaulted)), test_size=TEST_SIZE, random_state=RANDOM_STATE)
    if any(len(np.unique(defaulted[rows])) < 2 for rows in (learnt, held_out)):
        raise InputFileError(f"{too_few}: by the draw, one outcome is missing on one side")
    return learnt, held_out


def _fit(matrix: NDArray[np.float32], defaulted: NDArray[np.float32], columns: tuple[str, ...]) -> "xgboost.Booster":
    import xgboost

    examples = xgboost.DMatrix(matrix, label=defaulted, feature_names=list(columns))
    return xgboost.train(dict(PARAMETERS), examples, num_boost_round=ROUNDS)
