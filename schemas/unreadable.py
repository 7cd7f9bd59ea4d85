"""Unreadable record batches: the codes by which a consumer reports one, and the search for its end.

A batch is unreadable if it is corrupt, or too large once decompressed. The consumer reports it by the offset of its
first record, and does not get past it. Its end is found by a search for the first offset after it from which the
partition is readable.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from schemas.records import Malformed

# Error codes of the client, librdkafka.
END_OF_PARTITION: Final = -191
"""The partition has no more records for now."""
UNREADABLE: Final = frozenset({-199, -198, -170})
"""A checksum is wrong, or the decompression failed, which it also does for batches above receive.message.max.bytes."""
OUT_OF_RANGE: Final = frozenset({1, -140, -139})
"""There is no record at the position, and the consumer stops fetching the partition."""
_ANSWERS: Final = frozenset({END_OF_PARTITION, *UNREADABLE, *OUT_OF_RANGE})

SEARCH_PROPERTIES: Final[Mapping[str, str | bool]] = {
    # If nothing follows the batch, one of these two reports it, instead of a wait for the next record.
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    # By default checksums are not verified.
    "check.crcs": True,
}
"""Properties of the consumer that searches, each with its reason."""

# A batch of a million records takes some forty requests of a few milliseconds.
_SEARCH_S: Final = 20.0
_POLL_S: Final = 0.5


class Error(Protocol):
    """The parts of an error that are read; a confluent_kafka KafkaError has them."""

    def code(self) -> int: ...
    def str(self) -> str: ...


class Event(Protocol):
    """The parts of a record or an error that are read; a confluent_kafka Message has them."""

    def error(self) -> Error | None: ...
    def offset(self) -> int | None: ...


def end_of_batch(
    topic: str,
    partition: int,
    first: int,
    begin_at: Callable[[int], object],
    poll: Callable[[float], Event | None],
) -> int:
    """Returns the offset after an unreadable batch.

    Args:
        topic: the batch's topic.
        partition: the batch's partition.
        first: the offset of the batch's first record, as the consumer reported it.
        begin_at: lets another consumer, with `SEARCH_PROPERTIES`, read the partition from an offset.
        poll: returns that consumer's next record or error, after a wait of up to so many seconds.

    Raises:
        TimeoutError: the brokers do not answer in time.
    """
    ends_at = time.monotonic() + _SEARCH_S

    def is_inside(offset: int) -> bool:
        begin_at(offset)
        while time.monotonic() < ends_at:
            event = poll(_POLL_S)
            error = None if event is None else event.error()
            code = None if error is None else error.code()
            if event is None or not (code is None or code in _ANSWERS):
                continue  # the other errors are transient, or the search ends without an answer
            # For a read that begins inside a batch, the consumer reports the offset of the batch's first record. An
            # offset after the partition's end is out of range.
            return code in UNREADABLE and event.offset() == first
        raise TimeoutError(
            f"{topic}[{partition}] has an unreadable record batch at offset {first}, and its end was not found within "
            f"{_SEARCH_S:g} s"
        )

    inside, step = first, 1
    while is_inside(first + step):
        inside, step = first + step, 2 * step
    after = first + step
    while after - inside > 1:
        middle = (inside + after) // 2
        if is_inside(middle):
            inside = middle
        else:
            after = middle
    return after


def passed_batch(topic: str, partition: int, first: int, end: int, error: Error) -> Malformed:
    """Returns what to report about an unreadable batch from `first` up to `end`, which a reader passed."""
    return Malformed(topic, partition, first, f"unreadable record batch up to offset {end - 1}: {error.str()}")
