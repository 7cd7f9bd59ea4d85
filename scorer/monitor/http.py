"""The HTTP thread of a worker: /metrics, /healthz and /readyz on one port."""

import json
import re
import signal
from collections.abc import Callable, MutableMapping
from threading import Thread
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from scorer.http.address import Endpoint, address_of, listen
from scorer.http.server import App, Receive, Send, Server
from scorer.monitor.health import Health

_SHUTDOWN_S: Final = 1
"""For responses that have begun when the worker stops; it has left its group by then."""
_CLOSE_S: Final = 5.0
_START_S: Final = 5.0
"""If the thread does not start, the worker runs without probes: decisions do not depend on them."""
_TEXT: Final = "text/plain; charset=utf-8"
_METHODS: Final = ("GET", "HEAD")
# Paths and URLs, quoted or not: every word with a slash.
_locations = re.compile(r"""'[^']*/[^']*'|"[^"]*/[^"]*"|[^\s'"]*/[^\s'"]*""")


class MonitorServer:
    """Serves until `close`, in a daemon thread with its own event loop, independent of the worker's loop."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health) -> None:
        """Binds the port and starts serving.

        Args:
            host: the address to bind, IPv4, IPv6 or a host name.
            port: the port; 0 chooses a free one.
            registry: the metrics for /metrics.
            health: the state for the probes.

        Raises:
            MisuseError: the address cannot be bound.
        """
        self._listeners = listen(Endpoint(host, port, "/metrics", "http_host", "http_port"))
        self.address = address_of(self._listeners[0])
        """host:port, an IPv6 address in brackets."""
        self._server = Server(_app(registry, health), self._listeners, shutdown_s=_SHUTDOWN_S)
        self._thread = Thread(target=self._serve, name="http", daemon=True)
        self._thread.start()
        self._server.ready.wait(_START_S)

    def _serve(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # the main thread handles them
        try:
            self._server.run()
        finally:  # reject clients at once instead of letting them wait
            self._server.ready.set()
            self._close_listeners()

    def close(self) -> None:
        """Stops serving and frees the port."""
        self._server.should_exit = True
        self._thread.join(_CLOSE_S)
        self._close_listeners()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()


def _app(registry: CollectorRegistry, health: Health) -> App:
    """The ASGI application."""
    probes: dict[str, Callable[[], tuple[bool, dict[str, Any]]]] = {"/healthz": health.alive, "/readyz": health.ready}

    def answer(scope: MutableMapping[str, Any]) -> tuple[int, str, bytes]:
        path = scope["path"]
        if path != "/metrics" and path not in probes:
            return 404, _TEXT, b"not found; available are /metrics, /healthz and /readyz\n"
        if scope["method"] not in _METHODS:
            return 405, _TEXT, f"method not allowed; use {', '.join(_METHODS)}\n".encode()
        if path == "/metrics":
            accept = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"accept")
            return 200, *encode_metrics(registry, accept)
        ok, detail = probes[path]()
        body = json.dumps({"ok": ok, **_without_locations(detail)}, indent=2).encode()
        return 200 if ok else 503, "application/json", body

    async def app(scope: MutableMapping[str, Any], _: Receive, send: Send) -> None:
        status, content_type, body = answer(scope)
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        if status == 405:
            headers.append((b"allow", ", ".join(_METHODS).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def encode_metrics(registry: CollectorRegistry, accept: str) -> tuple[str, bytes]:
    """Returns content type and body in the format that a request's Accept header asks for; empty: Prometheus' text."""
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # the header's version is not a number
        encode, content_type = choose_encoder("")
    return content_type, encode(registry)


def _without_locations(detail: Any) -> Any:
    """A probe's detail without paths and URLs: the port needs no login, and the log has them."""
    if isinstance(detail, str):
        return _locations.sub("[see the log]", detail)
    if isinstance(detail, dict):
        return {name: _without_locations(value) for name, value in detail.items()}
    if isinstance(detail, list | tuple):
        return [_without_locations(value) for value in detail]
    return detail
