"""The author's description of a bundle to build: in Python, or in a TOML file next to the model."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from schemas.contract import Contract
from schemas.contract_faults import ContractError
from schemas.contract_file import read_contract
from schemas.contracts import shipped_contract
from schemas.fault_words import describe_faults
from schemas.text import TextFileError, read_toml
from scorer.author.boosters import Rounds
from scorer.author.draft_reasons import ReasonsChoice, read_reasons
from scorer.author.model_input import ModelInput
from scorer.bundle.manifest import Column, Features, Name, RunnerSettings, Sentence, Utc, Version, Word
from scorer.core.columns import Columns
from scorer.core.decide import Decider
from scorer.core.features import MISSING_MAX, columns_of
from scorer.core.policy import Policy
from scorer.errors import MisuseError

_NOTES_MAX: Final = 50  # a manifest allows 64, and some are added


def _list_names(names: object) -> object:
    """Converts an array of names to a list: scikit-learn's get_feature_names_out returns an array."""
    return names.tolist() if isinstance(names, np.ndarray) else names


def _require_file_name(name: str) -> str:
    if not name or "\0" in name:
        msg = "must be a file name, but is empty or has a NUL character"
        raise ValueError(msg)
    return name


_File = Annotated[str, AfterValidator(_require_file_name)]
Names = Annotated[Sequence[Column], BeforeValidator(_list_names)]


class Description(BaseModel):
    """Everything about a bundle except its model.

    `columns` are the matrix's columns in the order in which the model was trained on them; `fields` selects all columns
    of these fields, sorted by name. Exactly one of the two is given. `policy` may be a dictionary.

    Raises:
        MisuseError: the description is invalid; the message lists up to five errors.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: Name
    version: Version
    """`BundleStore.next_version` returns the next free one."""
    contract: Contract = Field(default_factory=shipped_contract)
    """The contract of the applications that the model is for (`schemas.contract_parser.parse_contract` reads one)."""
    columns: Names = ()
    fields: Names = ()
    missing: float
    """The number that stood for unknown numbers in training; NaN leaves unknown numbers to the model."""
    policy: Annotated[Policy, Field(strict=False)] = Policy()
    runner: Word | None = None
    """The runner that opens the model; default: by the file's extension."""
    runner_settings: RunnerSettings = Field(default_factory=dict)
    rounds: Rounds | None = None
    """Rounds to use of an XGBoost booster trained with early stopping: up to the best one, or all."""
    reasons: ReasonsChoice = None
    """The catalogue of reasons; default: as `scorer.author.draft_reasons.ReasonsChoice` says."""
    holdout_about: Sentence = "Measured on labelled applications that the bundle's author held out."
    """The applications that the metrics come from, and whether the model was trained on them."""
    libraries: Annotated[dict[Word, Word], Field(max_length=_NOTES_MAX)] = Field(default_factory=dict)
    """Version of each library that the model was trained with, by name."""
    labels: Annotated[dict[Word, Sentence], Field(max_length=_NOTES_MAX)] = Field(default_factory=dict)
    created: Utc = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if bool(self.columns) == bool(self.fields):
            msg = "give either columns or fields"
            raise ValueError(msg)
        if abs(self.missing) > MISSING_MAX:
            msg = "missing must be a 32-bit number (from -3.4e38 to 3.4e38), or nan to leave it to the model"
            raise ValueError(msg)
        unknown = sorted(set(self.fields) - self.contract.inputs.keys())
        if unknown:
            msg = f"fields that are not in the contract: {', '.join(unknown)}"
            raise ValueError(msg)
        _ = self.inputs.encoding  # raises ValueError
        return self

    @model_validator(mode="after")
    def _check_policy(self) -> Self:
        Decider(self.policy, self.contract)
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _explain_errors(cls, given: object, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Reports errors as all of this package does; the last validator, so that it covers the others."""
        try:
            return validate(given)
        except ValidationError as error:
            raise MisuseError(describe_faults(error)) from None

    @property
    def inputs(self) -> ModelInput:
        """What the model reads."""
        return ModelInput(self.contract, self.features)

    @property
    def features(self) -> Features:
        """The encoding of applications as the model's matrix."""
        missing = None if np.isnan(self.missing) else self.missing
        return Features(columns=tuple(self.columns) or columns_of(self.contract, self.fields), missing=missing)

    def matrix(self, applications: Columns) -> NDArray[np.float32]:
        """Returns the matrix of applications for training and for scoring; shape (n, columns)."""
        return self.inputs.encoding.matrix(applications)


class BuildFile(Description):
    """A description in a file, with the paths of the model, of the contract and of the held-out data."""

    model: _File
    holdout: _File | None = None
    """A file of labelled applications for evaluation."""


def read_build_file(path: Path) -> BuildFile:
    """Reads a build file.

    Raises:
        MisuseError: the file cannot be read, is not TOML, or is invalid; the message lists up to five errors.
    """
    try:
        description = read_toml(path)
    except TextFileError as error:
        raise MisuseError(f"{path}: {error}. A build file is a TOML file that names the model file") from None
    if isinstance(description.get("contract"), str):
        description["contract"] = _read_contract(path.parent / description["contract"])
    if isinstance(description.get("reasons"), str) and description["reasons"] not in {"draft", "none"}:
        description["reasons"] = read_reasons(path.parent / description["reasons"])
    try:
        return BuildFile.model_validate(description)
    except MisuseError as error:
        raise MisuseError(f"{path}: {error}") from None


def _read_contract(path: Path) -> Contract:
    try:
        return read_contract(path)
    except (TextFileError, ContractError) as error:
        raise MisuseError(f"{path}: {error}") from None
