"""Whether anything listens at the bootstrap addresses: said soon, and only where waiting would not help."""

import socket

import pytest

from scorer.errors import BrokerError
from scorer.operate.listening import parse_addresses, require_listening
from scorer.settings import load_settings

pytestmark = pytest.mark.slow

CLOSED = "127.0.0.1:1"
NOWHERE = "kafka.no-such-host.invalid:9092"


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("kafka:9092", [("kafka", 9092)]),
        (" kafka-1:1 , kafka-2 ", [("kafka-1", 1), ("kafka-2", 9092)]),
        ("SASL_SSL://kafka:9093", [("kafka", 9093)]),
        ("[::1]:9092,[::1]", [("::1", 9092), ("::1", 9092)]),
        ("kafka:9092,what is this?", []),
        ("kafka:port", []),
        ("", []),
    ],
)
def test_addresses_are_read_as_librdkafka_reads_them(text: str, addresses: list[tuple[str, int]]) -> None:
    """With and without port, protocol and brackets; what cannot be read is left to librdkafka."""
    assert parse_addresses(text) == addresses


@pytest.mark.parametrize("servers", [CLOSED, NOWHERE, f"{CLOSED},{NOWHERE}"])
def test_nobody_listens(servers: str) -> None:
    """Each address is named with its reason; the message is that of all commands."""
    settings = load_settings({"bootstrap_servers": servers}, {}).settings
    with pytest.raises(BrokerError, match=f"cannot connect to Kafka at {servers} ") as raised:
        require_listening(settings)
    for address in servers.split(","):
        assert f"{address}: " in str(raised.value)


def test_one_that_listens_is_enough() -> None:
    """A cluster has brokers that are down; one that can be connected to knows the others."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        require_listening(load_settings({"bootstrap_servers": f"{CLOSED},127.0.0.1:{port}"}, {}).settings)


def test_what_cannot_be_read_is_left_to_the_client() -> None:
    """An address in a way of writing that only librdkafka knows is no reason to stop."""
    require_listening(load_settings({"bootstrap_servers": "what is this?"}, {}).settings)
