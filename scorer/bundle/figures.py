"""The figures of a model: what it predicted for held-out applications, against what became of them."""

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
from scorer.core.policy import OUTCOMES, Policy

_BINS: Final = 10


def measure(
    dataset: Dataset,
    probabilities: NDArray[np.float32],
    defaulted: NDArray[np.float32],
    policy: Policy,
    what: str,
    where: str,
) -> Metrics:
    """Measures. Needs scikit-learn.

    Args:
        dataset: where the held-out applications come from.
        probabilities: what was predicted for them, shape (n,).
        defaulted: 1 where the loan was not paid back, else 0; shape (n,), both of them there.
        policy: what would have decided.
        what: what the area under the curve was measured on, in a sentence.
        where: the same in a few words.
    """
    from sklearn.metrics import brier_score_loss, roc_auc_score

    auc = float(roc_auc_score(defaulted, probabilities))
    brier = float(brier_score_loss(defaulted, probabilities))
    decided = policy.decide(probabilities)
    by_decision = {
        outcome: Outcomes(
            ok=int(np.count_nonzero((decided == place) & (defaulted == 0))),
            default=int(np.count_nonzero((decided == place) & (defaulted == 1))),
        )
        for place, outcome in enumerate(OUTCOMES)
    }
    bins = _calibrate(probabilities, defaulted)
    return Metrics(
        dataset=dataset,
        holdout=Holdout(auc=auc, rows=len(defaulted), what=what),
        calibration=Calibration(brier=brier, bins=bins, what=f"Predicted against what happened, on {where}."),
        decisions=Decisions(by_decision=by_decision, what=f"What the policy would have decided on {where}."),
    )


def _calibrate(probabilities: NDArray[np.float32], defaulted: NDArray[np.float32]) -> tuple[CalibrationBin, ...]:
    """Ten bins of equal width: what was predicted on average in each, and the share that defaulted."""
    exact = probabilities.astype(np.float64)
    places = np.minimum((exact * _BINS).astype(np.intp), _BINS - 1)
    bins = []
    for place in range(_BINS):
        inside = places == place
        rows = int(np.count_nonzero(inside))
        bins.append(
            CalibrationBin(
                rows=rows,
                predicted_mean=float(exact[inside].mean()) if rows else None,
                observed_share=float(defaulted[inside].mean(dtype=np.float64)) if rows else None,
            )
        )
    return tuple(bins)
