"""What is polled of a partition that was given up, paused, blocked or moved: no broker causes it at a given moment."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from scorer.settings import Settings
from scorer.stream.fetching import Fetching
from scorer.stream.partition import start_where_committed
from scorer.stream.subscription import Subscription
from scorer.stream.topic_ids import TopicIdentity
from tests.fakes import TOPIC, Tally

Callback = Callable[[Any, list[TopicPartition]], None]


@dataclass(frozen=True)
class Polled:
    """A record, or an error, as the consumer returns it."""

    at: tuple[int, int]
    code: int | None = None

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return self.at[0]

    def offset(self) -> int:
        return self.at[1]

    def leader_epoch(self) -> int:
        return 0

    def error(self) -> KafkaError | None:
        return None if self.code is None else KafkaError(self.code)


@dataclass
class ScriptedConsumer:
    """librdkafka's queue: a given-up partition refuses seeks and keeps its queue; an assignment fetches again."""

    length: int
    committed_offset: int = -1001
    queue: list[Polled] = field(default_factory=list)
    low: int = 0
    given_up: set[int] = field(default_factory=set)
    during_poll: list[Callable[[], None]] = field(default_factory=list)
    paused: set[int] = field(default_factory=set)

    def subscribe(self, _: list[str], **callbacks: Callback) -> None:
        self.callbacks = callbacks

    def consume(self, most: int, _: float) -> list[Polled]:
        polled = [polled for polled in self.queue if polled.partition() not in self.paused][:most]
        self.queue = [queued for queued in self.queue if queued not in polled]
        if self.during_poll:
            self.during_poll.pop()()
        return polled

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.incremental_assign(partitions)

    def unassign(self) -> None:
        self.queue.clear()

    def close(self) -> None:
        self.callbacks["on_assign"](self, [TopicPartition(TOPIC, 1)])
        self.callbacks["on_revoke"](self, [TopicPartition(TOPIC, number) for number in (0, 1)])

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        for tp in partitions:
            self.given_up.discard(tp.partition)
            self._fetch(tp)

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        gone = {tp.partition for tp in partitions}
        self.queue = [polled for polled in self.queue if polled.partition() not in gone]

    def seek(self, tp: TopicPartition) -> None:
        if tp.partition in self.given_up:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self._fetch(tp)

    def committed(self, partitions: list[TopicPartition], **_: object) -> list[TopicPartition]:
        return [TopicPartition(TOPIC, tp.partition, self.committed_offset) for tp in partitions]

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {tp.partition for tp in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {tp.partition for tp in partitions}

    def get_watermark_offsets(self, _: TopicPartition, **__: object) -> tuple[int, int]:
        return self.low, self.length

    def give_up(self, partition: int, code: int) -> None:
        """Reports an error behind what is fetched so far, and fetches no more."""
        self.given_up.add(partition)
        self.queue.append(Polled((partition, -1), code))

    def _fetch(self, tp: TopicPartition) -> None:
        first = 0 if tp.offset == OFFSET_BEGINNING else tp.offset
        self.queue = [polled for polled in self.queue if polled.partition() != tp.partition]
        self.queue += [Polled((tp.partition, offset)) for offset in range(first, self.length)]


class SameTopics:
    """Topics that are never created again."""

    ids: dict[str, str] = {}  # noqa: RUF012

    def compare(self, *_: object) -> None: ...

    def begin_check(self) -> None: ...

    def finish_check(self) -> None: ...


def subscribed(consumer: ScriptedConsumer, batch_records_max: int = 4, incremental: bool = True) -> Subscription:
    """A worker's subscription with partition 0."""
    settings = Settings(applications_topic=TOPIC, batch_records_max=batch_records_max)
    identity = cast("TopicIdentity", SameTopics())
    fetching = Fetching(cast("Consumer", consumer), TOPIC, incremental)
    subscription = Subscription(settings, Tally(), lambda: False, start_where_committed, identity, fetching)
    subscription.open(lambda: True)
    consumer.callbacks["on_assign"](consumer, [TopicPartition(TOPIC, 0)])
    return subscription


def poll(subscription: Subscription) -> list[int]:
    """The offsets that a poll returns; they are taken for published."""
    batch = subscription.poll()
    subscription.advance(batch.offsets_next, "")
    return [record.offset() for record in batch.records]


@pytest.mark.parametrize("code", [KafkaError._AUTO_OFFSET_RESET, KafkaError._BAD_MSG])
def test_an_aborted_batch_in_a_partition_that_was_given_up(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records before the error that were polled come again, although the seek is refused.

    They used to be lost: what librdkafka had fetched behind them was polled next, and committed.
    """
    monkeypatch.setattr("scorer.stream.poll_errors.end_of_unreadable", lambda *_: 10)
    consumer = ScriptedConsumer(length=10)
    subscription = subscribed(consumer)
    consumer.give_up(0, code)
    assert poll(subscription) == [0, 1, 2, 3]
    subscription.rewind()  # that batch was aborted
    again = [poll(subscription) for _ in range(4)]
    assert [offset for offsets in again for offset in offsets] == [*range(10)]


@pytest.mark.parametrize("code", [KafkaError._AUTO_OFFSET_RESET, KafkaError._BAD_MSG])
def test_a_partition_that_was_given_up_comes_back_in_the_same_poll(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was polled before it was taken away is dropped, with the error; it starts where the group is."""
    monkeypatch.setattr("scorer.stream.poll_errors.end_of_unreadable", lambda *_: 10)
    consumer = ScriptedConsumer(length=6)
    subscription = subscribed(consumer, batch_records_max=20)
    consumer.give_up(0, code)

    def rebalance() -> None:
        consumer.committed_offset = 2  # another worker had it meanwhile
        consumer.callbacks["on_revoke"](consumer, [TopicPartition(TOPIC, 0)])
        consumer.callbacks["on_assign"](consumer, [TopicPartition(TOPIC, 0)])

    consumer.during_poll = [rebalance]
    polled = [poll(subscription) for _ in range(3)]
    assert [offset for offsets in polled for offset in offsets] == [2, 3, 4, 5]


def test_a_partition_that_its_leader_does_not_know_yet() -> None:
    """It is asked for again until the leader knows it: librdkafka gives such a partition up."""
    consumer = ScriptedConsumer(length=3)
    subscription = subscribed(consumer)
    consumer.queue.clear()
    consumer.give_up(0, KafkaError.UNKNOWN_TOPIC_OR_PART)
    polled = [poll(subscription) for _ in range(2)]
    assert polled == [[], [0, 1, 2]]


def rebalance(consumer: ScriptedConsumer, kind: str = "on_revoke") -> None:
    """Partition 0 is taken away, or lost, and comes back."""
    consumer.callbacks[kind](consumer, [TopicPartition(TOPIC, 0)])
    consumer.callbacks["on_assign"](consumer, [TopicPartition(TOPIC, 0)])


def block(consumer: ScriptedConsumer, subscription: Subscription) -> None:
    """Retention deletes what partition 0 has, and more."""
    consumer.length, consumer.low = 50, 40
    consumer.queue.clear()
    consumer.give_up(0, KafkaError._AUTO_OFFSET_RESET)
    assert poll(subscription) == []
    assert list(subscription.blocked()) == [0]


@pytest.mark.parametrize("incremental", [True, False], ids=["incremental", "eager"])
@pytest.mark.parametrize("kind", ["on_revoke", "on_lost"])
def test_a_paused_partition_that_comes_back(kind: str, incremental: bool) -> None:
    """A pause ends with a rebalance, although librdkafka itself remembers it."""
    consumer = ScriptedConsumer(length=3)
    subscription = subscribed(consumer, 4, incremental)
    subscription.pause([0])
    assert poll(subscription) == []
    rebalance(consumer, kind)
    assert (consumer.paused, poll(subscription)) == (set(), [0, 1, 2])


def test_a_pause_ends_with_a_rewind() -> None:
    """After an aborted batch the records before the pause come again."""
    consumer = ScriptedConsumer(length=3)
    subscription = subscribed(consumer)
    assert poll(subscription) == [0, 1, 2]
    subscription.pause([0, 0])
    subscription.rewind()
    assert (consumer.paused, poll(subscription)) == (set(), [0, 1, 2])


@pytest.mark.parametrize("kind", ["on_revoke", "on_lost"])
def test_a_blocked_partition_that_comes_back(kind: str) -> None:
    """It is read from where the group is then; a rewind before that leaves it blocked."""
    consumer = ScriptedConsumer(length=3, committed_offset=1)
    subscription = subscribed(consumer)
    block(consumer, subscription)
    subscription.rewind()
    assert (list(subscription.blocked()), poll(subscription)) == ([0], [])
    consumer.committed_offset = 48  # an operator has reset it
    rebalance(consumer, kind)
    assert (subscription.blocked(), poll(subscription)) == ({}, [48, 49])


def test_an_eager_reassignment_leaves_a_paused_partition_paused() -> None:
    """All partitions are assigned again for the sake of one, and those that were paused are paused again."""
    consumer = ScriptedConsumer(length=3)
    subscription = subscribed(consumer, 4, incremental=False)
    consumer.callbacks["on_assign"](consumer, [TopicPartition(TOPIC, number) for number in (0, 1)])
    subscription.pause([0])
    consumer.queue.clear()
    consumer.give_up(1, KafkaError._AUTO_OFFSET_RESET)
    assert [poll(subscription) for _ in range(2)] == [[], [0, 1, 2]]
    assert consumer.paused == {0}


def test_a_closing_consumer_is_still_assigned_a_partition() -> None:
    """Where a group has something for a member that leaves, it takes it and gives all back."""
    consumer = ScriptedConsumer(length=3)
    subscription = subscribed(consumer)
    subscription.pause([0])
    subscription.close()
    assert subscription.behind("any") == {}
