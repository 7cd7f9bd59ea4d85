"""What is wrong with a set-up, asked step by step of the real brokers, each finding with its cure."""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from scorer.errors import ScorerError
from scorer.settings import Settings
from scorer.stream import topics
from scorer.stream.reaching import metadata_of

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.admin._group import ConsumerGroupDescription

_WAIT_S: Final = 10.0
_PAUSE_S: Final = 0.2
_CLOCK_OFF_S: Final = 2.0


class Finding(NamedTuple):
    """One question and its answer."""

    topic: str
    state: Literal["ok", "warning", "wrong"]
    text: str


def diagnose(settings: Settings) -> Iterator[Finding]:
    """Asks about broker, topics, group, permissions and clock; ends early where nothing more can be asked."""
    try:
        admin = topics.admin_client(settings)
        existing = topics.partitions_of(settings)
        brokers = len(metadata_of(admin, settings, _WAIT_S).brokers)
    except ScorerError as error:
        yield Finding("broker", "wrong", str(error))
        return
    yield Finding("broker", "ok", f"{brokers} broker{'s' * (brokers != 1)} at {settings.bootstrap_servers}")
    yield from _topics(settings, existing)
    yield from _group(settings, admin, existing)
    yield from _permissions(settings, existing)
    yield from _clock(settings, existing)


def _topics(settings: Settings, existing: dict[str, int]) -> Iterator[Finding]:
    try:
        differences = topics.check(settings)
    except ScorerError as error:
        yield Finding("topics", "warning", f"cannot be compared: {error}")
        return
    for difference in differences:
        yield Finding("topics", "wrong", difference)
    if not differences:
        count = existing[settings.applications_topic]
        yield Finding("topics", "ok", f"as the contract says; up to {count} workers share the {count} partitions")


def _group(settings: Settings, admin: "AdminClient", existing: dict[str, int]) -> Iterator[Finding]:
    from confluent_kafka import KafkaException

    try:
        described = _describe_group(admin, settings.group_id)
        members, state = len(described.members), described.state.name.lower()
        state = "not there yet" if state == "dead" else state
    except KafkaException as error:
        if error.args[0].name() != "GROUP_ID_NOT_FOUND":
            yield Finding("group", "wrong", f"group {settings.group_id}: {error.args[0].str()}")
            return
        members, state = 0, "not there yet"
    partitions = existing.get(settings.applications_topic, 0)
    if members > partitions > 0:
        text = f"group {settings.group_id} has {members} workers for {partitions} partitions; the rest stand idle"
        yield Finding("group", "warning", text)
    else:
        yield Finding("group", "ok", f"group {settings.group_id}: {members} workers, {state}")


def _describe_group(admin: "AdminClient", group_id: str) -> "ConsumerGroupDescription":
    """Brokers that were never asked for a group have no coordinator for the first moment.

    Raises:
        KafkaException: they say no, or still have none after a while.
    """
    from confluent_kafka import KafkaException

    from scorer.stream.faults import Fault, triage

    ends_at = time.monotonic() + _WAIT_S
    while True:
        try:
            described: ConsumerGroupDescription = admin.describe_consumer_groups([group_id])[group_id].result(_WAIT_S)
        except KafkaException as error:
            if triage(error.args[0]) is not Fault.RETRIABLE or time.monotonic() > ends_at:
                raise
            time.sleep(_PAUSE_S)
        else:
            return described


def _permissions(settings: Settings, existing: dict[str, int]) -> Iterator[Finding]:
    """Whether a worker may do what it does, by doing it: a transaction with nothing in it changes nothing."""
    from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

    from scorer.stream.librdkafka import consumer_config, producer_config

    own = settings.model_copy(update={"instance_id": None})  # never fence a worker that runs
    if settings.applications_topic in existing:
        consumer = Consumer(consumer_config(own))
        try:
            consumer.committed([TopicPartition(settings.applications_topic, 0)], timeout=_WAIT_S)
            yield Finding("permissions", "ok", f"the offsets of group {settings.group_id} may be read")
        except KafkaException as error:
            text = f"the offsets of group {own.group_id} cannot be read: {error.args[0].str()}; allow Read on the group"
            yield Finding("permissions", "wrong", text)
        finally:
            consumer.close()
    if settings.delivery != "exactly-once":
        return
    producer: Producer = Producer(producer_config(own))
    try:
        producer.init_transactions(_WAIT_S)
        yield Finding("permissions", "ok", "transactions may be begun")
    except KafkaException as error:
        text = f"no transaction can be begun: {error.args[0].str()}; allow Write on transactional ids {own.group_id}-*"
        yield Finding("permissions", "wrong", text)
    finally:
        with suppress(KafkaException):  # one that was refused says so once more
            producer.close()


def _clock(settings: Settings, existing: dict[str, int]) -> Iterator[Finding]:
    """This machine's clock against the last record's timestamp: latencies are differences between the two."""
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    from scorer.stream.librdkafka import client_config

    if settings.applications_topic not in existing:
        return
    consumer = Consumer({**client_config(settings), "group.id": f"{settings.group_id}-doctor"})
    newest = 0
    try:
        for partition in range(existing[settings.applications_topic]):
            tp = TopicPartition(settings.applications_topic, partition)
            low, high = consumer.get_watermark_offsets(tp, timeout=_WAIT_S)
            if high > low:
                consumer.assign([TopicPartition(settings.applications_topic, partition, high - 1)])
                message = consumer.poll(2.0)
                if message is not None and message.error() is None:
                    newest = max(newest, message.timestamp()[1])
    except KafkaException as error:
        text = f"topic {settings.applications_topic} cannot be read: {error.args[0].str()}; allow Read on it"
        yield Finding("permissions", "wrong", text)
        return
    finally:
        consumer.close()
    ahead_s = newest / 1_000 - time.time()
    if ahead_s > _CLOCK_OFF_S:
        text = f"the newest application is {ahead_s:.0f} s in the future: set this clock or the publisher's (NTP)"
        yield Finding("clock", "warning", text)
    else:
        yield Finding("clock", "ok", "no application comes from the future")
