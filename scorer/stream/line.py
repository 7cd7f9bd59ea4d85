"""A line of the history of deployments: an event, or why the record is none."""

from dataclasses import dataclass

from schemas.deployment import DeploymentEvent


@dataclass(frozen=True, slots=True)
class Line:
    """A record of the history: an event, or why it is none and counts for nothing."""

    offset: int
    event: DeploymentEvent | None
    fault: str = ""
    signers: tuple[str, ...] = ()
    """The names of the trusted keys that have signed it; empty where no file of trusted keys is set."""
