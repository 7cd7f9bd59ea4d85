"""Why a worker could not load a deployed bundle, as text in the metadata of the group's committed offsets."""

import re
from typing import Final, NamedTuple

from schemas.deployment import Slot

_WRITTEN: Final = re.compile(r"(?P<challenger>challenger )?(?P<bundle>\S+@[0-9a-f]+): (?P<reason>.*)", re.DOTALL)


class LoadFailure(NamedTuple):
    """A deployed bundle that a worker could not load.

    Attributes:
        slot: the slot that the bundle was deployed to.
        bundle: the deployed bundle, as `name:version@digest`.
        reason: the error, as the worker also logs it.
    """

    slot: Slot
    bundle: str
    reason: str

    def write(self) -> str:
        """Returns the text for the metadata, which people read, too."""
        return f"{'challenger ' if self.slot == 'challenger' else ''}{self.bundle}: {self.reason}"

    @classmethod
    def read(cls, text: str) -> "LoadFailure | None":
        """Parses what `write` returned; None for any other text."""
        match = _WRITTEN.fullmatch(text)
        if match is None:
            return None
        return cls("challenger" if match["challenger"] else "champion", match["bundle"], match["reason"])
