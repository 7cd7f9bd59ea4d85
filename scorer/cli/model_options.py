"""Options of the commands that make bundles: the contract, the policy, and what stands for unknown numbers."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.errors import MisuseError

if TYPE_CHECKING:
    from schemas.contract import Contract
    from scorer.core.policy import Policy

ContractOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Contract of the applications, a JSON Schema (default: credit-application)."),
]


def read_contract(path: Path | None) -> "Contract":
    """Reads a contract file; the shipped contract without one.

    Raises:
        MisuseError: the file cannot be read, or is not a contract.
    """
    from schemas import contract_file
    from schemas.contract_faults import ContractError
    from schemas.contracts import shipped_contract
    from schemas.text import TextFileError

    try:
        return shipped_contract() if path is None else contract_file.read_contract(path)
    except (TextFileError, ContractError) as error:
        raise MisuseError(f"{path}: {error}") from None


def read_policy(maybe_above: float, declined_above: float) -> "Policy":
    """Returns the policy with these thresholds.

    Raises:
        MisuseError: they are not from 0 to 1, or not in order.
    """
    from pydantic import ValidationError

    from schemas.fault_words import describe_faults
    from scorer.core.policy import Policy

    try:
        return Policy(maybe_above=maybe_above, declined_above=declined_above)
    except ValidationError as error:
        raise MisuseError(f"--maybe-above, --declined-above: {describe_faults(error)}") from None


def read_missing(missing: float) -> float | None:
    """Returns what stands for unknown numbers; None if the model handles them.

    Raises:
        MisuseError: it is not a 32-bit number.
    """
    from scorer.core.features import MISSING_MAX

    if abs(missing) > MISSING_MAX:
        raise MisuseError("--missing: must be a 32-bit number (-3.4e38 to 3.4e38) or nan")
    return None if math.isnan(missing) else missing
