"""The producer against a real broker: files, load, one decision, and the decisions as they come."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, NamedTuple

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from producer.client import ApplicationPublisher
from producer.errors import DecisionTimeoutError, RejectedError
from producer.settings import Settings
from producer.tail import TopicTail
from schemas.application import CreditApplication
from schemas.decision import BundleReference, Decision, RecordReference
from schemas.rejection import (
    CODE_HEADER,
    OFFSET_HEADER,
    PARTITION_HEADER,
    REASON_HEADER,
    TOPIC_HEADER,
    RejectionCode,
)  # fmt: skip
from scorer.local.broker import Broker
from tests.integration.forked import ForkedProcess
from tests.integration.worker_process import wait_until

pytestmark = pytest.mark.broker

WAIT_S = 60  # for what takes a second or two on an idle machine
PARTITIONS = 3
EXAMPLE: dict[str, object] = {
    name: (field.examples or [None])[0] for name, field in CreditApplication.model_fields.items()
}


@pytest.fixture
def settings(broker: Broker, unique: Callable[[str], str]) -> Settings:
    """Three topics of this test's own."""
    names = [unique(name) for name in ("applications", "decisions", "dead")]
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    created = admin.create_topics([NewTopic(name, num_partitions=PARTITIONS, replication_factor=1) for name in names])
    for future in created.values():
        future.result(WAIT_S)
    topics = dict(zip(("applications_topic", "decisions_topic", "dead_letters_topic"), names, strict=True))
    return Settings(bootstrap_servers=broker.bootstrap_servers, **topics)


class Scorer(NamedTuple):
    """What stands in for a worker.

    Attributes:
        settings: its topics.
        stopped: set it to stop.
    """

    settings: Settings
    stopped: threading.Event

    def run(self) -> None:
        """Decides, in a transaction each, every application from now on; those of age 99 become dead letters."""
        producer = Producer(
            {
                "bootstrap.servers": self.settings.bootstrap_servers,
                "transactional.id": self.settings.decisions_topic,
            }
        )
        producer.init_transactions(WAIT_S)
        with TopicTail(self.settings, [self.settings.applications_topic], from_beginning=True) as tail:
            while not self.stopped.is_set():
                message = tail.poll(0.05)
                if message is not None:
                    producer.begin_transaction()
                    self._decide(producer, message)
                    producer.commit_transaction(WAIT_S)

    def _decide(self, producer: Producer, message: Message) -> None:
        application = json.loads(message.value() or b"{}")
        source = RecordReference(
            topic=message.topic() or "", partition=message.partition() or 0, offset=message.offset() or 0
        )
        if application["age"] == 99:
            headers = {
                CODE_HEADER: RejectionCode.MODEL_ERROR.encode(),
                REASON_HEADER: b"the model failed",
                TOPIC_HEADER: source.topic.encode(),
                PARTITION_HEADER: str(source.partition).encode(),
                OFFSET_HEADER: str(source.offset).encode(),
            }
            producer.produce(
                self.settings.dead_letters_topic, message.value(), message.key(), headers=[*headers.items()]
            )
            return
        decision = Decision(
            decision_id=f"{source.topic}:{source.partition}:{source.offset}@{'a' * 12}",
            application_id=application["application_id"],
            decision="APPROVED",
            probability_of_default=0.125,
            bundle=BundleReference(name="credit-risk", version="1.1.0", digest="a" * 64),
            source=source,
        )
        producer.produce(self.settings.decisions_topic, decision.model_dump_json(), message.key())


@pytest.fixture
def scorer(settings: Settings) -> Iterator[Scorer]:
    """A stand-in for a worker, running."""
    stand_in = Scorer(settings, threading.Event())
    thread = threading.Thread(target=stand_in.run)
    thread.start()
    yield stand_in
    stand_in.stopped.set()
    thread.join(WAIT_S)


class Command:
    """The `producer` command in the background (`tests.integration.forked`), its outputs read line by line."""

    def __init__(self, settings: Settings, folder: Path, *arguments: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
        environment |= {
            "SCORER_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "SCORER_APPLICATIONS_TOPIC": settings.applications_topic,
            "SCORER_DECISIONS_TOPIC": settings.decisions_topic,
            "SCORER_DEAD_LETTERS_TOPIC": settings.dead_letters_topic,
        }
        out, err = (Path(mkdtemp(dir=folder), name) for name in ("out", "err"))
        self.process = ForkedProcess(("producer", *arguments), environment, folder, out, err)
        self.out, self.err = (path.open(encoding="utf-8") for path in (out, err))

    def finish(self) -> tuple[int, str, str]:
        """The exit code, and what is left of standard output and standard error."""
        code = self.process.wait(WAIT_S)
        return code, self.out.read(), self.err.read()

    def close(self) -> None:
        """Ends it, if it still runs."""
        self.process.kill()
        self.process.wait(WAIT_S)
        self.out.close()
        self.err.close()


def read_line(output: IO[str]) -> str:
    """The next line of an output, once it is written."""
    line = ""

    def is_whole() -> bool:
        nonlocal line
        line += output.readline()
        return line.endswith("\n")

    wait_until(is_whole, "a line")
    return line


Starter = Callable[..., Command]


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Starter]:
    """Starts the command with this test's topics; what is still running afterwards is ended."""
    started: list[Command] = []

    def start_one(*arguments: str) -> Command:
        started.append(Command(settings, tmp_path, *arguments))
        return started[-1]

    yield start_one
    for command in started:
        command.close()


def _read(settings: Settings, topic: str, count: int) -> list[Message]:
    messages: list[Message] = []
    with TopicTail(settings, [topic], from_beginning=True) as tail:
        while len(messages) < count:
            message = tail.poll(WAIT_S)
            assert message is not None, f"{len(messages)} of {count} records came"
            messages.append(message)
    return messages


def _count(settings: Settings, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": "count"})
    partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    ends = [consumer.get_watermark_offsets(label_index, timeout=WAIT_S)[1] for label_index in partitions]
    consumer.close()
    return sum(ends)


def _applications(count: int) -> list[dict[str, object]]:
    return [{**EXAMPLE, "application_id": f"a-{number}"} for number in range(count)]


@pytest.mark.usefixtures("scorer")
def test_a_decision_is_waited_for_by_its_record(settings: Settings) -> None:
    """`decide` returns the decision on the very record it sent, also when the same id was decided before."""
    with ApplicationPublisher(settings) as publisher:
        first, second = (publisher.decide(EXAMPLE, WAIT_S) for _ in range(2))
    assert first.application_id == second.application_id == "a-1001"
    assert (first.source.partition, first.source.offset + 1) == (second.source.partition, second.source.offset)


def test_an_aborted_decision_is_none(settings: Settings) -> None:
    """What a transaction wrote and took back is never shown as a decision."""
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "transactional.id": settings.decisions_topic})
    producer.init_transactions(WAIT_S)
    producer.begin_transaction()
    with TopicTail(settings, [settings.decisions_topic]) as tail:
        producer.produce(settings.decisions_topic, b"{}", b"x")
        producer.flush(WAIT_S)
        producer.abort_transaction(WAIT_S)
        producer.begin_transaction()
        producer.produce(settings.decisions_topic, b"committed", b"x")
        producer.commit_transaction(WAIT_S)
        message = tail.poll(WAIT_S)
        assert message is not None
        assert message.value() == b"committed"


@pytest.mark.usefixtures("scorer")
def test_a_dead_letter_is_an_error_with_its_code(settings: Settings) -> None:
    """An application that the scorer sets aside raises with the code and the reason."""
    with ApplicationPublisher(settings) as publisher, pytest.raises(RejectedError) as caught:
        publisher.decide({**EXAMPLE, "age": 99}, WAIT_S)
    assert (caught.value.code, caught.value.reason) == ("model_error", "the model failed")


def test_without_a_scorer_the_wait_ends(settings: Settings) -> None:
    """With nobody to decide, the wait ends in time, and the application is on the topic all the same."""
    with ApplicationPublisher(settings) as publisher, pytest.raises(DecisionTimeoutError, match="is one running"):
        publisher.decide(EXAMPLE, 0.5)
    assert _count(settings, settings.applications_topic) == 1


def test_a_file_is_published_row_by_row(settings: Settings, start: Starter, tmp_path: Path) -> None:
    """Sound rows arrive byte for byte under their ids, the others are named by line, and the exit code tells."""
    lines = [json.dumps(application) for application in _applications(50)]
    lines[7] = lines[7].replace('"rent"', '"tent"')
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines))
    code, out, err = start("publish", str(path), "--json").finish()
    report = json.loads(out)
    assert code == 1
    assert err.startswith("line 8 is invalid: home: ")
    assert "tent" not in out + err
    assert {name: report[name] for name in ("rows", "sent", "acknowledged", "failed", "invalid")} == {
        "rows": 50, "sent": 49, "acknowledged": 49, "failed": 0, "invalid": 1,
    }  # fmt: skip
    arrived = {message.key(): message.value() for message in _read(settings, settings.applications_topic, 49)}
    assert arrived == {f"a-{n}".encode(): lines[n].encode() for n in range(50) if n != 7}


def test_the_same_key_goes_to_the_partition_that_java_would_choose(settings: Settings) -> None:
    """A key's partition is that of Kafka's own clients, so that the order of a key holds whoever publishes."""
    with ApplicationPublisher(settings) as publisher:
        publisher.send(b"foobar", b"{}")  # murmur2 is -790332482, as Kafka's own tests say
    (message,) = _read(settings, settings.applications_topic, 1)
    assert message.partition() == (-790332482 & 0x7FFFFFFF) % PARTITIONS


def test_load_sends_what_it_says_with_the_times_when_it_was_due(settings: Settings, start: Starter) -> None:
    """All records of a load arrive once, sound ones and bad ones, their timestamps evenly spaced at the rate."""
    code, out, err = start(
        "load", "--rate", "500", "--for", "2s", "--invalid", "0.1", "--prefix", "p", "--json"
    ).finish()
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert (report["sent"], report["acknowledged"], report["failed"]) == (1_000, 1_000, 0)
    assert 50 < report["invalid"] < 150
    messages = _read(settings, settings.applications_topic, 1_000)
    due_ms = {int((message.key() or b"").removeprefix(b"p-")): message.timestamp()[1] for message in messages}
    assert sorted(due_ms) == list(range(1_000))
    assert all(abs(due_ms[number] - due_ms[0] - number * 2) <= 1 for number in due_ms)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_load_ends_cleanly_on_a_signal(settings: Settings, start: Starter, number: signal.Signals) -> None:
    """A signal ends a load at once, with its summary and exit code 0, and what was sent is acknowledged."""
    command = start("load", "--rate", "100", "--for", "10m", "--json")
    _read(settings, settings.applications_topic, 1)
    command.process.send_signal(number)
    code, out, err = command.finish()
    report = json.loads(out)
    assert (code, err, report["stopped"]) == (0, "", True)
    assert report["sent"] == report["acknowledged"] == _count(settings, settings.applications_topic)


@pytest.mark.usefixtures("scorer")
def test_try_shows_a_decision_and_the_example_values(start: Starter) -> None:
    """`try` shows the decision as a panel for people and as JSON for scripts, and names what it filled in."""
    code, out, err = start("try", "age=40", "--timeout", "60s").finish()
    assert (code, err) == (0, "")
    assert all(part in out for part in ("APPROVED", "12.5%", "credit-risk:1.1.0", "seniority=9"))
    code, out, _ = start("try", "age=40", "--timeout", "60s", "--json").finish()
    answer = json.loads(out)
    assert (code, answer["decision"]["decision"]) == (0, "APPROVED")
    assert "age" not in answer["defaulted"]
    code, out, err = start("try", "age=99", "--timeout", "60s").finish()
    assert (code, out) == (1, "")
    assert err == "producer: the scorer rejected the application (model_error): the model failed\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("scorer")
def test_watch_follows_from_now_until_it_is_stopped(settings: Settings, start: Starter, number: signal.Signals) -> None:
    """`watch` shows decisions and dead letters that come after it began, one JSON line each, and exits with 0."""
    with ApplicationPublisher(settings) as publisher:
        publisher.decide({**EXAMPLE, "application_id": "before"}, WAIT_S)
        command = start("watch", "--dead-letters", "--json")
        assert read_line(command.err).startswith("watching ")
        publisher.decide({**EXAMPLE, "application_id": "after"}, WAIT_S)
        with pytest.raises(RejectedError):
            publisher.decide({**EXAMPLE, "application_id": "dead", "age": 99}, WAIT_S)
    lines = [json.loads(read_line(command.out)) for _ in range(2)]
    assert [(line["kind"], line["application_id"]) for line in lines] == [
        ("decision", "after"),
        ("dead_letter", "dead"),
    ]
    command.process.send_signal(number)
    assert command.finish() == (0, "", "")


@pytest.mark.usefixtures("scorer")
def test_watch_can_start_at_the_beginning(settings: Settings, start: Starter) -> None:
    """With --from-beginning the decisions of the past are shown, too, as lines for people."""
    with ApplicationPublisher(settings) as publisher:
        publisher.decide({**EXAMPLE, "application_id": "before"}, WAIT_S)
    command = start("watch", "--from-beginning")
    line: Sequence[str] = read_line(command.out).split()
    assert line[2:] == ["before", "APPROVED", "12.50%", "credit-risk:1.1.0"]
    command.process.send_signal(signal.SIGINT)
    assert command.finish()[0] == 0


def test_a_missing_topic_is_reported_with_the_command_that_creates_it(
    start: Starter, unique: Callable[[str], str]
) -> None:
    """A topic that the broker does not have is named, with the command that creates it."""
    code, out, err = start("watch", "--decisions-topic", unique("none")).finish()
    assert (code, out) == (1, "")
    assert "cannot be used" in err
    assert "scorer topics ensure" in err
