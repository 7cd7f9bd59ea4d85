"""Records that a group has processed and its brokers have lost: found by the leader epochs of its offsets (KIP-320).

Where a replica that was behind becomes the leader, newer records take the offsets of those that are gone. The offset
alone does not tell one from another; the epoch of the leader that it was committed under does.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, TopicPartition

from scorer.settings import Settings
from scorer.stream.librdkafka import client_config, refuse_bad_config

# librdkafka tells where the earlier leader's records end in its message alone.
_END: Final = re.compile(r"truncation detected .*: broker end offset is (\d+)")


class Truncations(NamedTuple):
    """What the brokers say about offsets and their leader epochs."""

    lost_from: dict[int, int]
    """By partition in which processed records were lost, the first offset that is lost."""
    unanswered: frozenset[int]
    """The partitions about which nothing is known."""


def find_truncated(
    settings: Settings, committed: Sequence[TopicPartition], should_stop: Callable[[], bool]
) -> Truncations:
    """Finds the partitions in which records were lost that the group has processed.

    Args:
        settings: the brokers.
        committed: the group's offsets with their leader epochs, within what the partitions have now. Those without an
            epoch are not asked about.
        should_stop: asked while brokers do not answer.

    Raises:
        SettingsError: a librdkafka property is wrong.
    """
    config = client_config(settings) | {
        "group.id": settings.group_id,  # librdkafka requires one; the group is never joined
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
    }
    with refuse_bad_config():
        validating = Consumer(config)
    waiting = {tp.partition for tp in committed if tp.leader_epoch is not None and tp.leader_epoch >= 0}
    lost_from = {}
    with closing(validating) as consumer:
        consumer.assign([tp for tp in committed if tp.partition in waiting])
        while waiting and not should_stop():
            message = consumer.poll(0.1)
            if message is None:
                continue
            waiting.discard(message.partition() or 0)
            end = truncation_point(message.error())
            if end is not None:
                lost_from[message.partition() or 0] = end
    return Truncations(lost_from, frozenset(waiting))


def truncation_point(error: KafkaError | None) -> int | None:
    """The first lost offset, as the consumer reports it; None if the error, if any, is about something else."""
    found = None if error is None else _END.search(error.str())
    return None if found is None else int(found[1])
