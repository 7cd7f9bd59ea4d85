"""The deployment event: which bundle was deployed to a slot, when, by whom and why."""

from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.decision import BundleReference
from schemas.printable import NO_CONTROLS

Slot = Literal["champion", "challenger"]

# Commands, pages and logs show these texts, and workers keep the whole history in memory.
ACTOR_CHARACTERS_MAX: Final = 200
REASON_CHARACTERS_MAX: Final = 1_000
_ID_CHARACTERS_MAX: Final = 100


class DeploymentEvent(BaseModel):
    """A change of the bundle in a slot."""

    model_config = ConfigDict(strict=True, frozen=True)

    event_id: str = Field(
        min_length=1,
        max_length=_ID_CHARACTERS_MAX,
        pattern=NO_CONTROLS,
        description="Unique id of the event.",
        examples=["2026-01-31T09:30:00Z-7f3a"],
    )
    slot: Slot = Field(description="The champion decides; a challenger scores in shadow mode.")
    action: Literal["deploy", "rollback", "retire"]
    bundle: BundleReference | None = Field(description="The slot's new bundle; null: none.")
    previous: BundleReference | None = Field(description="The slot's previous bundle; null: none.")
    actor: str = Field(
        min_length=1,
        max_length=ACTOR_CHARACTERS_MAX,
        pattern=NO_CONTROLS,
        description="The operator.",
        examples=["ana@lender.example"],
    )
    reason: str = Field(
        max_length=REASON_CHARACTERS_MAX,
        pattern=NO_CONTROLS,
        description="The reason.",
        examples=["quarterly retraining"],
    )
    at: AwareDatetime = Field(description="Time of the deployment, with a time zone.")
