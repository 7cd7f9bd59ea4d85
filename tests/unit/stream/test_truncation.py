"""What is known about lost records where the brokers do not answer."""

from confluent_kafka import TopicPartition

from scorer.local.running import free_ports
from scorer.settings import Settings
from scorer.stream.faults import Deadline
from scorer.stream.truncation import Truncations, find_truncated


def offset(partition: int, epoch: int | None) -> TopicPartition:
    """A committed offset."""
    return TopicPartition("applications", partition, 5, "", -1 if epoch is None else epoch)


def test_partitions_without_an_answer_are_not_reported_as_intact() -> None:
    """Nobody listens: nothing is known of the partitions that have an epoch, and the others are not asked about."""
    (port,) = free_ports(1)
    settings = Settings(bootstrap_servers=f"127.0.0.1:{port}", kafka={"log_level": "0"})
    truncated = find_truncated(settings, [offset(0, 3), offset(1, None), offset(2, 0)], Deadline(0.3))
    assert truncated == Truncations({}, frozenset({0, 2}))
