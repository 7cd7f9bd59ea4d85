"""Scoring as the course teaches it: a dictionary, scikit-learn's DictVectorizer, a DMatrix, `predict`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xgboost
from job import Job
from numpy.typing import NDArray
from sklearn.feature_extraction import DictVectorizer


class CourseModel:
    """The vectorizer and the model that a notebook of the course would have pickled together."""

    def __init__(self, job: Job) -> None:
        # Fitted on one dictionary for each column, so that its feature names are the model's columns.
        self._vectorizer = DictVectorizer(sparse=False, dtype=np.float32)
        self._vectorizer.fit([{field: value or 0.0} for field, _, value in (c.partition("=") for c in job.columns)])
        assert self._vectorizer.feature_names_ == list(job.columns), "the model's columns are not in order of name"
        self._columns = list(job.columns)
        self._fields = {column.partition("=")[0] for column in job.columns}
        self._booster = xgboost.Booster({"nthread": 1}, model_file=job.model_ubj)

    def features(self, application: Mapping[str, Any]) -> dict[str, Any]:
        """The model's fields of an application; an unknown number is 0."""
        features = {field: application.get(field) for field in self._fields}
        return {field: 0.0 if value is None else value for field, value in features.items()}

    def probabilities(self, features: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """The probability of default of each application."""
        rows = self._vectorizer.transform(features)
        return self._booster.predict(xgboost.DMatrix(rows, feature_names=self._columns, nthread=1))
