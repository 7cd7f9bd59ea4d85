"""A bundle to deploy, compared with the champion: what it would reject, before anything changes."""

from pathlib import Path

import pytest

from schemas.contracts import shipped_contract
from schemas.decision import BundleReference
from schemas.examples import DEPLOYMENT
from scorer.cli.compatibility import breaking_changes, contract_of, require_compatible, warn_of_changes
from scorer.errors import DeploymentError
from scorer.store.store import BundleStore
from scorer.stream.history import fold
from scorer.stream.history_record import Line
from tests.unit.bundle.contracts import CAR_LOAN

A, B = (BundleReference(name="credit-risk", version=f"{n}.0.0", digest=str(n) * 64) for n in (1, 2))
ADDED = ["loan_id: added, required", "salary: added, required", "owner: added, required"]


def test_the_contract_of_the_event_is_compared(tmp_path: Path) -> None:
    """The champion's contract is in the history, so that its bundle is not needed."""
    event = DEPLOYMENT.model_copy(update={"bundle": A, "contract": dict(shipped_contract().document)})
    state = fold([Line(0, event)])
    assert breaking_changes(state, BundleStore(tmp_path), A, CAR_LOAN) == ADDED
    assert breaking_changes(state, BundleStore(tmp_path), A, shipped_contract()) == []


def test_without_an_event_the_bundle_is_compared(tmp_path: Path) -> None:
    """Before the first deployment, and after events without a contract, the bundle in the store has it."""
    store = BundleStore(tmp_path)
    champion = store.locate("credit-risk:1.1.0")
    assert contract_of(champion.folder, champion.reference) == shipped_contract()
    old = fold([Line(0, DEPLOYMENT.model_copy(update={"bundle": champion.reference}))])
    for state in (fold([]), old):
        assert breaking_changes(state, store, champion.reference, CAR_LOAN) == ADDED


def test_a_champion_that_is_gone_stops_no_deployment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If nothing tells the champion's contract, another bundle can be deployed, and a warning says why."""
    assert breaking_changes(fold([]), BundleStore(tmp_path), A, CAR_LOAN) == []
    assert "warning: the contract is not compared with the champion's" in capsys.readouterr().err


def test_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The refusal lists what would be rejected; if it is allowed, or a rollback, the same is only said."""
    with pytest.raises(DeploymentError) as refused:
        require_compatible(ADDED, A, B)
    assert "credit-risk:2.0.0@222222222222 rejects applications that the champion credit-risk:1.0.0" in str(
        refused.value
    )
    assert "  salary: added, required\n" in str(refused.value)
    assert "--allow-breaking" in str(refused.value)
    require_compatible([], A, B)
    warn_of_changes([], A, B)
    assert capsys.readouterr().err == ""
    warn_of_changes(ADDED, A, B)
    assert capsys.readouterr().err.count("\n") == 4
