"""Runs librdkafka's mock cluster: an in-process broker that needs no installation and stores nothing on disk."""

from confluent_kafka import KafkaException, Producer

from scorer.errors import LocalBrokerError
from scorer.local.running import Broker

_DESCRIPTION = (
    "librdkafka's mock cluster: in the memory of this process only, all data are lost on exit; it creates topics on "
    "first use and never by request, keeps only the newest few MB of a partition (no replay), and supports neither "
    "topic settings nor ACLs nor restarts"
)
_METADATA_WAIT_S = 10


class MockBroker(Broker):
    """A mock cluster of one node; other processes can connect to its port while this one runs."""

    def __init__(self) -> None:
        # The cluster runs in librdkafka's threads as long as this client exists. Its address replaces the bootstrap
        # servers, which a client must have; log level 3 omits the notice about that.
        self._host = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 3})
        try:
            (node,) = self._host.list_topics(timeout=_METADATA_WAIT_S).brokers.values()
        except KafkaException as fault:
            raise LocalBrokerError(f"librdkafka's mock cluster does not answer: {fault.args[0]}") from fault
        super().__init__("mock", f"{node.host}:{node.port}", _DESCRIPTION)

    def stop(self) -> None:
        """Stop the cluster; a second call does nothing."""
        self._host.close()


def start() -> MockBroker:
    """Start a mock cluster in this process."""
    return MockBroker()
