"""Measures an existing bundle on the rows that a training held out, to compare it with the trained model."""

from dataclasses import dataclass

import numpy as np

from schemas.compatibility import compare
from schemas.contract import Contract
from schemas.decision import BundleReference
from scorer.author.guard import LabelShift
from scorer.author.train import Trained
from scorer.bundle.manifest import Manifest, Metrics
from scorer.core.policy import LABELS
from scorer.core.score import Bundle, checked_predict


@dataclass(frozen=True, slots=True)
class Baseline:
    """How an existing bundle does on the held-out rows.

    Attributes:
        reference: the bundle.
        auc: the AUC of its model.
        shifts: by label, the rows to which the bundle, and the trained model with its policy, give it.
        is_held_out: whether its metrics are of a model that was not trained on these rows; otherwise it may have been.
    """

    reference: BundleReference
    auc: float
    shifts: list[LabelShift]
    is_held_out: bool

    def as_json(self) -> dict[str, object]:
        """The figures for scripts."""
        return {
            "bundle": str(self.reference),
            "auc": self.auc,
            "decisions": {shift.label: shift.before for shift in self.shifts},
            "held_out": self.is_held_out,
        }


def measure_baseline(trained: Trained, manifest: Manifest, bundle: Bundle) -> Baseline | None:
    """Measures a bundle. Needs scikit-learn.

    If the bundle was trained on the same file in the same way, its manifest has the metrics of these rows, measured by
    a model that was not trained on them; the bundle's own model was.

    Args:
        trained: the trained model and the held-out rows.
        manifest: the bundle's manifest.
        bundle: the bundle.

    Returns:
        Its figures; None if its contract does not accept these rows, or reads them differently.

    Raises:
        ModelError: its model fails on these rows.
    """
    recorded = manifest.metrics
    if recorded is not None and _is_of_the_same_rows(recorded, trained.metrics):
        shifts = _shifts(_count_labels(recorded), trained.metrics)
        return Baseline(bundle.reference, recorded.holdout.auc, shifts, is_held_out=True)
    if not _can_decide(bundle.encoding.contract, trained.draft.inputs.contract):
        return None
    from sklearn.metrics import roc_auc_score

    rows = trained.holdout_applications
    probabilities = checked_predict(bundle.model, bundle.encoding.matrix(rows))
    labels = bundle.policy.decide(probabilities, rows.values).labels
    counts = np.bincount(labels, minlength=len(LABELS)).tolist()
    auc = float(roc_auc_score(trained.holdout_defaulted, probabilities))
    return Baseline(bundle.reference, auc, _shifts(counts, trained.metrics), is_held_out=False)


def _can_decide(contract: Contract, of_rows: Contract) -> bool:
    """Whether a contract accepts all applications of another one, and gives the same columns for them."""
    if any(difference.breaking for difference in compare(of_rows, contract)):
        return False
    return contract.inputs.keys() <= of_rows.inputs.keys() and all(
        (field.kind, field.categories, field.unknown) == (other.kind, other.categories, other.unknown)
        for name, field in contract.inputs.items()
        for other in (of_rows.inputs[name],)
    )


def _is_of_the_same_rows(recorded: Metrics, measured: Metrics) -> bool:
    """Whether two bundles have metrics of the same rows; not after a change of one's policy, which has no rows."""
    first, second = (
        (
            metrics.dataset,
            metrics.holdout.rows,
            metrics.holdout.what,
            metrics.decisions.what,
            sum(by.default for by in metrics.decisions.by_decision.values()),
        )
        for metrics in (recorded, measured)
    )
    return first == second


def _shifts(before: list[int], trained: Metrics) -> list[LabelShift]:
    counts = zip(LABELS, before, _count_labels(trained), strict=True)
    return [LabelShift(label, old, new, trained.holdout.rows) for label, old, new in counts]


def _count_labels(metrics: Metrics) -> list[int]:
    """Returns the number of rows by label, in the order of `LABELS`."""
    outcomes = [metrics.decisions.by_decision[label] for label in LABELS]
    return [by.ok + by.default for by in outcomes]
