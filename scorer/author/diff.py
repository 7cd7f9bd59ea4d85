"""Compares two bundles: their manifests, and their decisions on the same applications."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.decision import Label
from schemas.rejection import RejectionCode
from scorer.bundle.manifest import Manifest
from scorer.core.policy import LABELS
from scorer.core.records import Record
from scorer.core.score import Bundle, Scores, score_batch
from scorer.core.slow_decode import Rejection


@dataclass(frozen=True, slots=True)
class Change:
    """An entry in which two manifests differ; None in the manifest that lacks it."""

    where: str
    """The dotted path of the entry."""
    before: object
    after: object


def compare_manifests(before: Manifest, after: Manifest) -> list[Change]:
    """Lists the differences in the manifest's order; columns and rules are compared by name, each as one change."""
    old, new = _flatten(_dump(before)), _flatten(_dump(after))
    return [Change(path, old.get(path), new.get(path)) for path in old | new if old.get(path) != new.get(path)]


def _dump(manifest: Manifest) -> dict[str, object]:
    content = manifest.model_dump(mode="json")
    content["features"]["columns"] = dict.fromkeys(manifest.features.columns, True)
    content["policy"]["rules"] = {
        rule.id: f"{number}. {rule.label} if {rule.when}{f', reason {rule.reason}' if rule.reason else ''}"
        for number, rule in enumerate(manifest.policy.rules, 1)
    }
    return {"digest": manifest.digest, **content}


def _flatten(content: Mapping[str, object], path: str = "") -> dict[str, object]:
    entries: dict[str, object] = {}
    for name, value in content.items():
        entries |= _flatten(value, f"{path}{name}.") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return entries


@dataclass(frozen=True, slots=True)
class Flip:
    """An application for which the two bundles' decisions differ."""

    offset: int
    """The record's offset, or the line in a file."""
    application_id: str
    before: Label
    after: Label


class Comparison:
    """Statistics on the decisions of two bundles for the same applications, accumulated batch by batch."""

    def __init__(self, *, keep_flips: bool) -> None:
        """Starts with zero counts.

        Args:
            keep_flips: keep the id of each application whose decision flips; otherwise flips are only counted.
        """
        self._keep_flips = keep_flips
        self.rows = 0
        self.decided: Counter[tuple[Label, Label]] = Counter()
        """Number of applications per pair of decisions; pairs of equal decisions are included."""
        self.failed: Counter[Label] = Counter()
        """By the first bundle's label, the number of applications on which the second one's model fails."""
        self.flips: list[Flip] = []
        self.shift_max = 0.0
        """The largest absolute difference between the two probabilities of an application."""
        self._shift_sum = 0.0
        self._distance_sum = 0.0

    def add(self, records: Sequence[Record], before: Scores, after: Scores) -> None:
        """Adds a batch that both bundles have scored."""
        n = len(records)
        (old, old_decided), (new, new_decided) = _by_row(before, n), _by_row(after, n)
        is_compared = ~(np.isnan(old) | np.isnan(new))
        self.rows += n
        shift = new[is_compared] - old[is_compared]
        self._shift_sum += float(shift.sum())
        self._distance_sum += float(np.abs(shift).sum())
        self.shift_max = max(self.shift_max, float(np.abs(shift).max(initial=0.0)))
        for row in np.flatnonzero(~np.isnan(old) & np.isnan(new)).tolist():
            rejection = after.results[row]
            if isinstance(rejection, Rejection) and rejection.code is RejectionCode.MODEL_ERROR:
                self.failed[LABELS[old_decided[row]]] += 1
        for row in np.flatnonzero(is_compared).tolist():
            decisions = LABELS[old_decided[row]], LABELS[new_decided[row]]
            self.decided[decisions] += 1
            if self._keep_flips and decisions[0] != decisions[1]:
                self.flips.append(Flip(records[row].offset(), _application_id(before, row), *decisions))

    @property
    def compared(self) -> int:
        """Number of rows with two decisions; the others are invalid, or a model cannot score them."""
        return self.decided.total()

    @property
    def flipped(self) -> int:
        """Number of compared rows whose decisions differ."""
        return sum(count for (old, new), count in self.decided.items() if old != new)

    @property
    def stricter(self) -> int:
        """Number of compared rows for which the second bundle's label is stricter."""
        return sum(n for (old, new), n in self.decided.items() if LABELS.index(new) > LABELS.index(old))

    @property
    def shift_mean(self) -> float:
        """Mean change of the probability of default; negative if it falls."""
        return self._shift_sum / max(self.compared, 1)

    @property
    def distance_mean(self) -> float:
        """Mean absolute difference between the two probabilities of an application."""
        return self._distance_sum / max(self.compared, 1)

    def describe_shift(self) -> str:
        """Says how far probabilities move, as one line of text."""
        mean = f"{self.shift_mean:+.4f}" if abs(self.shift_mean) >= 0.00005 else "0.0000"
        return (
            f"Mean change of PD: {mean}. Mean absolute change per application: {self.distance_mean:.3f}; largest: "
            f"{self.shift_max:.3f}."
        )

    def as_json(self) -> dict[str, object]:
        """Returns the counts per pair of decisions and the changes of probabilities as JSON, without flips' ids."""
        return {
            "rows": self.rows,
            "compared": self.compared,
            "flipped": self.flipped,
            "flips": {old: {new: self.decided[old, new] for new in LABELS} for old in LABELS},
            "pd_shift": {
                "mean": self.shift_mean,
                "mean_distance": self.distance_mean,
                "max_distance": self.shift_max,
            },
        }


def compare_decisions(
    batches: Iterable[Sequence[Record]], bundles: tuple[Bundle, Bundle], record_bytes_max: int, *, keep_flips: bool
) -> Comparison:
    """Scores applications with both bundles and compares the decisions.

    Args:
        batches: the applications' records.
        bundles: the first and the second bundle.
        record_bytes_max: the maximum size of a value in bytes.
        keep_flips: as in `Comparison`.

    Raises:
        BundleUnusableError: one of the bundles cannot score any row of a batch.
    """
    comparison = Comparison(keep_flips=keep_flips)
    for records in batches:
        before, after = (score_batch(records, bundle, record_bytes_max) for bundle in bundles)
        comparison.add(records, before, after)
    return comparison


def _by_row(scores: Scores, n: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Returns the probability and the decision per record, shape (n,) each; NaN and -1 for undecided records."""
    probabilities, decided = np.full(n, np.nan), np.full(n, -1, dtype=np.intp)
    is_decided = scores.is_decided
    probabilities[is_decided], decided[is_decided] = scores.probabilities, scores.decided
    return probabilities, decided


def _application_id(scores: Scores, row: int) -> str:
    decision = scores.results[row]
    assert isinstance(decision, bytes), "the row is decided"
    application_id = json.loads(decision)["application_id"]
    assert isinstance(application_id, str)
    return application_id
