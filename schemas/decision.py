"""The decision on one application: its label, and the bundle and record that it was made from.

The value is a JSON object whose bytes are a function of the application's record and of the bundle, and of nothing
else; the time of the decision is the Kafka record's timestamp. The key is the application's key.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

Label = Literal["APPROVED", "MAYBE", "DECLINED"]
# Colours on a terminal.
COLOURS: Final[Mapping[str, str]] = {"APPROVED": "green", "MAYBE": "yellow", "DECLINED": "red"}

# Headers of a correction that a replay wrote; an ordinary decision has neither.
REPLAY_ID_HEADER = "replay-id"
SUPERSEDES_HEADER = "supersedes"
# Headers of the application that are copied to its decision (W3C Trace Context).
TRACE_HEADERS = ("traceparent", "tracestate")

# These patterns match neither paths nor terminal escape sequences.
NAME_PATTERN = "[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?"
VERSION_PATTERN = r"(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}"
CODE_PATTERN = "[A-Z0-9]+(_[A-Z0-9]+)*"
CODE_CHARACTERS_MAX: Final = 64
REASONS_MAX: Final = 4
Code = Annotated[str, Field(max_length=CODE_CHARACTERS_MAX, pattern=f"^{CODE_PATTERN}$")]
"""A reason's code."""


class BundleReference(BaseModel):
    """The bundle that decided."""

    model_config = ConfigDict(strict=True, frozen=True)

    name: str = Field(pattern=f"^{NAME_PATTERN}$", description="The bundle's name.", examples=["credit-risk"])
    version: str = Field(pattern=f"^{VERSION_PATTERN}$", description="The bundle's version.", examples=["1.1.0"])
    digest: str = Field(
        pattern="^[0-9a-f]{64}$",
        description="sha256 of the bundle's canonical manifest, in hexadecimal.",
        examples=["5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592"],
    )

    def __str__(self) -> str:
        """`name:version@digest`, which identifies it in a store."""
        return f"{self.name}:{self.version}@{self.digest}"

    @property
    def short(self) -> str:
        """The same with a shortened digest, for people."""
        return shorten(str(self))


class RecordReference(BaseModel):
    """The record of the application."""

    model_config = ConfigDict(strict=True, frozen=True)

    topic: str = Field(description="Its topic (or the file's name).", examples=["credit.applications"])
    partition: Annotated[int, Field(ge=0)] = Field(description="Its partition.", examples=[3])
    offset: Annotated[int, Field(ge=0)] = Field(description="Its offset (or line).", examples=[1042])


class Decision(BaseModel):
    """A decision on one credit application."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    decision_id: str = Field(
        description="topic:partition:offset of the record, @, and the first 12 digits of the bundle's digest; unique, "
        "and the same if the same bundle decides the same record again, so that a sink can use it to be idempotent.",
        examples=["credit.applications:3:1042@5d41402abc4b"],
    )
    application_id: str = Field(description="The application's id, unchanged.", examples=["a-1001"])
    decision: Label = Field(description="MAYBE requires a manual review.", examples=["APPROVED"])
    probability_of_default: float = Field(
        ge=0, le=1, description="The model's output: the exact value of a 32-bit float.", examples=[0.14257827401161194]
    )
    reasons: Annotated[tuple[Code, ...], Field(max_length=REASONS_MAX)] = Field(
        default=(),
        description="Why it is not APPROVED: codes of the bundle's catalogue, the most important one first. Absent if "
        "it is APPROVED, or the bundle has no catalogue.",
        json_schema_extra={"examples": [["INCOME", "DEBT"]]},
    )
    bundle: BundleReference
    source: RecordReference

    @model_serializer(mode="wrap")
    def _leave_out_no_reasons(self, write_all: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = write_all(self)
        if not self.reasons:
            del content["reasons"]
        return content


def shorten(spelled: str) -> str:
    """Shortens the digest of a full bundle reference."""
    name, at, digest = spelled.partition("@")
    return f"{name}{at}{digest[:12]}"


def decision_id(topic: str, partition: int, offset: int | str, bundle: BundleReference) -> str:
    """The id of this bundle's decision on this record."""
    return f"{topic}:{partition}:{offset}@{bundle.digest[:12]}"
