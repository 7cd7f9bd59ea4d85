"""The HTTP thread: /metrics, /healthz and /readyz on one port."""

import json
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from scorer.errors import MisuseError
from scorer.logs import HTTP_FAILED, log
from scorer.monitor.health import Health


class MonitorServer:
    """Serves until `close`; a thread beside the loop, a daemon so that it never holds the process up."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health) -> None:
        """Binds the port and starts serving.

        Args:
            host: the address to bind.
            port: the port; 0 takes a free one.
            registry: what /metrics shows.
            health: what the probes show.

        Raises:
            MisuseError: the address cannot be bound.
        """
        try:
            self._server = _Server((host, port), _handler(registry, health))
        except OSError as error:
            raise MisuseError(
                f"{host}:{port} cannot be used for /metrics: {error.strerror}; "
                "set http_port to a free port, or to 0 to take any"
            ) from error
        Thread(target=self._server.serve_forever, name="http", daemon=True).start()

    @property
    def address(self) -> str:
        """Where it serves: host:port."""
        host, port = self._server.server_address[:2]
        return f"{host if isinstance(host, str) else host.decode()}:{port}"

    def close(self) -> None:
        """Stops serving and frees the port."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Says so in the log; whoever asked has most likely gone."""
        log(HTTP_FAILED, error=type(sys.exception()).__name__)


def _handler(registry: CollectorRegistry, health: Health) -> type[BaseHTTPRequestHandler]:
    probes: dict[str, Callable[[], tuple[bool, dict[str, Any]]]] = {"/healthz": health.alive, "/readyz": health.ready}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, content_type, encode(registry))
            elif path in probes:
                ok, detail = probes[path]()
                body = json.dumps({"ok": ok, **detail}, indent=2).encode()
                self._answer(200 if ok else 503, "application/json", body)
            else:
                self._answer(404, "text/plain; charset=utf-8", b"here are /metrics, /healthz and /readyz\n")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds: nothing to log."""

    return Handler
