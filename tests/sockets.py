"""Clients of HTTP servers that do what no library does: half a request, many of them, and nothing that is read."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

WAIT_S = 60.0
"""For an answer on a busy machine."""
HALF_A_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
_OWN_DESCRIPTORS = 200
"""Of the test's process, besides the connections."""


def connect(address: str) -> socket.socket:
    """A connection to host:port, an IPv6 address in brackets."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=WAIT_S)


def ask(address: str, request: bytes) -> bytes:
    """Sends these bytes on a new connection; all that comes back until the server closes it."""
    with closing(connect(address)) as connection:
        connection.sendall(request)
        return read_to_the_end(connection)


def get(address: str, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Status and body of an answer."""
    answer = ask(address, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def read_to_the_end(connection: socket.socket) -> bytes:
    """All that comes until the server closes the connection, however it does so."""
    received = bytearray()
    try:
        while chunk := connection.recv(65_536):
            received += chunk
    except ConnectionResetError:
        pass
    return bytes(received)


@contextmanager
def half_open(address: str, count: int, request: bytes = HALF_A_REQUEST) -> Iterator[list[socket.socket]]:
    """So many connections that ask half a request and then nothing; all are held until the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _OWN_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"needs {wanted} file descriptors, and this process may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        with ExitStack() as opened:
            connections = []
            for _ in range(count):
                connection = opened.enter_context(closing(connect(address)))
                connection.sendall(request)
                connections.append(connection)
            yield connections
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
