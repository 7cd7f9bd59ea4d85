"""Unreadable record batches: the codes are the client's, and the search finds the end of every batch."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from confluent_kafka import KafkaError

from schemas import unreadable
from schemas.unreadable import END_OF_PARTITION, OUT_OF_RANGE, UNREADABLE, end_of_batch, passed_batch


@dataclass(frozen=True)
class Error:
    number: int

    def code(self) -> int:
        return self.number

    def str(self) -> str:
        return "Local: Bad message format"


@dataclass(frozen=True)
class Event:
    """What a consumer returns: a record, or an error."""

    at: int
    number: int | None = None

    def error(self) -> Error | None:
        return None if self.number is None else Error(self.number)

    def offset(self) -> int:
        return self.at


class Partition:
    """A consumer of a partition whose batches begin at these offsets; only the last of them can be read."""

    def __init__(self, *firsts: int, troubles: int = 0) -> None:
        self._batches = list(pairwise(firsts))
        self._readable = firsts[-1]
        self._troubles = troubles
        self._position = 0
        self.begins = 0

    def begin_at(self, offset: int) -> None:
        self._position = offset
        self.begins += 1
        self._left = self._troubles

    def poll(self, _: float) -> Event | None:
        self._left -= 1
        if self._left >= 0:
            return None if self._left % 2 else Event(-1, KafkaError._TRANSPORT)
        for first, end in self._batches:
            if first <= self._position < end:
                return Event(first, KafkaError._BAD_COMPRESSION)
        if self._position == self._readable:
            return Event(self._position)
        return Event(self._position, KafkaError._AUTO_OFFSET_RESET)


def test_the_codes_are_the_clients() -> None:
    """Codes of what a consumer returns in place of a record."""
    assert END_OF_PARTITION == KafkaError._PARTITION_EOF
    assert {KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION, KafkaError._NOT_IMPLEMENTED} == UNREADABLE
    out_of_range = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION}
    assert out_of_range == OUT_OF_RANGE


@pytest.mark.parametrize("records", [1, 2, 3, 4, 5, 31, 32, 33, 1_000_000])
def test_the_end_of_a_batch_is_found(records: int) -> None:
    """Of any number of records, in few requests, also if the next batch cannot be read either."""
    for firsts in ((7, 7 + records), (7, 7 + records, 9 + records), (0, 7, 7 + records, 8 + records, 20 + records)):
        partition = Partition(*firsts)
        assert end_of_batch("t", 0, 7, partition.begin_at, partition.poll) == 7 + records
        assert partition.begins <= 2 * records.bit_length() + 1


def test_transient_errors_are_no_answer() -> None:
    """The search polls again after a connection failed, and after polls without a result."""
    partition = Partition(7, 10, troubles=3)
    assert end_of_batch("t", 0, 7, partition.begin_at, partition.poll) == 10


def test_a_search_without_answers_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers that do not answer in time end the search, with the batch's position."""
    monkeypatch.setattr(unreadable, "_SEARCH_S", 0.0)
    with pytest.raises(TimeoutError, match=r"t\[3\] has an unreadable record batch at offset 7"):
        end_of_batch("t", 3, 7, lambda _: None, lambda _: None)


def test_a_batch_that_was_passed_is_a_malformed_record() -> None:
    """It is reported by the position of its first record, with its last offset and the client's reason."""
    batch = passed_batch("t", 3, 7, 10, Error(KafkaError._BAD_MSG))
    assert str(batch) == "t[3]@7: unreadable record batch up to offset 9: Local: Bad message format"
