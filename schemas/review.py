"""The review of a MAYBE decision: the label that a person gives it, with the reason, by whom and when.

The value is a JSON object; the key is the application's id. The topic has one partition, so all readers agree on the
order of reviews. A review counts if it is the first one on its decision, or names the one that counts at that moment in
`supersedes`. So of several reviewers who review a decision at once, exactly one counts. If the policy requires a second
reviewer, the reviews say so in `needs_second`: then the first one counts that agrees with an earlier one by another
reviewer.
"""

from typing import Any, Final, Literal, Protocol

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from schemas.printable import NO_CONTROLS
from schemas.records import UNKNOWN, Malformed

ReviewLabel = Literal["APPROVED", "DECLINED"]
REVIEWED_LABEL: Final = "MAYBE"
"""The label of decisions that are reviewed; a review of any other decision does not count."""

REVIEWER_CHARACTERS_MAX: Final = 200
REASON_CHARACTERS_MAX: Final = 200
COMMENT_CHARACTERS_MAX: Final = 1_000
ID_CHARACTERS_MAX: Final = 100
DECISION_ID_CHARACTERS_MAX: Final = 300
"""Of the longest topic name, partition and offset, and the digest."""


class Review(BaseModel):
    """A person's review of one MAYBE decision."""

    model_config = ConfigDict(strict=True, frozen=True)

    review_id: str = Field(
        min_length=1,
        max_length=ID_CHARACTERS_MAX,
        pattern=NO_CONTROLS,
        description="Unique id of the review.",
        examples=["0a4b9c3e7d5f4f0e8d3b2a1c6e7f9012"],
    )
    application_id: str = Field(description="The application's id, as in the decision.", examples=["a-1001"])
    decision_id: str = Field(
        min_length=1,
        max_length=DECISION_ID_CHARACTERS_MAX,
        pattern=NO_CONTROLS,
        description="The decision_id of the reviewed decision, whose label is MAYBE.",
        examples=["credit.applications:3:1042@5d41402abc4b"],
    )
    label: ReviewLabel = Field(description="The reviewer's label.", examples=["APPROVED"])
    reason: str = Field(
        min_length=1,
        max_length=REASON_CHARACTERS_MAX,
        pattern=NO_CONTROLS,
        description="A code of the bundle's catalogue of reasons, or a short text.",
        examples=["INCOME"],
    )
    comment: str | None = Field(
        default=None,
        max_length=COMMENT_CHARACTERS_MAX,
        pattern=NO_CONTROLS,
        description="The reviewer's comment; null without one.",
        examples=["pay slips of three months were checked"],
    )
    reviewer: str = Field(
        min_length=1,
        max_length=REVIEWER_CHARACTERS_MAX,
        pattern=NO_CONTROLS,
        description="The reviewer, by the name of the token with which they logged in.",
        examples=["ana@lender.example"],
    )
    at: AwareDatetime = Field(description="Time of the review, with a time zone.")
    supersedes: str | None = Field(
        default=None,
        min_length=1,
        max_length=ID_CHARACTERS_MAX,
        pattern=NO_CONTROLS,
        description="The review_id of the review that it replaces; null for the first review of a decision.",
    )
    needs_second: bool = Field(
        default=False,
        description="Whether it counts only if an earlier review by another reviewer has the same label and the same "
        "`supersedes`; left out if false.",
    )

    @model_serializer(mode="wrap")
    def _write(self, write_all: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = write_all(self)
        return {name: value for name, value in content.items() if name != "needs_second" or value}


class _Record(Protocol):
    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def value(self) -> bytes | None: ...


def read_review(record: _Record) -> Review | Malformed:
    """Reads a record of the reviews topic."""
    try:
        return Review.model_validate_json(record.value() or b"")
    except ValidationError as error:
        partition, offset = (UNKNOWN if number is None else number for number in (record.partition(), record.offset()))
        return Malformed(record.topic() or "", partition, offset, _why(error))


def _why(error: ValidationError) -> str:
    """Why a value is not a review, without quoting it."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name = fault["loc"][0] if fault["loc"] else None
    if name not in Review.model_fields:
        return "the value is not a review"
    return f"field {name} is {'missing' if fault['type'] == 'missing' else 'invalid'}"
