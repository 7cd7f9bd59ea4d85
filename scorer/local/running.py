"""What every broker has in common, whatever runs it: an address, a health check, an end."""

import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from scorer.errors import LocalBrokerError

# Below the range from which systems take ports for outgoing connections (32768 up on Linux, 49152 up on macOS). From
# inside it, a client that reconnects while its broker restarts can be handed the broker's own port, and keep it.
_PORTS = range(20_000, 32_768)
_PORT_TRIES_MAX = 100


class Broker:
    """A Kafka broker that answers at `bootstrap_servers`; as a context manager it is stopped at the end.

    As it stands, it is one that somebody else runs: there is nothing to watch and nothing to stop. What is started
    here is a subclass.

    Attributes:
        kind: "given", "docker", "java" or "mock".
        bootstrap_servers: where clients find it, as host:port.
        description: what it is and where its data are, in one line for people.
        log_path: the file of its log, where it has one.
    """

    def __init__(self, kind: str, bootstrap_servers: str, description: str, log_path: Path | None = None) -> None:
        self.kind = kind
        self.bootstrap_servers = bootstrap_servers
        self.description = description
        self.log_path = log_path

    def check(self) -> None:
        """Say whether the broker still runs.

        Raises:
            LocalBrokerError: it has died; the message ends with the last lines of its log.
        """

    def stop(self) -> None:
        """Stop what was started here and remove its data; a second call does nothing."""

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
        bootstrap_servers: where to ask.
        wait_s: seconds to go on asking.
        check: called before every attempt; what it raises ends the waiting.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    # Silent, because a refused connection is what we expect while a broker starts.
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
    """Refuse a port that cannot be listened on.

    Raises:
        LocalBrokerError: it names the port and what to do instead.
    """
    if not 0 < port < 65_536:
        raise LocalBrokerError(f"{port} is no port: choose one from 1 to 65535, or 0 to take a free one")
    fault = _listen_fault(port)
    if fault:
        raise LocalBrokerError(
            f"port {port} on 127.0.0.1 cannot be had ({fault.strerror}): "
            "does another broker run here? Choose another port, or 0 to take a free one"
        )


def free_ports(count: int) -> list[int]:
    """As many different ports of this machine as are asked for, on which nothing listens."""
    found = []
    for port in random.SystemRandom().sample(_PORTS, _PORT_TRIES_MAX):
        if _listen_fault(port) is None:
            found.append(port)
        if len(found) == count:
            return found
    raise LocalBrokerError(f"no free port among {_PORT_TRIES_MAX} tried from {_PORTS.start} to {_PORTS.stop - 1}")


def _listen_fault(port: int) -> OSError | None:
    """Why a server could not listen on this port of 127.0.0.1, or None when it could."""
    with socket.socket() as probe:
        # As servers do: connections of an earlier broker that linger in TIME_WAIT do not take the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as fault:
            return fault
    return None
