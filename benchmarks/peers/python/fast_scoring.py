"""Our kind of scoring for any framework that offers batches: msgspec, columns in numpy, one in-place prediction."""

from collections.abc import Iterable
from operator import attrgetter

import msgspec
import numpy as np
import xgboost
from job import Job
from numpy.typing import NDArray


class Application(msgspec.Struct, gc=False):
    """A credit application."""

    application_id: str
    seniority: float
    home: str
    time: float
    age: float
    records: str
    job: str
    expenses: float
    amount: float
    price: float
    marital: str = "unk"
    income: float | None = None
    assets: float | None = None
    debt: float | None = None


class Decision(msgspec.Struct, gc=False):
    """What is published about an application."""

    application_id: str
    decision: str
    probability_of_default: float


class FastScorer:
    """Decides a batch of applications with one call of the model."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._decode = msgspec.json.Decoder(Application).decode
        self._encode = msgspec.json.Encoder().encode
        self._booster = xgboost.Booster({"nthread": 1}, model_file=job.model_ubj)
        self._width = len(job.columns)
        self._numbers = [(i, attrgetter(column)) for i, column in enumerate(job.columns) if "=" not in column]
        categories: dict[str, dict[str, int]] = {}
        for i, column in enumerate(job.columns):
            field, equals, value = column.partition("=")
            if equals:
                categories.setdefault(field, {})[value] = i
        self._categories = [(attrgetter(field), columns) for field, columns in categories.items()]

    def score(self, values: Iterable[bytes]) -> list[bytes | None]:
        """One decision for each record's value, in order; None if a value is not an application."""
        decoded = [self._read(value) for value in values]
        applications = [application for application in decoded if application is not None]
        decisions = iter(self._decide(applications))
        return [None if application is None else next(decisions) for application in decoded]

    def _read(self, value: bytes) -> Application | None:
        try:
            return self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
            return None

    def _decide(self, applications: list[Application]) -> list[bytes]:
        if not applications:
            return []
        decide, encode = self._job.decide, self._encode
        probabilities = self._booster.inplace_predict(self._matrix(applications)).tolist()
        return [
            encode(Decision(application.application_id, decide(probability), probability))
            for application, probability in zip(applications, probabilities, strict=True)
        ]

    def _matrix(self, applications: list[Application]) -> NDArray[np.float32]:
        n = len(applications)
        matrix = np.zeros((n, self._width), dtype=np.float32)
        for column, number in self._numbers:
            matrix[:, column] = np.fromiter(map(number, applications), dtype=np.float32, count=n)
        matrix[np.isnan(matrix)] = 0.0  # an unknown number was None, which became NaN
        for category, columns in self._categories:
            column_of = columns.get
            hot = np.fromiter((column_of(category(a), -1) for a in applications), dtype=np.intp, count=n)
            known = np.flatnonzero(hot >= 0)
            matrix[known, hot[known]] = 1.0
        return matrix
