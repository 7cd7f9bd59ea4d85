"""Checks within a second whether a broker listens at the bootstrap addresses, for interactive commands."""

import re
import socket
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Final

from scorer.errors import BrokerError
from scorer.settings import Settings
from scorer.stream.requests import unreachable

_DEFAULT_PORT: Final = 9092
_CONNECT_S: Final = 1.0
# A broker that is restarting refuses connections for a moment.
_TRY_S: Final = 1.0
_PAUSE_S: Final = 0.1
_ADDRESS: Final = re.compile(r"(?:\w+://)?(?:\[(?P<bracketed>[^]]+)\]|(?P<host>[\w.-]+))(?::(?P<port>\d+))?")


def require_listening(settings: Settings) -> None:
    """Checks that a bootstrap address accepts connections; librdkafka would retry for many seconds.

    Workers skip this check: they may start before their brokers, and wait for them.

    Raises:
        BrokerError: every address refuses connections, or its host name cannot be resolved. If one is only slow, the
            client has to wait for it.
    """
    addresses = parse_addresses(settings.bootstrap_servers)
    ends_at = time.monotonic() + _TRY_S
    while addresses:
        faults = {f"{host}:{port}": connect_fault(host, port) for host, port in addresses}
        permanent = {address: fault for address, fault in faults.items() if _is_permanent(fault)}
        if len(permanent) < len(faults):
            return
        if time.monotonic() >= ends_at:
            raise BrokerError(unreachable(settings, _join(permanent)))
        time.sleep(_PAUSE_S)


def parse_addresses(bootstrap_servers: str) -> list[tuple[str, int]]:
    """Parses hosts and ports as librdkafka does; returns none if one has a form that only librdkafka supports."""
    addresses = []
    for part in bootstrap_servers.split(","):
        address = _ADDRESS.fullmatch(part.strip())
        if address is None:
            return []
        addresses.append((address["bracketed"] or address["host"], int(address["port"] or _DEFAULT_PORT)))
    return addresses


def connect_fault(host: str, port: int) -> OSError | None:
    """Returns the error of a connection attempt; None if it succeeds.

    Args:
        host: a host name or an IP address; if a name has several addresses, one that accepts is enough.
        port: its port.
    """
    try:
        with closing(socket.create_connection((host, port), timeout=_CONNECT_S)):
            return None
    except OSError as fault:
        return fault


def explain(fault: OSError) -> str:
    """Describes the error of a connection attempt in a few words."""
    if isinstance(fault, socket.gaierror):
        return f"the host name cannot be resolved ({fault.strerror})"
    if isinstance(fault, TimeoutError):
        return f"no connection within {_CONNECT_S:g} s"
    return str(fault.strerror or fault).lower()


def _join(faults: Mapping[str, OSError | None]) -> str:
    return "; ".join(f"{address}: {explain(fault)}" for address, fault in faults.items() if fault is not None)


def _is_permanent(fault: OSError | None) -> bool:
    """Whether waiting longer would not help, unlike after a timeout."""
    return isinstance(fault, ConnectionRefusedError | socket.gaierror)
