"""Reads policy files: a policy in TOML, as in a build file, and the cases that must hold for it."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.fault_words import describe_faults
from schemas.text import TextFileError, read_toml
from scorer.core.policy import Policy
from scorer.errors import MisuseError


class PolicyFile(BaseModel):
    """The content of a policy file."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    policy: Policy
    cases: Annotated[str, Field(min_length=1)] | None = None
    """A file of cases that must hold (`scorer.author.policy_cases`); its path is relative to the policy file."""


def read_policy_file(path: Path) -> PolicyFile:
    """Reads a policy file.

    Raises:
        MisuseError: the file cannot be read, is not TOML, or is invalid; the message lists up to five errors.
    """
    try:
        return PolicyFile.model_validate(read_toml(path))
    except TextFileError as error:
        raise MisuseError(f"{path}: {error}. A policy file is a TOML file with a table [policy]") from None
    except ValidationError as error:
        raise MisuseError(f"{path}: {describe_faults(error)}") from None
