"""Decides what stops a deployment: errors of the bundle's review, and labels whose share shifts too much."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from schemas.decision import Label
from schemas.deployment import Slot
from scorer.author.finding import Finding
from scorer.core.policy import LABELS

SHIFT_POINTS_MAX: Final = 10
"""The largest shift of a share that needs no explanation, in percentage points: half of what the alert pages for."""
COMPARED_MIN: Final = 100
"""The number of applications from which shares are compared: among fewer, a few decisions are a large shift."""


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


def count_shifts(
    decided: Mapping[tuple[Label, Label], int], failed: Mapping[Label, int] = MappingProxyType({})
) -> list[LabelShift]:
    """Returns the shift of each label, and of REJECTED if there are any; none if no application was compared.

    Args:
        decided: the number of applications per pair of decisions, by the first and by the second bundle.
        failed: by the first bundle's label, the number of applications on which the second one's model fails.
    """
    rejected = sum(failed.values())
    compared = sum(decided.values()) + rejected
    if not compared:
        return []
    shifts = [
        LabelShift(
            label,
            sum(count for (before, _), count in decided.items() if before == label) + failed.get(label, 0),
            sum(count for (_, after), count in decided.items() if after == label),
            compared,
        )
        for label in LABELS
    ]
    return [*shifts, LabelShift("REJECTED", 0, rejected, compared)] if rejected else shifts


def find_obstacles(findings: Iterable[Finding], shifts: Iterable[LabelShift], slot: Slot) -> Iterator[str]:
    """Yields a sentence for each reason to stop the deployment.

    Args:
        findings: those of the bundle's review; only errors stop it.
        shifts: how the shares of the labels differ from the champion's.
        slot: the slot. A challenger decides nothing, and is deployed to find such shifts: they do not stop it.
    """
    for finding in findings:
        if finding.severity == "error":
            yield f"{finding.where}: {finding.what}"
    for shift in shifts:
        if slot == "champion" and shift.is_too_large:
            yield f"{shift} is a shift of {shift.points:+.1f} percentage points; at most {SHIFT_POINTS_MAX} are allowed"
