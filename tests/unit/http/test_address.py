"""Addresses: whatever is written in the settings is bound, or refused with the setting to change."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from scorer.errors import MisuseError
from scorer.http.address import Endpoint, address_of, bracketed, listen
from tests.sockets import connect

V4, V6 = socket.AF_INET, socket.AF_INET6


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback address."""
    try:
        with socket.socket(V6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="needs IPv6 on this machine")


def endpoint(host: str, port: int = 0) -> Endpoint:
    """Where a test wants to listen."""
    return Endpoint(host, port, "/metrics", "http_host", "http_port")


@contextmanager
def listening(host: str, port: int = 0) -> Iterator[list[socket.socket]]:
    """Sockets that listen until the end."""
    with ExitStack() as opened:
        yield [opened.enter_context(closing(listener)) for listener in listen(endpoint(host, port))]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0.0.0.0",  # noqa: S104
        "localhost",
        socket.gethostname(),
        *(pytest.param(host, marks=needs_ipv6) for host in ("::1", "[::1]", "::", "[::]", "::ffff:127.0.0.1")),
    ],
)
def test_the_address_that_is_shown_can_be_used(host: str) -> None:
    """IPv4, IPv6, with and without brackets, and names: a client that takes what is shown gets there.

    `::1` used to be refused with "Address family not supported", and could not have been shown without brackets.
    """
    with listening(host) as listeners:
        for listener in listeners:
            connect(address_of(listener)).close()


@needs_ipv6
def test_all_addresses_are_those_of_ipv4_too() -> None:
    """`::` takes connections over IPv4, whatever the system's default for IPv6 sockets is."""
    with listening("::") as (listener,):
        assert address_of(listener).startswith("[::]:")
        connect(f"127.0.0.1:{listener.getsockname()[1]}").close()
        connect(f"[::1]:{listener.getsockname()[1]}").close()


@needs_ipv6
def test_a_link_local_address_is_shown_with_its_interface() -> None:
    """Without its interface nobody could connect to it."""
    for index, interface in socket.if_nameindex():
        for line in _if_inet6():
            number, at = line.split()[0], int(line.split()[1], 16)
            if at != index or not number.startswith("fe80"):
                continue
            host = ":".join(number[start : start + 4] for start in range(0, 32, 4))
            with listening(f"{host}%{interface}") as (listener,):
                assert f"%{interface}]:" in address_of(listener)
                connect(address_of(listener)).close()
            return
    pytest.skip("needs a link-local address")


def _if_inet6() -> list[str]:
    table = Path("/proc/net/if_inet6")
    return table.read_text(encoding="utf-8").splitlines() if table.exists() else []


Found = list[tuple[int, int, int, str, Any]]


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Lets every name have these addresses."""

    def getaddrinfo(_: str, port: int, **__: Any) -> Found:
        return [
            (V6, socket.SOCK_STREAM, 6, "", (host, port, 0, 0))
            if ":" in host
            else (V4, socket.SOCK_STREAM, 6, "", (host, port))
            for host in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_a_name_is_served_at_all_its_addresses_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one port at each; one that this machine does not have is left out, as where IPv6 is switched off."""
    resolving(monkeypatch, "2001:db8::1", "127.0.0.1", "127.0.0.2", "127.0.0.1")
    with listening("a.name") as listeners:
        names = [listener.getsockname() for listener in listeners]
    assert [host for host, _ in names] == ["127.0.0.1", "127.0.0.2"]
    assert len({port for _, port in names}) == 1


def test_a_free_port_is_free_at_all_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that is taken at the second address is not used at the first one either: another one is looked for."""
    resolving(monkeypatch, "127.0.0.1", "127.0.0.2")
    bind, refusals = socket.socket.bind, iter([True, True])

    class Socket(socket.socket):
        def bind(self, address: Any) -> None:
            if address[0] == "127.0.0.2" and next(refusals, False):
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            bind(self, address)

    monkeypatch.setattr(socket, "socket", Socket)
    with listening("a.name") as listeners:
        assert len({listener.getsockname()[1] for listener in listeners}) == 1
        assert len(listeners) == 2


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("192.0.2.99", "Cannot assign requested address|Can't assign"),
        pytest.param("2001:db8::99", "Cannot assign requested address|Can't assign", marks=needs_ipv6),
        ("no.such.name.invalid", "Name or service not known|nodename nor servname|Temporary failure"),
        ("a b", "."),
        ("a" * 70, "not a host name"),
        ("::1::", "."),
        ("127.0.0.1:9464", "."),
        ("http://localhost", "."),
        ("*", "not an address"),
    ],
)
def test_an_address_of_another_machine(host: str, reason: str) -> None:
    """It is refused as misuse, with the reason and the setting to change."""
    with pytest.raises(
        MisuseError, match=f"cannot be used for /metrics: ({reason}).*; set http_host to (an address|:: for all)"
    ):
        listen(endpoint(host))


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_a_port_in_use(host: str) -> None:
    """It is refused with the address as it is written in a URL, and what to set."""
    with listening(host) as (listener,):
        port = listener.getsockname()[1]
        with pytest.raises(MisuseError) as raised, listening(host, port):
            pass
    assert str(raised.value) == (
        f"{bracketed(host)}:{port} cannot be used for /metrics: {os.strerror(errno.EADDRINUSE)}; "
        "set http_port to a free port, or to 0 to choose a free one"
    )


def test_a_port_for_privileged_processes() -> None:
    """A port below 1024 is refused with the reason where the process may not have it."""
    first = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not first.exists() or int(first.read_text(encoding="utf-8")) <= 80:
        pytest.skip("here every process may have port 80")
    program = (
        "import os; from scorer.http.address import Endpoint, listen; 'a'.encode('idna');"  # imports what it needs
        "os.getuid() or os.setuid(65534);"
        "listen(Endpoint('127.0.0.1', 80, '/metrics', 'http_host', 'http_port'))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert "127.0.0.1:80 cannot be used for /metrics: Permission denied; ports below 1024" in ran.stderr
    assert "set http_port to a higher one" in ran.stderr
