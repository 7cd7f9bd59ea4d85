"""Runs scorecards: log odds of default, as points for each of the matrix's columns, from a JSON file."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scorer.core.score import Model
from scorer.errors import BundleError, ModelError


class Scorecard:
    """A scorecard, opened."""

    def __init__(self, base: float, points: NDArray[np.float64]) -> None:
        self._base = base
        self._points = points

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability of default per row: shape (n, columns) to (n,). Raises ModelError if a number is unknown."""
        if np.isnan(matrix).any():
            raise ModelError("a scorecard has no points for an unknown number")
        # Not `matrix @ points`: a matrix product may sum a single row in another order than the same row in a batch.
        log_odds = self._base + (matrix * self._points).sum(axis=1)
        probabilities: NDArray[np.float32] = np.exp(-np.logaddexp(0, -log_odds)).astype(np.float32)
        return probabilities


def open_scorecard(model: bytes, columns: Sequence[str], settings: Mapping[str, str | int | float | bool]) -> Model:
    """Opens a scorecard such as `{"base": -1.5, "points": {"seniority": -0.1, "records=yes": 1.2}}`.

    Columns without points have 0 points. The setting `base` overrides the file's.

    Raises:
        BundleError: the file is not a scorecard, has points for a missing column, or a setting is unknown.
    """
    strange = set(settings) - {"base"}
    if strange:
        raise BundleError(f"the runner scorecard has only the setting base, not {', '.join(sorted(strange))}")
    try:
        card = json.loads(model)
        base = float(settings.get("base", card["base"]))
        points = {str(column): float(worth) for column, worth in card["points"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BundleError('the model is not a scorecard: {"base": number, "points": {column: number}}') from None
    unknown = sorted(set(points) - set(columns))
    if unknown:
        raise BundleError(f"the scorecard has points for missing columns: {', '.join(unknown)}")
    return Scorecard(base, np.array([points.get(column, 0.0) for column in columns]))
