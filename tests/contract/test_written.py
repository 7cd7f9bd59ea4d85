"""What is reported as written is in the topic, also where a broker refuses one request and takes the next.

A broker does so while it becomes the leader of a partition. With several requests in flight, librdkafka takes the
second one, which succeeds, for the proof that the first one was written as well.
"""

from collections.abc import Iterator

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

import producer.settings
from producer.client import ApplicationPublisher
from schemas.examples import APPLICATIONS
from scorer.settings import Settings
from scorer.stream.librdkafka import producer_config
from tests.contract.librdkafka_mock import PRODUCE, MockCluster, mock_cluster

TOPIC = "written"
ONE_BY_ONE = {"linger.ms": "0", "batch.num.messages": "1"}
COUNT = 3


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    """A broker that refuses the first request to write, as one that is not the leader yet, and takes the others."""
    with mock_cluster() as cluster:
        cluster.create_topic(TOPIC)
        cluster.delay(50)  # so that others are sent before the first is answered, if the client does so
        cluster.refuse_next(PRODUCE, KafkaError.NOT_LEADER_FOR_PARTITION)
        yield cluster


def in_the_topic(cluster: MockCluster) -> int:
    """How many records the topic has."""
    cluster.delay(0)
    consumer = Consumer({"bootstrap.servers": cluster.servers, "group.id": "reader", "enable.partition.eof": True})
    consumer.assign([TopicPartition(TOPIC, 0, OFFSET_BEGINNING)])
    count = 0
    while (message := consumer.poll(10)) is not None and message.error() is None:
        count += 1
    consumer.close()
    assert message is not None, "the topic cannot be read"
    return count


def test_results_are_written(cluster: MockCluster) -> None:
    """What the worker's producer confirms is there."""
    settings = Settings(bootstrap_servers=cluster.servers, delivery="at-least-once", kafka=ONE_BY_ONE)
    writing = Producer(producer_config(settings))
    for number in range(COUNT):
        writing.produce(TOPIC, str(number))
    assert writing.flush(10) == 0
    assert in_the_topic(cluster) == COUNT


def test_applications_are_written(cluster: MockCluster) -> None:
    """What the publisher for Python confirms is there."""
    settings = producer.settings.Settings(bootstrap_servers=cluster.servers, applications_topic=TOPIC, kafka=ONE_BY_ONE)
    with ApplicationPublisher(settings) as publisher:
        for _ in range(COUNT):
            publisher.publish(APPLICATIONS["plain"])
    assert publisher.acknowledged == COUNT
    assert in_the_topic(cluster) == COUNT


def test_several_requests_in_flight_lose_records(cluster: MockCluster) -> None:
    """The reason for one request at a time: once this fails, librdkafka is corrected, and more may be allowed."""
    settings = Settings(bootstrap_servers=cluster.servers, delivery="at-least-once", kafka=ONE_BY_ONE)
    several = {"max.in.flight.requests.per.connection": 5}
    confirmed = []
    writing = Producer({**producer_config(settings), **several, "delivery.report.only.error": False})
    for number in range(COUNT):
        writing.produce(TOPIC, str(number), on_delivery=lambda error, _: confirmed.append(error))
    assert writing.flush(10) == 0
    assert confirmed == [None] * COUNT
    assert in_the_topic(cluster) < COUNT
