"""The report's page: every figure on it, nothing from elsewhere, and plain words where something is missing."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from schemas.decision import BundleReference
from scorer.core.policy import Policy
from scorer.replay.findings import Findings, Group, Shift
from scorer.replay.page import render
from scorer.replay.plan import Plan
from scorer.replay.results import PENDING, REJECTED, Results
from scorer.replay.selection import DECIDED, Selection

pytestmark = pytest.mark.slow

pytest.importorskip("matplotlib")

OLD = BundleReference(name="credit", version="1.0.0", digest="a" * 64)
NEW = BundleReference(name="credit", version="1.1.0", digest="b" * 64)
N = 6


def plan() -> Plan:
    """Six applications."""
    rows = np.zeros(N, dtype=DECIDED)
    rows["offset"], rows["probability"], rows["outcome"] = range(N), [0.1, 0.2, 0.4, 0.6, 0.8, 0.9], [0, 0, 1, 2, 2, 2]
    selection = Selection("applications", (OLD,), rows)
    return Plan("r-1", datetime.now(UTC), "all", "decisions", "dead-letters", {}, NEW, selection, expired=3)


OUTCOMES = Results(
    np.array([0, 1, 0, 0, REJECTED, PENDING], dtype=np.uint8),
    np.array([0.1, 0.35, 0.2, 0.25, np.nan, np.nan], dtype=np.float32),
    published=True,
    corrections=4,
)
NO_FLIPS = {name: dict.fromkeys(("APPROVED", "MAYBE", "DECLINED", "rejected", "not yet decided"), 0) for name in (
    "APPROVED", "MAYBE", "DECLINED")}  # fmt: skip
FOUND = Findings(
    replay_id="r-1",
    what="decided by <credit> & co",
    created="2026-01-01T00:00:00+00:00",
    before={str(OLD): N},
    after=str(NEW),
    published=True,
    applications=N,
    expired=3,
    rescored=5,
    corrections=4,
    flipped=3,
    rejected={"model_error": 1},
    flips={
        **NO_FLIPS,
        "APPROVED": {**NO_FLIPS["APPROVED"], "APPROVED": 1, "MAYBE": 1},
        "MAYBE": {**NO_FLIPS["MAYBE"], "APPROVED": 1},
        "DECLINED": {**NO_FLIPS["DECLINED"], "APPROVED": 1, "rejected": 1, "not yet decided": 1},
    },
    shift=Shift(-0.1, -0.35, -0.1, 0.15, 0.35),
    bands={"0.0–0.1": Group(0, 0, 0, 0.0), "0.1–0.2": Group(6, 3, 1, -0.1)},
    deleted=0,
    categories={"home": {"rent": Group(4, 3, 1, -0.125), "owner": Group(2, 0, 0, 0.0)}},
)


def text_of(page: str) -> str:
    """What a reader sees, without tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]))


def test_the_summary_and_the_tables_hold_the_figures() -> None:
    """As a reader sees them."""
    page = render(FOUND, plan(), OUTCOMES, Policy())
    text = text_of(page)
    assert "Of 5 applications decided by credit:1.0.0, 3 (60.0%) get a different decision" in text
    assert "2 a milder one, 1 a stricter one" in text
    assert re.search(r"rent 4 3 75\.0% 2 1 -0\.125", text)
    assert re.search(r"owner 2 0 0\.0% 0 0 0\.000", text), "no move has no sign"
    assert "0.0–0.1" not in text, "an empty band is left out"
    assert page.count('<td class="stricter"') == 1
    assert page.count('<td class="milder"') == 2
    assert page.count("<svg") == 2


def test_missing_applications_are_reported() -> None:
    """What is pending, expired, refused or gone, each in words."""
    text = text_of(render(FOUND, plan(), OUTCOMES, Policy()))
    assert "not complete: 1 of 6 applications are pending" in text
    assert "3 matching applications are missing" in text
    assert "1 model_error" in text
    whole = replace(FOUND, rescored=N, expired=0, rejected={}, deleted=2, published=False, corrections=0)
    text = text_of(render(whole, plan(), OUTCOMES, Policy()))
    assert "not complete" not in text
    assert "has deleted 2 applications since" in text
    assert "nothing (dry run)" in text
    assert "supersedes" not in text


def test_nothing_yet() -> None:
    """Before anything was decided again there is nothing to draw."""
    nothing = replace(FOUND, rescored=0, flipped=0, shift=None, flips=NO_FLIPS, bands={}, categories={})
    page = render(nothing, plan(), OUTCOMES, Policy())
    assert "<svg" not in page
    assert "Of 0 applications" in text_of(page)


def test_the_page_is_self_contained_and_reproducible() -> None:
    """No script, no address, everything escaped."""
    page = render(FOUND, plan(), OUTCOMES, Policy())
    assert page == render(FOUND, plan(), OUTCOMES, Policy())
    assert "&lt;credit&gt; &amp; co" in page
    assert "<script" not in page
    hostile = replace(
        FOUND,
        replay_id="<x>",
        created="<x>",
        before={"<x>:1@a": N},
        after="<x>:2@b",
        rejected={"<x>": 1},
        categories={"<x>": {"<x>": Group(4, 3, 1, -0.125)}},
        skipped=1,
        skipped_first=("<x>",),
    )
    assert "<x>" not in render(hostile, plan(), OUTCOMES, Policy())
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#)""", page), "it loads nothing"
