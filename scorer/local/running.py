"""The common interface of all brokers (address, health check, shutdown), and free ports."""

import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.service_links import PORT_MAX
from scorer.errors import LocalBrokerError

# Below the ephemeral ports of outgoing connections (from 32768 on Linux, from 49152 on macOS). Within that range, a
# client that reconnects while its broker restarts can be assigned the broker's own port, and keep it.
_PORTS = range(20_000, 32_768)
_PORT_TRIES_MAX = 100


class Broker:
    """A Kafka broker that answers at `bootstrap_servers`; as a context manager, it is stopped on exit.

    This class is for a broker that is not started here: there is nothing to check and nothing to stop. Brokers that are
    started here are subclasses.

    Attributes:
        kind: "given", "docker", "java" or "mock".
        bootstrap_servers: the address for clients, as host:port.
        description: what it is and where its data are, in one line.
        log_path: its log file, if it has one.
    """

    def __init__(self, kind: str, bootstrap_servers: str, description: str, log_path: Path | None = None) -> None:
        self.kind = kind
        self.bootstrap_servers = bootstrap_servers
        self.description = description
        self.log_path = log_path

    def check(self) -> None:
        """Check that the broker is still running.

        Raises:
            LocalBrokerError: the broker has exited; the message ends with the last lines of its log.
        """

    def stop(self) -> None:
        """Stop a broker that was started here and remove its data; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def answers(bootstrap_servers: str, *, wait_s: float, check: Callable[[], None] = lambda: None) -> bool:
    """Whether a broker answers a client's request for metadata within `wait_s` seconds.

    An open port is not enough: Kafka opens it before it has elected a controller and registered itself.

    Args:
        bootstrap_servers: the broker's address.
        wait_s: seconds to keep trying.
        check: called before every attempt; an exception from it ends the wait.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    # Silent, because refused connections are expected while a broker starts.
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0, "reconnect.backoff.ms": 50})
    ends_at = time.monotonic() + wait_s
    while time.monotonic() < ends_at:
        check()
        try:
            if client.list_topics(timeout=0.5).brokers:
                return True
        except KafkaException:
            pass
        time.sleep(0.02)
    return False


def require_free_port(port: int) -> None:
    """Fail if a port cannot be listened on.

    Raises:
        LocalBrokerError: the message names the port and what to do instead.
    """
    if not 0 < port <= PORT_MAX:
        raise LocalBrokerError(f"{port} is not a port: choose one from 1 to {PORT_MAX}, or 0 for a free one")
    fault = _listen_fault(port)
    if fault:
        raise LocalBrokerError(
            f"port {port} on 127.0.0.1 is not available ({fault.strerror}): "
            "is another broker running? Choose another port, or 0 for a free one"
        )


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of this machine."""
    return _listen_fault(port) is None


def free_ports(count: int) -> list[int]:
    """Find `count` different ports of this machine on which nothing listens."""
    ports = []
    for port in random.SystemRandom().sample(_PORTS, _PORT_TRIES_MAX):
        if _listen_fault(port) is None:
            ports.append(port)
        if len(ports) == count:
            return ports
    raise LocalBrokerError(f"found no free port in {_PORT_TRIES_MAX} attempts from {_PORTS.start} to {_PORTS.stop - 1}")


def _listen_fault(port: int) -> OSError | None:
    """The error of a server that would listen on this port of 127.0.0.1; None if it could."""
    with socket.socket() as probe:
        # As servers do: connections of an earlier broker in TIME_WAIT do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as fault:
            return fault
    return None
