"""What commands ask brokers for: transient errors are retried for a while, all others are raised at once."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, ConsumerGroupState, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, TopicMetadata

from schemas.decision import BundleReference
from schemas.rights import Operation, to_topic
from scorer.errors import BrokerError, TopicsError
from scorer.operate import rollout
from scorer.settings import Settings, load_settings
from scorer.store import DEFAULT_BUNDLE
from scorer.store.store import BundleStore
from scorer.stream import group_offsets
from scorer.stream import reader as reading
from scorer.stream import requests as reaching
from scorer.stream.faults import BY_CODE, Fault
from scorer.stream.follow import Follower
from scorer.stream.group_offsets import CommittedOffsets
from scorer.stream.metadata import CommittedMetadata
from scorer.stream.requests import ask, ask_bounds, find_partitions

SETTINGS = load_settings(environment={}).settings
BUNDLE = BundleReference(name="credit", version="1.0.0", digest="1" * 64)


class Clock:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the module under test looks at."""
    clock = Clock()
    monkeypatch.setattr(reaching, "time", clock)
    monkeypatch.setattr(rollout, "time", clock)
    return clock


class Failing:
    """Fails so many times with a code, then answers."""

    def __init__(self, code: int, times: int, answer: object = "answer") -> None:
        self.code, self.left, self.answer = code, times, answer
        self.calls = 0

    def __call__(self, *_: object, **__: object) -> Any:
        self.calls += 1
        if self.left > 0:
            self.left -= 1
            raise KafkaException(KafkaError(self.code))
        return self.answer


TRANSIENT = [
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError._WAIT_COORD,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
]


@pytest.mark.parametrize("code", TRANSIENT)
def test_transient_errors_are_retried_with_a_limit(clock: Clock, code: int) -> None:
    """An answer that comes within the limit is an answer; after it, the error is raised."""
    assert ask(Failing(code, times=20), wait_s=10) == "answer"
    begun_s = clock.now_s
    with pytest.raises(KafkaException):
        ask(Failing(code, times=1_000_000), wait_s=10)
    assert clock.now_s - begun_s < 11


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._AUTHENTICATION, KafkaError._FATAL])
def test_other_errors_are_raised_at_once(clock: Clock, code: int) -> None:
    """What waiting does not help is not waited for."""
    failing = Failing(code, times=3)
    with pytest.raises(KafkaException):
        ask(failing, wait_s=10)
    assert failing.calls == 1
    assert clock.now_s == 100


def committed(monkeypatch: pytest.MonkeyPatch, *answers: list[TopicPartition]) -> CommittedOffsets:
    """The offsets of a group that answers so, one after another; the last answer stays."""
    left = list(answers)

    def answer(_: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        assert timeout > 0
        return left.pop(0) if len(left) > 1 else left[0]

    consumer = SimpleNamespace(committed=answer, poll=lambda _: None, close=lambda: None)
    monkeypatch.setattr(group_offsets, "open_reader", lambda *_: consumer)
    return CommittedOffsets(SETTINGS)


def offset(partition: int, code: int | None = None, metadata: str = "") -> TopicPartition:
    """A partition of an answer, perhaps with an error of its own."""
    tp = SimpleNamespace(
        partition=partition, offset=7, metadata=metadata, error=None if code is None else KafkaError(code)
    )
    return cast("TopicPartition", tp)


def test_a_partitions_own_error_is_no_answer(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer can have an error for one of its partitions: it is retried or raised, never taken for an offset."""
    wanted = [TopicPartition("t", 0), TopicPartition("t", 1)]
    loading = [offset(0), offset(1, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)]
    read = committed(monkeypatch, loading, loading, [offset(0), offset(1)]).read(wanted, 5)
    assert [tp.partition for tp in read] == [0, 1]
    with pytest.raises(BrokerError, match="the offsets of group scorer cannot be read"):
        committed(monkeypatch, loading).read(wanted, 5)
    with pytest.raises(BrokerError, match="authorization failed"):
        committed(monkeypatch, [offset(0, KafkaError.GROUP_AUTHORIZATION_FAILED)]).read(wanted, 5)
    assert committed(monkeypatch, [offset(0)]).read([], 5) == []
    assert clock.now_s > 100


def test_a_process_that_stops_retries_no_request(clock: Clock) -> None:
    """A worker whose shutdown timeout has elapsed does not wait for a coordinator."""
    failing = Failing(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, times=9)
    with pytest.raises(KafkaException):
        ask(failing, 10, lambda: failing.calls == 3)
    assert failing.calls == 3
    assert clock.now_s < 102


def group(*partitions: int) -> AdminClient:
    """An admin client that knows a group with one worker."""
    topic = SETTINGS.applications_topic
    assigned = [SimpleNamespace(topic=topic, partition=p) for p in partitions]
    member = SimpleNamespace(
        member_id="w-1",
        group_instance_id="w",
        client_id="w",
        host="/h",
        assignment=SimpleNamespace(topic_partitions=assigned),
    )
    described = SimpleNamespace(members=[member], state=ConsumerGroupState.STABLE)

    def describe(names: list[str], **_: object) -> dict[str, object]:
        return {name: SimpleNamespace(result=lambda: described) for name in names}

    return cast("AdminClient", SimpleNamespace(describe_consumer_groups=describe))


def look_at(monkeypatch: pytest.MonkeyPatch, *answers: list[TopicPartition]) -> rollout.Rollout:
    """How far a deployment has come, as the group answers."""
    monkeypatch.setattr(rollout, "admin_client", lambda _: group(0, 1))
    committed(monkeypatch, *answers)
    return rollout.wait_for_workers(SETTINGS, BUNDLE, wait_s=0)


def test_a_rollout_is_not_judged_by_failed_answers(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition whose offset could not be read was taken for one that another bundle decides."""
    done = [offset(p, metadata=CommittedMetadata(str(BUNDLE)).encode()) for p in (0, 1)]
    loading = [done[0], offset(1, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)]
    assert look_at(monkeypatch, loading, done).done
    with pytest.raises(BrokerError, match="the offsets of group scorer cannot be read"):
        look_at(monkeypatch, loading)
    assert clock.now_s > 100


def answering(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], TopicMetadata]) -> list[int]:
    """The partitions that are found where brokers answer so."""

    def metadata(*_: object) -> object:
        return SimpleNamespace(topics={"t": answer()})

    monkeypatch.setattr(reaching, "metadata_of", metadata)
    return find_partitions(cast("Consumer", None), SETTINGS, "t", wait_s=15)


def topic(code: int | None = None, **partitions: int | None) -> TopicMetadata:
    """A topic as brokers describe it: its own error, and those of its partitions, named as it is called."""
    metadata = TopicMetadata()
    metadata.error = None if code is None else KafkaError(code)
    for number, error in enumerate(partitions.values()):
        metadata.partitions[number] = SimpleNamespace(error=None if error is None else KafkaError(error))  # type: ignore[assignment]
    return metadata


def test_a_new_topic_is_waited_for(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not known yet, then without leaders, then there; one that stays unknown is missing after some seconds."""
    answers = [topic(KafkaError.UNKNOWN_TOPIC_OR_PART)] * 9 + [topic(p0=None, p1=KafkaError.LEADER_NOT_AVAILABLE)] * 9
    answers.append(topic(p0=None, p1=KafkaError.REPLICA_NOT_AVAILABLE))
    assert answering(monkeypatch, lambda: answers.pop(0)) == [0, 1]
    begun_s = clock.now_s
    with pytest.raises(TopicsError, match="missing topic: t; `scorer topics ensure` creates it"):
        answering(monkeypatch, lambda: topic(KafkaError.UNKNOWN_TOPIC_OR_PART))
    assert 4 < clock.now_s - begun_s < 6


def test_bounds_of_a_new_topic(clock: Clock) -> None:
    """A partition that was found exists: on a busy machine a broker did not know it for longer than five seconds.

    The client asks again, or it would keep the answer.
    """
    asked: list[str] = []
    client = SimpleNamespace(
        get_watermark_offsets=Failing(KafkaError._UNKNOWN_PARTITION, times=90, answer=(0, 3)),
        list_topics=lambda name, **_: asked.append(name),
    )
    assert ask_bounds(cast("Consumer", client), "t", 5, wait_s=15) == (0, 3)
    assert asked == ["t"] * 90
    assert clock.now_s - 100 > 8
    client.get_watermark_offsets = Failing(KafkaError._UNKNOWN_PARTITION, times=1_000)
    with pytest.raises(KafkaException):
        ask_bounds(cast("Consumer", client), "t", 5, wait_s=15)


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.TOPIC_EXCEPTION])
def test_a_topic_without_permission_is_not_called_missing(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The message says what the broker says, at once."""
    with pytest.raises(BrokerError, match="topic t cannot be used: Broker: "):
        answering(monkeypatch, lambda: topic(code))
    assert clock.now_s == 100


def test_why_no_broker_answers_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that waiting does not help ends the asking for metadata, too."""
    failing = Failing(KafkaError.TOPIC_AUTHORIZATION_FAILED, times=9)
    monkeypatch.setattr(reaching, "_reason", lambda _: None)
    client = cast("Consumer", SimpleNamespace(list_topics=failing))
    with pytest.raises(BrokerError, match="authorization failed"):
        reaching.metadata_of(client, Settings(), wait_s=15)
    assert failing.calls == 1


@pytest.mark.parametrize("code", [KafkaError._AUTHENTICATION, KafkaError._SSL])
def test_a_wrong_password_is_reported_before_the_timeout(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Error events about TLS or authentication end a request at the first attempt; its message has their text."""
    failing = Failing(KafkaError._TRANSPORT, times=9)
    monkeypatch.setattr(reaching, "_reason", lambda _: KafkaError(code))
    client = cast("Consumer", SimpleNamespace(list_topics=failing))
    with pytest.raises(BrokerError, match=KafkaError(code).str()):
        reaching.metadata_of(client, SETTINGS, wait_s=15)
    assert failing.calls == 1


def test_metadata_is_requested_until_the_timeout(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no broker can be reached the request is repeated, each attempt with a timeout that fits the rest."""
    timeouts = []

    def list_topics(_: str | None, timeout: float) -> None:
        timeouts.append(timeout)
        clock.now_s += timeout
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    monkeypatch.setattr(reaching, "_reason", lambda _: None)
    with pytest.raises(BrokerError, match=f"cannot connect to Kafka at {SETTINGS.bootstrap_servers}"):
        reaching.metadata_of(cast("Consumer", SimpleNamespace(list_topics=list_topics)), SETTINGS, wait_s=12)
    assert timeouts == [5.0, 5.0, 2.0]


def test_a_worker_waits_for_a_broker_as_long_as_its_setting_says(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that follows deployments waited 15 seconds, whatever `broker_wait_s` said, and left the rest to back-offs."""

    def list_topics(_: str | None, timeout: float) -> None:
        clock.now_s += timeout
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    consumer = SimpleNamespace(list_topics=list_topics, close=lambda: None)
    monkeypatch.setattr(reading, "open_reader", lambda *_: consumer)
    monkeypatch.setattr(reaching, "_reason", lambda _: None)
    for wait_s in (1.0, 600.0):
        begun_s = clock.now_s
        with pytest.raises(BrokerError, match="cannot connect to Kafka"):
            Follower(SETTINGS.model_copy(update={"broker_wait_s": wait_s}), BundleStore(str(tmp_path)), DEFAULT_BUNDLE)
        assert clock.now_s - begun_s == wait_s


@pytest.mark.parametrize("code", [code for code in BY_CODE if code not in reaching._UNKNOWN])
@pytest.mark.parametrize(("elapsed_s", "in_time"), [(9.9, True), (10.1, False)])
def test_only_retriable_codes_are_retried(code: int, elapsed_s: float, in_time: bool) -> None:
    """A command repeats a request within its time if the table of codes says so; an unknown topic is the exception."""
    expected = in_time and BY_CODE[code] is Fault.RETRIABLE
    assert reaching._should_retry(KafkaError(code), elapsed_s, wait_s=10) is expected


@pytest.mark.parametrize("code", sorted(reaching._UNKNOWN))
@pytest.mark.parametrize(("elapsed_s", "wait_s", "expected"), [(4.9, 10, True), (5.1, 10, False), (2.1, 2, False)])
def test_an_unknown_topic_is_retried_for_some_seconds(
    code: int, elapsed_s: float, wait_s: float, expected: bool
) -> None:
    """Five seconds, or the command's own time if that is shorter."""
    assert reaching._should_retry(KafkaError(code), elapsed_s, wait_s) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (None, "missing topic: t; "),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "missing topic: t; "),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "Allow User:NAME Read on topic t: "),
    ],
)
def test_why_a_topic_is_not_listed(monkeypatch: pytest.MonkeyPatch, code: int | None, expected: str) -> None:
    """A topic that is missing from the list of all does not exist, or the client may not see it."""
    monkeypatch.setattr(reaching, "metadata_of", lambda *_: SimpleNamespace(topics={"t": topic(code)}))
    client = cast("Consumer", None)
    assert expected in reaching.why_unlisted(client, SETTINGS, to_topic(Operation.READ, "t"), wait_s=1)


def test_brokers_that_are_gone_are_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timeout is explained by unreachable brokers if there are none, otherwise by what was asked for."""
    timeout, consumer = KafkaError(KafkaError._TIMED_OUT), cast("Consumer", None)
    monkeypatch.setattr(reaching, "metadata_of", lambda *_: None)
    explained = str(reaching.cannot_be_read("topic t", timeout, consumer, SETTINGS))
    assert explained.startswith("topic t cannot be read: Local: Timed out. Are there enough brokers")

    def unreachable(*_: object) -> None:
        raise BrokerError("cannot connect to Kafka")

    monkeypatch.setattr(reaching, "metadata_of", unreachable)
    assert str(reaching.cannot_be_read("topic t", timeout, consumer, SETTINGS)) == "cannot connect to Kafka"
    refused = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert "authorization failed" in str(reaching.cannot_be_read("topic t", refused, consumer, SETTINGS))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (None, KafkaError._TIMED_OUT),
        (KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED),
    ],
)
def test_a_missing_permission_to_the_group_is_reported_as_such(
    monkeypatch: pytest.MonkeyPatch, event: int | None, expected: int
) -> None:
    """Of the events that follow a failed request for offsets, only a missing permission replaces its error."""

    def committed(*_: object, **__: object) -> list[TopicPartition]:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    message = None if event is None else SimpleNamespace(error=lambda: KafkaError(event))
    consumer = cast("Consumer", SimpleNamespace(committed=committed, poll=lambda _: message))
    monkeypatch.setattr(group_offsets, "open_reader", lambda *_: consumer)
    offsets = CommittedOffsets(SETTINGS)
    with pytest.raises(KafkaException) as raised:
        offsets._request([TopicPartition("t", 0)], wait_s=1)
    assert raised.value.args[0].code() == expected
