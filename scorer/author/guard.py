"""Decides what stops a deployment: errors of the bundle's review, and decisions that differ too much."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from schemas.decision import Label
from schemas.deployment import Slot
from scorer.author.finding import Finding
from scorer.core.policy import LABELS

SHIFT_POINTS_MAX: Final = 10
"""The largest shift of a share that needs no explanation, in percentage points: half of what the alert pages for."""
FLIPS_PERCENT_MAX: Final = 20
"""The largest share of applications with another decision that needs no explanation, in percent.

Twice `SHIFT_POINTS_MAX`: a share that shifts by 10 points takes as many flips, and as many more may cancel each other.
A retraining changes far fewer: the shipped models with and without marital status differ for 5% of the examples.
"""
COMPARED_MIN: Final = 100
"""The number of applications from which decisions are compared: among fewer, a few decisions are a large share."""


class LabelShift(NamedTuple):
    """How many of the same applications two bundles give a label.

    Attributes:
        label: the label; REJECTED for applications on which the second bundle's model fails.
        before: the number of applications to which the first bundle gives it.
        after: the number of applications to which the second bundle gives it.
        compared: the number of all applications; at least 1.
    """

    label: Label | Literal["REJECTED"]
    before: int
    after: int
    compared: int

    @property
    def points(self) -> float:
        """By how many percentage points the share differs; negative if it falls."""
        return 100 * (self.after - self.before) / self.compared

    @property
    def is_too_large(self) -> bool:
        """Whether it stops the deployment of a champion; compared as whole numbers, so that 10 points do not."""
        return 100 * abs(self.after - self.before) > SHIFT_POINTS_MAX * self.compared

    def __str__(self) -> str:
        return f"{self.label} {self.before / self.compared:.1%} → {self.after / self.compared:.1%}"


class DecisionShift(NamedTuple):
    """How the decisions of two bundles differ on the same applications.

    Attributes:
        labels: the shift of each label, and of REJECTED if the second bundle's model fails on any application.
        flipped: the number of applications whose decision differs, or on which the second bundle's model fails.
        compared: the number of all applications; at least 1.
    """

    labels: tuple[LabelShift, ...]
    flipped: int
    compared: int

    @property
    def flips_too_many(self) -> bool:
        """Whether the flips stop the deployment of a champion; compared as whole numbers, so that 20% do not."""
        return 100 * self.flipped > FLIPS_PERCENT_MAX * self.compared

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.labels))}; {self.flipped:,} of {self.compared:,} decisions differ"


def measure_shift(
    decided: Mapping[tuple[Label, Label], int], failed: Mapping[Label, int] = MappingProxyType({})
) -> DecisionShift | None:
    """Returns how the decisions differ; None if no application was compared.

    Args:
        decided: the number of applications per pair of decisions, by the first and by the second bundle.
        failed: by the first bundle's label, the number of applications on which the second one's model fails.
    """
    rejected = sum(failed.values())
    compared = sum(decided.values()) + rejected
    if not compared:
        return None
    labels = [
        LabelShift(
            label,
            sum(count for (before, _), count in decided.items() if before == label) + failed.get(label, 0),
            sum(count for (_, after), count in decided.items() if after == label),
            compared,
        )
        for label in LABELS
    ]
    if rejected:
        labels.append(LabelShift("REJECTED", 0, rejected, compared))
    flipped = sum(count for (before, after), count in decided.items() if before != after) + rejected
    return DecisionShift(tuple(labels), flipped, compared)


def find_obstacles(findings: Iterable[Finding], shift: DecisionShift | None, slot: Slot) -> Iterator[str]:
    """Yields a sentence for each reason to stop the deployment.

    Args:
        findings: those of the bundle's review; only errors stop it.
        shift: how the decisions differ from the champion's; None if they are not compared.
        slot: the slot. A challenger decides nothing, and is deployed to find such shifts: they do not stop it.
    """
    for finding in findings:
        if finding.severity == "error":
            yield f"{finding.where}: {finding.what}"
    if shift is None or slot != "champion":
        return
    for label in shift.labels:
        if label.is_too_large:
            yield f"{label} is a shift of {label.points:+.1f} percentage points; at most {SHIFT_POINTS_MAX} are allowed"
    if shift.flips_too_many:
        yield (
            f"{shift.flipped:,} of {shift.compared:,} decisions differ ({shift.flipped / shift.compared:.1%}); at most "
            f"{FLIPS_PERCENT_MAX}% are allowed (`scorer bundle diff` with --on FILE counts them by label)"
        )
