"""The server's limits: each connection has some seconds for its request and for its answer, and some bytes."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from scorer.http import connections, server
from scorer.http.address import Endpoint, address_of, listen
from scorer.http.connections import CONNECTIONS_MAX, HEAD_BYTES_MAX, Claim, connections_max
from scorer.http.server import App, Receive, Send, Server
from tests.integration.worker_process import wait_until
from tests.sockets import HALF_A_REQUEST, ask, connect, get, half_open, read_to_the_end

pytestmark = pytest.mark.slow

LARGE = b"x" * 20_000_000


async def app(scope: Any, receive: Receive, send: Send) -> None:
    """Answers by the path: at once, much, piece by piece, the body's length, or not at all."""
    if scope["path"] == "/fails":
        raise ValueError("secret-in-an-exception")
    if scope["path"] == "/breaks":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("secret-in-an-exception")
    body = LARGE if scope["path"].startswith("/large") else b"here\n"
    if scope["path"] == "/body":
        read, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            read, more = read + len(message["body"]), message["more_body"]
        body = f"{read} bytes\n".encode()
    streams = scope["path"].endswith("stream")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": streams})
    while streams and (await receive())["type"] != "http.disconnect":
        pass


async def hosts(scope: Any, _: Receive, send: Send) -> None:
    """Answers with all hosts that the request names, and its path."""
    named = b" ".join([*(value for name, value in scope["headers"] if name == b"host"), scope["raw_path"]])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": named})


@contextmanager
def serving(answers: App = app) -> Iterator[tuple[str, Server]]:
    """A server in a thread; its address."""
    listeners = listen(Endpoint("127.0.0.1", 0, "a test", "host", "port"))
    served = Server(answers, listeners, shutdown_s=1, headers=[("x-test", "yes")])
    thread = Thread(target=served.run)
    thread.start()
    try:
        yield address_of(listeners[0]), served
    finally:
        served.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a server with the limits as they are."""
    with serving() as (bound, _):
        yield bound


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets connections be closed after a moment instead of some seconds."""
    monkeypatch.setattr(server, "_ENFORCE_S", 0.05)
    monkeypatch.setattr(connections, "_LIMITS_S", {Claim.IDLE: 0.2, Claim.UNREAD: 0.2})


def request(path: str, *headers: str, method: str = "GET") -> bytes:
    """A whole head."""
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: a", *headers, "", "")).encode()


@pytest.mark.parametrize("descriptors_max", [64, 1_024, 20_000, resource.RLIM_INFINITY])
def test_connections_leave_descriptors_for_others(monkeypatch: pytest.MonkeyPatch, descriptors_max: int) -> None:
    """They take a quarter of the process's descriptors, so that brokers and bundles have theirs, and 256 at most."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors_max, descriptors_max))
    least = descriptors_max // 4 if 0 < descriptors_max < 1_024 else CONNECTIONS_MAX
    assert connections_max() == min(least, CONNECTIONS_MAX)


def test_the_longest_idle_connection_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit the oldest of those that have asked for nothing is closed, and all that ask are answered."""
    monkeypatch.setattr(server, "connections_max", lambda: 4)
    with serving() as (address, served), half_open(address, 4) as idle:
        wait_until(lambda: len(served.server_state.connections) == 4, "all are accepted")
        assert get(address, "/") == (200, b"5\r\nhere\n\r\n0\r\n\r\n")
        assert idle[0].recv(1) == b""
        for connection in idle[1:]:
            connection.sendall(b"Connection: close\r\n\r\n")
            assert read_to_the_end(connection).startswith(b"HTTP/1.1 200 ")


def test_streams_are_not_closed_for_new_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that are read go on at the limit; a connection for which there is no room is closed."""
    monkeypatch.setattr(server, "connections_max", lambda: 2)
    with serving() as (address, served), ExitStack() as opened:
        streams = [opened.enter_context(closing(connect(address))) for _ in range(2)]
        for stream in streams:
            stream.sendall(request("/stream"))
            received = b""
            while b"here" not in received:
                received += stream.recv(1_000)
        assert ask(address, request("/")) == b""
        streams[0].close()
        wait_until(lambda: len(served.server_state.connections) == 1, "the stream's end is noticed")
        assert get(address, "/")[0] == 200
        streams[1].setblocking(False)
        with pytest.raises(BlockingIOError):
            streams[1].recv(1)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        HALF_A_REQUEST,
        request("/body", "Content-Length: 10", method="POST") + b"12345",
        request("/body", "Transfer-Encoding: chunked", method="POST") + b"5\r\n12345\r\n",
        request("/", "Content-Length: 10", method="POST") + b"12345",
    ],
)
def test_a_request_that_does_not_end(sent: bytes) -> None:
    """A connection without a whole request within some seconds is closed, whether head or body is missing."""
    with serving() as (address, served):
        answer = ask(address, sent)
        assert answer.startswith(b"HTTP/1.1 200 ") == sent.startswith(b"POST / ")
        wait_until(lambda: not served.server_state.connections, "the connection is gone")
        wait_until(lambda: not served.server_state.tasks, "what answers is gone")


@pytest.mark.usefixtures("hurried")
def test_a_request_that_trickles_in() -> None:
    """A byte now and then does not give a connection more time."""
    with serving() as (address, _), closing(connect(address)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012
            connection.settimeout(0.02)
            while True:
                connection.sendall(b"A: b\r\n")
                try:
                    assert connection.recv(1) == b""
                except TimeoutError:
                    continue
                raise BrokenPipeError


def test_a_connection_is_used_again(address: str) -> None:
    """Several requests on one connection are answered, also where they are sent without waiting."""
    with closing(connect(address)) as connection:
        connection.sendall(request("/") * 2 + request("/", "Connection: close"))
        assert read_to_the_end(connection).count(b"HTTP/1.1 200 ") == 3


@pytest.mark.usefixtures("hurried")
def test_an_answered_connection_is_closed_when_idle() -> None:
    """A client that asks no more does not keep its connection."""
    with serving() as (address, _):
        assert ask(address, request("/")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("sent", [request("/large"), request("/large", "Connection: close"), request("/") * 2_000])
def test_a_client_that_does_not_read(sent: bytes) -> None:
    """An answer that is not read is given up after some seconds, also one of many that were asked for at once."""
    with serving() as (address, served), socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        host, _, port = address.rpartition(":")
        connection.connect((host, int(port)))
        connection.sendall(sent)
        wait_until(lambda: bool(served.server_state.connections), "it is accepted")
        wait_until(lambda: not served.server_state.connections, "it is closed")
        assert get(address, "/")[0] == 200
        assert len(read_to_the_end(connection)) < len(LARGE)


@pytest.mark.parametrize(
    "sent", [request("/large"), request("/large") * 3, request("/large-stream"), request("/") * 900]
)
def test_clients_that_do_not_read_make_room(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """At the limit they are closed for new connections, whatever they asked for and however often."""
    monkeypatch.setattr(server, "connections_max", lambda: 4)
    with serving() as (address, served), ExitStack() as opened:
        for _ in range(8):
            connection = opened.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            host, _, port = address.rpartition(":")
            connection.connect((host, int(port)))
            connection.sendall(sent)
            assert get(address, "/")[0] == 200
        assert len(served.server_state.connections) <= 5


@pytest.mark.usefixtures("hurried")
def test_a_slow_client_is_not_cut() -> None:
    """An answer that is read at once arrives whole, however large."""
    with serving() as (address, _):
        assert LARGE in get(address, "/large")[1]


@pytest.mark.parametrize(
    "sent",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        request("/", "Content-Length: -1"),
        request("/body", "Content-Length: 1", "Transfer-Encoding: gzip", method="POST"),
        request("/body", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n",
    ],
)
def test_what_is_not_http(address: str, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It is answered with 400 and the headers of every answer, and nothing is logged: anybody can send it."""
    answer = ask(address, sent)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
    assert b"x-test: yes\r\n" in answer
    assert caplog.records == []


def test_garbage_after_an_answer_has_begun(address: str, caplog: pytest.LogCaptureFixture) -> None:
    """There is no room for another answer: the connection ends, without a traceback in the log."""
    sent = request("/", "Transfer-Encoding: chunked", method="POST")
    with closing(connect(address)) as connection:
        connection.sendall(sent)
        assert connection.recv(1_000).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"zz\r\n" * 10)
        read_to_the_end(connection)
        assert get(address, "/")[0] == 200
    assert caplog.records == []


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
@pytest.mark.parametrize("name", [b"GET / HTTP/1.1\r\nHost: a\r\nA: ", b"GET /"])
def test_a_head_that_is_too_long(address: str, name: bytes, end: bytes) -> None:
    """It is refused as too long, whether it comes in one piece or has no end, and whichever line is too long."""
    if name == b"GET /" and end:
        end = b" HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = ask(address, name + b"a" * (HEAD_BYTES_MAX + 100) + end)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"longer than 16,384 bytes" in answer


def test_many_headers_are_too_long_as_well(address: str) -> None:
    """It is the sum that counts."""
    assert ask(address, request("/", *["A: b"] * 4_000)).startswith(b"HTTP/1.1 431 ")
    assert ask(address, request("/", *["A: b"] * 1_000, "Connection: close")).startswith(b"HTTP/1.1 200 ")


def test_an_application_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """It is one answer with the headers of every answer, and one line that says where, without the exception's text."""
    with serving() as (address, _):
        for _ in range(50):
            answer = ask(address, request("/fails"))
            assert answer.startswith(b"HTTP/1.1 500 ")
            assert b"x-test: yes\r\n" in answer
        assert ask(address, request("/breaks")).startswith(b"HTTP/1.1 200 ")
        assert get(address, "/")[0] == 200
    (line,) = caplog.records
    assert line.__dict__["event"] == "http_failed"
    fields = line.__dict__["fields"]
    assert (fields["error"], fields["suppressed"]) == ("ValueError", 0)
    assert fields["location"].startswith("http/test_server.py:")
    assert "secret" not in caplog.text


@pytest.mark.usefixtures("hurried")
def test_a_client_that_leaves_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """An application that fails because its client has gone is not logged."""
    with serving() as (address, served):
        with closing(connect(address)) as connection:
            connection.sendall(request("/body", "Content-Length: 10", method="POST"))
            wait_until(lambda: bool(served.server_state.tasks), "it is being answered")
        wait_until(lambda: not served.server_state.tasks, "it is over")
    assert caplog.records == []


def test_the_end_waits_for_nobody() -> None:
    """Neither an idle connection, nor a stream, nor an answer that is not read holds up the end; the port is free."""
    with ExitStack() as opened:
        with serving() as (address, served):
            connections = [opened.enter_context(closing(connect(address))) for _ in range(4)]
            for connection, sent in zip(
                connections, (b"", HALF_A_REQUEST, request("/stream"), request("/large")), strict=True
            ):
                connection.sendall(sent)
            wait_until(lambda: len(served.server_state.connections) == 4, "all are accepted")
        assert not served.server_state.connections
        with pytest.raises(ConnectionRefusedError):
            connect(address)


def test_no_file_descriptor_is_left_behind() -> None:
    """A server that has ended has closed everything that it has opened."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("needs /proc")
    with serving() as (address, _):
        get(address, "/")
    before = len(list(descriptors.iterdir()))
    with serving() as (address, _), half_open(address, 20):
        get(address, "/large")
    assert len(list(descriptors.iterdir())) == before


def test_the_host_of_a_whole_url_counts() -> None:
    """Not the header's: what checks the host, as the console does, must see where the request goes."""
    with serving(hosts) as (address, _), closing(HTTPConnection(address, timeout=30)) as connection:
        connection.request("GET", "http://evil.example/page?x=1", headers={"Host": "localhost"})
        assert connection.getresponse().read() == b"evil.example /page"
