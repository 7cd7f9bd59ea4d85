"""The course's credit-risk service on BentoML: one application in, its decision out, scored in adaptive batches."""

from typing import Any

import bentoml
import xgboost
from pydantic import BaseModel
from sklearn.feature_extraction import DictVectorizer


class CreditApplication(BaseModel):
    """What is posted; income, assets and debt may be unknown."""

    application_id: str
    seniority: float
    home: str
    time: float
    age: float
    marital: str = "unk"
    records: str
    job: str
    expenses: float
    income: float | None = None
    assets: float | None = None
    debt: float | None = None
    amount: float
    price: float


class Decision(BaseModel):
    """What is answered."""

    application_id: str
    decision: str
    probability_of_default: float


@bentoml.service(traffic={"timeout": 60})
class CreditRisk:
    """Scores with the newest `credit_risk` of the model store, whose vectorizer and policy are its custom objects."""

    stored = bentoml.models.BentoModel("credit_risk:latest")

    def __init__(self) -> None:
        self.booster: xgboost.Booster = bentoml.xgboost.load_model(self.stored)
        self.booster.set_param({"nthread": 1})
        self.vectorizer: DictVectorizer = self.stored.custom_objects["vectorizer"]
        self.policy: dict[str, float] = self.stored.custom_objects["policy"]
        self.names = self.vectorizer.get_feature_names_out().tolist()

    @bentoml.api(batchable=True)
    def classify(self, applications: list[CreditApplication]) -> list[Decision]:
        """Decides on a batch: each request brings a list, of one application usually, and gets as many decisions."""
        matrix = self.vectorizer.transform([_features(application) for application in applications])
        probabilities = self.booster.predict(xgboost.DMatrix(matrix, feature_names=self.names))
        return [
            Decision(
                application_id=application.application_id,
                decision=self._decide(probability),
                probability_of_default=probability,
            )
            for application, probability in zip(applications, probabilities.tolist(), strict=True)
        ]

    def _decide(self, probability: float) -> str:
        if probability > self.policy["declined_above"]:
            return "DECLINED"
        return "MAYBE" if probability > self.policy["maybe_above"] else "APPROVED"


def _features(application: CreditApplication) -> dict[str, Any]:
    """The fields the model may know, an unknown number as 0."""
    return {name: 0.0 if value is None else value for name, value in application if name != "application_id"}
