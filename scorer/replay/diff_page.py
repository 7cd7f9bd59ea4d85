"""Renders a comparison of two bundles as one self-contained HTML page: what they decide, and what they are."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from schemas.decision import Label
from scorer.core.policy import LABELS
from scorer.replay.rendering import make_environment


class Decisions(Protocol):
    """The decisions of two bundles on the same applications."""

    @property
    def rows(self) -> int:
        """Number of applications."""
        ...

    @property
    def compared(self) -> int:
        """Number of applications that both bundles decided."""
        ...

    @property
    def flipped(self) -> int:
        """Number of applications whose label changes."""
        ...

    @property
    def stricter(self) -> int:
        """Number of applications whose label becomes stricter."""
        ...

    @property
    def decided(self) -> Mapping[tuple[Label, Label], int]:
        """Number of applications by label before and after."""
        ...

    def describe_shift(self) -> str:
        """Says how far probabilities move."""
        ...


class Fact(Protocol):
    """A fact about the two bundles, each as lines of text."""

    @property
    def name(self) -> str:
        """What it is about."""
        ...

    @property
    def before(self) -> tuple[str, ...]:
        """Of the first bundle."""
        ...

    @property
    def after(self) -> tuple[str, ...]:
        """Of the second bundle."""
        ...

    @property
    def differs(self) -> bool:
        """Whether it is another for the second bundle."""
        ...


def render(names: tuple[str, str], decisions: Decisions | None, sample: str, facts: Sequence[Fact]) -> str:
    """Renders the page.

    Args:
        names: the bundles.
        decisions: what they decide; None if one of them cannot be opened.
        sample: which applications they decided, or why they decided none.
        facts: what they are.

    Returns:
        Self-contained HTML, which loads nothing.
    """
    decided: Mapping[tuple[Label, Label], int] = {} if decisions is None else decisions.decided
    flips = {old: {new: decided.get((old, new), 0) for new in LABELS} for old in LABELS}
    before, after = names
    return (
        make_environment()
        .get_template("diff.html")
        .render(before=before, after=after, decisions=decisions, sample=sample, facts=facts, flips=flips, labels=LABELS)
    )
