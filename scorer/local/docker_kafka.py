"""Runs Apache Kafka in a container: testcontainers with the Kafka project's image."""

import contextlib
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from scorer.errors import LocalBrokerError
from scorer.extras import install_command
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
    """A broker in a container, which testcontainers' reaper removes if this process is killed."""

    def __init__(self, container: "DockerContainer", bootstrap_servers: str) -> None:
        self._container = container
        self._stopped = False
        super().__init__(
            "docker", bootstrap_servers, f"Apache Kafka {KAFKA_VERSION} (KRaft) in Docker ({_TAG}), removed on exit"
        )

    def check(self) -> None:
        """See `Broker.check`."""
        try:
            self._container.reload()
            if self._container.status == "running":
                return
            log = b"".join(self._container.get_logs()).decode(errors="replace").splitlines()
        except engine_faults() as fault:
            raise LocalBrokerError(f"cannot inspect the broker's container: {fault}") from fault
        tail = "\n".join(log[-_LOG_LINES:])
        raise LocalBrokerError(f"the broker's container is {self._container.status}; the end of its log:\n{tail}")

    def stop(self) -> None:
        """Remove the container; a second call does nothing."""
        if not self._stopped:
            self._stopped = True
            with contextlib.suppress(*engine_faults()):  # the engine is gone, and so is the container
                self._container.stop()


def start(port: int, overrides: Mapping[str, str], say: Callable[[str], None]) -> DockerBroker:
    """Start Apache Kafka in a container and wait until it answers.

    Args:
        port: port to publish on this machine; 0 chooses a free one.
        overrides: broker settings, as in server.properties; they override the defaults.
        say: called with progress messages.

    Raises:
        LocalBrokerError: the optional extra is not installed, no engine answers, or the container does not start.
    """
    try:
        from testcontainers.core.container import DockerContainer
    except ImportError as fault:
        raise LocalBrokerError(f"testcontainers is not installed: {install_command('docker')}") from fault
    try:
        _require_engine()
        container = DockerContainer(IMAGE)
    except engine_faults() as fault:
        raise LocalBrokerError(f"no Docker engine answers ({fault}): start it, or set DOCKER_HOST") from fault
    # Chosen here and not by the engine: the broker needs its advertised address before it starts.
    port = port or free_ports(1)[0]
    host = _publish(container, port)
    broker = DockerBroker(container.with_envs(**environment(host, port, overrides)), f"{host}:{port}")
    try:
        say(f"starting {_TAG} in Docker (downloaded on first use)")
        container.start()
        if not answers(broker.bootstrap_servers, wait_s=_READY_S, check=broker.check):
            raise LocalBrokerError(
                f"the broker in Docker did not answer at {broker.bootstrap_servers} within {_READY_S} seconds"
            )
    except engine_faults() as fault:
        broker.stop()
        raise LocalBrokerError(f"Docker cannot start {_TAG}: {fault}") from fault
    except BaseException:
        broker.stop()
        raise
    return broker


def engine_faults() -> tuple[type[Exception], ...]:
    """The exceptions of testcontainers and its Docker client when the engine, a download or a container fails."""
    from docker.errors import DockerException  # type: ignore[import-untyped]

    return (DockerException, OSError, RuntimeError)


def _publish(container: "DockerContainer", port: int) -> str:
    """Publish the container's port 9092 as `port`, and return the host to connect to.

    The broker requires no login: with a local engine, its port is bound to loopback only.
    """
    host = container.get_docker_client().host()
    if host != "localhost":
        container.ports["9092"] = port
        return host
    # A form of the Docker client's that testcontainers passes on but does not declare.
    container.ports["9092"] = cast("Any", ("127.0.0.1", port))
    return "127.0.0.1"


def _require_engine() -> None:
    """Fail early if the engine's socket does not answer; the Docker client would fail, too, but leak its socket."""
    from testcontainers.core.docker_client import get_docker_host

    scheme, _, path = (get_docker_host() or _DEFAULT_ENGINE).partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except OSError as fault:
                raise ConnectionError(f"{path}: {fault.strerror}") from fault


def environment(host: str, port: int, overrides: Mapping[str, str]) -> dict[str, str]:
    """The container's environment, from which alone the image writes server.properties.

    The node connects to itself through an internal listener: the advertised address may not be reachable from inside.
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
    """A property's name as the image expects it: dots become one underscore, underscores two, hyphens three."""
    return name.replace("_", "__").replace("-", "___").replace(".", "_").upper()
