"""Listens on host names and IPv4 or IPv6 addresses, and formats addresses for clients."""

import errno
import socket
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from scorer.errors import MisuseError

_BACKLOG: Final = 1_024
"""Connections that the kernel queues; beyond that clients retry after a second."""
_PORT_TRIES_MAX: Final = 10
"""Attempts to find a port that is free on all addresses of a host."""
# If a host name has several addresses, those that this machine lacks are skipped, such as IPv6 where it is disabled.
_NOT_LOCAL: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class Endpoint(NamedTuple):
    """Where to listen, and the names for the error message.

    Attributes:
        host: an IPv4 or IPv6 address, with or without brackets, or a host name.
        port: the port; 0 chooses a free one.
        purpose: what is served, such as /metrics.
        host_setting: name of the setting for `host`.
        port_setting: name of the setting for `port`.
    """

    host: str
    port: int
    purpose: str
    host_setting: str
    port_setting: str


def listen(endpoint: Endpoint) -> list[socket.socket]:
    """Listens on all addresses of a host, on the same port; `::` includes IPv4.

    Raises:
        MisuseError: the host is unknown, or the address cannot be bound; the message names the setting to change.
    """
    try:
        host = unbracketed(endpoint.host)
        if host == "*":  # the resolver would return loopback
            advice = f"set {endpoint.host_setting} to :: for all addresses"
            raise MisuseError(_bind_error(endpoint, "not an address", advice))
        resolved = socket.getaddrinfo(host, endpoint.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: the name cannot be encoded
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a host name"
        raise MisuseError(
            _bind_error(endpoint, reason, f"set {endpoint.host_setting} to an address of this machine")
        ) from error
    addresses = list(dict.fromkeys((family, address) for family, *_, address in resolved))
    for attempt in range(_PORT_TRIES_MAX):
        try:
            return _listen_on_all(addresses)
        except OSError as error:
            if endpoint.port == 0 and error.errno == errno.EADDRINUSE and attempt < _PORT_TRIES_MAX - 1:
                continue  # free on the first address, in use on the second
            raise MisuseError(_bind_error(endpoint, error.strerror or str(error), _advice(endpoint, error))) from error
    raise AssertionError("unreachable")


def address_of(listener: socket.socket) -> str:
    """A listening socket's host:port, an IPv6 address in brackets."""
    host, port, *rest = listener.getsockname()
    if rest and rest[1]:  # a link-local address is valid only with its interface
        host = f"{host}%{socket.if_indextoname(rest[1])}"
    return f"{bracketed(host)}:{port}"


def bracketed(host: str) -> str:
    """A host as written in a URL."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def unbracketed(host: str) -> str:
    """A host as the resolver expects it."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _listen_on_all(addresses: Sequence[tuple[int, Any]]) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in addresses:
            port = listeners[0].getsockname()[1] if listeners else address[1]
            try:
                listeners.append(_listen_on(family, (address[0], port, *address[2:])))
            except OSError as error:
                if error.errno not in _NOT_LOCAL:
                    raise
                missing = error
        if missing and not listeners:
            raise missing
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _listen_on(family: int, address: Any) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # the system's default differs between machines
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _bind_error(endpoint: Endpoint, reason: str, advice: str) -> str:
    return f"{bracketed(endpoint.host)}:{endpoint.port} cannot be used for {endpoint.purpose}: {reason}; {advice}"


def _advice(endpoint: Endpoint, error: OSError) -> str:
    if error.errno == errno.EACCES:
        return f"ports below 1024 require a privilege: set {endpoint.port_setting} to a higher one"
    if error.errno in _NOT_LOCAL:
        return f"set {endpoint.host_setting} to an address of this machine, or to 0.0.0.0 or :: for all of them"
    if error.errno == errno.EINVAL:
        return f"set {endpoint.host_setting} to a complete address; a link-local one needs its interface: fe80::1%eth0"
    return f"set {endpoint.port_setting} to a free port, or to 0 to choose a free one"
