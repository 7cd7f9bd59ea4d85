"""What a reader makes of what the consumer returns: records, ends, unreadable batches, and errors of every kind."""

from dataclasses import dataclass, field
from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from scorer.errors import BrokerError
from scorer.settings import Settings
from scorer.stream import reader as module
from scorer.stream.reader import Fetched, Reader

A, B = ("t", 0), ("t", 1)


@dataclass(frozen=True)
class Returned:
    """A record, or an error, as the consumer returns it."""

    at: tuple[str, int]
    number: int
    code: int | None = None

    def topic(self) -> str:
        return self.at[0]

    def partition(self) -> int:
        return self.at[1]

    def offset(self) -> int:
        return self.number

    def error(self) -> KafkaError | None:
        return None if self.code is None else KafkaError(self.code)


@dataclass
class ScriptedConsumer:
    """Returns what the script has, whatever is assigned, and notes what it is asked."""

    script: list[Returned]
    assigned: list[tuple[int, int]] = field(default_factory=list)
    paused: list[int] = field(default_factory=list)
    closed: bool = False

    def consume(self, most: int, _: float) -> list[Returned]:
        returned, self.script = self.script[:most], self.script[most:]
        return returned

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned = [(tp.partition, tp.offset) for tp in partitions]

    def unassign(self) -> None: ...

    def resume(self, _: list[TopicPartition]) -> None: ...

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused += [tp.partition for tp in partitions]

    def get_watermark_offsets(self, tp: TopicPartition, **_: object) -> tuple[int, int]:
        return 3, 7 + tp.partition

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> ScriptedConsumer:
    """The consumer of the readers in this module; each unreadable batch ends at offset 9."""
    consumer = ScriptedConsumer([])
    monkeypatch.setattr(module, "open_reader", lambda *_: cast("Consumer", consumer))
    monkeypatch.setattr(module, "find_partitions", lambda *_: [0, 1])
    monkeypatch.setattr(module, "end_of_unreadable", lambda *_: 9)
    return consumer


def fetch(consumer: ScriptedConsumer, *script: Returned) -> tuple[Reader, Fetched]:
    """A reader at offset 5 of both partitions, and what it fetches."""
    reader = Reader(Settings(), ["t"], {})
    reader.assign({A: 5, B: 5})
    consumer.script = list(script)
    return reader, reader.fetch(0)


def offsets(fetched: Fetched) -> list[tuple[int, int]]:
    """The partition and the offset of each record."""
    return [(record.partition(), record.offset()) for record in fetched.records]


def test_records_and_ends(consumer: ScriptedConsumer) -> None:
    """Records move the position behind them; the end of a partition is reported with its partition."""
    reader, fetched = fetch(
        consumer, Returned(A, 5), Returned(B, 6), Returned(A, 7), Returned(A, 9, KafkaError._PARTITION_EOF)
    )
    assert offsets(fetched) == [(0, 5), (1, 6), (0, 7)]
    assert (fetched.ended, fetched.skipped, fetched.transient) == ({A}, [], [])
    assert reader.positions == {A: 8, B: 7}


@pytest.mark.parametrize("code", [KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION, KafkaError._NOT_IMPLEMENTED])
def test_an_unreadable_batch_is_passed(consumer: ScriptedConsumer, code: int) -> None:
    """It is reported with its position, and ends no reader; what was fetched behind it is fetched again.

    The console ended its reading there, and the audit of `scorer up` waited for ever.
    """
    reader, fetched = fetch(
        consumer, Returned(A, 5), Returned(A, 6, code), Returned(A, 2), Returned(B, 5), Returned(A, 6, code)
    )
    assert offsets(fetched) == [(0, 5), (1, 5)]
    (batch,) = fetched.skipped
    assert str(batch).startswith("t[0]@6: unreadable record batch up to offset 8: ")
    assert sorted(consumer.assigned) == [(0, 9), (1, 6)]
    assert reader.positions == {A: 9, B: 6}


def test_an_unreadable_batch_before_the_position_counts_once(consumer: ScriptedConsumer) -> None:
    """Brokers send a whole batch for an offset inside it, so the same one can be reported again."""
    reader, _ = fetch(consumer, Returned(A, 6, KafkaError._BAD_MSG))
    consumer.script = [Returned(A, 6, KafkaError._BAD_MSG)]
    assert reader.fetch(0).skipped == []
    assert reader.positions == {A: 9, B: 5}


def test_partitions_that_were_left(consumer: ScriptedConsumer) -> None:
    """Records that were fetched before a partition was left are dropped, with or without an error among them."""
    reader, _ = fetch(consumer)
    reader.leave([A])
    assert consumer.paused == [0]
    consumer.script = [Returned(A, 5), Returned(B, 5)]
    assert offsets(reader.fetch(0)) == [(1, 5)]
    consumer.script = [Returned(A, 6), Returned(A, 9, KafkaError._PARTITION_EOF), Returned(B, 6)]
    fetched = reader.fetch(0)
    assert (offsets(fetched), fetched.ended) == ([(1, 6)], set())
    assert reader.positions == {B: 7}


def test_transient_errors_end_nothing(consumer: ScriptedConsumer) -> None:
    """The consumer continues by itself; its caller learns of them."""
    _, fetched = fetch(consumer, Returned(A, -1, KafkaError._TRANSPORT), Returned(B, 5))
    assert offsets(fetched) == [(1, 5)]
    assert [error.code() for error in fetched.transient] == [KafkaError._TRANSPORT]


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "kafka-acls.sh"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "kafka-acls.sh"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "scorer topics ensure"),
        (KafkaError._FATAL, ""),
        (KafkaError._AUTO_OFFSET_RESET, ""),
        (KafkaError._LOG_TRUNCATION, ""),
    ],
)
def test_other_errors_end_it_with_an_explanation(consumer: ScriptedConsumer, code: int, hint: str) -> None:
    """The message names the topic, the error and what to do. A lost position is never taken for an empty topic."""
    with pytest.raises(BrokerError, match=rf"^topic t cannot be read: .*{hint}"):
        fetch(consumer, Returned(A, 5), Returned(A, -1, code))


def test_errors_of_no_partition(consumer: ScriptedConsumer) -> None:
    """An error that names no topic names all that are read."""
    with pytest.raises(BrokerError, match=r"^topic t cannot be read: .*authorization failed"):
        fetch(consumer, Returned(("", -1), -1, KafkaError.GROUP_AUTHORIZATION_FAILED))


def test_it_can_begin_at_the_ends(consumer: ScriptedConsumer) -> None:
    """All partitions are read from their current ends."""
    reader = Reader.at_the_ends(Settings(), ["t"], {})
    assert reader.positions == {A: 7, B: 8}
    assert consumer.assigned == [(0, 7), (1, 8)]
