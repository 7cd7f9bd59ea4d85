"""Apache Kafka in a container: testcontainers with the image of the Kafka project."""

import contextlib
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from scorer.errors import LocalBrokerError
from scorer.local.apache_kafka import ONE_NODE_SETTINGS
from scorer.local.running import Broker, answers, free_ports
from scorer.local.toolchain import KAFKA_VERSION

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

_TAG = f"apache/kafka:{KAFKA_VERSION}"
IMAGE = f"{_TAG}@sha256:5cc2a2fd93fa2687b44015eee04fb2c3edd9e526bd64bf8bec5ff1e268772e0e"
_DEFAULT_ENGINE = "unix:///var/run/docker.sock"  # the Docker client's own
_READY_S = 60
_LOG_LINES = 12


class DockerBroker(Broker):
    """A broker in a container, which testcontainers' reaper removes should this process be killed."""

    def __init__(self, container: "DockerContainer", bootstrap_servers: str) -> None:
        self._container = container
        self._stopped = False
        super().__init__(
            "docker", bootstrap_servers, f"Apache Kafka {KAFKA_VERSION} (KRaft) in Docker ({_TAG}), removed at the end"
        )

    def check(self) -> None:
        """See `Broker.check`."""
        try:
            self._container.reload()
            if self._container.status == "running":
                return
            log = b"".join(self._container.get_logs()).decode(errors="replace").splitlines()
        except engine_faults() as fault:
            raise LocalBrokerError(f"the broker's container cannot be looked at: {fault}") from fault
        tail = "\n".join(log[-_LOG_LINES:])
        raise LocalBrokerError(f"the broker's container is {self._container.status}; the end of its log:\n{tail}")

    def stop(self) -> None:
        """Remove the container; a second call does nothing."""
        if not self._stopped:
            self._stopped = True
            with contextlib.suppress(*engine_faults()):  # the engine has gone, and the container with it
                self._container.stop()


def start(port: int, overrides: Mapping[str, str], say: Callable[[str], None]) -> DockerBroker:
    """Start Apache Kafka in a container and return when it answers.

    Args:
        port: where it listens on this machine; 0 takes a free one.
        overrides: settings as in server.properties, which win.
        say: told what takes long.

    Raises:
        LocalBrokerError: the optional extra is not installed, no engine answers, or the container does not start.
    """
    try:
        from testcontainers.core.container import DockerContainer
    except ImportError as fault:
        raise LocalBrokerError("the extra is not installed: pip install 'streaming-credit-scorer[docker]'") from fault
    try:
        _knock()
        container = DockerContainer(IMAGE)
    except engine_faults() as fault:
        raise LocalBrokerError(f"no Docker engine answers ({fault}): start it, or set DOCKER_HOST") from fault
    # Chosen here and not by the engine: the broker must know before it starts by which address clients will reach it.
    port = port or free_ports(1)[0]
    host = _publish(container, port)
    broker = DockerBroker(container.with_envs(**environment(host, port, overrides)), f"{host}:{port}")
    try:
        say(f"starting {_TAG} in Docker (the first time, it is downloaded)")
        container.start()
        if not answers(broker.bootstrap_servers, wait_s=_READY_S, check=broker.check):
            raise LocalBrokerError(f"the broker in Docker does not answer at {broker.bootstrap_servers}")
    except engine_faults() as fault:
        broker.stop()
        raise LocalBrokerError(f"Docker does not start {_TAG}: {fault}") from fault
    except BaseException:
        broker.stop()
        raise
    return broker


def engine_faults() -> tuple[type[Exception], ...]:
    """What testcontainers and the Docker client under it raise when the engine, a download or a container fails."""
    from docker.errors import DockerException  # type: ignore[import-untyped]

    return (DockerException, OSError, RuntimeError)


def _publish(container: "DockerContainer", port: int) -> str:
    """Have the container's port 9092 reached by `port`, and return the host on which it is.

    The broker asks nobody for a password: where the engine runs on this machine, only this machine reaches it.
    """
    host = container.get_docker_client().host()
    if host != "localhost":
        container.ports["9092"] = port
        return host
    # The Docker client's own form, which testcontainers passes on and does not declare.
    container.ports["9092"] = cast("Any", ("127.0.0.1", port))
    return "127.0.0.1"


def _knock() -> None:
    """Fail early where the engine's socket is silent: the Docker client would too, and leave its own socket open."""
    from testcontainers.core.docker_client import get_docker_host

    scheme, _, path = (get_docker_host() or _DEFAULT_ENGINE).partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as door:
            try:
                door.connect(path)
            except OSError as fault:
                raise ConnectionError(f"{path}: {fault.strerror}") from fault


def environment(host: str, port: int, overrides: Mapping[str, str]) -> dict[str, str]:
    """The container's environment, which the image turns into server.properties and nothing else.

    The node speaks to itself through a listener of its own: the advertised address need not lead anywhere from inside.
    """
    settings = {
        **ONE_NODE_SETTINGS,
        "listeners": "PLAINTEXT://0.0.0.0:9092,INTERNAL://localhost:19092,CONTROLLER://localhost:9093",
        "advertised.listeners": f"PLAINTEXT://{host}:{port},INTERNAL://localhost:19092",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INTERNAL",
        "controller.quorum.voters": "1@localhost:9093",
        **overrides,
    }
    return {f"KAFKA_{_as_variable(name)}": value for name, value in settings.items()}


def _as_variable(name: str) -> str:
    """A property's name as the image expects it: a dot is one underscore, an underscore two, a hyphen three."""
    return name.replace("_", "__").replace("-", "___").replace(".", "_").upper()
