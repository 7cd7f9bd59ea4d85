"""The client against librdkafka's own mock cluster: what is sent, counted, refused and told."""

import socket
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from producer.client import ApplicationPublisher
from producer.errors import (
    BrokerUnreachableError,
    DecisionTimeoutError,
    InvalidApplicationError,
    MisuseError,
    NotDeliveredError,
    TopicMissingError,
)
from producer.results import position_of
from producer.settings import Settings
from producer.tail import TopicTail
from schemas.application import CreditApplication

pytestmark = pytest.mark.slow

EXAMPLE: dict[str, object] = {
    name: (field.examples or [None])[0] for name, field in CreditApplication.model_fields.items()
}
WAIT_S = 30  # for what takes milliseconds


class Mock:
    """A mock cluster that can go away.

    Attributes:
        settings: how to reach it.
    """

    def __init__(self) -> None:
        self._cluster: Producer | None = Producer(
            {"test.mock.num.brokers": 1, "bootstrap.servers": "-", "log_level": 0}
        )
        brokers = self._cluster.list_topics(timeout=WAIT_S).brokers.values()
        self.settings = Settings(bootstrap_servers=",".join(f"{broker.host}:{broker.port}" for broker in brokers))

    def go_away(self) -> None:
        self._cluster = None


@pytest.fixture
def mock() -> Iterator[Mock]:
    """A mock cluster of this test's own."""
    cluster = Mock()
    yield cluster
    cluster.go_away()


def _read(settings: Settings, count: int) -> list[tuple[bytes | None, bytes | None]]:
    records: list[tuple[bytes | None, bytes | None]] = []
    with TopicTail(settings, [settings.applications_topic], from_beginning=True) as tail:
        while len(records) < count:
            message = tail.poll(WAIT_S)
            assert message is not None
            records.append((message.key(), message.value()))
    return records


def test_applications_are_checked_keyed_sent_and_counted(mock: Mock) -> None:
    """A mapping is sent as it was given, a model by what was set in it, both under their id; leaving waits for all."""
    model = CreditApplication.model_validate({**EXAMPLE, "application_id": "é"})
    with ApplicationPublisher(mock.settings) as publisher:
        publisher.publish({**EXAMPLE, "note": "ours"})
        publisher.publish(model)
    assert (publisher.sent, publisher.acknowledged, publisher.failed) == (2, 2, 0)
    sent = dict(_read(mock.settings, 2))
    assert CreditApplication.model_validate_json(sent["é".encode()] or b"") == model
    assert (sent[b"a-1001"] or b"").endswith(b'"price":1490,"note":"ours"}')


@pytest.mark.parametrize("wrong", [{**EXAMPLE, "age": 7}, {"age": object()}, {**EXAMPLE, "price": float("inf")}])
def test_what_the_contract_rejects_is_not_sent(mock: Mock, wrong: dict[str, object]) -> None:
    """An application that the scorer would reject raises at once, and nothing is handed over."""
    with ApplicationPublisher(mock.settings) as publisher:
        with pytest.raises(InvalidApplicationError):
            publisher.publish(wrong)
        with pytest.raises(InvalidApplicationError):
            publisher.decide(wrong)
        assert publisher.sent == 0


def test_a_full_queue_is_waited_for(mock: Mock) -> None:
    """More records than the client's queue holds are all delivered, in their order on each partition."""
    settings = Settings(bootstrap_servers=mock.settings.bootstrap_servers, kafka={"queue.buffering.max.messages": "10"})
    with ApplicationPublisher(settings) as publisher:
        for number in range(500):
            publisher.send(b"one key", b"%d" % number)
    assert publisher.acknowledged == 500
    assert [value for _, value in _read(mock.settings, 500)] == [b"%d" % number for number in range(500)]


def test_a_timestamp_is_the_records_own(mock: Mock) -> None:
    """A record carries the timestamp that it was sent with, in milliseconds."""
    with ApplicationPublisher(mock.settings) as publisher:
        publisher.send(b"x", b"{}", timestamp_ms=1_234_567_890_123)
    with TopicTail(mock.settings, [mock.settings.applications_topic], from_beginning=True) as tail:
        message = tail.poll(WAIT_S)
        assert message is not None
        assert message.timestamp()[1] == 1_234_567_890_123
        assert position_of(message)[0] == mock.settings.applications_topic


def _publish_to_nobody(publisher: ApplicationPublisher, mock: Mock, error: Exception | None = None) -> None:
    """Publishes once when the broker has gone away, and ends the block with an error if there is one."""
    with publisher:
        mock.go_away()
        publisher.publish(EXAMPLE)
        if error:
            raise error


def test_undelivered_records_are_reported_when_the_block_ends(mock: Mock) -> None:
    """When the broker goes away, leaving the block raises with how many records failed."""
    publisher = ApplicationPublisher(
        Settings(bootstrap_servers=mock.settings.bootstrap_servers, kafka={"message.timeout.ms": "200"})
    )
    with pytest.raises(NotDeliveredError, match="1 of 1 applications were not delivered"):
        _publish_to_nobody(publisher, mock)
    assert (publisher.sent, publisher.acknowledged, publisher.failed) == (1, 0, 1)


def test_a_record_beyond_the_clients_limit_counts_as_failed(mock: Mock) -> None:
    """What librdkafka refuses to take is a failure like any other, and costs its neighbours nothing."""
    publisher = ApplicationPublisher(mock.settings)
    publisher.send(b"x", b"x" * 2_000_000)
    publisher.send(b"x", b"{}")
    with pytest.raises(NotDeliveredError, match="1 of 2 applications were not delivered"):
        publisher.flush()
    assert (publisher.acknowledged, publisher.failed) == (1, 1)


def test_after_an_error_in_the_block_nothing_waits(mock: Mock) -> None:
    """An exception in the block comes out as it is, without a wait for a broker that is not there any more."""
    with pytest.raises(ZeroDivisionError):
        _publish_to_nobody(ApplicationPublisher(mock.settings), mock, ZeroDivisionError())


def test_no_decision_in_time_is_reported_with_the_records_position(mock: Mock) -> None:
    """Without a scorer, waiting ends after the time given, and says where the application is."""
    with (
        ApplicationPublisher(mock.settings) as publisher,
        pytest.raises(DecisionTimeoutError, match=r"not decided within 0\.3 s.*credit\.applications.*offset 0"),
    ):
        publisher.decide(EXAMPLE, timeout_s=0.3)


@pytest.mark.parametrize("servers", ["127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2", "kafka.no-such-host.invalid:9092"])
def test_a_broker_that_does_not_answer_is_reported_with_its_address(
    monkeypatch: pytest.MonkeyPatch, servers: str
) -> None:
    """Where nobody listens, entering the block raises long before the time limit, with the address and the reason."""
    monkeypatch.setattr("producer.kafka.ANSWER_S", 3_600.0)
    with (
        pytest.raises(
            BrokerUnreachableError, match=f"could not connect to Kafka at {servers} within .*(refused|resolve)"
        ),
        ApplicationPublisher(Settings(bootstrap_servers=servers)),
    ):
        pass


def test_a_broker_that_is_slow_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What accepts connections and says nothing may be slow: that is no refusal, and has its time."""
    monkeypatch.setattr("producer.kafka.ANSWER_S", 1.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        servers = f"127.0.0.1:{silent.getsockname()[1]},127.0.0.1:1"
        with (
            pytest.raises(BrokerUnreachableError, match=r"within 2 s"),
            ApplicationPublisher(Settings(bootstrap_servers=servers)),
        ):
            pass


def test_a_topic_that_does_not_exist_is_reported_with_the_command_that_creates_it(mock: Mock) -> None:
    """Following a topic that is not there names it and the command that creates topics."""
    with pytest.raises(TopicMissingError, match=r"the topic none at .* `scorer topics ensure`"):
        TopicTail(mock.settings, ["none"])


def test_wrong_librdkafka_properties_are_misuse() -> None:
    """A property that librdkafka does not know, or a value that it does not take, is named."""
    with pytest.raises(MisuseError, match=r"no\.such"):
        ApplicationPublisher(Settings(kafka={"no.such": "1"}))
    with pytest.raises(MisuseError, match=r"security\.protocol"):
        ApplicationPublisher(Settings(kafka={"security.protocol": "carrier-pigeon"}))


def test_nothing_of_the_librarys_own_reaches_the_terminal(capfd: pytest.CaptureFixture[str], mock: Mock) -> None:
    """A broker that goes away, a property for another kind of client: librdkafka writes of neither to the terminal."""
    kafka = {"message.timeout.ms": "200", "max.poll.interval.ms": "300000"}
    publisher = ApplicationPublisher(Settings(bootstrap_servers=mock.settings.bootstrap_servers, kafka=kafka))
    with pytest.raises(NotDeliveredError):
        _publish_to_nobody(publisher, mock)
    assert capfd.readouterr() == ("", "")
