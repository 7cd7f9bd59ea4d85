"""Real brokers on this machine: they start, carry records and transactions, survive a crash, and leave nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic

from scorer.errors import LocalBrokerError
from scorer.local.apache_kafka import JavaBroker
from scorer.local.broker import Broker, start_broker
from scorer.local.running import free_ports
from scorer.local.toolchain import find_java, kafka_jars

WAIT_S = 60  # for what takes a second or two on an idle machine


def start_java(port: int = 0, overrides: dict[str, str] | None = None) -> JavaBroker:
    """A broker on Java through the front door, with what only that kind can do."""
    broker = start_broker("java", port=port, overrides=overrides)
    assert isinstance(broker, JavaBroker)
    return broker


@pytest.fixture(scope="module")
def _java() -> None:
    """Skips where no Java or no jars are to be had; whatever fails after that is a failure."""
    try:
        find_java()
        kafka_jars(lambda _: None)
    except LocalBrokerError as fault:
        pytest.skip(f"needs Apache Kafka on Java: {fault}")


@pytest.fixture(scope="module")
def kafka(_java: None) -> Iterator[JavaBroker]:
    """One broker on Java for the tests that leave it as it was."""
    with start_java() as started:
        yield started


def create_topic(broker: Broker, topic: str, settings: dict[str, str] | None = None) -> None:
    """Create a topic of one partition and wait until it is there."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    new = NewTopic(topic, num_partitions=1, replication_factor=1, config=settings or {})
    admin.create_topics([new])[topic].result(WAIT_S)


def produce(broker: Broker, topic: str, *values: bytes) -> None:
    """Produce values and insist that the broker has them."""
    faults: list[object] = []
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "message.max.bytes": 8_000_000})
    for value in values:
        producer.produce(topic, value, on_delivery=lambda fault, _: faults.append(fault))
    assert producer.flush(WAIT_S) == 0
    assert faults == [None] * len(values)


def read(broker: Broker, topic: str, count: int) -> list[bytes]:
    """The first committed values of a topic; fewer than `count` when no more come."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "unused", "log_level": 0})
    consumer.assign([TopicPartition(topic, 0, 0)])
    values = values_of(consumer, count)
    consumer.close()
    return values


def values_of(consumer: Consumer, count: int) -> list[bytes]:
    """Poll until there are as many values as asked for, or the waiting is over."""
    values: list[bytes] = []
    ends_at = time.monotonic() + WAIT_S
    while len(values) < count and time.monotonic() < ends_at:
        message: Message | None = consumer.poll(0.5)
        if message is not None and message.error() is None:
            values.append(message.value() or b"")
    return values


def wait_until(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold while one is willing to wait."""
    ends_at = time.monotonic() + WAIT_S
    while not holds() and time.monotonic() < ends_at:
        time.sleep(0.05)
    return holds()


def is_gone(pid: int) -> bool:
    """Whether no such process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_round_trip(kafka: JavaBroker, unique: Callable[[str], str]) -> None:
    """A topic is created, and a group of either protocol reads what was produced."""
    topic = unique("applications")
    create_topic(kafka, topic)
    produce(kafka, topic, b"one", b"two")
    for protocol in ("classic", "consumer"):
        settings = {"bootstrap.servers": kafka.bootstrap_servers, "group.id": unique("g"), "group.protocol": protocol}
        consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
        consumer.subscribe([topic])
        assert values_of(consumer, 2) == [b"one", b"two"]
        consumer.close()
    kafka.check()


def test_out_of_reach_of_ctrl_c(kafka: JavaBroker) -> None:
    """The broker is in no process group of ours: Ctrl-C reaches its user first, who may still need it to finish."""
    assert os.getpgid(kafka.pid) != os.getpgid(0)


def test_transactions(kafka: JavaBroker, unique: Callable[[str], str]) -> None:
    """What a transaction commits is read, and what it aborts is not."""
    topic = unique("decisions")
    create_topic(kafka, topic)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": unique("tx")})
    producer.init_transactions(WAIT_S)
    producer.begin_transaction()
    producer.produce(topic, b"aborted")
    producer.abort_transaction(WAIT_S)
    producer.begin_transaction()
    producer.produce(topic, b"committed")
    producer.commit_transaction(WAIT_S)
    assert read(kafka, topic, 1) == [b"committed"]


def test_large_records(kafka: JavaBroker, unique: Callable[[str], str]) -> None:
    """A record of 4 MB needs a setting of its topic and none of the broker."""
    topic = unique("large")
    create_topic(kafka, topic, {"max.message.bytes": "5000000"})
    record = os.urandom(4_000_000)
    produce(kafka, topic, record)
    assert read(kafka, topic, 1) == [record]


def test_topics_are_not_created_by_use(kafka: JavaBroker, unique: Callable[[str], str]) -> None:
    """A misspelt topic is an error and not a new topic."""
    topic = unique("misspelt")
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "topic.metadata.propagation.max.ms": 100})
    faults: list[object] = []
    producer.produce(topic, b"lost?", on_delivery=lambda fault, _: faults.append(fault))
    assert producer.flush(WAIT_S) == 0
    assert "UNKNOWN_TOPIC" in repr(faults)


def test_two_at_once(kafka: JavaBroker, unique: Callable[[str], str]) -> None:
    """Two brokers run side by side; stopping one, twice, removes its process and its data and leaves the other."""
    (port,) = free_ports(1)
    with start_java(port, {"message.max.bytes": "123456"}) as second:
        assert second.bootstrap_servers == f"127.0.0.1:{port}" != kafka.bootstrap_servers
        assert second.log_path is not None
        folder = second.log_path.parent
        assert str(folder) in second.description
        assert setting_of(second, "message.max.bytes") == "123456"
        create_topic(second, unique("t"))
        with pytest.raises(LocalBrokerError, match=f"port {port} on 127.0.0.1 is not available"):
            start_broker("java", port=port)
    second.stop()
    assert is_gone(second.pid)
    assert not folder.exists()
    kafka.check()


def setting_of(broker: Broker, name: str) -> str | None:
    """One setting that the broker says it runs with."""
    resource = ConfigResource(ConfigResource.Type.BROKER, "1")
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    value: str | None = admin.describe_configs([resource])[resource].result(WAIT_S)[name].value
    return value


@pytest.mark.usefixtures("_java")
def test_crash_and_restart(unique: Callable[[str], str]) -> None:
    """A broker killed by the system is noticed, with its log; restarted, it has its address and its records again."""
    topic = unique("kept")
    with start_java() as broker:
        address = broker.bootstrap_servers
        create_topic(broker, topic)
        produce(broker, topic, b"before")
        os.kill(broker.pid, signal.SIGKILL)

        def has_died() -> bool:
            try:
                broker.check()
            except LocalBrokerError as fault:
                return f"the broker at {address} exited with code 137 (killed: out of memory?); the end" in str(fault)
            return False

        assert wait_until(has_died)
        broker.restart()
        broker.check()
        assert broker.bootstrap_servers == address
        produce(broker, topic, b"after")
        assert read(broker, topic, 2) == [b"before", b"after"]
        broker.kill()
        with pytest.raises(LocalBrokerError, match="exited with code"):
            broker.check()
    assert broker.log_path is not None
    assert [left.name for left in broker.log_path.parent.iterdir()] == ["broker.log"]
    broker.log_path.unlink()
    broker.log_path.parent.rmdir()


@pytest.mark.usefixtures("_java")
def test_killed_parent() -> None:
    """When whoever started a broker is killed with SIGKILL, the broker and its data go too."""
    code = (
        "import time; from scorer.local.broker import start_broker; b = start_broker('java'); "
        "print(b.pid, b.log_path.parent, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, _, folder = parent.stdout.readline().strip().partition(" ")
        assert not is_gone(int(pid))
        parent.kill()
    assert wait_until(lambda: is_gone(int(pid)))
    assert wait_until(lambda: not Path(folder).exists())


@pytest.mark.usefixtures("_java")
def test_rejected_setting() -> None:
    """A setting that Kafka refuses reaches the user in Kafka's words."""
    with pytest.raises(LocalBrokerError, match=r"Invalid value soon for configuration log\.retention\.hours"):
        start_broker("java", overrides={"log.retention.hours": "soon"})


def test_docker(unique: Callable[[str], str]) -> None:
    """The broker in Docker carries a transaction, takes overrides, and is gone after its end."""
    try:
        broker = start_broker("docker", overrides={"message.max.bytes": "123456"})
    except LocalBrokerError as fault:
        if "extra is not installed" in str(fault) or "no Docker engine answers" in str(fault):
            pytest.skip(str(fault))
        raise
    with broker:
        broker.check()
        assert setting_of(broker, "message.max.bytes") == "123456"
        topic = unique("decisions")
        create_topic(broker, topic)
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": unique("tx")})
        producer.init_transactions(WAIT_S)
        producer.begin_transaction()
        producer.produce(topic, b"committed")
        producer.commit_transaction(WAIT_S)
        assert read(broker, topic, 1) == [b"committed"]
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0}).list_topics(timeout=1)


@pytest.mark.broker
def test_shared_broker(broker: Broker, unique: Callable[[str], str]) -> None:
    """The broker that all tests share is a real one, and a unique name makes a topic of one's own."""
    assert broker.kind in {"given", "docker", "java"}
    for _ in range(2):
        create_topic(broker, unique("mine"))
