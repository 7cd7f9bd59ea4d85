"""The pages describe the contract of the newest deployment."""

import pytest

from schemas.contracts import shipped_contract
from schemas.decision import BundleReference
from schemas.deployment import DeploymentEvent
from schemas.examples import DEPLOYMENT
from scorer.console.deployed import Deployed, newest, not_deployed
from scorer.stream.history_record import Line
from tests.unit.console.contracts import german_credit, nested

BUNDLE = BundleReference(name="german", version="2.0.0", digest="2" * 64)


def event(**fields: object) -> Line:
    """A record of the history."""
    return Line(0, DeploymentEvent.model_validate(DEPLOYMENT.model_copy(update=fields).model_dump()))


def of(contract: object) -> dict[str, object]:
    """A deployment of a bundle with a contract."""
    return {"bundle": BUNDLE, "contract": contract}


def test_the_champions_newest_event_counts() -> None:
    """A rollback brings back the contract of its bundle; challengers and malformed records change nothing."""
    german, other = event(**of(german_credit().document)), event(**of(nested().document), action="rollback")
    challenger = event(**of(nested().document), slot="challenger")
    deployed = newest([german, challenger, Line(1, None, "malformed")], not_deployed())
    assert deployed == Deployed(german_credit(), BUNDLE)
    assert newest([], deployed) is deployed
    assert newest([other], deployed).contract == nested()
    assert newest([other, german], deployed).contract == german_credit()


def test_events_without_a_contract_have_the_shipped_one() -> None:
    """Those of earlier releases, whose bundles know no other one; as before any deployment."""
    before = Deployed(german_credit(), BUNDLE)
    assert newest([event()], before) == Deployed(shipped_contract(), DEPLOYMENT.bundle)
    assert newest([], not_deployed()) == Deployed(shipped_contract(), None)


@pytest.mark.parametrize("deployed", [not_deployed(), Deployed(german_credit(), BUNDLE)])
def test_an_open_page_can_tell_another_contract(deployed: Deployed) -> None:
    """By the digest; the names are for people, and the bundle's is unknown before the first deployment."""
    content = deployed.as_json()
    bundle = "german:2.0.0" if deployed.bundle else None
    assert content == {"contract": str(deployed.contract), "sha256": deployed.contract.sha256, "bundle": bundle}
