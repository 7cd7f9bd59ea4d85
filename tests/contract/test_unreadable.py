"""Batches that cannot be read: on the input topic each of their records becomes a dead letter, and nothing waits.

Readers of results pass them.
"""

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Producer

from producer.settings import Settings
from producer.tail import TopicTail
from schemas.examples import DECISION
from schemas.records import Malformed
from scorer.local.apache_kafka import JavaBroker
from scorer.local.broker import Broker
from tests.contract.stages import WAIT_S, KafkaStage
from tests.contract.test_link import dead_sources, decide, headers_of, sources
from tests.fakes import application
from tests.integration.worker_process import wait_until

pytestmark = pytest.mark.broker
READER = Path(__file__).parents[2] / "examples" / "read_decisions.py"
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
    producer.list_topics(stage.names["applications_topic"], WAIT_S)  # a flush without a leader may split the batch
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


def test_a_damaged_batch_is_not_shown(own_broker: JavaBroker) -> None:
    """A publisher that reads results passes a batch whose checksum is wrong; it showed the damaged record."""
    settings = Settings(bootstrap_servers=own_broker.bootstrap_servers)
    skipped: list[Malformed] = []
    with closing(KafkaStage(own_broker.bootstrap_servers, "exactly-once")) as stage:
        for name in ("before", "damaged", "after"):
            stage.append(0, application(name, income=182))
        topic = stage.names["applications_topic"]
        damage(own_broker, topic, b"damaged")
        with TopicTail(settings, [topic], from_beginning=True, skip=skipped.append) as tail:
            read = [message.offset() for _ in range(3) if (message := tail.poll(WAIT_S)) is not None]
    assert read == [0, 2]
    assert [(batch.topic, batch.partition, batch.offset) for batch in skipped] == [(topic, 0, 1)]


def test_a_damaged_decision_is_not_entered(own_broker: JavaBroker, tmp_path: Path) -> None:
    """The example reader passes batches whose checksum is wrong, and enters what is between and after them.

    Behind such a batch librdkafka continues at a wrong offset, from which it resets to the beginning, again and again.
    """
    with closing(KafkaStage(own_broker.bootstrap_servers, "exactly-once")) as stage:
        topic = stage.names["decisions_topic"]
        producer = Producer({"bootstrap.servers": own_broker.bootstrap_servers})
        names = ("first", "damaged-1", "between", "damaged-2", "last")
        for name in names:
            value = DECISION.model_copy(update={"application_id": name, "probability_of_default": 0.182})
            producer.produce(topic, value.model_dump_json(), partition=0)
            assert producer.flush(WAIT_S) == 0  # a batch of its own
        for name in names[1::2]:
            damage(own_broker, topic, name.encode())
        table = tmp_path / "decisions.sqlite"
        command = [sys.executable, str(READER), own_broker.bootstrap_servers, str(table), "--topic", topic]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                wait_until(lambda: "last" in entered(table), "all that can be read was read")
            finally:
                process.terminate()
                _, said = process.communicate(timeout=WAIT_S)
    assert entered(table) == {"first", "between", "last"}
    reported = [line.split(": ")[0] for line in said.splitlines() if line.startswith("skipped ")]
    assert reported == [f"skipped {topic}[0]@1", f"skipped {topic}[0]@3"]


def entered(table: Path) -> set[str]:
    """The applications in the reader's table."""
    try:
        with closing(sqlite3.connect(f"file:{table}?mode=ro", uri=True)) as opened:
            return {application for (application,) in opened.execute("SELECT application_id FROM decision_records")}
    except sqlite3.OperationalError:  # there is no table yet
        return set()


def damage(broker: JavaBroker, topic: str, record: bytes) -> None:
    """Changes a digit of a record where the broker keeps it."""
    (log,) = Path(broker._folder, "data", f"{topic}-0").glob("*.log")
    content = bytearray(log.read_bytes())
    place = content.index(b"182", content.index(record))
    with log.open("r+b") as file:
        file.seek(place)
        file.write(b"9")
