"""Deploying bundles with different contracts, with the commands that an operator types, on a real broker."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.contract import Contract
from schemas.contract_parser import parse_contract
from scorer.bundle.load import read_manifest
from scorer.bundle.signing import make_key
from scorer.local.broker import Broker
from tests.fakes import application
from tests.integration.test_deployments import stored, value_of
from tests.integration.worker_process import (
    Topics,
    event_of_a_missing_bundle,
    operate,
    scorer,
    wait_until,
    worker,
)
from tests.unit.bundle.contracts import CAR_LOAN, car_loan, car_loan_bundle

pytestmark = pytest.mark.broker
PARTITIONS = 2
WHY = ("--reason", "a test")
REJECTS = "rejects applications that the champion car-loan:"
PAIR = 'challenger="car-loan:1.0.0",champion="credit-risk:1.1.1"'
NO_BOATS = '  purpose: no longer valid: "boat"'


def with_purposes(*purposes: str) -> Contract:
    """The contract `car-loan` with a category that its model does not use."""
    document = json.loads(CAR_LOAN.canonical)
    document["properties"]["purpose"] = {"type": "string", "enum": purposes}
    document["required"].append("purpose")
    return parse_contract(json.dumps(document))


@pytest.fixture
def topics(broker: Broker, tmp_path: Path) -> Iterator[Topics]:
    """Topics of their own, and a store with a bundle for three purposes, one for two, and another one for three."""
    for version, purposes in (("1.0.0", "car van boat"), ("2.0.0", "car van"), ("3.0.0", "car van boat")):
        car_loan_bundle(tmp_path / "store" / "car-loan" / version, version, with_purposes(*purposes.split()))
    with stored(Topics(broker.bootstrap_servers, PARTITIONS), tmp_path / "store") as own:
        yield own


def champions(topics: Topics) -> list[str]:
    """The versions of all champions, as the history names them."""
    return [event["bundle"]["version"] for event in json.loads(operate(topics, "history", "--json"))]


def test_a_breaking_deployment(topics: Topics) -> None:
    """A bundle that rejects what the champion accepts is refused; with the flag it is deployed, with a warning.

    The other direction is deployed as usual, and a rollback never fails because of a contract.
    """
    code, _, errors = scorer(topics, "deploy", "car-loan:1.0.0", *WHY)
    assert code == 1
    assert "rejects applications that the champion credit-risk:1.1.1@" in errors
    assert "\n  loan_id: added, required\n" in errors
    code, _, errors = scorer(topics, "deploy", "car-loan:1.0.0", "--allow-breaking", *WHY)
    assert code == 0
    assert "warning: car-loan:1.0.0@" in errors

    code, output, errors = scorer(topics, "deploy", "car-loan:2.0.0", *WHY)
    assert (code, output) == (1, "")
    assert f"{REJECTS}1.0.0@" in errors
    assert f"\n{NO_BOATS}\n" in errors
    assert "Nothing was changed. To deploy it nevertheless: --allow-breaking" in errors
    assert champions(topics) == ["1.0.0"]
    code, _, errors = scorer(topics, "deploy", "car-loan:2.0.0", "--allow-breaking", *WHY)
    assert code == 0
    assert "warning: car-loan:2.0.0@" in errors
    assert f"\n{NO_BOATS}\n" in errors

    assert scorer(topics, "deploy", "car-loan:3.0.0", *WHY)[::2] == (0, "")
    code, _, errors = scorer(topics, "rollback", *WHY)
    assert code == 0
    assert f"{REJECTS}3.0.0@" in errors
    assert f"\n{NO_BOATS}\n" in errors
    assert champions(topics) == ["1.0.0", "2.0.0", "3.0.0", "2.0.0"]


def test_a_challenger_may_reject_anything(topics: Topics) -> None:
    """A challenger makes no dead letters, so its contract is not compared."""
    assert scorer(topics, "deploy", "car-loan:1.0.0", "--slot", "challenger", *WHY)[::2] == (0, "")


def test_a_challenger_decodes_for_itself(topics: Topics, tmp_path: Path) -> None:
    """A challenger scores the applications that the champion rejects, and the metrics say who accepts what alone."""
    operate(topics, "deploy", "car-loan:1.0.0", "--slot", "challenger", *WHY)
    with worker(topics, tmp_path / "w.log") as running:
        wait_until(lambda: running.probe("/readyz")["challenger"] is not None, "the challenger is loaded")
        topics.publish(*(application(f"a-{i}") for i in range(30)), partition=0)
        topics.publish(*(car_loan(f"c-{i}", purpose="boat") for i in range(20)), b"{}", partition=1)
        wait_until(lambda: value_of(running, "scorer_challenger_compared_total", PAIR) == 50, "all are compared")
        for slot, count in (("champion", 30), ("challenger", 20)):
            labels = f'accepted_by="{slot}",{PAIR}'
            assert value_of(running, "scorer_challenger_accepted_by_one_total", labels) == count
        assert value_of(running, "scorer_challenger_disagreements_total", PAIR) == 50
        assert running.terminate() == 0
    assert (topics.count(topics.decisions), topics.count(topics.dead_letters)) == (30, 21)


def test_a_proposal(topics: Topics, tmp_path: Path) -> None:
    """A breaking deployment is proposed only with the flag, and its approver sees the same list."""
    ana, ben = (tmp_path / f"{name}.pem" for name in ("ana", "ben"))
    for path in (ana, ben):
        make_key(path)
    proposal = tmp_path / "proposal.json"
    operate(topics, "deploy", "car-loan:1.0.0", "--allow-breaking", *WHY)
    proposing = ("deploy", "car-loan:2.0.0", "--propose", proposal, "--key", ana, *WHY)
    code, _, errors = scorer(topics, *proposing)
    assert code == 1
    assert f"{REJECTS}1.0.0@" in errors
    assert not proposal.exists()
    operate(topics, *proposing, "--allow-breaking")
    code, _, errors = scorer(topics, "approve", proposal, "--key", ben)
    assert code == 0
    assert f"{REJECTS}1.0.0@" in errors
    assert f"\n{NO_BOATS}\n" in errors
    assert champions(topics) == ["1.0.0", "2.0.0"]


def test_events_without_contract(topics: Topics, tmp_path: Path) -> None:
    """Events of earlier releases have no contract: the champion's bundle in the store has it.

    If the store no longer has the bundle, another one can be deployed, and a warning says that nothing was compared.
    """
    event = json.loads(event_of_a_missing_bundle("champion"))
    topics.publish(json.dumps(event).encode(), topic=topics.deployments, key=None)
    code, _, errors = scorer(topics, "deploy", "car-loan:2.0.0", *WHY)
    assert code == 0
    assert "warning: the contract is not compared with the champion's: bundle credit-risk:9.9.9@" in errors

    champion = read_manifest(tmp_path / "store" / "car-loan" / "1.0.0").reference
    old = json.dumps(event | {"bundle": champion.model_dump()})
    topics.publish(old.encode(), topic=topics.deployments, key=None)
    code, _, errors = scorer(topics, "deploy", "car-loan:2.0.0", *WHY)
    assert code == 1
    assert f"{REJECTS}1.0.0@" in errors
    assert f"\n{NO_BOATS}\n" in errors
