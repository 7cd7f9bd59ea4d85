"""The deployment event: which bundle was deployed to a slot, with its contract, when, by whom and why."""

import json
from datetime import UTC
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from schemas.contract import Contract
from schemas.contract_faults import ContractError
from schemas.contract_parser import parse_contract
from schemas.decision import BundleReference
from schemas.printable import NO_CONTROLS
from schemas.strict_json import has_repeated_names, parse_strictly

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
    despite: str | None = Field(
        default=None,
        min_length=1,
        max_length=REASON_CHARACTERS_MAX,
        pattern=NO_CONTROLS,
        description="Why it was deployed although the review of the bundle, or the comparison with the champion, "
        "stopped it; absent if nothing did.",
        examples=["the risk committee approved the lower share of APPROVED"],
    )
    contract: dict[str, object] | None = Field(
        default=None,
        description="The contract of the slot's new bundle, a JSON Schema; absent in events of earlier releases.",
    )

    def parse_contract(self) -> Contract | None:
        """Returns the contract of the slot's new bundle; None if the event has none.

        Raises:
            ContractError: the document is not a contract.
        """
        if self.contract is None:
            return None
        # Compact, because the size of a contract is limited.
        return parse_contract(json.dumps(self.contract, ensure_ascii=False, separators=(",", ":")))

    @model_serializer(mode="wrap")
    def _leave_out_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An event without an optional member has the bytes of releases that did not know it: it may be signed."""
        members: dict[str, Any] = dump(self)
        for name in ("despite", "contract"):
            if members.get(name) is None:
                members.pop(name, None)
        return members


def find_event_fault(event: DeploymentEvent, value: bytes) -> str:
    """Returns why workers ignore an event whose fields are valid each for itself; empty if they do not.

    Args:
        event: the event.
        value: the record's value that it was read from.
    """
    if (event.bundle is None) != (event.action == "retire"):
        return "bundle: required for deploy and rollback, not allowed for retire"
    if event.action == "retire" and event.slot == "champion":
        return "slot: the champion cannot be retired, only replaced"
    if event.action == "retire" and event.contract is not None:
        return "contract: not allowed for retire"
    try:
        event.parse_contract()
    except ContractError as error:  # its text quotes the document
        faults = "1 fault" if len(error.faults) == 1 else f"{len(error.faults)} faults"
        return f"contract: not a contract ({faults}; `scorer contract check` lists them)"
    try:
        event.at.astimezone(UTC)
    except OverflowError:
        return "at: the time cannot be converted to UTC"
    return _find_repeated_name(value) if event.contract is not None else ""


def _find_repeated_name(value: bytes) -> str:
    """Returns a fault if the event's contract has a name twice in one object: readers differ in which one they use."""
    try:
        members = parse_strictly(value.decode())
    except ValueError as error:
        return f"the record is {error}"
    assert isinstance(members, tuple), "an event is an object"
    contracts = [member for name, member in members if name == "contract"]
    if len(contracts) > 1 or has_repeated_names(contracts):
        return "contract: a name is given twice in one object"
    return ""
