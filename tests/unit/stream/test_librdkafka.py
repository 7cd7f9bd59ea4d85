"""The librdkafka settings: what each client gets, and what it must not get."""

import pytest
from confluent_kafka import Consumer, Producer

from scorer.settings import Settings, load_settings
from scorer.stream.librdkafka import (
    CONSUMER_ONLY,
    PRODUCER_ONLY,
    assigns_incrementally,
    client_config,
    consumer_config,
    producer_config,
)

CLASSIC = {"group.protocol": "classic"}
NEW = {"group.protocol": "consumer"}


def settings(kafka: dict[str, str] | None = None, **flags: object) -> Settings:
    """Settings with these flags and librdkafka properties."""
    return load_settings({**flags, "kafka": kafka or {}}, environment={}).settings


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
@pytest.mark.parametrize("kafka", [CLASSIC, NEW])
@pytest.mark.parametrize("instance_id", [None, "scorer-0"])
def test_clients_take_their_settings(
    delivery: str, kafka: dict[str, str], instance_id: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The client library knows every property, and warns of none that the other client should have got."""
    mine = settings(
        {**kafka, "fetch.min.bytes": "1", "compression.type": "zstd", "max.poll.interval.ms": "60000"},
        delivery=delivery,
        instance_id=instance_id,
    )
    consumer, producer = Consumer(consumer_config(mine)), Producer(producer_config(mine))
    consumer.poll(0)
    producer.poll(0)
    consumer.close()
    assert [line.message for line in caplog.records if "CONFWARN" in line.message] == []


def test_guarantees_cannot_be_configured_away() -> None:
    """What the guarantees rest on is set after whatever is given."""
    consumer, producer = consumer_config(settings()), producer_config(settings())
    assert consumer["enable.auto.commit"] is False
    assert consumer["auto.offset.reset"] == "error"
    assert consumer["isolation.level"] == "read_committed"
    assert producer["enable.idempotence"] is True
    assert producer["acks"] == "all"


def test_new_group_protocol_leaves_these_to_the_broker() -> None:
    """KIP-848 clients refuse what the broker decides now, so it is left out even where it is given."""
    mine = settings({**NEW, "session.timeout.ms": "9000"})
    assert not {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"} & (
        consumer_config(mine).keys()
    )
    assert consumer_config(settings(CLASSIC))["session.timeout.ms"] == "20000"


@pytest.mark.parametrize(
    ("kafka", "instance_id", "incrementally"),
    [
        (CLASSIC, None, True),
        (CLASSIC, "scorer-0", False),
        (NEW, "scorer-0", True),
        ({"partition.assignment.strategy": "roundrobin"}, None, False),
        ({"partition.assignment.strategy": "cooperative-sticky"}, "scorer-0", True),
    ],
)
def test_assignment(kafka: dict[str, str], instance_id: str | None, *, incrementally: bool) -> None:
    """Partitions come and go one by one, but for static members of a classic group and where it is asked otherwise."""
    assert assigns_incrementally(consumer_config(settings(kafka, instance_id=instance_id))) is incrementally


def test_each_client_gets_its_own() -> None:
    """A property of the one client is not given to the other."""
    mine = settings({"fetch.min.bytes": "1", "batch.size": "1000", "client.rack": "a"})
    assert not [name for name in consumer_config(mine) if name.startswith(PRODUCER_ONLY)]
    assert not [name for name in producer_config(mine) if name.startswith(CONSUMER_ONLY)]
    assert consumer_config(mine)["fetch.min.bytes"] == "1"
    assert producer_config(mine)["batch.size"] == "1000"
    assert client_config(mine)["client.rack"] == "a"


def test_defaults_give_way() -> None:
    """What is given under [kafka] wins over a default of ours."""
    mine = settings({"session.timeout.ms": "9000", "linger.ms": "0"})
    assert consumer_config(mine)["session.timeout.ms"] == "9000"
    assert producer_config(mine)["linger.ms"] == "0"


def test_transactional_id() -> None:
    """It is stable with an instance id, so that the next life ends what this one left open, and unique without."""
    static = settings(instance_id="scorer-0", group_id="g")
    assert producer_config(static)["transactional.id"] == "g/scorer-0"
    assert consumer_config(static)["group.instance.id"] == "scorer-0"
    pairs = [("gt", "a-0"), ("gt-a", "0"), ("gt/a", "0"), ("gt", "a/0"), ("gt", "a%2F0"), ("gt%2Fa", "0"), ("gt", "ä")]
    ids = [producer_config(settings(group_id=g, instance_id=i))["transactional.id"] for g, i in pairs]
    assert len(set(ids)) == len(pairs)
    assert all(name.startswith("gt/") for (group, _), name in zip(pairs, ids, strict=True) if group == "gt")
    dynamic = settings(group_id="g")
    assert producer_config(dynamic)["transactional.id"] != producer_config(dynamic)["transactional.id"]
    assert "group.instance.id" not in consumer_config(dynamic)
    assert "transactional.id" not in producer_config(settings(delivery="at-least-once"))


def test_queue_holds_a_batch() -> None:
    """The producer's queue takes the largest batch twice, so that producing never waits for room."""
    config = producer_config(settings(batch_records_max=100_000))
    assert int(config["queue.buffering.max.messages"]) >= 200_000
