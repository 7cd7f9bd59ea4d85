"""Scoring one record at a time: a pydantic model checks the application, the course's model scores it."""

from typing import Annotated, Any, Literal

from course_scoring import CourseModel
from job import Job
from pydantic import BaseModel, ConfigDict, Field

Money = Annotated[float, Field(ge=0, le=50_000_000)]


class Application(BaseModel):
    """A credit application."""

    model_config = ConfigDict(allow_inf_nan=False)

    application_id: str
    seniority: float = Field(ge=0)
    home: Literal["rent", "owner", "private", "ignore", "parents", "other", "unk"]
    time: float = Field(gt=0)
    age: float = Field(ge=18)
    marital: Literal["single", "married", "widow", "separated", "divorced", "unk"] = "unk"
    records: Literal["no", "yes", "unk"]
    job: Literal["fixed", "partime", "freelance", "others", "unk"]
    expenses: Money
    income: Money | None = None
    assets: Money | None = None
    debt: Money | None = None
    amount: Money
    price: Money


class Decision(BaseModel):
    """What is published about an application."""

    application_id: str
    decision: str
    probability_of_default: float


class GuideScorer:
    """Decides one application."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._model = CourseModel(job)

    def decide(self, application: Application) -> Decision:
        """The decision on a checked application."""
        features: dict[str, Any] = self._model.features(application.model_dump())
        probability = float(self._model.probabilities([features])[0])
        return Decision(
            application_id=application.application_id,
            decision=self._job.decide(probability),
            probability_of_default=probability,
        )

    def score(self, value: bytes) -> bytes:
        """Scores a record's value. Raises pydantic.ValidationError if it is not an application."""
        return self.decide(Application.model_validate_json(value)).model_dump_json().encode()
