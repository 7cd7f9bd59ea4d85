"""The guard of `scorer deploy` without a broker: the comparison fails in several ways, and none is a traceback."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from scorer.author.diff import Comparison, compare_decisions
from scorer.cli.deploy_guard import Guard
from scorer.core.records import Record
from scorer.errors import BrokerError, BundleUnusableError, DeploymentError, ScorerError
from scorer.settings import load_settings
from scorer.store.entry import Located
from scorer.store.store import BundleStore
from tests.unit.bundle.making import EXPLAINED, PLAIN, WITH_MARITAL

CHAMPION, SAME_LABELS, MARITAL = EXPLAINED, PLAIN, WITH_MARITAL


def review(new: Path, despite: str | None = None, *, quiet: bool = False) -> str | None:
    """Reviews a shipped bundle as the next champion, after the default bundle."""
    bundles = BundleStore(None)
    settings = load_settings({}, environment={}).settings
    champion, reference = (bundles.open(str(folder)).reference for folder in (CHAMPION, new))
    return Guard(settings, bundles, "champion", despite, quiet=quiet).review(champion, Located(new, reference, True))


def compared(*counts: int) -> Comparison:
    """A comparison in which both bundles approve the first number, and the second declines the second number."""
    comparison = Comparison(keep_flips=False)
    comparison.decided.update({("APPROVED", "APPROVED"): counts[0], ("APPROVED", "DECLINED"): counts[1]})
    comparison.rows = sum(counts)
    return comparison


def topic_has(monkeypatch: pytest.MonkeyPatch, result: Comparison | ScorerError) -> None:
    """The comparison on the topic has this result, or fails."""
    applications: list[list[Record]] = []

    def compare(batches: Iterable[Sequence[Record]], *bundles: Any, **options: Any) -> Comparison:
        if batches is not applications:  # the golden examples
            return compare_decisions(batches, *bundles, **options)
        if isinstance(result, ScorerError):
            raise result
        return result

    monkeypatch.setattr("scorer.operate.newest.read_newest", lambda *_: applications)
    monkeypatch.setattr("scorer.author.diff.compare_decisions", compare)


def test_nothing_stops_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings are one line that names the command which lists them, and the shares another one."""
    topic_has(monkeypatch, compared(95, 5))
    assert review(SAME_LABELS) is None
    warnings, labels = capsys.readouterr().out.splitlines()
    assert warnings.endswith("see scorer bundle lint credit-risk:1.1.0")
    assert "warnings of the review (" in warnings
    assert labels.startswith("labels of the newest 100 applications of topic credit.applications, by the champion ")
    assert labels.endswith(": APPROVED 100.0% → 95.0%, MAYBE 0.0% → 0.0%, DECLINED 0.0% → 5.0%")


def test_every_reason_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One message has the errors of the review and the labels that shift too much; a reason overrides all of them."""
    topic_has(monkeypatch, compared(80, 20))
    with pytest.raises(DeploymentError) as stopped:
        review(MARITAL)
    first, error, approved, declined, last = str(stopped.value).splitlines()
    assert first == "credit-risk:1.0.0@4ebcad5e357a is not deployed:"
    assert error.startswith("  features: marital: ")
    assert approved == "  APPROVED 100.0% → 80.0% is a shift of -20.0 percentage points; at most 10 are allowed"
    assert declined == "  DECLINED 0.0% → 20.0% is a shift of +20.0 percentage points; at most 10 are allowed"
    assert '--despite "why"' in last
    capsys.readouterr()
    assert review(MARITAL, "it is a test", quiet=True) == "it is a test"
    printed = capsys.readouterr()
    assert printed.out == "", "standard output is for JSON"
    assert f"--despite overrides:\n{error}\n{approved}\n{declined}" in printed.err


def test_a_model_that_fails_on_most_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that it can score were too few to compare, so that golden examples were, which stop nothing."""
    newest = compared(50, 0)
    newest.failed["MAYBE"] = 950
    topic_has(monkeypatch, newest)
    with pytest.raises(DeploymentError, match=r"REJECTED 0\.0% → 95\.0% is a shift of \+95\.0 percentage points"):
        review(SAME_LABELS)


def test_a_topic_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Operators without Read on the topic could always deploy: the golden examples are compared instead."""
    topic_has(monkeypatch, BrokerError("Read on topic credit.applications is missing"))
    assert review(SAME_LABELS) is None
    *_, why, labels = capsys.readouterr().out.splitlines()
    assert why.endswith("instead of applications: Read on topic credit.applications is missing")
    assert labels.startswith("labels of the 64 golden examples of this bundle, ")


def test_a_bundle_that_scores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers would stop on it; if it is the champion that fails, a reason lets another bundle replace it."""
    topic_has(monkeypatch, BundleUnusableError("bundle credit-risk:1.1.0 cannot score"))
    with pytest.raises(DeploymentError) as stopped:
        review(SAME_LABELS)
    assert "is not deployed:\n  bundle credit-risk:1.1.0 cannot score\n" in str(stopped.value)
    assert review(SAME_LABELS, "the champion is broken") == "the champion is broken"


def test_the_same_bundle_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A deployment that only another key signs changes nothing, so that nothing is reviewed or compared."""
    topic_has(monkeypatch, BrokerError("nobody asked"))
    assert review(CHAMPION) is None
    assert capsys.readouterr().out == ""
