"""A deployed bundle that a worker could not load, as a line of text that the group's offsets carry."""

import re
from typing import Final, NamedTuple

from schemas.deployment import Slot

_WRITTEN: Final = re.compile(r"(?P<challenger>challenger )?(?P<bundle>\S+@[0-9a-f]+): (?P<reason>.*)", re.DOTALL)


class Refusal(NamedTuple):
    """Why a worker still decides with the bundle before.

    Attributes:
        slot: where the bundle was deployed.
        bundle: as `name:version@digest`.
        reason: what the worker logs, too.
    """

    slot: Slot
    bundle: str
    reason: str

    def write(self) -> str:
        """For the metadata, and for people who read that."""
        return f"{'challenger ' if self.slot == 'challenger' else ''}{self.bundle}: {self.reason}"

    @classmethod
    def read(cls, text: str) -> "Refusal | None":
        """What was written; None if it is anything else."""
        match = _WRITTEN.fullmatch(text)
        if match is None:
            return None
        return cls("challenger" if match["challenger"] else "champion", match["bundle"], match["reason"])
