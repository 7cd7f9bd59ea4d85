"""The administration of topics: created, deleted, grown, set up, cut short and closed to writers."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic

_CALL_S: Final = 30.0
_RETRY_S: Final = 0.3
# What every client here is to the brokers.
_ANYBODY: Final = "User:ANONYMOUS"


def create(admin: AdminClient, name: str, count: int, config: Mapping[str, str], replicas: Sequence[int] = ()) -> None:
    """Creates a topic, once a topic of its name that is being deleted is gone.

    Args:
        admin: a client of the cluster.
        name: what to call it.
        count: how many partitions it has.
        config: its settings.
        replicas: the nodes that hold each partition, its leader first; three of Kafka's choice if not given.
    """
    if replicas:
        new = NewTopic(name, count, replica_assignment=[list(replicas)] * count, config=dict(config))
    else:
        new = NewTopic(name, count, 3, config=dict(config))
    ends_at = time.monotonic() + _CALL_S
    while True:
        (future,) = admin.create_topics([new]).values()
        try:
            future.result(_CALL_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS or time.monotonic() > ends_at:
                raise
            time.sleep(_RETRY_S)
        else:
            return


def delete(admin: AdminClient, name: str) -> None:
    """Deletes a topic; it is well if an attempt whose answer was lost has done so."""
    (future,) = admin.delete_topics([name]).values()
    try:
        future.result(_CALL_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise


def grow(admin: AdminClient, names: Iterable[str], count: int) -> None:
    """Gives topics so many partitions."""
    for future in admin.create_partitions([NewPartitions(name, count) for name in names]).values():
        future.result(_CALL_S)


def configure(admin: AdminClient, name: str, config: Mapping[str, str], *, reset: bool = False) -> None:
    """Changes settings of a topic, or brings Kafka's defaults back.

    Args:
        admin: a client of the cluster.
        name: the topic's.
        config: the settings.
        reset: whether to delete them instead.
    """
    operation = AlterConfigOpType.DELETE if reset else AlterConfigOpType.SET
    entries = [ConfigEntry(key, value, incremental_operation=operation) for key, value in config.items()]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(_CALL_S)


def delete_records(admin: AdminClient, name: str, partition: int, before: int) -> int:
    """Deletes a partition's records before an offset; returns where the partition begins now."""
    (future,) = admin.delete_records([TopicPartition(name, partition, before)]).values()
    return int(future.result(_CALL_S).low_watermark)


def ends(consumer: Consumer, name: str, partitions: Iterable[int], limit_s: float) -> dict[int, int]:
    """Where partitions end.

    A consumer asks and not an admin client, whose list_offsets crashes the process when a broker dies meanwhile
    (librdkafka 2.16).

    Raises:
        KafkaException: one has no leader for `limit_s` seconds.
    """
    return {p: int(consumer.get_watermark_offsets(TopicPartition(name, p), timeout=limit_s)[1]) for p in partitions}


def deny_writes(admin: AdminClient, name: str) -> None:
    """Lets nobody write to a topic.

    An ACL on a topic means that only what is allowed there may be done: so everything is allowed, and writing denied.
    """
    for operation, permission in (
        (AclOperation.ALL, AclPermissionType.ALLOW),
        (AclOperation.WRITE, AclPermissionType.DENY),
    ):
        rule = AclBinding(ResourceType.TOPIC, name, ResourcePatternType.LITERAL, _ANYBODY, "*", operation, permission)
        (future,) = admin.create_acls([rule]).values()
        future.result(_CALL_S)


def allow_writes(admin: AdminClient, name: str) -> None:
    """Undoes `deny_writes`."""
    rules = AclBindingFilter(
        ResourceType.TOPIC,
        name,
        ResourcePatternType.LITERAL,
        _ANYBODY,
        "*",
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    (future,) = admin.delete_acls([rules]).values()
    future.result(_CALL_S)
