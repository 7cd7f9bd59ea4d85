"""Two bundles side by side: what their manifests say differently, and what they decide differently."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.decision import Outcome
from scorer.bundle.manifest import Manifest
from scorer.core.policy import OUTCOMES
from scorer.core.score import Bundle, Record, Scores, score_batch


@dataclass(frozen=True, slots=True)
class Change:
    """A place at which two manifests differ; one that has nothing there has None."""

    where: str
    """The names on the way to it, joined by dots."""
    before: object
    after: object


def compare_manifests(before: Manifest, after: Manifest) -> list[Change]:
    """What differs, in the manifest's order; a column stands for itself, so that one more is one change."""
    old, new = _flatten(_by_column(before)), _flatten(_by_column(after))
    return [Change(w, old.get(w), new.get(w)) for w in old | new if old.get(w) != new.get(w)]


def _by_column(manifest: Manifest) -> dict[str, object]:
    content = manifest.model_dump(mode="json")
    content["features"]["columns"] = dict.fromkeys(manifest.features.columns, True)
    return {"digest": manifest.digest, **content}


def _flatten(content: Mapping[str, object], path: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in content.items():
        found |= _flatten(value, f"{path}{name}.") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return found


@dataclass(frozen=True, slots=True)
class Flip:
    """An application that the two decide differently."""

    offset: int
    """Its record's, or its line in a file."""
    application_id: str
    before: Outcome
    after: Outcome


class Comparison:
    """What two bundles make of the same applications, batch by batch."""

    def __init__(self, *, keep_flips: bool) -> None:
        """Counts from nothing.

        Args:
            keep_flips: keep each application whose decision flips, by its id; otherwise they are only counted.
        """
        self._keep_flips = keep_flips
        self.rows = 0
        self.decided: Counter[tuple[Outcome, Outcome]] = Counter()
        """How many by what the two decide; those on the diagonal agree."""
        self.flips: list[Flip] = []
        self.shift_max = 0.0
        """The greatest distance between two probabilities of one application."""
        self._shift_sum = 0.0
        self._distance_sum = 0.0

    def add(self, records: Sequence[Record], before: Scores, after: Scores) -> None:
        """Counts a batch that both have scored."""
        n = len(records)
        (old, old_decided), (new, new_decided) = _by_row(before, n), _by_row(after, n)
        both = ~(np.isnan(old) | np.isnan(new))
        self.rows += n
        shift = new[both] - old[both]
        self._shift_sum += float(shift.sum())
        self._distance_sum += float(np.abs(shift).sum())
        self.shift_max = max(self.shift_max, float(np.abs(shift).max(initial=0.0)))
        for row in np.flatnonzero(both).tolist():
            decisions = OUTCOMES[old_decided[row]], OUTCOMES[new_decided[row]]
            self.decided[decisions] += 1
            if self._keep_flips and decisions[0] != decisions[1]:
                self.flips.append(Flip(records[row].offset(), _id_in(before, row), *decisions))

    @property
    def compared(self) -> int:
        """Rows that both have decided; the others are no applications, or a model cannot score them."""
        return self.decided.total()

    @property
    def flipped(self) -> int:
        """Those among them that they decide differently."""
        return sum(count for (old, new), count in self.decided.items() if old != new)

    @property
    def shift_mean(self) -> float:
        """By how much the probability of default rises on average; below 0 it falls."""
        return self._shift_sum / max(self.compared, 1)

    @property
    def distance_mean(self) -> float:
        """How far the two probabilities of an application are apart on average, in either direction."""
        return self._distance_sum / max(self.compared, 1)


def compare_decisions(
    batches: Iterable[Sequence[Record]], bundles: tuple[Bundle, Bundle], record_bytes_max: int, *, keep_flips: bool
) -> Comparison:
    """Scores applications with both bundles.

    Args:
        batches: the applications' records.
        bundles: the one before and the one after.
        record_bytes_max: the longest value that is read, in bytes.
        keep_flips: as `Comparison` has it.

    Raises:
        BundleUnusableError: one of the bundles can score none of a batch.
    """
    found = Comparison(keep_flips=keep_flips)
    for records in batches:
        before, after = (score_batch(records, bundle, record_bytes_max) for bundle in bundles)
        found.add(records, before, after)
    return found


def _by_row(scores: Scores, n: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Probabilities and decisions by record, shape (n,) each; NaN and -1 where there is none."""
    probabilities, decided = np.full(n, np.nan), np.full(n, -1, dtype=np.intp)
    is_decided = scores.is_decided
    probabilities[is_decided], decided[is_decided] = scores.probabilities, scores.decided
    return probabilities, decided


def _id_in(scores: Scores, row: int) -> str:
    decision = scores.outcomes[row]
    assert isinstance(decision, bytes), "asked for a row that was decided"
    application_id = json.loads(decision)["application_id"]
    assert isinstance(application_id, str)
    return application_id
