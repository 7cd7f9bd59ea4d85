"""The application: one person asking for a loan, as it stands on the input topic.

The value is a JSON object, the key is `application_id` in UTF-8. Fields that are not listed here are ignored, so that
publishers may add some; a listed field may stand only once. Numbers are JSON numbers: no strings, no booleans, no NaN.
The order of the fields is part of the contract: a record with several faults is rejected for the first one.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

CONTRACT_VERSION = "1.0.0"

Home = Literal["rent", "owner", "private", "ignore", "parents", "other", "unk"]
Marital = Literal["single", "married", "widow", "separated", "divorced", "unk"]
Records = Literal["no", "yes", "unk"]
Job = Literal["fixed", "partime", "freelance", "others", "unk"]

# No real application comes near this, and the 99999999 that some systems write for "missing" lies beyond it.
MONEY_MAX = 50_000_000
Money = Annotated[float, Field(ge=0, le=MONEY_MAX)]
PositiveMoney = Annotated[float, Field(gt=0, le=MONEY_MAX)]


class CreditApplication(BaseModel):
    """A credit application. Money is in units of the currency that the model was trained with, per month where said."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)

    application_id: str = Field(
        min_length=1, max_length=64, description="Names the application; also the record's key.", examples=["a-1001"]
    )
    seniority: float = Field(ge=0, le=80, description="Years in the present job.", examples=[9])
    home: Home = Field(description="How the applicant lives.", examples=["rent"])
    time: float = Field(gt=0, le=600, description="Months over which the loan is asked for.", examples=[60])
    age: float = Field(ge=18, le=120, description="Years of age.", examples=[30])
    marital: Marital = Field(
        default="unk",
        description="Marital status. May be absent: no lender should have to send it; the default model ignores it.",
        examples=["married"],
    )
    records: Records = Field(description="Whether there are records of earlier payment trouble.", examples=["no"])
    job: Job = Field(description="The kind of job.", examples=["freelance"])
    expenses: Money = Field(description="Monthly expenses.", examples=[61])
    income: Money | None = Field(default=None, description="Monthly income; null or absent if unknown.", examples=[182])
    assets: Money | None = Field(default=None, description="Assets; null or absent if unknown.", examples=[0])
    debt: Money | None = Field(default=None, description="Debt; null or absent if unknown.", examples=[0])
    amount: PositiveMoney = Field(description="The amount of the loan.", examples=[1150])
    price: PositiveMoney = Field(description="The price of what is bought with it.", examples=[1490])
