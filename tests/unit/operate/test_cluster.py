"""What the cluster's metadata says of brokers and replicas."""

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata, TopicMetadata

from scorer.operate.cluster import ClusterReader, ClusterState, TopicReplicas, check_replicas, replicas_of
from scorer.settings import Settings

SETTINGS = Settings(bootstrap_servers="k:1")
TOPIC = SETTINGS.decisions_topic


class Partition(NamedTuple):
    """A partition as the client describes it."""

    leader: int
    replicas: list[int]
    isrs: list[int]


IN_SYNC = Partition(1, [1, 2, 3], [1, 2, 3])


def metadata(*partitions: Partition) -> TopicMetadata:
    """A topic's metadata."""
    return cast("TopicMetadata", SimpleNamespace(partitions=dict(enumerate(partitions))))


def replicas(topic: str, partitions: int, **states: tuple[int, ...]) -> TopicReplicas:
    """A topic with nothing wrong but what is given."""
    names = ("offline", "under_replicated", "below_min_insync", "not_preferred")
    return TopicReplicas(topic, partitions, *(states.get(name, ()) for name in names))


def test_the_replicas_of_a_topic() -> None:
    """Each state is counted by itself: a partition without a leader lacks replicas, too, and has no wrong leader."""
    topic = metadata(
        IN_SYNC,
        Partition(2, [1, 2, 3], [1, 2, 3]),
        Partition(1, [1, 2, 3], [1, 2]),
        Partition(3, [1, 2, 3], [3]),
        Partition(-1, [1, 2, 3], [1]),
    )
    assert replicas_of("a", topic, 2) == TopicReplicas(
        "a", 5, offline=(4,), under_replicated=(2, 3, 4), below_min_insync=(3, 4), not_preferred=(1, 3)
    )


def test_a_setting_that_is_not_known_is_not_assumed() -> None:
    """Without permission to read min.insync.replicas, nobody knows whether writes fail; 0 would say that none do."""
    assert replicas_of("a", metadata(Partition(1, [1, 2], [1])), None).below_min_insync is None


def test_a_replication_factor_below_the_minimum() -> None:
    """All replicas are in sync, and every write fails."""
    state = replicas_of("a", metadata(Partition(1, [1], [1])), 2)
    assert (state.under_replicated, state.below_min_insync) == ((), (0,))


def test_findings_name_the_worst_of_each_partition() -> None:
    """What cannot be used or written is wrong, a replica that is behind is a warning; no partition is named twice."""
    topic = replicas("a", 4, offline=(0,), below_min_insync=(0, 1), under_replicated=(0, 1, 2), not_preferred=(1,))
    findings = list(check_replicas(ClusterState(frozenset({1}), frozenset({3, 2}), (topic, replicas("b", 1)))))
    assert [finding.state for finding in findings] == ["warning", "wrong", "wrong", "warning"]
    missing, offline, below, under = (finding.text for finding in findings)
    assert missing.startswith("missing brokers: 2, 3. ")
    assert offline.startswith("topic a: partition 0 cannot be read or written")
    assert below.startswith("topic a: writes to partition 1 fail")
    assert "min.insync.replicas" in below
    assert under.startswith("topic a: not all replicas of partition 2 are in sync")


def test_nothing_is_wrong() -> None:
    """A leader that is not the preferred one is not reported: nobody is affected, and Kafka moves it back."""
    topic = replicas("a", 4, not_preferred=(1,))
    assert list(check_replicas(ClusterState(frozenset({1}), frozenset(), (topic,)))) == []


class Admin:
    """An admin client of a cluster with these topics, and brokers 1 and 2."""

    def __init__(self, topics: Mapping[str, TopicMetadata]) -> None:
        self.topics = topics
        self.min_insync: int | None = 2
        """None: it cannot be read."""
        self.why = KafkaError.TOPIC_AUTHORIZATION_FAILED
        self.requests = 0

    def list_topics(self, topic: str | None, timeout: float) -> ClusterMetadata:
        """The metadata of all topics."""
        assert topic is None
        assert timeout > 0
        return cast("ClusterMetadata", SimpleNamespace(brokers={1: None, 2: None}, topics=self.topics))

    def describe_configs(self, resources: Sequence[Any], request_timeout: float) -> dict[Any, Any]:
        """The configuration of topics."""
        assert request_timeout > 0
        self.requests += 1
        return {resource: SimpleNamespace(result=self._result) for resource in resources}

    def _result(self) -> dict[str, Any]:
        if self.min_insync is None:
            raise KafkaException(KafkaError(self.why))
        return {"min.insync.replicas": SimpleNamespace(value=str(self.min_insync))}


def reader_of(
    topics: Mapping[str, TopicMetadata], now: Callable[[], float] = lambda: 0.0
) -> tuple[Admin, ClusterReader]:
    """A reader of a cluster with these topics."""
    admin = Admin(topics)
    return admin, ClusterReader(SETTINGS, cast("AdminClient", admin), now)


def test_topics_of_others_and_missing_ones_are_left_out() -> None:
    """A topic that does not exist has no partitions: 0 of them would be a figure like any other."""
    _, reader = reader_of({"another": metadata(Partition(9, [9], [9])), TOPIC: metadata(IN_SYNC)})
    state = reader.read()
    assert [topic.topic for topic in state.topics] == [TOPIC]
    assert (state.brokers, state.missing_brokers) == (frozenset({1, 2}), frozenset({3}))


def test_a_cluster_without_topics() -> None:
    """Nothing is asked of no topics: the client would not accept that."""
    admin, reader = reader_of({})
    assert reader.read() == ClusterState(frozenset({1, 2}), frozenset(), ())
    assert admin.requests == 0


def test_the_configuration_is_read_rarely() -> None:
    """Once per minute. What was known stays known if it cannot be read: that is when brokers fail, and it matters."""
    now = 0.0
    admin, reader = reader_of({TOPIC: metadata(Partition(1, [1, 2, 3], [1]))}, lambda: now)
    assert reader.read().topics[0].below_min_insync == (0,)
    now = 59.0
    assert reader.read().topics[0].below_min_insync == (0,)
    assert admin.requests == 1
    admin.min_insync, now = None, 60.0
    assert reader.read().topics[0].below_min_insync == (0,)
    assert (admin.requests, reader.unread) == (2, {})


def test_without_permission() -> None:
    """The message names the permission that is missing, and the command that grants it."""
    admin, reader = reader_of({TOPIC: metadata(IN_SYNC)})
    admin.min_insync = None
    assert reader.read().topics[0].below_min_insync is None
    assert f"DescribeConfigs on topic {TOPIC}: `kafka-acls.sh" in reader.unread[TOPIC]


def test_without_an_answer() -> None:
    """The controller may be down: the message does not mention the topics of groups and transactions."""
    admin, reader = reader_of({TOPIC: metadata(IN_SYNC)})
    admin.min_insync, admin.why = None, KafkaError._TIMED_OUT
    reader.read()
    assert reader.unread.keys() == {TOPIC}
    assert "__consumer_offsets" not in reader.unread[TOPIC]
