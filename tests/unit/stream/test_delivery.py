"""What made a batch fail, among everything that its producer reports."""

import pytest
from confluent_kafka import KafkaError, Producer

from scorer.settings import Settings
from scorer.stream.delivery import Delivery, Refused
from scorer.stream.outputs import Outputs
from scorer.stream.topic_ids import TopicIdentity

TOO_LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
PURGED = KafkaError(KafkaError._PURGE_QUEUE)


@pytest.fixture
def delivery() -> Delivery:
    """A delivery whose producer reaches nobody."""
    nowhere = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    outputs = Outputs("decisions", "dead-letters", 1_000_000, 1_000_000)
    identity = TopicIdentity(Settings(bootstrap_servers="127.0.0.1:1"))
    return Delivery(Producer(nowhere), outputs, True, identity, lambda: False, None)


@pytest.mark.parametrize("dropped", [KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT])
def test_what_was_dropped_with_the_batch_is_no_cause(delivery: Delivery, dropped: int) -> None:
    """A small dead letter is refused, and with it larger decisions are dropped: the dead letter is the cause."""
    refused = Refused("dead-letters", TOO_LARGE, 200)
    delivery.refused = [Refused("decisions", KafkaError(dropped), 326), refused]
    assert delivery.cause(TOO_LARGE) == refused


def test_the_largest_of_those_that_were_refused_is_the_cause(delivery: Delivery) -> None:
    """Smaller ones were in a request with it."""
    delivery.refused = [Refused("decisions", TOO_LARGE, 300), Refused("decisions", TOO_LARGE, 9_000)]
    assert delivery.cause(TOO_LARGE).size_bytes == 9_000


def test_without_a_refused_record_the_error_is_the_cause(delivery: Delivery) -> None:
    """A coordinator that moved takes nothing from the records, which are dropped."""
    moved = KafkaError(KafkaError.NOT_COORDINATOR)
    delivery.refused = [Refused("decisions", PURGED, 326)]
    assert delivery.cause(moved) == Refused("", moved, 0)
