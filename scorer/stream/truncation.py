"""Finds processed records that the brokers have lost, by the leader epochs of the committed offsets (KIP-320).

If an out-of-sync replica becomes the leader, newer records reuse the offsets of those that are lost. An offset alone
does not distinguish them; the leader epoch that was committed with it does.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, TopicPartition

from scorer.settings import Settings
from scorer.stream.librdkafka import open_reader

# librdkafka reports the end of the earlier leader's records only in its message.
_END: Final = re.compile(r"truncation detected .*: broker end offset is (\d+)")


class Truncations(NamedTuple):
    """The brokers' answers about offsets and their leader epochs."""

    lost_from: dict[int, int]
    """By partition in which processed records were lost, the first lost offset."""
    unanswered: frozenset[int]
    """The partitions whose leader has not answered."""


def find_truncated(
    settings: Settings, committed: Sequence[TopicPartition], should_stop: Callable[[], bool]
) -> Truncations:
    """Finds the partitions in which records were lost that the group has processed.

    Args:
        settings: the brokers.
        committed: the group's offsets with their leader epochs, within the current bounds of the partitions. Those
            without an epoch are not checked.
        should_stop: checked while brokers do not answer.

    Raises:
        SettingsError: a librdkafka property is invalid.
    """
    pending = {tp.partition for tp in committed if tp.leader_epoch is not None and tp.leader_epoch >= 0}
    lost_from = {}
    with closing(open_reader(settings, {"auto.offset.reset": "error"})) as consumer:
        consumer.assign([tp for tp in committed if tp.partition in pending])
        while pending and not should_stop():
            message = consumer.poll(0.1)
            if message is None:
                continue
            pending.discard(message.partition() or 0)
            end = truncation_point(message.error())
            if end is not None:
                lost_from[message.partition() or 0] = end
    return Truncations(lost_from, frozenset(pending))


def truncation_point(error: KafkaError | None) -> int | None:
    """Returns the first lost offset that the consumer reports; None if there is no error, or another one."""
    match = None if error is None else _END.search(error.str())
    return None if match is None else int(match[1])
