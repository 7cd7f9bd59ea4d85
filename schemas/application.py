"""The application: one person asks for a loan; the value of a record on the input topic.

The value is a JSON object, the key is `application_id` in UTF-8. Fields that are not listed here are ignored, so that
publishers can add some; a listed field may occur only once. Numbers are JSON numbers: no strings, no booleans, no NaN.
The order of the fields is part of the contract: a record with several faults is rejected for the first one.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

CONTRACT_VERSION = "1.0.0"
ID_CHARACTERS_MAX = 64

Home = Literal["rent", "owner", "private", "ignore", "parents", "other", "unk"]
Marital = Literal["single", "married", "widow", "separated", "divorced", "unk"]
Records = Literal["no", "yes", "unk"]
Job = Literal["fixed", "partime", "freelance", "others", "unk"]

# Far above any real application, and below the 99999999 that some systems write for "missing".
MONEY_MAX = 50_000_000
Money = Annotated[float, Field(ge=0, le=MONEY_MAX)]
PositiveMoney = Annotated[float, Field(gt=0, le=MONEY_MAX)]


class CreditApplication(BaseModel):
    """A credit application. Amounts are in the currency that the model was trained with."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)

    application_id: str = Field(
        min_length=1,
        max_length=ID_CHARACTERS_MAX,
        description="Id of the application; also the record's key.",
        examples=["a-1001"],
    )
    seniority: float = Field(ge=0, le=80, description="Years in the present job.", examples=[9])
    home: Home = Field(description="Housing of the applicant.", examples=["rent"])
    time: float = Field(gt=0, le=600, description="Term of the loan in months.", examples=[60])
    age: float = Field(ge=18, le=120, description="Years of age.", examples=[30])
    marital: Marital = Field(
        default="unk",
        description="Marital status. Optional; lenders should not have to send it, and the default model ignores it.",
        examples=["married"],
    )
    records: Records = Field(description="Whether there are records of earlier payment problems.", examples=["no"])
    job: Job = Field(description="Kind of employment.", examples=["freelance"])
    expenses: Money = Field(description="Monthly expenses.", examples=[61])
    income: Money | None = Field(default=None, description="Monthly income; null or absent if unknown.", examples=[182])
    assets: Money | None = Field(default=None, description="Assets; null or absent if unknown.", examples=[0])
    debt: Money | None = Field(default=None, description="Debt; null or absent if unknown.", examples=[0])
    amount: PositiveMoney = Field(description="Amount of the loan.", examples=[1150])
    price: PositiveMoney = Field(description="Price of the goods that the loan pays for.", examples=[1490])
