"""One Kafka node as a process: a broker and a controller at once, which can be killed, frozen and started again."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from scorer.errors import LocalBrokerError
from scorer.local.apache_kafka import LOG4J, ONE_NODE_SETTINGS
from scorer.local.child import Child
from scorer.local.running import answers
from scorer.local.toolchain import Java, run

NODES: Final = (1, 2, 3)
PARTITIONS_OF_KAFKAS_TOPICS: Final = 12
"""Of __consumer_offsets and __transaction_state: enough that groups and transactions have different coordinators."""

# Three nodes on a machine that others use too: what 800 records per second need and not more.
_HEAP: Final = ("-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_FORMAT_S: Final = 120.0
_READY_S: Final = 120.0
_STOP_S: Final = 60.0


# Everybody may do everything until a scenario forbids something. Nodes have a user of their own, because an authorizer
# that has not read its rules yet lets in super users alone, and nodes must talk before it has.
_LOGIN: Final = (
    'org.apache.kafka.common.security.plain.PlainLoginModule required username="node" password="node" user_node="node";'
)
_AUTHORIZER: Final = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
    "super.users": "User:node",
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "sasl.mechanism.controller.protocol": "PLAIN",
    **{
        f"listener.name.{listener}.{name}": value
        for listener in ("internal", "controller")
        for name, value in (("sasl.enabled.mechanisms", "PLAIN"), ("plain.sasl.jaas.config", _LOGIN))
    },
}


class Ports(NamedTuple):
    """Where one node listens, and where the proxies in front of its listeners do."""

    direct: int
    """For those who observe, publish and administer: no fault of the network reaches them."""
    client: int
    client_proxy: int
    """What workers connect to in scenarios about the network."""
    internal: int
    internal_proxy: int
    controller: int
    controller_proxy: int


def node_settings(node: int, ports: Mapping[int, Ports], *, proxied_between: bool) -> dict[str, str]:
    """The server.properties of one of three nodes, without its data folder.

    Args:
        node: its id.
        ports: of all nodes.
        proxied_between: whether nodes reach each other through proxies.
    """
    own = ports[node]
    voters = {n: p.controller_proxy if proxied_between else p.controller for n, p in ports.items()}
    internal = own.internal_proxy if proxied_between else own.internal
    return {
        **ONE_NODE_SETTINGS,
        "node.id": str(node),
        "controller.quorum.voters": ",".join(f"{n}@127.0.0.1:{port}" for n, port in voters.items()),
        "listeners": (
            f"DIRECT://127.0.0.1:{own.direct},CLIENT://127.0.0.1:{own.client},"
            f"INTERNAL://127.0.0.1:{own.internal},CONTROLLER://127.0.0.1:{own.controller}"
        ),
        "advertised.listeners": (
            f"DIRECT://127.0.0.1:{own.direct},CLIENT://127.0.0.1:{own.client_proxy},INTERNAL://127.0.0.1:{internal}"
        ),
        "inter.broker.listener.name": "INTERNAL",
        "listener.security.protocol.map": (
            "DIRECT:PLAINTEXT,CLIENT:PLAINTEXT,INTERNAL:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT"
        ),
        "offsets.topic.replication.factor": "3",
        "offsets.topic.num.partitions": str(PARTITIONS_OF_KAFKAS_TOPICS),
        "transaction.state.log.replication.factor": "3",
        "transaction.state.log.min.isr": "2",
        "transaction.state.log.num.partitions": str(PARTITIONS_OF_KAFKAS_TOPICS),
        "metadata.max.idle.interval.ms": "500",  # as Kafka has it: here there are other controllers
        "default.replication.factor": "3",
        "min.insync.replicas": "2",
        "num.network.threads": "2",
        "num.io.threads": "4",
        # Kafka's defaults are 9 s and 30 s: a dead broker and a dead replica are noticed sooner, so runs are shorter.
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "500",
        "replica.lag.time.max.ms": "10000",
        **_AUTHORIZER,
    }


class Node:
    """One node of the cluster, with a folder of its own.

    Attributes:
        number: its node id.
        folder: its settings and logs.
        address: its direct listener.
    """

    def __init__(self, number: int, folder: Path, ports: Ports) -> None:
        folder.mkdir(parents=True)
        self.number = number
        self.folder = folder
        self.address = f"127.0.0.1:{ports.direct}"
        self._data = folder
        self._child: Child | None = None
        self._command: list[str] = []

    def prepare(self, java: Java, libs: Path, cluster_id: str, settings: Mapping[str, str], data: Path) -> None:
        """Writes the settings and formats the data folder.

        Raises:
            LocalBrokerError: Kafka refuses the settings.
        """
        self._data = data
        properties, log4j = self.folder / "server.properties", self.folder / "log4j2.properties"
        lines = {**settings, "log.dirs": str(data)}
        properties.write_text("".join(f"{name}={value}\n" for name, value in lines.items()), encoding="utf-8")
        log4j.write_text(LOG4J, encoding="utf-8")
        common = [java.command, *_HEAP, f"-Dlog4j2.configurationFile={log4j}", "-cp", f"{libs}/*"]
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", str(properties)]
        formatted = run([*common, *tool], limit_s=_FORMAT_S)
        if formatted.returncode != 0:
            raise LocalBrokerError(f"Kafka refuses {properties}:\n{(formatted.stdout + formatted.stderr)[-1_000:]}")
        self._command = [*common, "kafka.Kafka", str(properties)]

    @property
    def running(self) -> bool:
        """Whether its process has been started and has not ended."""
        return self._child is not None and self._child.exit_code() is None

    def start(self) -> None:
        """Starts the process, without waiting until it answers; does nothing while it runs."""
        if not self.running:
            self._child = Child(self._command, self.folder, "node", {})

    def wait_until_it_answers(self) -> None:
        """Waits until it answers a client.

        Raises:
            LocalBrokerError: it ends, or does not answer in time.
        """
        if not answers(self.address, wait_s=_READY_S, check=self._check):
            raise LocalBrokerError(f"node {self.number} does not answer after {_READY_S:g} s: {self.last_lines()}")

    def kill(self) -> None:
        """SIGKILL, as a power cut would end it."""
        if self._child is not None:
            self._child.kill()

    def terminate(self) -> None:
        """SIGTERM, as a rolling restart ends it; SIGKILL where that takes too long."""
        if self._child is not None:
            self._child.request_stop()
            self._child.wait(_STOP_S)
            self._child.kill()

    def freeze(self) -> None:
        """SIGSTOP: it holds its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def topic_ids(self, topic: str) -> Iterator[str]:
        """The id of each of its partitions of a topic, as its log has it."""
        for path in self._data.glob(f"{topic}-*/partition.metadata"):
            if path.parent.name.removeprefix(f"{topic}-").isdigit():  # others are about to be deleted
                with suppress(FileNotFoundError):
                    yield path.read_text(encoding="utf-8").rpartition("topic_id: ")[2].strip()

    def last_lines(self) -> str:
        """The end of its log."""
        return "" if self._child is None else self._child.last_lines()

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self.running:
            with suppress(ProcessLookupError):
                os.kill(self._child.pid, number)

    def _check(self) -> None:
        if not self.running:
            raise LocalBrokerError(f"node {self.number} has ended: {self.last_lines()}")
