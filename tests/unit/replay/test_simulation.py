"""Simulated policies: by recorded PDs, with fields read from the topic, and figures that a page shows."""

import re
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from schemas.decision import BundleReference
from scorer.bundle.load import read_manifest
from scorer.core.decide import Decider
from scorer.core.policy import Policy
from scorer.replay import simulation
from scorer.replay.selection import DECIDED, Selection
from scorer.replay.simulation import Simulated, calibrate, decide_again, summarize
from scorer.replay.simulation_page import render
from scorer.settings import Settings
from tests.fakes import CONTRACT, DECODER, FakeRecord, application
from tests.unit.bundle.making import PLAIN

MANIFEST = read_manifest(PLAIN)
VALUES = [
    application(income=10, home="owner"), application(income=200, home="owner"), application(income=200, home="rent"),
    application(age=7), application(income=200, home="rent"),
]  # fmt: skip
PROBABILITIES = np.array([0.05, 0.4, 0.15, 0.1, 0.95], dtype=np.float32)


def _selection(bundle: BundleReference = MANIFEST.reference) -> Selection:
    """Five decisions by the bundle's thresholds, and a sixth whose application is deleted."""
    rows = np.zeros(6, dtype=DECIDED)
    rows["offset"], rows["probability"] = range(6), [*PROBABILITIES, 0.2]
    rows["outcome"] = [0, 1, 0, 0, 2, 0]
    return Selection("applications", (bundle,), rows)


def _decider(**parts: object) -> Decider:
    return Decider(Policy.model_validate(parts), CONTRACT)


RULES = [{"id": "poor", "when": "income < 20", "label": "DECLINED"}]
SEGMENTS = {"field": "home", "values": {"rent": {"maybe_above": 0.1, "declined_above": 0.9}}}


@pytest.fixture
def applications(monkeypatch: pytest.MonkeyPatch) -> None:
    """The topic has five of the six applications."""

    def read(*_: object) -> Iterator[tuple[list[Any], Any]]:
        yield [FakeRecord((0, i), value) for i, value in enumerate(VALUES[:2])], np.array([0, 1])
        yield [FakeRecord((0, i), value) for i, value in enumerate(VALUES[2:], 2)], np.array([2, 3, 4])

    monkeypatch.setattr(simulation, "read_selected", read)


def _simulate(decider: Decider, selection: Selection) -> Simulated:
    return decide_again(Settings(), selection, decider, DECODER, nullcontext(lambda *_: None))


def test_thresholds_alone_need_no_applications() -> None:
    """Nothing is read: there is no broker. Labels are those of the recorded PDs."""
    decider = _decider(maybe_above=0.1, declined_above=0.5)
    simulated = _simulate(decider, _selection())
    assert simulated.labels.tolist() == [0, 1, 1, 1, 2, 1]  # the float32 next to 0.1 is above it
    assert (simulated.missing, simulated.invalid) == (0, 0)
    figures = summarize(simulated, _selection(), decider, MANIFEST, "any application")
    assert (figures.applications, figures.flipped, figures.stricter) == (6, 3, 3)
    assert figures.before == {"APPROVED": 4, "MAYBE": 1, "DECLINED": 1}
    assert figures.after == {"APPROVED": 1, "MAYBE": 4, "DECLINED": 1}


@pytest.mark.usefixtures("applications")
def test_rules_and_segments_read_the_applications() -> None:
    """Deleted and invalid ones are counted, and are in no figure."""
    decider = _decider(rules=RULES, segments=SEGMENTS)
    simulated = _simulate(decider, _selection())
    assert simulated.labels.tolist() == [2, 1, 1, 255, 2, 255]
    assert simulated.rules.tolist() == [0, -1, -1, -1, -1, -1]
    assert simulated.is_general.tolist() == [False, True, False, False, False, False]
    figures = summarize(simulated, _selection(), decider, MANIFEST, "any application")
    assert (figures.applications, figures.missing, figures.invalid) == (4, 1, 1)
    assert figures.flips["APPROVED"] == {"APPROVED": 0, "MAYBE": 1, "DECLINED": 1}
    assert figures.by_rule == {"poor": {"applications": 1, "flipped": 1}}


def test_the_sweep_is_what_deciding_with_each_threshold_gives() -> None:
    """Shares and expected default rates, compared with a policy for each threshold."""
    rows = np.zeros(500, dtype=DECIDED)
    rows["probability"] = np.random.default_rng(1).random(500).astype(np.float32)
    rows["offset"] = range(500)
    selection = Selection("applications", (MANIFEST.reference,), rows)
    decider = _decider()
    figures = summarize(_simulate(decider, selection), selection, decider, MANIFEST, "any application")
    assert MANIFEST.metrics is not None
    rates = calibrate(rows["probability"], MANIFEST.metrics.calibration)
    for step in figures.sweep[::10]:
        labels = _decider(maybe_above=step.threshold, declined_above=1.0).compare(rows["probability"], {})
        assert step.approved == (labels == 0).mean()
        assert step.declined == (labels != 0).mean()
        expected = rates[labels == 0].mean() if (labels == 0).any() else None
        assert step.default_rate == (None if expected is None else pytest.approx(expected))


def test_the_calibration_is_that_of_the_decisions_model_only() -> None:
    """Of other bundles' PDs no default rate is claimed; a bundle with another policy has the same model."""
    other = BundleReference(name="other", version="1.0.0", digest="f" * 64)
    decider = _decider()
    unknown = summarize(_simulate(decider, _selection(other)), _selection(other), decider, MANIFEST, "any")
    assert unknown.default_rate_after is None
    assert "by other bundles" in unknown.calibration
    same = MANIFEST.model_copy(update={"labels": {"same-model-as": other.short}})
    known = summarize(_simulate(decider, _selection(other)), _selection(other), decider, same, "any")
    assert known.default_rate_after is not None


def test_a_bin_without_rows_has_the_pd_itself() -> None:
    """The shipped bundle's bins all have rows; one without is taken away."""
    assert MANIFEST.metrics is not None
    calibration = MANIFEST.metrics.calibration
    empty = calibration.bins[0].model_copy(update={"rows": 0, "predicted_mean": None, "observed_share": None})
    changed = calibration.model_copy(update={"bins": (empty, *calibration.bins[1:])})
    rates = calibrate(np.array([0.05, 1.0], dtype=np.float32), changed).tolist()
    assert rates == [pytest.approx(0.05), calibration.bins[-1].observed_share]


@pytest.mark.slow
@pytest.mark.usefixtures("applications")
def test_the_page_has_the_figures_and_loads_nothing() -> None:
    """As a reader sees them; with plots, and nothing from elsewhere."""
    pytest.importorskip("matplotlib")
    decider = _decider(rules=RULES, segments=SEGMENTS)
    figures = summarize(_simulate(decider, _selection()), _selection(), decider, MANIFEST, "decided by <credit>")
    page = render(figures, decider.policy)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]))
    assert "Of 4 applications, 2 (50.0%) would get a different decision : 0 a milder one, 2 a stricter one" in text
    assert "rule poor: DECLINED if income &lt; 20" in page
    assert "decided by &lt;credit&gt;" in page
    assert page.count("<svg") == 1 + (figures.default_rate_after is not None)
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)
    assert page == render(figures, decider.policy)
