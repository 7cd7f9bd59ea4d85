"""Reads the cluster's metadata: its brokers, and whether the replicas of the scorer's topics are in sync."""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType, TopicMetadata

from schemas.rights import Operation, missing, to_topic
from scorer.operate.finding import Finding
from scorer.operate.group_checks import list_partitions
from scorer.operate.topics import contract
from scorer.settings import Settings
from scorer.stream.explain import with_hint
from scorer.stream.requests import metadata_of

_ANSWER_S: Final = 10.0
_CONFIG_ANSWER_S: Final = 5.0
# The configuration of a topic changes rarely.
_CONFIG_INTERVAL_S: Final = 60.0
_MIN_INSYNC: Final = "min.insync.replicas"


class TopicReplicas(NamedTuple):
    """The replicas of a topic's partitions at one moment; partitions are listed by number.

    Attributes:
        topic: the topic.
        partitions: number of its partitions.
        offline: those without a leader, which can be neither read nor written.
        under_replicated: those with fewer in-sync replicas than replicas.
        below_min_insync: those with fewer in-sync replicas than the topic's min.insync.replicas: brokers reject writes
            with acks=all. None if that setting is not known.
        not_preferred: those that another replica leads than the preferred one.
    """

    topic: str
    partitions: int
    offline: tuple[int, ...]
    under_replicated: tuple[int, ...]
    below_min_insync: tuple[int, ...] | None
    not_preferred: tuple[int, ...]


class ClusterState(NamedTuple):
    """The brokers and the scorer's topics at one moment.

    Attributes:
        brokers: ids of the brokers in the metadata.
        missing_brokers: ids of the brokers that have replicas of the topics and are not in the metadata.
        topics: the topics that exist and that this client may describe.
    """

    brokers: frozenset[int]
    missing_brokers: frozenset[int]
    topics: tuple[TopicReplicas, ...]


class ClusterReader:
    """Reads the state again and again, and the topics' configuration once per minute."""

    def __init__(self, settings: Settings, admin: AdminClient, now: Callable[[], float] = time.monotonic) -> None:
        """Sends its first request with the first `read`; `now` returns seconds of a monotonic clock."""
        self._settings = settings
        self._admin = admin
        self._now = now
        self._min_insync: dict[str, int] = {}
        """By topic. `read` writes it; a value is kept while no broker answers, for the replicas are known then, too."""
        self._configs_read_at = -math.inf
        """When `read` last requested the configuration."""
        self.unread: Mapping[str, str] = {}
        """By topic whose configuration was never read, why. `read` replaces it."""

    def read(self) -> ClusterState:
        """The current state.

        Raises:
            BrokerError: no broker answers.
        """
        # All topics in one request: in one by name, brokers would create a topic that is missing.
        metadata = metadata_of(self._admin, self._settings, _ANSWER_S)
        required = (topic.name for topic in contract(self._settings, 1))
        topics = {name: metadata.topics[name] for name in required if name in metadata.topics}
        existing = {name: topic for name, topic in topics.items() if topic.partitions}
        if self._now() - self._configs_read_at >= _CONFIG_INTERVAL_S:
            self._configs_read_at = self._now()
            self._read_configs(existing)
        replicas = {
            number
            for topic in existing.values()
            for partition in topic.partitions.values()
            for number in partition.replicas
        }
        return ClusterState(
            frozenset(metadata.brokers),
            frozenset(replicas - metadata.brokers.keys()),
            tuple(replicas_of(name, topic, self._min_insync.get(name)) for name, topic in existing.items()),
        )

    def _read_configs(self, names: Collection[str]) -> None:
        unread: dict[str, str] = {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        requests = self._admin.describe_configs(resources, request_timeout=_CONFIG_ANSWER_S) if resources else {}
        for resource, request in requests.items():
            try:
                self._min_insync[resource.name] = int(request.result()[_MIN_INSYNC].value)
            except KafkaException as failure:
                error, right = failure.args[0], to_topic(Operation.DESCRIBE_CONFIGS, resource.name)
                # The other hints are about groups and transactions, which are not involved.
                is_denied = bool(missing([right], error.code()))
                unread[resource.name] = with_hint(error, self._settings, right) if is_denied else error.str()
        self.unread = {name: why for name, why in unread.items() if name not in self._min_insync}


def replicas_of(name: str, topic: TopicMetadata, min_insync: int | None) -> TopicReplicas:
    """The state of a topic's replicas.

    Args:
        name: the topic.
        topic: its metadata.
        min_insync: its min.insync.replicas; None if it is not known.
    """
    partitions = dict(sorted(topic.partitions.items()))
    offline = tuple(number for number, partition in partitions.items() if partition.leader < 0)
    below = None
    if min_insync is not None:
        below = tuple(number for number, partition in partitions.items() if len(partition.isrs) < min_insync)
    return TopicReplicas(
        topic=name,
        partitions=len(partitions),
        offline=offline,
        under_replicated=tuple(number for number, p in partitions.items() if len(p.isrs) < len(p.replicas)),
        below_min_insync=below,
        not_preferred=tuple(n for n, p in partitions.items() if p.leader >= 0 and p.leader != p.replicas[0]),
    )


def check_replicas(state: ClusterState) -> Iterator[Finding]:
    """Finds what is wrong with brokers and replicas; of a partition, only the worst."""
    if state.missing_brokers:
        numbers = ", ".join(map(str, sorted(state.missing_brokers)))
        text = f"missing brokers: {numbers}. They have replicas of these topics, and the cluster's metadata lacks them"
        yield Finding("replicas", "warning", text)
    for topic in state.topics:
        below = set(topic.below_min_insync or ()) - set(topic.offline)
        under = set(topic.under_replicated) - set(topic.offline) - below
        if topic.offline:
            text = (
                f"topic {topic.topic}: {list_partitions(topic.offline)} cannot be read or written, for lack of a "
                "leader. Start the brokers that have the replicas"
            )
            yield Finding("replicas", "wrong", text)
        if below:
            text = (
                f"topic {topic.topic}: writes to {list_partitions(below)} fail, because fewer replicas are in sync "
                f"than {_MIN_INSYNC} requires. Start the missing brokers, or see the logs of those that are behind"
            )
            yield Finding("replicas", "wrong", text)
        if under:
            text = (
                f"topic {topic.topic}: not all replicas of {list_partitions(under)} are in sync. After the restart of "
                "a broker that lasts for a moment"
            )
            yield Finding("replicas", "warning", text)
