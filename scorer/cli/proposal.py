"""The proposal file: a deployment event with the signature of its proposer, for another operator to approve."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.deployment import DeploymentEvent
from schemas.fault_words import describe_faults
from scorer.errors import MisuseError

# A contract has up to 256 kB, and indentation makes it several times as long.
_FILE_BYTES_MAX = 4_000_000


class _Proposal(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    event: DeploymentEvent
    signatures: tuple[str, ...]


def write_proposal(path: Path, event: DeploymentEvent, signatures: list[str]) -> None:
    """Writes a proposal to a new file.

    Raises:
        MisuseError: the file already exists, or cannot be written.
    """
    text = _Proposal(event=event, signatures=tuple(signatures)).model_dump_json(indent=2)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text + "\n")
    except FileExistsError:
        raise MisuseError(f"{path} already exists: choose another name for the proposal") from None
    except OSError as error:
        raise MisuseError(f"{path} cannot be written: {error.strerror}") from error


def read_proposal(path: Path) -> tuple[DeploymentEvent, tuple[str, ...]]:
    """Reads the event and its signatures.

    Raises:
        MisuseError: the file cannot be read, or is not a proposal.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES_MAX)
    except OSError as error:
        raise MisuseError(f"{path} cannot be read: {error.strerror}") from error
    try:
        proposal = _Proposal.model_validate_json(content)
    except ValidationError as error:
        raise MisuseError(f"{path} is not a proposal: {describe_faults(error)}") from None
    return proposal.event, proposal.signatures
