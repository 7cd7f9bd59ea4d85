"""A record of the deployment history: an event, or why the record is ignored."""

from dataclasses import dataclass, replace
from typing import Self

from schemas.deployment import DeploymentEvent


@dataclass(frozen=True, slots=True)
class Line:
    """A record of the deployment history: an event, or the fault because of which it is ignored."""

    offset: int
    event: DeploymentEvent | None
    fault: str = ""
    signers: tuple[str, ...] = ()
    """The names of the trusted keys that have signed it; empty if no trusted keys file is set."""

    def without_contract(self) -> Self:
        """The record without its bundle's contract, which can be a hundred times as large as the rest."""
        if self.event is None or self.event.contract is None:
            return self
        return replace(self, event=self.event.model_copy(update={"contract": None}))
