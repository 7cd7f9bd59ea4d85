"""Publishers read the contract of the deployed bundle from the history on a real broker."""

from collections.abc import Callable

from producer.deployed import find_deployed_contract
from producer.settings import Settings as PublisherSettings
from schemas.contracts import shipped_contract
from schemas.decision import BundleReference
from scorer.local.broker import Broker
from scorer.operate import topics
from scorer.operate.deployments import append_event
from scorer.settings import load_settings
from tests.contract.test_deployments import deployment_of
from tests.unit.bundle.contracts import CAR_LOAN


def test_a_publisher_knows_the_deployed_contract(broker: Broker, unique: Callable[[str], str]) -> None:
    """It reads the history to its end, transaction markers included."""
    names = {f"{kind}_topic": unique(kind) for kind in ("applications", "decisions", "dead_letters", "deployments")}
    flags = {"bootstrap_servers": broker.bootstrap_servers, **names}
    settings, publisher = load_settings(flags, environment={}).settings, PublisherSettings(**flags)
    topics.ensure(settings, partitions=2, replication=1)
    assert find_deployed_contract(publisher) == (shipped_contract(), None)
    decide = deployment_of(BundleReference(name="car-loan", version="1.0.0", digest="0" * 64))
    append_event(settings, lambda state: decide(state).model_copy(update={"contract": dict(CAR_LOAN.document)}))
    append_event(settings, deployment_of(BundleReference(name="b", version="1.0.0", digest="0" * 64), "challenger"))
    assert find_deployed_contract(publisher) == (CAR_LOAN, None)
    append_event(settings, decide)
    assert find_deployed_contract(publisher) == (shipped_contract(), None)
