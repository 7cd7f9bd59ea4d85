"""The HTTP server of workers and console: uvicorn with connection limits and one log line per failure."""

import asyncio
import errno
import re
import threading
import traceback
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from socket import socket
from typing import Any, Final
from urllib.parse import unquote

import uvicorn

from scorer.http.connections import (
    HEAD_BYTES_MAX,
    KEEP_ALIVE_S,
    TOO_LONG,
    Connection,
    connections_max,
    connections_of,
    evict,
)
from scorer.http.throttle import Throttle
from scorer.logs import HTTP_ACCEPT_FAILED, HTTP_FAILED, log

# ASGI's types, without a dependency that defines them.
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_ENFORCE_S: Final = 1.0
_ACCEPT_RETRY_S: Final = 0.1
"""Without a free file descriptor the next attempt fails at once, and the thread would spin."""
_PACKAGE: Final = "scorer"
_is_url = re.compile(rb"https?://([^/]*)(.*)", re.IGNORECASE | re.DOTALL).fullmatch


class Server(uvicorn.Server):
    """Serves an ASGI application on listening sockets until `should_exit` is set."""

    def __init__(
        self,
        app: App,
        listeners: Sequence[socket],
        *,
        shutdown_s: int,
        headers: Sequence[tuple[str, str]] = (),
        has_lifespan: bool = False,
    ) -> None:
        """Prepares.

        Args:
            app: the ASGI application.
            listeners: listening sockets; they are closed at the end.
            shutdown_s: seconds for responses that have begun when the server stops.
            headers: sent with every response, also to malformed requests.
            has_lifespan: whether the application handles ASGI's lifespan events.
        """
        self._failures = Throttle()
        self._accept_failures = Throttle()
        super().__init__(
            uvicorn.Config(
                _Contained(app, self._log_failure),
                # Not "auto": the choice would depend on which other packages are installed.
                http=Connection,
                loop="asyncio",
                ws="none",
                interface="asgi3",
                lifespan="on" if has_lifespan else "off",
                # uvicorn would log a line for what clients send; _Contained logs the application's failures.
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                headers=list(headers),
                proxy_headers=False,
                h11_max_incomplete_event_size=HEAD_BYTES_MAX,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=shutdown_s,
            )
        )
        self.ready = threading.Event()
        """Set once connections are accepted."""
        self._listeners = listeners
        self._limit = connections_max()
        self._jobs: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Starts the application, then accepts connections."""
        del sockets  # accepted here: asyncio accepts a whole backlog before it reads anything
        await super().startup(sockets=[])
        asyncio.get_running_loop().set_exception_handler(self._log_loop_failure)
        jobs = [self._accept(listener) for listener in self._listeners]
        self._jobs = [asyncio.create_task(job) for job in (*jobs, self._enforce_limits())]
        self.ready.set()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stops accepting, closes connections, then stops the application."""
        del sockets
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        await super().shutdown(sockets=[])
        for connection in connections_of(self.server_state):
            connection.cut()
        await asyncio.sleep(0)  # the loop closes their sockets

    async def _accept(self, listener: socket) -> None:
        """Accepts connections one at a time, so that each is read from before many others are accepted."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE}:
                    evict(self.server_state)
                suppressed = self._accept_failures.due()
                if suppressed is not None:
                    log(HTTP_ACCEPT_FAILED, error=error.strerror, suppressed=suppressed)
                await asyncio.sleep(_ACCEPT_RETRY_S)
                continue
            try:
                await loop.connect_accepted_socket(self._connection, accepted)
            except Exception as failure:  # noqa: BLE001  (one failed connection must not stop the server)
                accepted.close()
                self._log_failure(failure)

    def _connection(self) -> Connection:
        return Connection(self.config, self.server_state, self.lifespan.state, self._limit)

    async def _enforce_limits(self) -> None:
        while True:
            await asyncio.sleep(_ENFORCE_S)
            for connection in connections_of(self.server_state):
                connection.enforce()

    def _log_loop_failure(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Logs exceptions in callbacks: most likely the client has disconnected."""
        failure = context.get("exception")
        if failure is not None:
            self._log_failure(failure)

    def _log_failure(self, failure: BaseException) -> None:
        suppressed = self._failures.due()
        if suppressed is not None:
            log(HTTP_FAILED, error=type(failure).__name__, location=_location(failure), suppressed=suppressed)


class _Contained:
    """ASGI middleware: limits the request head, and turns exceptions into a 500 and a throttled log line."""

    def __init__(self, app: App, log_failure: Callable[[BaseException], None]) -> None:
        self._app = app
        self._log_failure = log_failure

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handles a request."""
        if scope["type"] == "http":
            if _head_bytes(scope) > HEAD_BYTES_MAX:
                await _answer(send, 431, TOO_LONG)
                return
            scope = _in_origin_form(scope)
        started = gone = False

        async def receive_watched() -> Message:
            nonlocal gone
            event = await receive()
            gone = gone or event["type"] == "http.disconnect"
            return event

        async def send_watched(event: Message) -> None:
            nonlocal started
            started = started or event["type"] == "http.response.start"
            await send(event)

        try:
            await self._app(scope, receive_watched, send_watched)
        except Exception as failure:  # noqa: BLE001  (no request may cause an unhandled exception)
            if gone:
                return
            self._log_failure(failure)
            if scope["type"] == "http" and not started:
                await _answer(send, 500, "internal error; see the log")


async def _answer(send: Send, status: int, text: str) -> None:
    body = f"{text}\n".encode()
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _in_origin_form(scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A request whose target is an absolute URL, rewritten to a path and the URL's host (RFC 9112, 3.2.2)."""
    absolute = _is_url(scope["raw_path"])
    if absolute is None:
        return scope
    host, path = absolute.groups()
    headers = [(b"host", host), *(header for header in scope["headers"] if header[0] != b"host")]
    return {**scope, "path": unquote(path.decode()) or "/", "raw_path": path or b"/", "headers": headers}


def _head_bytes(scope: MutableMapping[str, Any]) -> int:
    """Approximate length of the request line and headers."""
    headers = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    return headers + len(scope["raw_path"]) + len(scope["query_string"])


def _location(failure: BaseException) -> str:
    """File and line where it was raised, in our own code if possible; no values."""
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(failure.__traceback__)]
    ours = [(path, line) for path, line in frames if path.parent.parent.name == _PACKAGE and path != Path(__file__)]
    path, line = (ours or frames or [(Path("unknown"), 0)])[-1]
    return f"{path.parent.name}/{path.name}:{line}"
