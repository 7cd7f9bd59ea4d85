"""librdkafka's mock cluster: a broker inside this process, with nothing to install and nothing kept."""

from confluent_kafka import KafkaException, Producer

from scorer.errors import LocalBrokerError
from scorer.local.running import Broker

_DESCRIPTION = (
    "librdkafka's mock cluster: in the memory of this process only, everything is gone at the end; it creates topics "
    "on first use and never by request, keeps only the newest few MB of a partition (no replay), and knows neither "
    "topic settings nor access rights nor restarts"
)
_METADATA_WAIT_S = 10


class MockBroker(Broker):
    """A mock cluster of one node; other processes reach it by its port while this one lives."""

    def __init__(self) -> None:
        # The cluster lives in librdkafka's threads for as long as this client does. Its own address stands in for the
        # bootstrap servers, which a client must have; 3 leaves out the notice that says so.
        self._host = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 3})
        try:
            (node,) = self._host.list_topics(timeout=_METADATA_WAIT_S).brokers.values()
        except KafkaException as fault:
            raise LocalBrokerError(f"librdkafka's mock cluster does not answer: {fault.args[0]}") from fault
        super().__init__("mock", f"{node.host}:{node.port}", _DESCRIPTION)

    def stop(self) -> None:
        """End the cluster; a second call does nothing."""
        self._host.close()


def start() -> MockBroker:
    """Start a mock cluster in this process."""
    return MockBroker()
