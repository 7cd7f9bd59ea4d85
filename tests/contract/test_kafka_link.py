"""What the real Link promises beyond the suite: errors that say what to do, and a broker that is hard to work with."""

import ctypes
import hashlib
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, cimpl
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewTopic

from scorer.errors import BrokerError, FencedError, SettingsError, TopicsError
from scorer.local.apache_kafka import JavaBroker
from scorer.local.broker import Broker
from scorer.stream import subscription
from scorer.stream.commits import OffsetCommits
from scorer.stream.kafka import KafkaLink
from scorer.stream.statistics import Statistics
from tests.contract.fake_link import CrashError, Delivery
from tests.contract.stages import WAIT_S, KafkaStage
from tests.contract.test_link import BUNDLE, decide, headers_of, poll_records, publish, sources, taking_turns, tally_of
from tests.fakes import Tally, application

pytestmark = pytest.mark.broker
LARGE = {"max.message.bytes": "4000000"}


class Listener(Tally):
    """Remembers what the link told."""

    def __init__(self) -> None:
        super().__init__()
        self.rebalances: list[tuple[str, frozenset[int]]] = []
        self.lags: dict[int, int] = {}
        self.reachability: list[bool] = []
        self.reports: list[str] = []

    def rebalanced(self, kind: str, assigned: frozenset[int]) -> None:
        self.rebalances.append((kind, assigned))

    def lag(self, records: Mapping[int, int]) -> None:
        self.lags = dict(records)

    def reachable(self, yes: bool) -> None:
        self.reachability.append(yes)

    def statistics(self, statistics: Statistics) -> None:
        self.reports.append(statistics.client)


@pytest.mark.parametrize("records", [0, 1])
def test_both_clients_report(kafka_stage: KafkaStage, records: int) -> None:
    """Consumer and producer report on themselves, whether or not there is anything to deliver."""
    listener = Listener()
    link = kafka_stage.link(observer=listener, kafka={"statistics.interval.ms": "100"})
    ends_at = time.monotonic() + WAIT_S
    while not {"consumer", "producer"} <= set(listener.reports[-20:]) or len(listener.reports) < 10:
        assert time.monotonic() < ends_at, listener.reports
        for _ in range(records):
            kafka_stage.append(0, application("a"))
        batch = link.poll(BUNDLE.reference)
        if batch.offsets_next:
            publish(link, batch)


def test_missing_topics(kafka_stage: KafkaStage) -> None:
    """A missing topic is an error at the start that names it and the cure, not a wait without end."""
    kafka_stage.names["decisions_topic"] = "no-such-decisions"
    with pytest.raises(TopicsError, match="missing topic: no-such-decisions; `scorer topics ensure` creates it"):
        kafka_stage.link()


def test_no_broker(kafka_stage: KafkaStage) -> None:
    """Where no broker answers, the worker says where it asked and what to look at."""
    kafka_stage.servers = "127.0.0.1:1"
    with pytest.raises(BrokerError, match=r"cannot connect to Kafka at 127\.0\.0\.1:1 .*is it running"):
        kafka_stage.link(broker_wait_s=1.0)


@pytest.mark.parametrize(
    ("name", "value"), [("no.such.property", "1"), ("session.timeout.ms", "soon"), ("security.protocol", "none")]
)
def test_bad_property(kafka_stage: KafkaStage, name: str, value: str) -> None:
    """A librdkafka property that is unknown or wrong is a SettingsError that names it."""
    with pytest.raises(SettingsError, match=rf"invalid setting under \[kafka\]: .*{name}"):
        kafka_stage.link(kafka={name: value})


def test_new_group_protocol(kafka_stage: KafkaStage) -> None:
    """With KIP-848 (`group.protocol=consumer`) the group is shared and left the same way."""
    new = {"group.protocol": "consumer"}
    for i in range(10):
        kafka_stage.append(i % 2, application(f"a-{i}"))
    first = kafka_stage.link(kafka=new)
    decide(first, 10)
    second = kafka_stage.link(kafka=new)
    first.close()
    for i in range(10):
        kafka_stage.append(i % 2, application(f"b-{i}"))
    decide(second, 10)
    assert Counter(sources(kafka_stage.decisions())) == {(p, i): 1 for p in (0, 1) for i in range(10)}


def test_new_group_protocol_refuses_a_second_of_one_name(kafka_stage: KafkaStage) -> None:
    """With KIP-848 it is the second of two with one instance id that is refused; it says so and does not hang."""
    new = {"group.protocol": "consumer"}
    first = kafka_stage.link("scorer-0", kafka=new)
    kafka_stage.append(0, application("a"))
    decide(first, 1)
    second = kafka_stage.link("scorer-0", kafka=new)
    with pytest.raises(FencedError, match="share this instance_id"):
        decide(second, 1)


@pytest.mark.parametrize("compressible", [True, False])
def test_a_dead_letter_that_is_too_large_points_to_its_record(kafka_stage: KafkaStage, compressible: bool) -> None:
    """A rejected record that the dead-letter topic does not take is pointed to, and its neighbours are decided.

    It used to stop the worker, and each one that was started after it: one compressed record of a publisher was enough.
    A copy that fits when it is compressed is still a copy.
    """
    kafka_stage.names["dead_letters_topic"] = small_topic(kafka_stage, "20000")
    body = b"x" * 500_000 if compressible else os.urandom(500_000)
    kafka_stage.append(0, application("before"))
    kafka_stage.append(0, body, b"key", [("own", b"header")])
    kafka_stage.append(0, b"small")
    kafka_stage.append(0, application("after"))
    decide(kafka_stage.link(), 4)
    assert sorted(set(sources(kafka_stage.decisions()))) == [(0, 0), (0, 3)]
    letters = {headers_of(letter)["dlq.offset"]: letter for letter in kafka_stage.dead_letters()}
    assert letters[b"2"].value == b"small"
    large, headers = letters[b"1"], headers_of(letters[b"1"])
    assert (large.key, headers["dlq.code"]) == (b"key", b"too_large")
    if compressible:
        assert (large.value, headers["own"]) == (body, b"header")
    else:
        topic = kafka_stage.names["applications_topic"]
        assert large.value is None
        assert headers["dlq.pointer"] == f"{topic}:0:1".encode()
        assert headers["dlq.value-bytes"] == b"500000"
        assert headers["dlq.value-sha256"] == hashlib.sha256(body).hexdigest().encode()
        assert "own" not in headers


def test_a_dead_letter_topic_that_takes_nothing(kafka_stage: KafkaStage) -> None:
    """Where not even a pointer fits, the worker stops with the topic, its limit and what to do."""
    small = kafka_stage.names["dead_letters_topic"] = small_topic(kafka_stage, "300")
    kafka_stage.append(0, application("good"))
    kafka_stage.append(0, os.urandom(5_000))
    with pytest.raises(
        TopicsError, match=rf"topic {small} rejected a record of \d+ bytes .* raise its max.message.bytes"
    ):
        decide(kafka_stage.link(), 2)
    assert kafka_stage.committed().get(0, 0) == 0


def test_batches_fit_their_topic(kafka_stage: KafkaStage) -> None:
    """A decisions topic that takes small batches only is sent small batches; each decision fits.

    The broker refused a batch of many decisions, and the worker called it a record that is too large, at every start.
    """
    kafka_stage.names["decisions_topic"] = small_topic(kafka_stage, "10000")
    for i in range(2_000):
        kafka_stage.append_later(0, application(f"a-{i}"), b"one key")
    kafka_stage.flush()
    decide(kafka_stage.link(), 2_000)
    assert len(set(sources(kafka_stage.decisions()))) == 2_000


def test_a_limit_that_is_lowered(kafka_stage: KafkaStage) -> None:
    """Where a topic's limit is lowered while the worker runs, it says so, and that the next start sends less."""
    kafka_stage.append(0, application("first"))
    link = kafka_stage.link()
    decide(link, 1)
    set_limit(kafka_stage, "decisions_topic", "2000")
    with pytest.raises(TopicsError, match=r"rejected a batch, although each record is smaller .* Restart it"):
        decide_until_refused(kafka_stage, link)
    link.close()
    before = len(kafka_stage.decisions())
    decide(kafka_stage.link(), 500)
    assert len(kafka_stage.decisions()) >= before + 500


def test_a_compacted_dead_letter_topic(kafka_stage: KafkaStage) -> None:
    """A compacted topic refuses a dead letter without a key: the worker stops at once and names topic and policy.

    Eleven batches used to be aborted in half a minute, and then an error came that named no topic.
    """
    name = f"{kafka_stage.names['dead_letters_topic']}-compacted"
    admin = AdminClient({"bootstrap.servers": kafka_stage.servers})
    admin.create_topics([NewTopic(name, 1, 1, config={"cleanup.policy": "compact"})])[name].result(WAIT_S)
    kafka_stage.names["dead_letters_topic"] = name
    kafka_stage.append(0, b"bad")
    tally = Tally()
    with pytest.raises(
        BrokerError, match=rf"failed for topic {name}: .*cleanup.policy compact\? .*set cleanup.policy=delete"
    ):
        decide(kafka_stage.link(observer=tally), 1)
    assert tally.aborts == 1


def decide_until_refused(stage: KafkaStage, link: KafkaLink) -> None:
    """Decides batches that compress badly; the broker takes a moment to apply another limit."""
    for _ in range(50):
        for _ in range(500):
            stage.append_later(0, application(os.urandom(30).hex()), b"one key")
        stage.flush()
        decide(link, 500)


def small_topic(stage: KafkaStage, bytes_max: str) -> str:
    """A topic of two partitions that takes batches of so many bytes."""
    name = f"small-{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": stage.servers})
    admin.create_topics([NewTopic(name, 2, 1, config={"max.message.bytes": bytes_max})])[name].result(WAIT_S)
    return name


def set_limit(stage: KafkaStage, topic: str, bytes_max: str) -> None:
    """Changes what a topic takes."""
    entry = ConfigEntry("max.message.bytes", bytes_max, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, stage.names[topic], incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": stage.servers})
    admin.incremental_alter_configs([resource])[resource].result(WAIT_S)


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_large_record(broker: Broker, delivery: Delivery) -> None:
    """A record of 2 MB on topics that take it becomes a dead letter, too_large, every byte and header in place."""
    stage = KafkaStage(broker.bootstrap_servers, delivery, LARGE)
    body = application("large") + b"\xfe" * 2_000_000
    stage.append(0, application("before"))
    stage.append(0, body, b"key", [("h", b"v")])
    stage.append(0, application("after"))
    decide(stage.link(), 3)
    stage.close()
    (letter,) = stage.dead_letters()
    assert (letter.key, letter.value == body, headers_of(letter)["h"]) == (b"key", True, b"v")
    assert headers_of(letter)["dlq.code"] == b"too_large"
    assert sorted(sources(stage.decisions())) == [(0, 0), (0, 2)]


def test_observer(kafka_stage: KafkaStage) -> None:
    """The observer is told of assignments, transactions, and a lag that goes to 0 behind transaction markers."""
    listener = Listener()
    kafka_stage.append(0, application("a"))
    kafka_stage.append_marker(0)
    link = kafka_stage.link(observer=listener)
    decide(link, 1)
    ends_at = time.monotonic() + WAIT_S
    while set(listener.lags.items()) != {(0, 0), (1, 0)} and time.monotonic() < ends_at:
        batch = link.poll(BUNDLE.reference)
        if batch.offsets_next:
            publish(link, batch)
    assert listener.lags == {0: 0, 1: 0}
    kafka_stage.append(0, application("b"))
    batch = poll_records(link, 1)
    kafka_stage.fail_next_commit(link)
    publish(link, batch)
    link.close()
    assert listener.rebalances == [("assigned", frozenset({0, 1})), ("revoked", frozenset())]
    assert listener.commits >= 1
    assert listener.aborts == 1


def test_stalled_worker_commits_nothing(kafka_stage: KafkaStage) -> None:
    """A worker that stands still for longer than max.poll.interval.ms has lost its partitions and commits nothing."""
    kafka_stage.append(0, application("a"))
    stalled = kafka_stage.link(kafka={"max.poll.interval.ms": "6000"})
    batch = poll_records(stalled, 1)
    other = kafka_stage.link()
    decide(other, 1)
    assert not publish(stalled, batch)
    assert kafka_stage.committed()[0] == 1
    if kafka_stage.delivery == "exactly-once":
        assert sources(kafka_stage.decisions()) == [(0, 0)]
    kafka_stage.append(0, application("b"))
    other.close()
    decide(stalled, 1)
    assert set(sources(kafka_stage.decisions())) == {(0, 0), (0, 1)}


def test_open_transaction_of_a_dead_worker(broker: Broker) -> None:
    """Whoever takes over from a worker that died in the middle of a commit waits for its transaction to time out.

    Its offsets are not stable until then, and the question for them times out. That used to end the next worker with
    the client's exception, and the one after it, for as long as the dead one's transaction was open.
    """
    stage = KafkaStage(broker.bootstrap_servers, "exactly-once")
    stage.append(0, application("a"))
    settings = stage.settings(kafka={"transaction.timeout.ms": "6000"})
    with closing(DyingLink(settings, Tally(), lambda: False)) as dying, pytest.raises(CrashError):
        publish(dying, poll_records(dying, 1))
    decide(stage.link(), 1)
    stage.close()
    assert sources(stage.decisions()) == [(0, 0)]


class DyingProducer(Producer):
    """Does everything of a publish but its commit; then the worker is gone."""

    def commit_transaction(self, *_: object) -> None:
        assert self.flush(WAIT_S) == 0
        raise CrashError


class DyingLink(KafkaLink):
    """A link of a worker that dies in its first commit."""

    producer_class = DyingProducer


def test_static_member_restarts_while_partitions_move(kafka_stage: KafkaStage) -> None:
    """A worker with an instance id that restarts while partitions move leaves none of them without an owner.

    With cooperative assignment it gave up a partition in a first round and died before it asked for the second, in
    which another would have got it. Its next life was given back what the first round had left it, without a round,
    and the partition stood still for as long as nobody else came or went.
    """
    first = kafka_stage.link("scorer-0")
    for partition in (0, 1):
        kafka_stage.append(partition, application("a"))
    decide(first, 2)
    second = kafka_stage.link("scorer-1")
    for _ in range(10):  # the first round: the first one has an answer to it waiting, and does not poll any more
        second.poll(BUNDLE.reference)
    first.close()
    again = kafka_stage.link("scorer-0")
    for partition in (0, 1):
        kafka_stage.append(partition, application("b"))
    ends_at = time.monotonic() + WAIT_S
    while kafka_stage.committed() != {0: 2, 1: 2} and time.monotonic() < ends_at:
        for link in (again, second):
            batch = link.poll(BUNDLE.reference)
            if batch.offsets_next:
                publish(link, batch)
    assert kafka_stage.committed() == {0: 2, 1: 2}


def test_close_that_hangs(
    kafka_stage: KafkaStage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer that hangs while it leaves its group is abandoned, after everything was committed.

    A worker that was stopped during a rebalance hung (librdkafka#4884) until the watchdog ended it as a failure.
    """
    never = threading.Event()

    class Hanging(Consumer):
        def close(self) -> None:
            never.wait()

    monkeypatch.setattr(subscription, "_CLOSE_S", 0.2)
    monkeypatch.setattr(KafkaLink, "consumer_class", Hanging)
    link = kafka_stage.link()
    kafka_stage.append(0, application("a"))
    decide(link, 1)
    link.close()
    assert kafka_stage.committed()[0] == 1
    assert [line for line in caplog.records if line.__dict__.get("event") == "consumer_not_closed"]
    never.set()


def test_one_commit_at_a_time(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least once, however quick the batches, one commit of offsets is on its way at most.

    Each batch used to send one without waiting. The broker answers a connection's requests one after another and takes
    some milliseconds for a commit; past that rate they piled up, heartbeats behind them, and the group took the worker
    for dead after the session's time: at 5,000 applications a second it stood still for a minute.
    """
    stage = KafkaStage(broker.bootstrap_servers, "at-least-once")
    on_its_way: list[int] = []
    answered = OffsetCommits.on_commit

    def answer(self: OffsetCommits, *found: Any) -> None:
        on_its_way.pop()
        answered(self, *found)

    most: list[int] = []

    class Counting(Consumer):
        def commit(self, **arguments: Any) -> Any:
            if arguments["asynchronous"]:
                most.append(len(on_its_way) + 1)
                on_its_way.append(1)
            return super().commit(**arguments)

    monkeypatch.setattr(OffsetCommits, "on_commit", answer)
    monkeypatch.setattr(KafkaLink, "consumer_class", Counting)
    link = stage.link(batch_records_max=1)
    for number in range(300):
        stage.append(0, application(f"a-{number}"))
    decide(link, 300)
    assert link.settle()
    assert stage.committed()[0] == 300
    assert most
    assert set(most) == {1}
    stage.close()


def test_partitions_come_while_it_stops(kafka_stage: KafkaStage) -> None:
    """A worker that stops while partitions of one that left are on their way to it stops at once, and well.

    The assignment is served inside the close, where the client no longer answers for the group's offsets. The worker
    used to ask for them until its drain was over, and to end with an error that spoke of the broker.
    """
    drained: list[bool] = []
    first = kafka_stage.link(should_stop=lambda: bool(drained))
    second = kafka_stage.link()
    taking_turns(kafka_stage, (first, second))
    second.close()
    time.sleep(2.0)  # several heartbeats: the first one has been given all, and does not poll any more
    drained.append(True)
    first.close()
    third = kafka_stage.link()
    kafka_stage.append(0, application("c"))
    decide(third, 1)


def test_assignment_strategies_that_differ(kafka_stage: KafkaStage) -> None:
    """A worker without an instance id cannot join those that have one, and the error asks the likely question."""
    first = kafka_stage.link("scorer-0")
    kafka_stage.append(0, application("a"))
    decide(first, 1)
    with pytest.raises(BrokerError, match="Do some workers in the group set instance_id and others not"):
        decide(kafka_stage.link(), 1)


def test_header_that_is_no_text(kafka_stage: KafkaStage, caplog: pytest.LogCaptureFixture) -> None:
    """A header whose name is not UTF-8 stops nothing: the record is decided, or set aside without its headers.

    The client hands out a broken list for such headers; touching it ended the worker with a segmentation fault, and
    every worker after it, on the same record. The log tells of the first one: a publisher that does so does so always.
    """
    kafka_stage.append(0, application("before"))
    append_with_header(kafka_stage, b"\xff\xfe", application("hostile"))
    append_with_header(kafka_stage, b"\xff\xfe", b"bad")
    kafka_stage.append(0, application("after"))
    decide(kafka_stage.link(), 4)
    assert sorted(sources(kafka_stage.decisions())) == [(0, 0), (0, 1), (0, 3)]
    (letter,) = kafka_stage.dead_letters()
    assert letter.value == b"bad"
    assert headers_of(letter)["dlq.code"] == b"not_json"
    (line,) = [line for line in caplog.records if line.__dict__.get("event") == "headers_unreadable"]
    assert line.__dict__["fields"]["offset"] == 1


def append_with_header(stage: KafkaStage, name: bytes, value: bytes) -> None:
    """Publishes through librdkafka itself, because its Python client cannot write such a header."""
    lib = ctypes.CDLL(cimpl.__file__)
    lib.rd_kafka_conf_new.restype = lib.rd_kafka_new.restype = ctypes.c_void_p
    why = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(lib.rd_kafka_conf_new())
    lib.rd_kafka_conf_set(conf, b"bootstrap.servers", stage.servers.encode(), why, ctypes.c_size_t(512))
    producer = ctypes.c_void_p(lib.rd_kafka_new(0, conf, why, ctypes.c_size_t(512)))
    topic = stage.names["applications_topic"].encode()
    number, text, length = ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t
    # rd_kafka_vtype_t: 1 topic, 3 partition, 4 value, 7 flags (2: copy), 9 header, 0 the end.
    written = lib.rd_kafka_producev(
        producer, number(1), text(topic), number(3), number(0), number(4), text(value), length(len(value)), number(7),
        number(2), number(9), text(name), text(b"v"), length(1), number(0),
    )  # fmt: skip
    assert written == 0
    assert lib.rd_kafka_flush(producer, int(WAIT_S * 1_000)) == 0
    lib.rd_kafka_destroy(producer)


def test_offsets_that_cannot_be_read(kafka_stage: KafkaStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the broker refuses to tell the group's offsets, the worker stops with its words, not with a traceback."""
    link = kafka_stage.link()

    def refuse(*_: object) -> None:
        raise KafkaException(cimpl.KafkaError(cimpl.KafkaError.GROUP_AUTHORIZATION_FAILED))

    monkeypatch.setattr(subscription, "retry_transient", refuse)
    with pytest.raises(BrokerError, match=r"Kafka request failed for the offsets of group .*authorization failed"):
        decide(link, 1)


def test_broker_restarts_in_the_middle(own_broker: JavaBroker) -> None:
    """The broker is killed with a batch in hand and comes back: the worker goes on, nothing is lost or doubled.

    A worker used to hang for ever at its first commit after a restart: librdkafka had dropped the broker that metadata
    left out for a moment, and waited for the dropped one.
    """
    with closing(KafkaStage(own_broker.bootstrap_servers, "exactly-once")) as stage:
        for i in range(20):
            stage.append(0, application(f"a-{i}"))
        link = stage.link(batch_records_max=10)
        # The end of a partition takes a record's place in a poll, so a batch may be smaller than 10.
        assert publish(link, poll_records(link, 1))
        in_hand = poll_records(link, 1)
        own_broker.restart()
        publish(link, in_hand)
        stage.append(0, application("last"))
        decide(link, 21 - tally_of(link).records)
        assert Counter(sources(stage.decisions())) == {(0, i): 1 for i in range(21)}


def test_broker_goes_and_comes_back(own_broker: JavaBroker) -> None:
    """A worker says that it reaches no broker, and goes on once one is back.

    An answer about offsets that the broker did not have ready yet used to be taken for a fencing, and ended the worker.
    """
    with closing(KafkaStage(own_broker.bootstrap_servers, "at-least-once")) as stage:
        listener = Listener()
        stage.append(0, application("first"))
        link = stage.link(observer=listener)
        decide(link, 1)
        own_broker.kill()
        ends_at = time.monotonic() + WAIT_S
        while listener.reachability[-1:] != [False] and time.monotonic() < ends_at:
            link.poll(BUNDLE.reference)
        assert listener.reachability[-1] is False
        own_broker.restart()
        stage.append(0, application("last"))
        decide(link, 1)
        assert set(sources(stage.decisions())) == {(0, 0), (0, 1)}
