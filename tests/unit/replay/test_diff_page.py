"""The page of a comparison: decisions first, what differs marked, nothing from elsewhere."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from schemas.decision import Label
from scorer.replay.diff_page import render

NAMES: Final = (f"credit:1.0.0@{'a' * 64}", f"credit:1.1.0@{'b' * 64}")


@dataclass(frozen=True)
class Decided:
    """Decisions on eleven applications, of which ten are compared."""

    rows: int = 11
    compared: int = 10
    flipped: int = 3
    stricter: int = 1
    decided: Mapping[tuple[Label, Label], int] = field(
        default_factory=lambda: {("APPROVED", "APPROVED"): 7, ("MAYBE", "APPROVED"): 2, ("APPROVED", "DECLINED"): 1}
    )

    def describe_shift(self) -> str:
        """How far probabilities move."""
        return "Mean change of PD: 0.0000."


class Fact(NamedTuple):
    """A fact."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    differs: bool


FACTS: Final = [Fact("AUC", ("0.8",), ("0.9",), True), Fact("policy", ("a <b>", "c"), ("a <b>", "c"), False)]


def _text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]))


def test_decisions_come_first() -> None:
    """Then the labels, and then what the bundles are."""
    page = render(NAMES, Decided(), "the applications of the file", FACTS)
    text = _text_of(page)
    assert "<title>Bundles: credit:1.1.0 instead of credit:1.0.0</title>" in page
    assert "3 of 10 decisions change (30.0%) : 2 to a milder label, 1 to a stricter one" in text
    assert "Mean change of PD: 0.0000." in text
    assert "1 of 11 applications are in no figure" in text
    assert re.search(r"MAYBE 2 \(100\.0%\) 0 0 2 \(20\.0%\)", text)
    assert text.index("decisions change") < text.index("MAYBE 2") < text.index("AUC 0.8 0.9")
    assert page.count('<tr class="differs">') == 1
    assert "a &lt;b&gt;<br>c" in page


def test_without_decisions() -> None:
    """The page says why there are none."""
    text = _text_of(render(NAMES, None, "a bundle cannot be <opened>", FACTS))
    assert "a bundle cannot be &lt;opened&gt;" in text
    assert "decisions change" not in text
    assert "AUC 0.8 0.9" in text


def test_the_page_is_self_contained() -> None:
    """No script, no address; for light and dark screens."""
    page = render(NAMES, Decided(), "the applications of the file", FACTS)
    assert not re.search(r"(?:src|href)\s*=|<script|https?://", page)
    assert "prefers-color-scheme: dark" in page
