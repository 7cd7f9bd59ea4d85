"""The chain: the first broker that is there, and a clear word about those that are not."""

import socket
import sys
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, Producer

from scorer.errors import LocalBrokerError, MisuseError
from scorer.extras import install_command
from scorer.local import broker as chain
from scorer.local.broker import KINDS, start_broker

pytestmark = pytest.mark.slow


def test_unknown_kind() -> None:
    """A misspelt kind is answered with the kinds there are."""
    with pytest.raises(MisuseError, match=", ".join(KINDS)):
        start_broker("kubernetes")


@pytest.mark.usefixtures("bare_machine")
def test_nothing_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no Docker and no Java, `auto` takes the mock cluster, and says why and what it lacks."""
    monkeypatch.setitem(sys.modules, "testcontainers", None)
    monkeypatch.setitem(sys.modules, "testcontainers.core.container", None)
    messages: list[str] = []
    with start_broker("auto", say=messages.append) as broker:
        assert broker.kind == "mock"
        assert messages[1].startswith("using mock instead of java: Java not found: install Java 17 or newer")
        assert messages == [
            f"using java instead of docker: testcontainers is not installed: {install_command('docker')}",
            messages[1],
            f"mock broker at {broker.bootstrap_servers}: {broker.description}",
        ]
    for lack in ("memory", "all data are lost on exit", "no replay", "topic settings"):
        assert lack in broker.description


def test_mock_carries_records(unique: Callable[[str], str]) -> None:
    """The mock cluster is a broker to other clients: what is produced is consumed; it ends once, asked twice."""
    topic = unique("t")
    with start_broker("mock") as broker:
        broker.check()
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        producer.produce(topic, b"hello")
        assert producer.flush(10) == 0
        settings = {"bootstrap.servers": broker.bootstrap_servers, "group.id": "g", "auto.offset.reset": "earliest"}
        consumer = Consumer(settings)
        consumer.subscribe([topic])
        message = consumer.poll(20)
        consumer.close()
        assert message is not None
        assert message.value() == b"hello"
    broker.stop()


def test_mock_grants_no_wishes() -> None:
    """A port or settings that the mock cluster cannot have are refused, not ignored."""
    with pytest.raises(LocalBrokerError, match="leave the port at 0"):
        start_broker("mock", port=20_000)
    with pytest.raises(LocalBrokerError, match=r"remove message\.max\.bytes"):
        start_broker("mock", overrides={"message.max.bytes": "1"})


def test_a_given_broker_is_used_first_and_not_stopped() -> None:
    """An address that answers is taken before anything is started, and is not stopped at the end."""
    with start_broker("mock") as mine:
        for kind in ("auto", "given"):
            with start_broker(kind, bootstrap_servers=mine.bootstrap_servers) as broker:
                broker.check()
                assert (broker.kind, broker.bootstrap_servers) == ("given", mine.bootstrap_servers)
        with start_broker("given", bootstrap_servers=mine.bootstrap_servers):
            pass  # it still answers


@pytest.mark.parametrize("kind", ["auto", "given"])
def test_given_does_not_answer(kind: str, monkeypatch: pytest.MonkeyPatch, closed_port: Callable[[], int]) -> None:
    """A given address that does not answer is an error: another broker would not be the one that was meant."""
    monkeypatch.setattr(chain, "_GIVEN_WAIT_S", 0.1)
    port = closed_port()
    with pytest.raises(LocalBrokerError, match=f"no broker answers at 127.0.0.1:{port} .*SCORER_BOOTSTRAP_SERVERS"):
        start_broker(kind, bootstrap_servers=f"127.0.0.1:{port}")


def test_given_without_address() -> None:
    """The given broker without an address names the setting."""
    with pytest.raises(LocalBrokerError, match="set SCORER_BOOTSTRAP_SERVERS"):
        start_broker("given")


@pytest.mark.parametrize("kind", ["auto", "docker", "java"])
def test_a_port_in_use(kind: str) -> None:
    """A taken port is refused before anything is started, by its number, and 0 is offered."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(LocalBrokerError, match=rf"port {port} on 127.0.0.1 is not available .* 0 for a free one"):
            start_broker(kind, port=port)


def test_no_port() -> None:
    """A number that is no port is refused as such."""
    with pytest.raises(LocalBrokerError, match="70000 is not a port"):
        start_broker("java", port=70_000)
