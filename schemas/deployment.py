"""The deployment event: one line of the history of which bundle decided, since when, by whose hand and why."""

from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.decision import BundleReference
from schemas.printable import NO_CONTROLS

Slot = Literal["champion", "challenger"]

# Commands, pages and logs show these texts, and workers keep the whole history: people need no more.
ACTOR_CHARACTERS_MAX: Final = 200
REASON_CHARACTERS_MAX: Final = 1_000
_ID_CHARACTERS_MAX: Final = 100


class DeploymentEvent(BaseModel):
    """A change of what runs in a slot."""

    model_config = ConfigDict(strict=True, frozen=True)

    event_id: str = Field(
        min_length=1,
        max_length=_ID_CHARACTERS_MAX,
        pattern=NO_CONTROLS,
        description="Unique.",
        examples=["2026-01-31T09:30:00Z-7f3a"],
    )
    slot: Slot = Field(description="The champion decides, a challenger only scores along.")
    action: Literal["deploy", "rollback", "retire"]
    bundle: BundleReference | None = Field(description="What is in the slot from now on; null: nothing.")
    previous: BundleReference | None = Field(description="What was in it before; null: nothing.")
    actor: str = Field(
        min_length=1,
        max_length=ACTOR_CHARACTERS_MAX,
        pattern=NO_CONTROLS,
        description="Who did it.",
        examples=["ana@lender.example"],
    )
    reason: str = Field(
        max_length=REASON_CHARACTERS_MAX, pattern=NO_CONTROLS, description="Why.", examples=["quarterly retraining"]
    )
    at: AwareDatetime = Field(description="When, with a time zone.")
