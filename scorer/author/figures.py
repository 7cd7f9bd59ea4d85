"""A model's metrics: its predictions for held-out applications, compared with their outcomes."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from scorer.bundle.manifest import (
    Calibration,
    CalibrationBin,
    Dataset,
    Decisions,
    Holdout,
    Metrics,
    Outcomes,
)
from scorer.core.policy import LABELS

_BINS: Final = 10


def measure(
    dataset: Dataset,
    probabilities: NDArray[np.float32],
    defaulted: NDArray[np.float32],
    decided: NDArray[np.intp],
    sentence: str,
    phrase: str,
) -> Metrics:
    """Computes the metrics. Needs scikit-learn.

    Args:
        dataset: the origin of the held-out applications.
        probabilities: their predicted probabilities of default, shape (n,).
        defaulted: 1 where the loan was not paid back, otherwise 0; shape (n,), with both values.
        decided: the labels by the policy to evaluate, as indexes into `LABELS`, shape (n,).
        sentence: a sentence that describes the data on which the AUC was measured.
        phrase: the same as a short phrase.
    """
    from sklearn.metrics import brier_score_loss, roc_auc_score

    auc = float(roc_auc_score(defaulted, probabilities))
    brier = float(brier_score_loss(defaulted, probabilities))
    by_decision = {
        outcome: Outcomes(
            ok=int(np.count_nonzero((decided == index) & (defaulted == 0))),
            default=int(np.count_nonzero((decided == index) & (defaulted == 1))),
        )
        for index, outcome in enumerate(LABELS)
    }
    bins = _calibrate(probabilities, defaulted)
    return Metrics(
        dataset=dataset,
        holdout=Holdout(auc=auc, rows=len(defaulted), what=sentence),
        calibration=Calibration(brier=brier, bins=bins, what=f"Predicted against what happened, on {phrase}."),
        decisions=Decisions(by_decision=by_decision, what=f"What the policy would have decided on {phrase}."),
    )


def _calibrate(probabilities: NDArray[np.float32], defaulted: NDArray[np.float32]) -> tuple[CalibrationBin, ...]:
    """Returns ten bins of equal width, each with the mean prediction and the share that defaulted."""
    predicted = probabilities.astype(np.float64)
    bin_indices = np.minimum((predicted * _BINS).astype(np.intp), _BINS - 1)
    bins = []
    for index in range(_BINS):
        in_bin = bin_indices == index
        rows = int(np.count_nonzero(in_bin))
        bins.append(
            CalibrationBin(
                rows=rows,
                predicted_mean=float(predicted[in_bin].mean()) if rows else None,
                observed_share=float(defaulted[in_bin].mean(dtype=np.float64)) if rows else None,
            )
        )
    return tuple(bins)
