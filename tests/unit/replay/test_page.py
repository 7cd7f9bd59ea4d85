"""The report's page: every figure on it, nothing from elsewhere, and plain words where something is missing."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from schemas.decision import BundleReference
from scorer.core.policy import Policy
from scorer.replay.findings import Findings
from scorer.replay.groups import Group, Shift
from scorer.replay.page import render
from scorer.replay.plan import Origin, Plan
from scorer.replay.rendering import interval
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
    origin=Origin("bad-model", "ana@desk", "declined <everybody>", "scorer replay plan bad-model --decided-by x:1.0.0"),
    ran=("2026-01-01T00:01:00+00:00", "2026-01-01T00:02:00+00:00"),
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
    categories={
        "home": {"rent": Group(40, 30, 10, -0.125), "owner": Group(60, 0, 0, 0.0), "ignore": Group(29, 29, 0, 0.5)}
    },
    numbers={"age": {"up to 27": Group(100, 15, 15, 0.01), "over 27": Group(100, 1, 0, 0.0)}, "debt": {}},
    dates={},
)


def text_of(page: str) -> str:
    """What a reader sees, without tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]))


def test_the_summary_and_the_tables_hold_the_figures() -> None:
    """As a reader sees them."""
    page = render(FOUND, plan(), OUTCOMES, Policy())
    text = text_of(page)
    assert "<title>Replay: credit:1.1.0 instead of credit:1.0.0</title>" in page
    assert (
        "3 decisions changed (2 to a milder label, 1 to a stricter one); 1 keeps its label and now names credit:1.1.0"
        in text
    )
    assert re.search(r"rent 40 30 75\.0% 59\.8–85\.8% 20 10 -0\.125", text)
    assert re.search(r"owner 60 0 0\.0% 0\.0–6\.0% 0 0 0\.000", text), "no move has no sign"
    assert re.search(r"over 27 100 1 1\.0%", text), "bands of a number"
    assert "median -0.100; 90% of applications changed by -0.350 to +0.150" in text
    assert "0.0–0.1" not in text, "an empty band is left out"
    assert page.count('<td class="stricter"') == 1
    assert page.count('<td class="milder"') == 2
    assert page.count("<svg") == 2


def test_periods_of_dates_have_a_table() -> None:
    """Like bands of numbers; a field without any known date has none."""
    opened = {"up to 2024-02-29": Group(10, 1, 0, 0.0), "after 2024-02-29": Group(90, 9, 0, 0.0)}
    page = render(replace(FOUND, dates={"opened": opened, "closed": {}}), plan(), OUTCOMES, Policy())
    assert "up to 2024-02-29 10 1 few" in text_of(page)
    assert "after 2024-02-29 90 9 10.0%" in text_of(page)
    assert "closed" not in text_of(page)


def test_who_made_the_plan_and_how() -> None:
    """The name, the times, the operator, the reason and the command; a plan of an earlier release has none of them."""
    text = text_of(render(FOUND, plan(), OUTCOMES, Policy()))
    assert "bad-model, replay r-1" in text
    assert "Planned 2026-01-01 00:00:00 UTC by ana@desk" in text
    assert "declined &lt;everybody&gt;" in text
    assert "2026-01-01 00:01:00 UTC to 2026-01-01 00:02:00 UTC" in text
    assert "scorer replay plan bad-model --decided-by x:1.0.0" in text
    earlier = text_of(render(replace(FOUND, origin=Origin(), ran=None), plan(), OUTCOMES, Policy()))
    assert not re.search("bad-model|ana@desk|Reason|Ran|Command", earlier)


def test_bars_have_one_scale_and_small_groups_have_none() -> None:
    """A category with 1 of 2 changed once had the longest bar, and each table a scale of its own."""
    page = render(FOUND, plan(), OUTCOMES, Policy())
    assert re.findall(r'<i class="\w+" style="width:([\d.]+)%"', page) == [
        *("66.7", "33.3"),  # rent: 75 %, the largest share of all tables
        *("0.0", "0.0"),
        *("0.0", "20.0"),  # up to 27: 15 %
        *("1.3", "0.0"),
    ]
    assert re.search(r"ignore 29 29 few 29 0", text_of(page))
    assert page.count('<tr class="few">') == 2, "and the band of six"


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(0, 10, "0.0–27.8%"), (10, 10, "72.2–100.0%"), (1, 2, "9.5–90.5%"), (81, 263, "25.5–36.6%")],
)
def test_intervals_are_wilsons(part: int, whole: int, expected: str) -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I, has 81 of 263: 0.2553 to 0.3662."""
    assert interval(part, whole) == expected


def test_fields_where_the_label_changes_are_shaded() -> None:
    """Six of nine if the thresholds before are known; otherwise none, and the caption says why."""
    shaded = render(FOUND, plan(), OUTCOMES, Policy(), Policy(maybe_above=0.2, declined_above=0.4))
    assert shaded.count("opacity: 0.12") == 6
    assert "In the green fields the label became milder" in shaded
    plain = render(FOUND, plan(), OUTCOMES, Policy())
    assert "opacity: 0.12" not in plain
    assert "those of the previous bundles are not shown" in plain


def test_figures_have_the_colours_of_the_screen() -> None:
    """Variables of the style, which a dark screen sets; one application is as visible as the faintest dot."""
    page = render(FOUND, plan(), OUTCOMES, Policy(), Policy())
    figures = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "prefers-color-scheme: dark" in page
    assert set(re.findall(r"#[0-9a-f]{6}", figures)) <= {"#000000", "#ffffff"}, "clip paths only"
    assert "fill: var(--dots); fill-opacity: 0.45" in figures


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
    nothing = replace(
        FOUND, rescored=0, corrections=0, flipped=0, shift=None, flips=NO_FLIPS, bands={}, categories={}, numbers={}
    )
    page = render(nothing, plan(), OUTCOMES, Policy())
    assert "<svg" not in page
    assert "0 decisions changed" in text_of(page)


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
        origin=Origin("<x>", "<x>", "<x>", "<x>"),
        ran=("<x>", "<x>"),
        before={"<x>:1@a": N},
        after="<x>:2@b",
        rejected={"<x>": 1},
        categories={"<x>": {"<x>": Group(4, 3, 1, -0.125)}},
        numbers={"<x>": {"<x>": Group(4, 3, 1, -0.125)}},
        skipped=1,
        skipped_first=("<x>",),
    )
    assert "<x>" not in render(hostile, plan(), OUTCOMES, Policy())
    links = re.findall(r"""(?:src|href)\s*=\s*["'](?!#)([^"']*)""", page)
    assert links == ["flips.csv", "report.json"], "it loads nothing; it links to the files next to it"
