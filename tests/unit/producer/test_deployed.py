"""The contract of the deployed bundle: read from the history, and what is used if that says nothing."""

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer

from producer.client import ApplicationPublisher
from producer.deployed import find_contract, find_deployed_contract
from producer.errors import BrokerUnreachableError, InvalidApplicationError, MisuseError
from producer.settings import Settings
from schemas.contracts import shipped_contract
from schemas.decision import BundleReference
from schemas.deployment import DeploymentEvent, Slot
from tests.unit.bundle.contracts import CAR_LOAN

pytestmark = pytest.mark.slow

WAIT_S = 30


@pytest.fixture
def settings() -> Iterator[Settings]:
    """A mock cluster of this test's own."""
    cluster = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "-", "log_level": 0})
    brokers = cluster.list_topics(timeout=WAIT_S).brokers.values()
    yield Settings(bootstrap_servers=",".join(f"{broker.host}:{broker.port}" for broker in brokers))
    del cluster


def _event(contract: dict[str, object] | None, slot: Slot = "champion") -> bytes:
    bundle = BundleReference(name="car-loan", version="1.0.0", digest="0" * 64)
    return (
        DeploymentEvent(
            event_id="e",
            slot=slot,
            action="deploy",
            bundle=bundle,
            previous=None,
            actor="ana",
            reason="",
            at=datetime(2026, 1, 1, tzinfo=UTC),
            contract=contract,
        )
        .model_dump_json()
        .encode()
    )


def _write(settings: Settings, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    for value in values:
        producer.produce(settings.deployments_topic, value, partition=0)
    assert producer.flush(WAIT_S) == 0


CAR = _event(dict(CAR_LOAN.document))
CHALLENGER = _event(dict(shipped_contract().document), "challenger")
BROKEN = _event({"type": "object", "properties": {}})


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], shipped_contract()),
        ([CAR], CAR_LOAN),
        ([CAR, CHALLENGER], CAR_LOAN),
        ([CAR, b"", b"no event", BROKEN, b'{"slot": "champion"}'], CAR_LOAN),
        ([CAR, _event(dict(shipped_contract().document))], shipped_contract()),
        ([CAR, _event(None)], shipped_contract()),
    ],
)
def test_the_newest_champion_has_the_contract(settings: Settings, history: list[bytes], expected: object) -> None:
    """Challengers do not count, nor does what workers ignore; an event of an earlier release has the shipped one."""
    _write(settings, *history)
    found = find_deployed_contract(settings)
    assert (found.contract, found.error, found.note) == (expected, None, "")


def test_a_history_of_garbage_is_said_in_one_line(settings: Settings) -> None:
    """Records that are no events are counted, and not shown; the shipped contract is used."""
    _write(settings, b"secret", b"\xff", BROKEN)
    found = find_deployed_contract(settings)
    assert found.contract == shipped_contract()
    assert found.note == (
        "the deployed contract is not known, credit-application:1.0.0 is used: the topic scorer.deployments has no "
        "deployment, but 3 records that are not deployments"
    )


def test_a_broker_that_does_not_answer_is_an_error_for_a_publisher(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has accepted the connection and says nothing: after the time limit the message names it."""
    monkeypatch.setattr("producer.kafka.ANSWER_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = find_deployed_contract(Settings(bootstrap_servers=f"127.0.0.1:{silent.getsockname()[1]}"))
    assert found.contract == shipped_contract()
    with pytest.raises(BrokerUnreachableError, match=r"could not connect to Kafka at 127\.0\.0\.1"):
        found.require_broker()


def test_a_file_takes_precedence(settings: Settings, tmp_path: Path) -> None:
    """The history is not read then; a file that is not a contract is misuse, with its place and fault."""
    _write(settings, CAR)
    file = tmp_path / "contract.schema.json"
    file.write_bytes(shipped_contract().canonical)
    assert find_contract(file, Settings(bootstrap_servers="127.0.0.1:1")).contract == shipped_contract()
    file.write_text('{"type": "object", "properties": {"a": {"$ref": "#"}}}')
    with pytest.raises(MisuseError, match=r"contract\.schema\.json: .*\$ref"):
        find_contract(file, settings)


def test_a_publisher_checks_against_the_deployed_contract(settings: Settings) -> None:
    """An application of the deployed bundle is sent, one of the shipped contract is not; a given contract is kept."""
    _write(settings, CAR)
    car = {"loan_id": "c-1", "salary": 2_000, "owner": True}
    with ApplicationPublisher(settings) as publisher:
        publisher.publish(car)
        with pytest.raises(InvalidApplicationError, match="salary: missing"):
            publisher.publish({"loan_id": "c-2", "owner": True})
    assert (publisher.sent, publisher.acknowledged) == (1, 1)
    with (
        ApplicationPublisher(settings, contract=shipped_contract()) as publisher,
        pytest.raises(InvalidApplicationError, match="application_id: missing"),
    ):
        publisher.publish(car)


def test_a_publisher_without_the_deployed_contract_warns(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """It goes on with the shipped contract, and the log says why."""
    _write(settings, json.dumps({"no": "event"}).encode())
    with ApplicationPublisher(settings) as publisher:
        assert publisher.contract == shipped_contract()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "credit-application:1.0.0 is used" in caplog.text
