"""Starts the broker of a benchmark, and creates and deletes topics; a created topic can be read at once."""

import os
import sys
import time
import uuid

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.settings import ENV_PREFIX
from scorer.local.broker import start_broker
from scorer.local.running import Broker
from scorer.operate import topics
from scorer.settings import Settings
from scorer.stream.admin import admin_client

# A broker answers NOT_LEADER_FOR_PARTITION for a while after it has created a topic: longer if the machine is busy.
_LEADERS_S = 60.0
_ATTEMPT_S = 5.0
_PAUSE_S = 0.1
_DELETED_S = 30.0


def open_broker() -> Broker:
    """Starts a broker, or opens the one in SCORER_BOOTSTRAP_SERVERS. Without Docker and Java the program ends."""
    given = os.environ.get(f"{ENV_PREFIX}BOOTSTRAP_SERVERS")
    broker = start_broker("auto", bootstrap_servers=given, say=print)
    if broker.kind == "mock":
        broker.stop()
        sys.exit("a benchmark needs a real broker")
    return broker


def create_topics(settings: Settings, partitions: int) -> None:
    """Creates the missing topics of these settings, and waits until the leader of every partition answers.

    Raises:
        KafkaException: a leader does not answer within a minute.
    """
    topics.ensure(settings, partitions, replication=1)
    required = topics.contract(settings, partitions)
    _wait_for_leaders(settings, [TopicPartition(t.name, number) for t in required for number in range(t.partitions)])


def delete_outputs(settings: Settings) -> None:
    """Deletes the topics of decisions and dead letters, if they exist, and waits until it is done."""
    admin = admin_client(settings)  # keep a reference: a deleted client answers no pending request
    for future in admin.delete_topics([settings.decisions_topic, settings.dead_letters_topic]).values():
        try:
            future.result(_DELETED_S)
        except KafkaException as failure:
            if failure.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise


def _wait_for_leaders(settings: Settings, partitions: list[TopicPartition]) -> None:
    ends_at = time.monotonic() + _LEADERS_S
    while True:
        # A new client for each attempt: one that asked too early would keep what it learned about the topic.
        consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": uuid.uuid4().hex})
        try:
            for partition in partitions:
                consumer.get_watermark_offsets(partition, timeout=_ATTEMPT_S)
        except KafkaException:
            if time.monotonic() > ends_at:
                raise
            time.sleep(_PAUSE_S)
        else:
            return
        finally:
            consumer.close()
