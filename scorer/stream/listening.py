"""Whether anything listens at the bootstrap addresses, known within a second: for commands that a person waits for."""

import re
import socket
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Final

from scorer.errors import BrokerError
from scorer.settings import Settings
from scorer.stream.reaching import unreachable

_DEFAULT_PORT: Final = 9092
_CONNECT_S: Final = 1.0
# A broker that is just being restarted refuses connections for a moment.
_TRY_S: Final = 1.0
_PAUSE_S: Final = 0.1
_ADDRESS: Final = re.compile(r"(?:\w+://)?(?:\[(?P<bracketed>[^]]+)\]|(?P<host>[\w.-]+))(?::(?P<port>\d+))?")


def require_listening(settings: Settings) -> None:
    """Makes sure that a bootstrap address can be connected to; librdkafka would go on trying for many seconds.

    Workers do not ask this: they may start before their brokers, and wait for them.

    Raises:
        BrokerError: every address refuses connections or has no such host. Where one only is slow, that is for the
            client to find out.
    """
    addresses = parse_addresses(settings.bootstrap_servers)
    ends_at = time.monotonic() + _TRY_S
    while addresses:
        faults = {f"{host}:{port}": connect_fault(host, port) for host, port in addresses}
        refusals = {address: fault for address, fault in faults.items() if _is_refusal(fault)}
        if len(refusals) < len(faults):
            return
        if time.monotonic() >= ends_at:
            raise BrokerError(unreachable(settings, _join(refusals)))
        time.sleep(_PAUSE_S)


def parse_addresses(bootstrap_servers: str) -> list[tuple[str, int]]:
    """Hosts and ports as librdkafka reads them; none if one is written in a way that only librdkafka knows."""
    addresses = []
    for part in bootstrap_servers.split(","):
        address = _ADDRESS.fullmatch(part.strip())
        if address is None:
            return []
        addresses.append((address["bracketed"] or address["host"], int(address["port"] or _DEFAULT_PORT)))
    return addresses


def connect_fault(host: str, port: int) -> OSError | None:
    """What a connection fails with; None if it is accepted.

    Args:
        host: a name or an IP address; of several addresses of a name, one that accepts is enough.
        port: its port.
    """
    try:
        with closing(socket.create_connection((host, port), timeout=_CONNECT_S)):
            return None
    except OSError as fault:
        return fault


def explain(fault: OSError) -> str:
    """A connection's fault in a few words."""
    if isinstance(fault, socket.gaierror):
        return f"the host name cannot be resolved ({fault.strerror})"
    if isinstance(fault, TimeoutError):
        return f"no connection within {_CONNECT_S:g} s"
    return str(fault.strerror or fault).lower()


def _join(faults: Mapping[str, OSError | None]) -> str:
    return "; ".join(f"{address}: {explain(fault)}" for address, fault in faults.items() if fault is not None)


def _is_refusal(fault: OSError | None) -> bool:
    """Whether a longer wait would not help, unlike after a timeout."""
    return isinstance(fault, ConnectionRefusedError | socket.gaierror)
