"""What a bundle is to be made of, as its author describes it: in Python, or in a TOML file beside the model."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from schemas.text import TextFileError, read_toml
from scorer.bundle.boosters import Rounds
from scorer.bundle.manifest import Features, Name, RunnerSettings, Sentence, Utc, Version, Word, explain
from scorer.core.features import CATEGORIES, MISSING_MAX, NUMBERS, FeatureEncoding, columns_of
from scorer.core.policy import Policy
from scorer.core.wire import Application
from scorer.errors import MisuseError

_NOTES_MAX: Final = 50  # a manifest takes 64, and some are added


def _list_names(names: object) -> object:
    """The names in a list, where they come in an array: scikit-learn's get_feature_names_out gives one."""
    return names.tolist() if isinstance(names, np.ndarray) else names


def _require_file_name(name: str) -> str:
    if not name or "\0" in name:
        msg = "must be a file's name, and is empty or has a NUL character"
        raise ValueError(msg)
    return name


_File = Annotated[str, AfterValidator(_require_file_name)]
Names = Annotated[Sequence[Word], BeforeValidator(_list_names)]


class Description(BaseModel):
    """Everything about a bundle but its model.

    `columns` are the matrix's columns as the model was trained on them; `fields` stands for all columns of these
    fields, sorted by name. One of the two is given.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    name: Name
    version: Version
    columns: Names = ()
    fields: Names = ()
    missing: float
    """What stood for an unknown number when the model was trained; NaN leaves it to the model."""
    policy: Annotated[Policy, Field(strict=False)] = Policy()
    runner: Word | None = None
    """What opens the model; else the file's ending says so."""
    runner_settings: RunnerSettings = Field(default_factory=dict)
    rounds: Rounds | None = None
    """Of an XGBoost booster with early stopping: whether the rounds up to the best one decide, or all."""
    holdout_about: Sentence = "Measured on labelled applications that whoever made the bundle held out."
    """Which applications the figures come from, and whether the model has seen them."""
    libraries: Annotated[dict[Word, Word], Field(max_length=_NOTES_MAX)] = Field(default_factory=dict)
    """What the model was trained with, by name and version."""
    labels: Annotated[dict[Word, Sentence], Field(max_length=_NOTES_MAX)] = Field(default_factory=dict)
    created: Utc = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    @model_validator(mode="after")
    def _knows_its_columns(self) -> Self:
        if bool(self.columns) == bool(self.fields):
            msg = "give either columns or fields"
            raise ValueError(msg)
        if abs(self.missing) > MISSING_MAX:
            msg = "missing must be a number of 32 bits (from -3.4e38 to 3.4e38), or nan to leave it to the model"
            raise ValueError(msg)
        unknown = sorted(set(self.fields) - {*CATEGORIES, *NUMBERS})
        if unknown:
            msg = f"fields that no application has: {', '.join(unknown)}"
            raise ValueError(msg)
        FeatureEncoding(self.features.columns, self.missing)
        return self

    @property
    def features(self) -> Features:
        """How applications become the model's matrix."""
        missing = None if np.isnan(self.missing) else self.missing
        return Features(columns=tuple(self.columns) or columns_of(self.fields), missing=missing)

    def matrix(self, applications: list[Application]) -> NDArray[np.float32]:
        """The matrix that the model gets for these applications, and is to be trained on; shape (n, columns)."""
        return FeatureEncoding(self.features.columns, self.missing).matrix(applications)


class BuildFile(Description):
    """A description as it stands in a file, with the paths beside it."""

    model: _File
    holdout: _File | None = None
    """A file of labelled applications that the figures come from."""


def read_build_file(path: Path) -> BuildFile:
    """Reads a description.

    Raises:
        MisuseError: the file cannot be read, is no TOML, or says something that it may not; up to five faults.
    """
    try:
        description = read_toml(path)
    except TextFileError as error:
        raise MisuseError(f"{path}: {error}. A description is a TOML file that names the model's file") from None
    try:
        return BuildFile.model_validate(description)
    except ValidationError as error:
        raise MisuseError(f"{path}: {explain(error)}") from None
