"""Connection limits: number, idle time, write time, and which connection is closed at the limit."""

import asyncio
import math
import resource
from enum import IntEnum
from typing import Any, Final

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.server import ServerState

CONNECTIONS_MAX: Final = 256
"""A worker has a handful of clients, and a browser opens at most six connections. The limit is much higher, so that a
client that sends its request at once is answered before that many others have connected after it."""
_DESCRIPTORS_SHARE: Final = 4
"""At most a quarter of the process's file descriptors: the rest is for brokers, bundles and files."""
_CONNECTIONS_MIN: Final = 16
REQUEST_S: Final = 10.0
"""From connecting, or from the last response, to a complete request; enough for a slow network."""
WRITE_S: Final = 30.0
"""For a client to read a response of some ten kilobytes; Prometheus gives up after 10 s by default."""
KEEP_ALIVE_S: Final = 5
"""Idle time after a response: enough for a page's other files, and a new connection is cheap."""
HEAD_BYTES_MAX: Final = 16_384
"""Request line and headers: browsers send 1 to 2 kB, and other servers accept 8 to 16 kB."""
TOO_LONG: Final = f"request line and headers are longer than {HEAD_BYTES_MAX:,} bytes"


def connections_max() -> int:
    """The limit on open connections, given this process's limit on file descriptors."""
    descriptors_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors_max == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(_CONNECTIONS_MIN, min(CONNECTIONS_MAX, descriptors_max // _DESCRIPTORS_SHARE))


class Claim(IntEnum):
    """State of a connection; at the limit, the connection with the lowest one is closed first."""

    IDLE = 0
    """No complete request yet."""
    UNREAD = 1
    """The client does not read the response."""
    UNANSWERED = 2
    """A complete request without a response yet."""
    READING = 3
    """The client reads a response that has not ended: a stream. The application limits these; they are not closed."""


_LIMITS_S: Final = {Claim.IDLE: REQUEST_S, Claim.UNREAD: WRITE_S}


class Connection(H11Protocol):
    """One connection; used only in the event loop's thread."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], limit: int) -> None:
        """Prepares.

        Args:
            config: the server's configuration.
            server_state: holds all connections of the server.
            app_state: state from the application's lifespan.
            limit: connections that the server may have.
        """
        super().__init__(config, server_state, app_state, asyncio.get_running_loop())
        self._limit = limit
        self._claim_since = self.loop.time()
        self._unread_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Registers the connection; at the limit another one is closed, or this one."""
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        if len(self.connections) > self._limit and not evict(self.server_state, newest=self):
            self.cut()

    def on_response_complete(self) -> None:
        """Starts the time limit for the next request."""
        self._claim_since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Responds to a malformed request or one with too long a head; uvicorn calls this for both."""
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:  # a response has begun; there cannot be another
            self.cut()
            return
        if self.cycle is not None and not self.cycle.response_complete:  # the application waits for the body
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        status, text = 400, msg
        if len(self.conn.trailing_data[0]) > HEAD_BYTES_MAX:
            status, text = 431, TOO_LONG
        body = f"{text}\n".encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"text/plain"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status]),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def claim(self) -> tuple[Claim, float]:
        """Its state, and since when (event loop time, in seconds)."""
        if self.transport.get_write_buffer_size():
            return Claim.UNREAD, self.loop.time() if self._unread_since is None else self._unread_since
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            return Claim.IDLE, self._claim_since
        return Claim.READING if self.cycle.response_started else Claim.UNANSWERED, self._claim_since

    def enforce(self) -> None:
        """Closes the connection if it has exceeded its time limit; called about once per second."""
        now = self.loop.time()
        if self.transport.get_write_buffer_size():
            self._unread_since = self._unread_since or now
            self._claim_since = now
        else:
            self._unread_since = None
        claim, since = self.claim()
        if now - since > _LIMITS_S.get(claim, math.inf):
            self.cut()

    def cut(self) -> None:
        """Closes the connection at once and discards unsent data."""
        self.connections.discard(self)
        self.transport.abort()


def connections_of(server_state: ServerState) -> list[Connection]:
    """All connections of a server."""
    return [connection for connection in server_state.connections if isinstance(connection, Connection)]


def evict(server_state: ServerState, newest: Connection | None = None) -> bool:
    """Closes the connection with the lowest claim, and of several the one that has had it the longest.

    Args:
        server_state: holds all connections of the server.
        newest: a connection that is not to be closed.

    Returns:
        Whether a connection was closed.
    """
    others = [connection for connection in connections_of(server_state) if connection is not newest]
    if not others:
        return False
    victim = min(others, key=Connection.claim)
    if victim.claim()[0] is Claim.READING:
        return False
    victim.cut()
    return True
