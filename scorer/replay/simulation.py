"""Simulates a policy on decisions that were made already: their PDs are on the topic, so nothing is scored again."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.decision import BundleReference
from scorer.bundle.manifest import SAME_MODEL, Calibration, Manifest
from scorer.core.decide import NO_RULE, Decider
from scorer.core.decode import Decoder
from scorer.core.evaluation import Columns
from scorer.core.policy import LABELS
from scorer.replay.decisions import OnProgress
from scorer.replay.rescore import read_selected
from scorer.replay.selection import Selection
from scorer.settings import Settings

_STEPS: Final = 100
_UNDECIDED: Final = 255


class Simulated(NamedTuple):
    """What a policy decides on n decided applications.

    Attributes:
        labels: shape (n,): indexes into `LABELS`; 255 if the application is missing or invalid.
        rules: shape (n,): the index of the rule that decides, or `NO_RULE`.
        is_general: shape (n,): whether the general thresholds decide.
        missing: how many applications retention has deleted since.
        invalid: how many the contract rejects.
    """

    labels: NDArray[np.uint8]
    rules: NDArray[np.int16]
    is_general: NDArray[np.bool_]
    missing: int
    invalid: int


@dataclass(frozen=True, slots=True)
class Step:
    """A threshold of the sweep.

    Attributes:
        threshold: the value of a general threshold.
        approved: the share of applications that are APPROVED if `maybe_above` has it.
        declined: the share of applications that are DECLINED if `declined_above` has it.
        default_rate: the expected default rate of those APPROVED; None if none are, or without calibration.
    """

    threshold: float
    approved: float
    declined: float
    default_rate: float | None


@dataclass(frozen=True, slots=True)
class Simulation:
    """All figures of a simulation; `before` is what was decided, `after` what the policy decides."""

    what: str
    bundle: str
    """The bundle whose contract and calibration are used."""
    policy: list[str]
    decided_by: dict[str, int]
    applications: int
    """Those that are compared: decided, still on their topic, and valid."""
    missing: int
    invalid: int
    before: dict[str, int]
    after: dict[str, int]
    flips: dict[str, dict[str, int]]
    flipped: int
    stricter: int
    by_rule: dict[str, dict[str, int]]
    """By rule, how many applications it decides, and how many of them differently than before."""
    default_rate_before: float | None
    """The expected default rate of the applications that are APPROVED."""
    default_rate_after: float | None
    calibration: str
    """Where the expected default rates come from, or why there are none."""
    sweep: list[Step]

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON, for scripts."""
        return asdict(self)


def decide_again(
    settings: Settings,
    selection: Selection,
    decider: Decider,
    decoder: Decoder,
    progress: AbstractContextManager[OnProgress],
) -> Simulated:
    """Decides by the recorded PDs; reads the applications if the policy depends on their fields.

    Args:
        settings: the topics.
        selection: the decisions.
        decider: the policy.
        decoder: the decoder of the policy's contract.
        progress: shows the progress of reading applications.

    Raises:
        TopicsError: the topic does not exist any more.
        BrokerError: it cannot be read.
    """
    n, probabilities = len(selection), selection.rows["probability"]
    if not decider.fields:
        labels = decider.compare(probabilities, {}).astype(np.uint8)
        return Simulated(labels, np.full(n, NO_RULE, dtype=np.int16), np.ones(n, dtype=np.bool_), 0, 0)
    simulated = Simulated(
        np.full(n, _UNDECIDED, dtype=np.uint8), np.full(n, NO_RULE, dtype=np.int16), np.zeros(n, np.bool_), 0, 0
    )
    read = invalid = 0
    with progress as on_progress:
        for records, rows in read_selected(settings, selection, on_progress):
            decoded = decoder.decode_batch([record.value() for record in records], settings.record_bytes_max)
            decided_rows = rows[decoded.rows]
            decided = decider.decide(probabilities[decided_rows], decoded.columns.values)
            simulated.labels[decided_rows] = decided.labels
            simulated.rules[decided_rows] = decided.rules
            simulated.is_general[decided_rows] = _has_general(decider, decoded.columns.values, decided.rules)
            read, invalid = read + len(records), invalid + len(decoded.rejections)
    return simulated._replace(missing=n - read, invalid=invalid)


def _has_general(decider: Decider, columns: Columns, rules: NDArray[np.intp]) -> NDArray[np.bool_]:
    is_general: NDArray[np.bool_] = rules == NO_RULE
    if decider.segments is not None:
        is_general &= ~decider.segments.has_own[columns[decider.segments.field]]
    return is_general


def calibrate(probabilities: NDArray[np.float32], calibration: Calibration) -> NDArray[np.float64]:
    """Returns the expected default rate of each PD: the observed one of its bin, or the PD where a bin has no rows."""
    exact = probabilities.astype(np.float64)
    count = len(calibration.bins)
    bins = np.minimum((exact * count).astype(np.intp), count - 1)
    observed = np.array([np.nan if one.observed_share is None else one.observed_share for one in calibration.bins])
    return np.where(np.isnan(observed[bins]), exact, observed[bins])


def compute_simulation(
    selection: Selection, simulated: Simulated, decider: Decider, calibrated: NDArray[np.float64] | None
) -> dict[str, Any]:
    """Computes the figures that depend on the decisions, by attribute of `Simulation`.

    Args:
        selection: the decisions.
        simulated: what the policy decides.
        decider: the policy.
        calibrated: the expected default rate of each application, shape (n,); None if it is unknown.
    """
    is_compared = simulated.labels != _UNDECIDED
    before, after = selection.rows["outcome"][is_compared].astype(np.intp), simulated.labels[is_compared]
    pairs = np.bincount(before * len(LABELS) + after, minlength=len(LABELS) ** 2).reshape(len(LABELS), len(LABELS))
    rates = None if calibrated is None else calibrated[is_compared]
    rules = simulated.rules[is_compared]
    return {
        "applications": len(before),
        "missing": simulated.missing,
        "invalid": simulated.invalid,
        "before": _by_label(pairs.sum(axis=1)),
        "after": _by_label(pairs.sum(axis=0)),
        "flips": {label: _by_label(row) for label, row in zip(LABELS, pairs, strict=True)},
        "flipped": int(len(before) - np.trace(pairs)),
        "stricter": int(np.triu(pairs, 1).sum()),
        "by_rule": {
            rule.id: {"applications": int((rules == i).sum()), "flipped": int(((rules == i) & (before != after)).sum())}
            for i, rule in enumerate(decider.policy.rules)
        },
        "default_rate_before": _mean(rates, before == 0),
        "default_rate_after": _mean(rates, after == 0),
        "sweep": _sweep(
            selection.rows["probability"][is_compared].astype(np.float64),
            after,
            simulated.is_general[is_compared],
            rates,
        ),
    }


def _by_label(counts: Sequence[int] | NDArray[np.intp]) -> dict[str, int]:
    return dict(zip(LABELS, map(int, counts), strict=True))


def _mean(rates: NDArray[np.float64] | None, members: NDArray[np.bool_]) -> float | None:
    return None if rates is None or not members.any() else float(rates[members].mean())


def _sweep(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.uint8],
    is_general: NDArray[np.bool_],
    rates: NDArray[np.float64] | None,
) -> list[Step]:
    """Returns the shares for each general threshold; what rules and segments decide stays."""
    count = len(probabilities)
    if not count:
        return []
    order = np.argsort(probabilities[is_general])
    ordered = probabilities[is_general][order]
    is_fixed_approved = ~is_general & (labels == 0)
    approved, declined = int(is_fixed_approved.sum()), int((~is_general & (labels == LABELS.index("DECLINED"))).sum())
    sums = None
    if rates is not None:
        sums = np.concatenate([[0.0], np.cumsum(rates[is_general][order])]) + rates[is_fixed_approved].sum()
    steps = []
    for step in range(_STEPS + 1):
        threshold = step / _STEPS
        below = int(np.searchsorted(ordered, threshold, side="right"))
        total = approved + below
        rate = float(sums[below] / total) if sums is not None and total else None
        steps.append(Step(threshold, total / count, (declined + len(ordered) - below) / count, rate))
    return steps


def summarize(
    simulated: Simulated, selection: Selection, decider: Decider, manifest: Manifest, what: str
) -> Simulation:
    """Computes all figures.

    Args:
        simulated: what the policy decides.
        selection: the decisions.
        decider: the policy.
        manifest: of the bundle whose contract is used; its calibration counts if the decisions are by its model.
        what: describes the selection.
    """
    counts = selection.count_by_bundle()
    calibrated, calibration = None, "It is not known: the bundle was not evaluated when it was built."
    if manifest.metrics and not _is_model_of(manifest, list(counts)):
        calibration = (
            "It is not known: some decisions are by other bundles; select those by this model with --decided-by."
        )
    elif manifest.metrics:
        calibrated = calibrate(selection.rows["probability"], manifest.metrics.calibration)
        calibration = f"From the calibration of {manifest.reference.short}. {manifest.metrics.calibration.what}"
    return Simulation(
        what=what,
        bundle=str(manifest.reference),
        policy=decider.policy.lines(),
        decided_by={str(bundle): count for bundle, count in counts.items()},
        calibration=calibration,
        **compute_simulation(selection, simulated, decider, calibrated),
    )


def _is_model_of(manifest: Manifest, bundles: Sequence[BundleReference]) -> bool:
    """Whether all decisions are by the bundle, or by the one whose model it has with another policy."""
    same = {manifest.reference.short, manifest.labels.get(SAME_MODEL)}
    return all(bundle.short in same for bundle in bundles)
