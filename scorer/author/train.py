"""Trains and evaluates a model on labelled applications, by the recipe of ML Zoomcamp's credit-risk service (module 7).

Training decodes and encodes applications with the same code as scoring, which rules out training-serving skew.
"""

import difflib
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from schemas.contract import Contract
from schemas.contracts import shipped_contract
from schemas.files import read_applications
from schemas.rows import STATUS, STATUS_UNREADABLE, ApplicationsFileError, Hints, OutcomeColumn, Row
from schemas.topics import RECORD_BYTES_DEFAULT
from scorer.author.boosters import check_booster
from scorer.author.build import Draft
from scorer.author.draft_reasons import ReasonsChoice, choose_reasons
from scorer.author.figures import measure
from scorer.author.model_input import ModelInput
from scorer.author.profile import make_profile
from scorer.bundle.libraries import import_library
from scorer.bundle.manifest import Dataset, Features, Metrics, Training
from scorer.bundle.runners import open_model
from scorer.bundle.xgboost_runner import feature_names
from scorer.core.columns import Columns, concatenate
from scorer.core.decide import Decider
from scorer.core.decode import Decoder
from scorer.core.features import columns_of
from scorer.core.policy import Policy
from scorer.errors import InputFileError, MisuseError
from scorer.extras import install_command

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

Categories = Literal["one-hot", "native"]
"""How categories are encoded: a column of 0 and 1 per value, or their indexes for XGBoost's categorical splits."""

_PACKAGES: Final = {"sklearn": "scikit-learn"}  # by module, if the names differ
_REJECTIONS_SHOWN_MAX: Final = 20
_BATCH_ROWS: Final = 5_000
_SPLIT: Final = (
    f"the held-out fifth of the labelled rows (train_test_split, test_size {TEST_SIZE}, random_state {RANDOM_STATE})"
)
_STATUS_RULE: Final = "must be one of ok, default, 1 (ok), 2 (default), or empty or 0 if it is unknown"
_WHAT_HOLDOUT: Final = (
    f"Trained on four fifths, measured on {_SPLIT}. The model in the bundle is trained on all labelled rows."
)
_WHERE: Final = f"{_SPLIT}, by the model trained on the others"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train a model; the defaults are those of the course."""

    dropped: tuple[str, ...] = ()
    """The fields to leave out of the model."""
    policy: Policy = field(default_factory=Policy)
    """The bundle's policy, which is also evaluated."""
    missing: float | None = MISSING
    """The number that replaces unknown numbers; None leaves them to the model."""
    parameters: Mapping[str, str | int | float] = field(default_factory=dict)
    """XGBoost's parameters that differ from the course's."""
    monotone: Mapping[str, int] = field(default_factory=dict)
    """By field: 1 if the probability of default must not fall with the number, -1 if it must not rise."""
    rounds: int = ROUNDS
    derived: Mapping[str, str] = field(default_factory=dict)
    """Additional columns: expressions over fields, by name."""
    categories: Categories = "one-hot"
    reasons: ReasonsChoice = None
    """The catalogue of reasons."""


@dataclass(frozen=True, slots=True)
class Examples:
    """The applications with a known outcome in a file, in the file's order."""

    contract: Contract
    applications: Columns
    defaulted: NDArray[np.float32]
    """1 where the loan was not paid back, otherwise 0; shape (n,)."""
    dataset: Dataset

    def take(self, rows: Iterable[int]) -> Self:
        """Returns a subset, by row index."""
        indices = np.fromiter(rows, dtype=np.intp)
        return replace(self, applications=self.applications.take(indices), defaulted=self.defaulted[indices])


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model with its metrics, and the data of the evaluation: shape (held-out rows,) each."""

    draft: Draft
    holdout_applications: Columns
    holdout_probabilities: NDArray[np.float32]
    holdout_defaulted: NDArray[np.float32]

    @property
    def metrics(self) -> Metrics:
        """The model's metrics."""
        assert self.draft.metrics is not None, "training includes evaluation"
        return self.draft.metrics


def require_libraries(*modules: str) -> None:
    """Ensures that the libraries are installed that only training and reports need.

    Raises:
        MisuseError: a library is missing; the message says how to install it.
    """
    missing = [_PACKAGES.get(module, module) for module in modules if find_spec(module) is None]
    if missing:
        raise MisuseError(f"this command needs {', '.join(missing)}: {install_command('train')}")


def choose_fields(contract: Contract, dropped: Collection[str]) -> tuple[str, ...]:
    """Returns the fields to train on, in the contract's order.

    Raises:
        MisuseError: a field to drop is not in the contract, or no field is left.
    """
    fields = tuple(contract.inputs)
    for name in dropped:
        _require_field(name, fields, "to drop")
    remaining = tuple(name for name in fields if name not in dropped)
    if not remaining:
        raise MisuseError("every field is dropped: no field is left to train on")
    return remaining


def _require_field(name: str, fields: Collection[str], purpose: str) -> None:
    if name not in fields:
        close = difflib.get_close_matches(name, fields, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise MisuseError(f"no field {name!r} {purpose}.{hint} The contract's fields are {', '.join(fields)}")


def read_examples(
    file: Path,
    hints: Hints | None = None,
    *,
    skip_invalid: bool,
    contract: Contract | None = None,
    outcome: OutcomeColumn = STATUS,
) -> Examples:
    """Reads a file of labelled applications; rows without an outcome are skipped and counted.

    Args:
        file: a file in the format of `schemas.files.read_applications`.
        hints: collects hints on what to change in the file, and on columns that are ignored.
        skip_invalid: skip invalid rows instead of failing.
        contract: the contract of the applications; default: the shipped one.
        outcome: the column that has the outcome of each loan.

    Raises:
        InputFileError: the file cannot be read, has invalid rows or rows with an invalid outcome (their lines and the
            reasons), or has no outcomes.
    """
    contract = contract or shipped_contract()
    rule = f"{outcome.name}: {_STATUS_RULE if outcome is STATUS else 'is neither a text nor a number'}"
    hints, digest, rows = hints or Hints(), hashlib.sha256(), _Rows(Decoder(contract), rule)
    try:
        remaining = read_applications(file, contract, hints, digest.update, outcome)
        while batch := list(islice(remaining, _BATCH_ROWS)):
            rows.add(batch, hints)
    except ApplicationsFileError as error:
        raise InputFileError(str(error)) from None
    rejections, statuses = rows.rejections, rows.statuses
    if rejections and not skip_invalid:
        more = (
            [f"  and {len(rejections) - _REJECTIONS_SHOWN_MAX} more"] if len(rejections) > _REJECTIONS_SHOWN_MAX else []
        )
        listing = "\n".join([*rejections[:_REJECTIONS_SHOWN_MAX], *more, *(f"  {hint}" for hint in hints.texts())])
        raise InputFileError(
            f"{file}: {len(rejections)} of {rows.count} rows are invalid:\n{listing}\n{_advise(rejections, rows.count)}"
        )
    if rows.count and not statuses and not rejections:
        hint = "".join(f"; {hint}" for hint in hints.texts())
        advice = " (scorer train --target names another column)" if outcome is STATUS else ""
        raise InputFileError(f"{file}: no row has an outcome; {rule}{advice}{hint}")
    defaulted = np.array([status == "default" for status in statuses], dtype=np.float32)
    counts = {"rows": rows.count, "rows_labelled": len(statuses), "rows_refused": len(rejections)}
    dataset = Dataset(sha256=digest.hexdigest(), **counts)
    return Examples(contract, rows.labelled(), defaulted, dataset)


def _advise(rejections: Sequence[str], rows: int) -> str:
    """Says what to do about invalid rows, of which each is a line with its reason."""
    is_same = len(rejections) == rows and len({line.partition(": ")[2] for line in rejections}) == 1
    if rows > 1 and is_same:
        return "All rows have the same fault: change the field in the contract, or remove it from the contract"
    return "Correct them, or skip them with --skip-invalid"


class _Rows:
    """The rows of a file: those with an outcome, and the rejections of invalid ones."""

    def __init__(self, decoder: Decoder, rule: str) -> None:
        self._decoder = decoder
        self._rule = rule
        self._parts: list[Columns] = []
        self.count = 0
        self.statuses: list[str] = []
        self.rejections: list[str] = []

    def add(self, batch: Sequence[Row], hints: Hints) -> None:
        """Adds the next rows of the file; all attributes grow with them."""
        decoded = self._decoder.decode_batch([row.value for row in batch], RECORD_BYTES_DEFAULT)
        labelled = []
        for index, row in enumerate(batch):
            if index in decoded.rejections:
                self.rejections.append(f"  line {row.line}: {decoded.rejections[index].reason}")
                hints.add(row.line, row.hint)
            elif row.status == STATUS_UNREADABLE:
                self.rejections.append(f"  line {row.line}: {self._rule}")
            elif row.status is not None:
                labelled.append(index)
                self.statuses.append(row.status)
        self._parts.append(decoded.columns.take(np.searchsorted(decoded.rows, labelled)))
        self.count += len(batch)

    def labelled(self) -> Columns:
        """Returns the columns of the rows with an outcome."""
        return concatenate(self._parts or [self._decoder.decode_batch([], RECORD_BYTES_DEFAULT).columns])


def train_model(
    examples: Examples, recipe: Recipe, identity: tuple[str, str, datetime], labels: dict[str, str]
) -> Trained:
    """Trains two models: one on four fifths of the examples for the metrics, one on all examples for the bundle.

    Args:
        examples: the labelled applications.
        recipe: how to train.
        identity: the bundle's name, version and creation time (UTC).
        labels: the bundle's labels.

    Returns:
        The draft of a bundle; the same examples give a model with the same bytes.

    Raises:
        MisuseError: a field to drop is not in the contract, or a parameter is invalid.
        InputFileError: there are too few rows of one outcome to train and evaluate a model.
    """
    for library in ("sklearn", "xgboost"):
        import_library(library)
    import sklearn
    import xgboost

    inputs = _input(examples.contract, recipe)
    parameters = _parameters(recipe, inputs)
    matrix = inputs.encoding.matrix(examples.applications)
    train_rows, holdout_rows = _split(examples.defaulted)
    fit = partial(_fit, inputs, parameters, recipe.rounds)
    evaluated_model = fit(matrix[train_rows], examples.defaulted[train_rows])
    probabilities, defaulted = evaluated_model.inplace_predict(matrix[holdout_rows]), examples.defaulted[holdout_rows]
    holdout = examples.applications.take(holdout_rows)
    decided = Decider(recipe.policy, examples.contract).decide(probabilities, holdout.values)
    name, version, created = identity
    model = check_booster(bytes(fit(matrix, examples.defaulted).save_raw("ubj")), inputs).model
    opened_model = open_model("xgboost", "model.ubj", model, inputs.columns, {}, inputs.encoding.categories)
    draft = Draft(
        name=name,
        version=version,
        created=created,
        runner="xgboost",
        model=model,
        inputs=inputs,
        policy=recipe.policy,
        metrics=measure(examples.dataset, probabilities, defaulted, decided.labels, _WHAT_HOLDOUT, _WHERE),
        training=Training(
            parameters=parameters, rounds=recipe.rounds, dropped_fields=tuple(sorted(set(recipe.dropped)))
        ),
        libraries={
            "python": python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "xgboost": xgboost.__version__,
        },
        labels=labels,
        profile=make_profile(examples.contract, examples.applications),
        reasons=choose_reasons(recipe.reasons, inputs, opened_model),
    )
    return Trained(draft, holdout, probabilities, defaulted)


def _input(contract: Contract, recipe: Recipe) -> ModelInput:
    fields = choose_fields(contract, recipe.dropped)
    encoded = fields if recipe.categories == "native" else columns_of(contract, fields)
    columns = tuple(sorted([*encoded, *recipe.derived]))
    derived = {"derived": dict(recipe.derived)} if recipe.derived else {}
    inputs = ModelInput(contract, Features(columns=columns, missing=recipe.missing, **derived))
    try:
        _ = inputs.encoding
    except ValueError as error:
        raise MisuseError(str(error)) from None
    return inputs


def _parameters(recipe: Recipe, inputs: ModelInput) -> dict[str, str | int | float]:
    """Returns XGBoost's parameters, in the course's order, with the monotone fields as it writes them."""
    for name in recipe.monotone:
        _require_field(name, [column for column in inputs.columns if inputs.is_number(column)], "with a number")
    signs = ",".join(str(recipe.monotone.get(column, 0)) for column in inputs.columns)
    constraints = {"monotone_constraints": f"({signs})"} if recipe.monotone else {}
    return {**PARAMETERS, **recipe.parameters, **constraints}


def _split(defaulted: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns the indices of the training rows and of the held-out rows, with the course's split."""
    from sklearn.model_selection import train_test_split

    too_few = "training needs loans that were paid back and loans that were not, at least a dozen of each"
    if min(np.count_nonzero(defaulted), np.count_nonzero(defaulted == 0)) < 12:
        count = np.count_nonzero(defaulted)
        advice = "" if 0 < count < len(defaulted) else "; does --target name the value that means default?"
        raise InputFileError(f"{too_few}: {count} of {len(defaulted)} labelled rows defaulted{advice}")
    train_rows, holdout_rows = train_test_split(
        np.arange(len(defaulted)), test_size=TEST_SIZE, random_state=RANDOM_STATE
    )
    if any(len(np.unique(defaulted[rows])) < 2 for rows in (train_rows, holdout_rows)):
        raise InputFileError(f"{too_few}: the random split left one part with a single outcome")
    return train_rows, holdout_rows


def _fit(
    inputs: ModelInput,
    parameters: Mapping[str, str | int | float],
    rounds: int,
    matrix: NDArray[np.float32],
    defaulted: NDArray[np.float32],
) -> "xgboost.Booster":
    import xgboost

    categories = inputs.encoding.categories
    types = ["c" if column in categories else "float" for column in inputs.columns] if categories else None
    examples = xgboost.DMatrix(
        matrix,
        label=defaulted,
        feature_names=feature_names(inputs.columns),
        feature_types=types,
        enable_categorical=bool(categories),
    )
    try:
        return xgboost.train(dict(parameters), examples, num_boost_round=rounds)
    except xgboost.core.XGBoostError as error:
        reason = str(error).strip().splitlines()[0]
        raise MisuseError(f"XGBoost does not train with these parameters: {reason}") from error
