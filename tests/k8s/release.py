"""The chart as a release in a namespace of its own, and what its workers do on the broker."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.fakes import application
from tests.integration.worker_process import WAIT_S
from tests.k8s.cluster import Cluster
from tests.reading import read_to_the_end

NAME: Final = "scorer"
PARTITIONS: Final = 4
_CHART: Final = Path(__file__).parents[2] / "helm"
_TOPICS: Final = ("applications", "decisions", "dead_letters", "deployments", "reviews")


class Release:
    """A release whose group and topics have names of their own."""

    def __init__(self, cluster: Cluster, namespace: str, servers: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.topics = {kind: f"{namespace}.{kind}" for kind in _TOPICS}
        self._servers = servers
        self._admin = AdminClient({"bootstrap.servers": servers})
        self._published = 0

    def install(self, *options: str) -> None:
        """Installs the chart; further values are options, as `--set=worker.replicas=1`."""
        self._put("install", *options)

    def upgrade(self, *options: str) -> None:
        """Upgrades to these values; those of earlier revisions that are not given again are forgotten."""
        self._put("upgrade", *options)

    def helm(self, command: str, *options: str) -> str:
        """Another of Helm's commands about this release; returns what it prints."""
        return self.cluster.helm(command, NAME, f"--namespace={self.namespace}", *options)

    def get(self, *arguments: str) -> dict[str, Any]:
        """What the API says of one object of the namespace, or of a kind's (under `items`)."""
        return self.cluster.get(*arguments, f"--namespace={self.namespace}")

    def pods(self) -> list[dict[str, Any]]:
        """The workers' pods that are there to stay."""
        items = self.get("pods", "--selector=app.kubernetes.io/component=worker")["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def partitions(self) -> dict[str, int]:
        """How many partitions each of its topics has that is there."""
        topics = self._admin.list_topics(timeout=WAIT_S).topics
        return {kind: len(topics[topic].partitions) for kind, topic in self.topics.items() if topic in topics}

    def publish(self, count: int) -> None:
        """Publishes sound applications, evenly over the partitions."""
        producer = Producer({"bootstrap.servers": self._servers, "linger.ms": 5})
        for number in range(self._published, self._published + count):
            producer.produce(self.topics["applications"], application(f"a-{number}"), partition=number % PARTITIONS)
            producer.poll(0)
        assert producer.flush(WAIT_S) == 0
        self._published += count

    def decided(self) -> Counter[str]:
        """How many decisions each application has."""
        records = read_to_the_end(self._servers, self.topics["decisions"], PARTITIONS)
        return Counter(json.loads(record.value() or b"")["application_id"] for record in records)

    def lag(self) -> int:
        """Published applications that the group has not committed."""
        consumer = Consumer({"bootstrap.servers": self._servers, "group.id": "reader"})
        topic = self.topics["applications"]
        ends: list[int] = [
            consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=WAIT_S)[1]
            for partition in range(PARTITIONS)
        ]
        consumer.close()
        return sum(ends) - self._committed()

    def _committed(self) -> int:
        ends_at = time.monotonic() + WAIT_S
        while True:
            (answer,) = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self.namespace)]).values()
            try:
                committed = answer.result(WAIT_S).topic_partitions or []
                break
            except KafkaException:  # a new broker is still loading what it knows of groups
                assert time.monotonic() < ends_at
        return sum(max(0, partition.offset) for partition in committed)

    def _put(self, command: str, *options: str) -> None:
        values = {
            "kafka": {
                "bootstrapServers": self._servers,
                # A rebalance after a worker that was killed waits this long.
                "properties": {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500},
            },
            "settings": {
                "group_id": self.namespace,
                **{f"{kind}_topic": topic for kind, topic in self.topics.items()},
            },
            "topics": {"partitions": PARTITIONS, "replication": 1},
        }
        self.cluster.helm(
            command,
            NAME,
            str(_CHART),
            f"--namespace={self.namespace}",
            "--values=-",
            "--timeout=2m",
            *options,
            given=json.dumps(values),
        )
