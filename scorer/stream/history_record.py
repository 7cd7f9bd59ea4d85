"""A record of the deployment history: an event, or why the record is ignored."""

from dataclasses import dataclass

from schemas.deployment import DeploymentEvent


@dataclass(frozen=True, slots=True)
class Line:
    """A record of the deployment history: an event, or the fault because of which it is ignored."""

    offset: int
    event: DeploymentEvent | None
    fault: str = ""
    signers: tuple[str, ...] = ()
    """The names of the trusted keys that have signed it; empty if no trusted keys file is set."""
