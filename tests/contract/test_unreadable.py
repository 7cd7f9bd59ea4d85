"""Batches on the input topic that cannot be read: each of their records becomes a dead letter, and nothing waits."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Producer

from scorer.local.apache_kafka import JavaBroker
from scorer.local.broker import Broker
from tests.contract.stages import WAIT_S, KafkaStage
from tests.contract.test_link import dead_sources, decide, headers_of, sources
from tests.fakes import application

pytestmark = pytest.mark.broker
# What is larger once decompressed cannot be read; 64 MB in production.
SMALL_MEMORY = {"fetch.max.bytes": "1000000", "receive.message.max.bytes": "1100000"}


@pytest.fixture(params=["exactly-once", "at-least-once"])
def stage(request: pytest.FixtureRequest, broker: Broker) -> Iterator[KafkaStage]:
    """A real broker in both modes of delivery."""
    with closing(KafkaStage(broker.bootstrap_servers, request.param)) as real:
        yield real


def append_together(stage: KafkaStage, *values: bytes) -> None:
    """One batch of records, compressed with zstd."""
    config = {"bootstrap.servers": stage.servers, "compression.type": "zstd", "linger.ms": 60_000}
    producer = Producer(config | {"message.max.bytes": 100_000_000, "batch.size": 100_000_000})
    for value in values:
        producer.produce(stage.names["applications_topic"], value, key=b"key", partition=0)
    assert producer.flush(WAIT_S) == 0


@pytest.mark.parametrize("records", [1, 2, 7])
def test_a_batch_that_is_too_large_once_decompressed(stage: KafkaStage, records: int) -> None:
    """A batch of a few kilobytes that takes more memory than a worker may use is passed, record by record.

    librdkafka reported it again and again and never got past it: whatever was behind it in the partition waited.
    """
    stage.append(0, application("before"))
    append_together(stage, *[b"A" * (3_000_000 // records)] * records)
    stage.append(0, application("after"))
    decide(stage.link(kafka=SMALL_MEMORY), records + 2)
    bad = [(0, 1 + number) for number in range(records)]
    assert sorted(set(sources(stage.decisions()))) == [(0, 0), (0, records + 1)]
    letters = stage.dead_letters()
    assert sorted(set(dead_sources(letters))) == bad
    assert {headers_of(letter)["dlq.code"] for letter in letters} == {b"unreadable"}
    assert {letter.value for letter in letters} == {None}
    pointers = {headers_of(letter)["dlq.pointer"] for letter in letters}
    assert pointers == {f"{stage.names['applications_topic']}:0:{offset}".encode() for _, offset in bad}
    if stage.delivery == "exactly-once":
        assert Counter(dead_sources(letters)) == dict.fromkeys(bad, 1)


@pytest.mark.parametrize("instance_id", [None, "scorer-0"])
def test_the_other_partition_goes_on(stage: KafkaStage, instance_id: str | None) -> None:
    """Records of other partitions that came with the unreadable batch are decided once."""
    for number in range(50):
        stage.append(number % 2, application(f"a-{number}"))
    append_together(stage, *[b"A" * 1_500_000] * 2)
    for number in range(50):
        stage.append(number % 2, application(f"b-{number}"))
    decide(stage.link(instance_id, kafka=SMALL_MEMORY), 102)
    found = Counter(sources(stage.decisions()))
    assert set(found) == {(1, n) for n in range(50)} | {(0, n) for n in [*range(25), *range(27, 52)]}
    if stage.delivery == "exactly-once":
        assert set(found.values()) == {1}


def test_two_batches_with_a_good_one_between(stage: KafkaStage) -> None:
    """The search for the end of an unreadable batch does not run over a good one into the next unreadable one."""
    large = b"A" * 3_000_000
    append_together(stage, large, large)
    stage.append(0, application("good"))
    append_together(stage, *[large] * 5)
    stage.append(0, application("last"))
    decide(stage.link(kafka=SMALL_MEMORY), 9)
    assert sorted(set(sources(stage.decisions()))) == [(0, 2), (0, 8)]
    assert sorted(set(dead_sources(stage.dead_letters()))) == [(0, n) for n in (0, 1, 3, 4, 5, 6, 7)]


def test_more_records_than_a_batch_has(stage: KafkaStage) -> None:
    """An unreadable batch of more records than `batch_records_max` is passed in several steps, each record once."""
    append_together(stage, *[b"A" * 100_000] * 25)
    stage.append(0, application("after"))
    decide(stage.link(kafka=SMALL_MEMORY, batch_records_max=10), 26)
    assert sorted(set(sources(stage.decisions()))) == [(0, 25)]
    found = dead_sources(stage.dead_letters())
    assert sorted(set(found)) == [(0, number) for number in range(25)]
    if stage.delivery == "exactly-once":
        assert len(found) == 25


@pytest.mark.parametrize("instance_id", [None, "scorer-0"])
def test_a_damaged_batch(own_broker: JavaBroker, instance_id: str | None) -> None:
    """A batch whose checksum is wrong is not decided from its damaged bytes; its record becomes a dead letter.

    librdkafka reads on at a wrong place behind such a batch, and gives the partition up.
    """
    with closing(KafkaStage(own_broker.bootstrap_servers, "exactly-once")) as stage:
        for name in ("before", "damaged", "after"):
            stage.append(0, application(name, income=182))
        damage(own_broker, stage.names["applications_topic"], b"damaged")
        decide(stage.link(instance_id), 3)
        assert sorted(sources(stage.decisions())) == [(0, 0), (0, 2)]
        (letter,) = stage.dead_letters()
        assert dead_sources([letter]) == [(0, 1)]
        assert headers_of(letter)["dlq.code"] == b"unreadable"


def damage(broker: JavaBroker, topic: str, record: bytes) -> None:
    """Changes a digit of a record where the broker keeps it."""
    (log,) = Path(broker._folder, "data", f"{topic}-0").glob("*.log")
    content = bytearray(log.read_bytes())
    place = content.index(b"182", content.index(record))
    with log.open("r+b") as file:
        file.seek(place)
        file.write(b"9")
