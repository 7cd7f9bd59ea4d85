"""A bundle to deploy, compared with the champion: what it would reject, before anything changes."""

from pathlib import Path

import pytest

from schemas.contracts import shipped_contract
from schemas.decision import BundleReference
from schemas.examples import DEPLOYMENT
from scorer.cli.compatibility import (
    breaking_changes,
    champion_contract,
    check_compatible,
    contract_of,
)
from scorer.errors import DeploymentError
from scorer.store.store import BundleStore
from scorer.stream.history import fold
from scorer.stream.history_record import Line
from tests.unit.bundle.contracts import CAR_LOAN

A, B = (BundleReference(name="credit-risk", version=f"{n}.0.0", digest=str(n) * 64) for n in (1, 2))
ADDED = ["loan_id: added, required", "salary: added, required", "owner: added, required"]


def test_the_contract_of_the_event(tmp_path: Path) -> None:
    """The champion's contract is in the history, so that its bundle is not needed."""
    event = DEPLOYMENT.model_copy(update={"bundle": A, "contract": dict(CAR_LOAN.document)})
    assert champion_contract(fold([Line(0, event)]), BundleStore(tmp_path), A) == CAR_LOAN


def test_without_an_event_the_bundle_has_it(tmp_path: Path) -> None:
    """Before the first deployment, and after events without a contract, the bundle in the store has it."""
    store = BundleStore(tmp_path)
    champion = store.locate("credit-risk:1.1.0")
    assert contract_of(champion.folder, champion.reference) == shipped_contract()
    old = fold([Line(0, DEPLOYMENT.model_copy(update={"bundle": champion.reference}))])
    for state in (fold([]), old):
        assert champion_contract(state, store, champion.reference) == shipped_contract()


def test_an_event_of_another_bundle(tmp_path: Path) -> None:
    """A contract in the history counts for the bundle of its event alone."""
    event = DEPLOYMENT.model_copy(update={"bundle": B, "contract": dict(CAR_LOAN.document)})
    store = BundleStore(tmp_path)
    champion = store.locate("credit-risk:1.1.0").reference
    assert champion_contract(fold([Line(0, event)]), store, champion) == shipped_contract()


def test_a_champion_that_is_gone_stops_no_deployment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If nothing tells the champion's contract, another bundle can be deployed, and a warning says why."""
    assert champion_contract(fold([]), BundleStore(tmp_path), A) is None
    assert "warning: the contract is not compared with the champion's" in capsys.readouterr().err
    assert breaking_changes(None, CAR_LOAN) == []


def test_only_breaking_changes_are_listed() -> None:
    """A field that is no longer read breaks nothing; one that was never sent and is required does."""
    assert breaking_changes(shipped_contract(), CAR_LOAN) == ADDED
    assert breaking_changes(CAR_LOAN, CAR_LOAN) == []


def test_refused_or_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The refusal lists what would be rejected; if that is allowed, the same is a warning."""
    store = BundleStore(tmp_path)
    champion = store.locate("credit-risk:1.1.0").reference
    with pytest.raises(DeploymentError) as refused:
        check_compatible(fold([]), store, champion, (B, CAR_LOAN), allow_breaking=False)
    head, *changes, advice = str(refused.value).splitlines()
    assert head == f"{B.short} rejects applications that the champion {champion.short} accepts:"
    assert changes == [f"  {change}" for change in ADDED]
    assert advice == "Nothing was changed. To deploy it nevertheless: --allow-breaking"
    assert capsys.readouterr().err == ""
    check_compatible(fold([]), store, champion, (B, CAR_LOAN), allow_breaking=True)
    assert capsys.readouterr().err.splitlines() == [f"warning: {head}", *changes]


def test_a_compatible_contract_is_no_news(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed about a bundle that accepts what the champion accepts."""
    store = BundleStore(tmp_path)
    champion = store.locate("credit-risk:1.1.0").reference
    check_compatible(fold([]), store, champion, (B, shipped_contract()), allow_breaking=False)
    assert capsys.readouterr().err == ""
