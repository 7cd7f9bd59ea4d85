"""A cluster of three real Kafka nodes, three replicas of everything, with a proxy in front of each listener."""

import base64
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from scorer.local.running import free_ports
from scorer.local.toolchain import find_java, kafka_jars
from tests.chaos.nodes import NODES, PARTITIONS_OF_KAFKAS_TOPICS, Node, Ports, node_settings
from tests.chaos.proxies import Proxy, Toxiproxy

_CALL_S: Final = 10.0
IN_SYNC_S: Final = 120.0
"""A node that was down for a minute has that minute to catch up with, on a busy machine."""
DISK_BYTES: Final = 500 * 2**20
"""Of the disk that a scenario fills: room for a cluster's first minutes, and full within seconds."""


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """What makes one cluster differ from another; scenarios with the same plan share a cluster."""

    proxied_between: bool = False
    """Nodes reach each other through proxies, so that a scenario can cut them off from each other."""
    small_disk: bool = False
    """The last node's data are on a file system of their own of DISK_BYTES."""


class Cluster:
    """Three nodes that run, and what scenarios do to them.

    Attributes:
        plan: what it was made by.
        nodes: by node id.
        direct: bootstrap servers that no proxy stands in front of.
        proxied: bootstrap servers behind proxies.
        toxiproxy: the proxies `client-N`, `internal-N` and `controller-N`.
        admin: an admin client on the direct listeners.
        small_disk: the mount point of the last node's disk, where the plan has one.
    """

    def __init__(self, plan: ClusterPlan, folder: Path, toxiproxy: Path, small_disk: Path | None) -> None:
        self.plan = plan
        self.small_disk = small_disk
        ports = dict(zip(NODES, _draw_ports(), strict=True))
        self.nodes = {number: Node(number, folder / f"node-{number}", ports[number]) for number in NODES}
        self.direct = ",".join(node.address for node in self.nodes.values())
        self.proxied = ",".join(f"127.0.0.1:{p.client_proxy}" for p in ports.values())
        self.toxiproxy = Toxiproxy(toxiproxy, folder, _proxies(ports, plan))
        try:
            self._prepare(ports, small_disk)
            self.start_nodes()
        except BaseException:
            self.stop()
            raise
        self.admin = AdminClient(
            {"bootstrap.servers": self.direct, "log_level": 0, "topic.metadata.refresh.interval.ms": 1_000}
        )

    def start_nodes(self) -> None:
        """Starts the nodes that do not run, and waits until they answer."""
        for node in self.nodes.values():
            node.start()
        for node in self.nodes.values():
            node.wait_until_it_answers()

    def stop(self) -> None:
        """Ends nodes and proxies."""
        for node in self.nodes.values():
            node.kill()
        self.toxiproxy.stop()

    def heal(self) -> bool:
        """Undoes whatever a scenario may have left behind; returns whether every replica is in sync again."""
        self.toxiproxy.reset()
        for node in self.nodes.values():
            node.thaw()
        self.start_nodes()
        return self.wait_until_in_sync()

    def wait_until_in_sync(self, limit_s: float = IN_SYNC_S) -> bool:
        """Waits until every partition has a leader and all its replicas in sync; False if that takes too long."""
        ends_at = time.monotonic() + limit_s
        while time.monotonic() < ends_at:
            with suppress(KafkaException):
                metadata = self.admin.list_topics(timeout=_CALL_S)
                partitions = [p for topic in metadata.topics.values() for p in topic.partitions.values()]
                if len(metadata.brokers) == len(self.nodes) and all(
                    partition.leader in self.nodes and len(partition.isrs) == len(partition.replicas)
                    for partition in partitions
                ):
                    return True
            time.sleep(0.3)
        return False

    def leader(self, topic: str, partition: int = 0) -> int:
        """The node that leads a partition."""

        def look() -> int | None:
            partitions = self.admin.list_topics(topic, timeout=_CALL_S).topics[topic].partitions
            leader = partitions[partition].leader if partition in partitions else -1
            return leader if leader in self.nodes else None

        return self._ask(look, f"the leader of {topic}[{partition}]")

    def group_coordinator(self, group: str) -> int:
        """The node that coordinates a consumer group."""
        return self.leader("__consumer_offsets", java_hash(group) % PARTITIONS_OF_KAFKAS_TOPICS)

    def transaction_coordinator(self, transactional_id: str) -> int:
        """The node that coordinates a producer's transactions."""
        return self.leader("__transaction_state", java_hash(transactional_id) % PARTITIONS_OF_KAFKAS_TOPICS)

    def ids_on_disk(self, topic: str) -> set[str]:
        """The ids under which nodes keep a topic: several while not all have heard that it was created again."""
        return {topic_id for node in self.nodes.values() for topic_id in node.topic_ids(topic)}

    def active_controller(self) -> int:
        """The node whose controller is active."""

        def look() -> int | None:
            controller = self.admin.describe_cluster().result(_CALL_S).controller
            return controller.id if controller is not None and controller.id in self.nodes else None

        return self._ask(look, "the active controller")

    def _prepare(self, ports: dict[int, Ports], small_disk: Path | None) -> None:
        java, libs = find_java(), kafka_jars(lambda _: None)
        # One id in 64 begins with a hyphen otherwise, which looks like an option.
        cluster_id = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]

        def prepare(node: Node) -> None:
            data = small_disk / "data" if small_disk and node.number == NODES[-1] else node.folder / "data"
            settings = node_settings(node.number, ports, proxied_between=self.plan.proxied_between)
            node.prepare(java, libs, cluster_id, settings, data)

        with ThreadPoolExecutor(len(NODES)) as pool:
            list(pool.map(prepare, self.nodes.values()))

    @staticmethod
    def _ask(look: Callable[[], int | None], what: str) -> int:
        ends_at = time.monotonic() + IN_SYNC_S
        while time.monotonic() < ends_at:
            with suppress(KafkaException):
                answer = look()
                if answer is not None:
                    return answer
            time.sleep(0.2)
        raise AssertionError(f"nobody knows {what} after {IN_SYNC_S:g} s")


@contextmanager
def start_cluster(plan: ClusterPlan, folder: Path, toxiproxy: Path) -> Iterator[Cluster]:
    """A cluster that is gone at the end.

    Args:
        plan: what it is like.
        folder: for the nodes' data and logs; must not exist.
        toxiproxy: the server's executable.

    Raises:
        LocalBrokerError: Java or Kafka is missing, or a node does not start.
        OSError: the plan wants a small disk and this user may not mount one.
    """
    folder.mkdir(parents=True)
    if not plan.small_disk:
        with _stopped_at_the_end(Cluster(plan, folder, toxiproxy, None)) as cluster:
            yield cluster
        return
    with _small_disk(folder / "disk") as disk, _stopped_at_the_end(Cluster(plan, folder, toxiproxy, disk)) as cluster:
        yield cluster


def java_hash(text: str) -> int:
    """What Kafka takes of a group's or a transaction's name to choose a partition: Java's hash without its sign."""
    value = 0
    for character in text:
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    return value & 0x7FFFFFFF


@contextmanager
def _stopped_at_the_end(cluster: Cluster) -> Iterator[Cluster]:
    try:
        yield cluster
    finally:
        cluster.stop()


@contextmanager
def _small_disk(mount_point: Path) -> Iterator[Path]:
    mount_point.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(mount_point)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        raise PermissionError(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield mount_point
    finally:
        subprocess.run(["umount", "-l", str(mount_point)], check=False)


def _draw_ports() -> Sequence[Ports]:
    size = len(Ports._fields)
    ports = free_ports(size * len(NODES))
    return [Ports(*ports[start : start + size]) for start in range(0, len(ports), size)]


def _proxies(ports: dict[int, Ports], plan: ClusterPlan) -> Iterator[Proxy]:
    for number, own in ports.items():
        yield Proxy(f"client-{number}", own.client_proxy, own.client)
        if plan.proxied_between:
            yield Proxy(f"internal-{number}", own.internal_proxy, own.internal)
            yield Proxy(f"controller-{number}", own.controller_proxy, own.controller)
