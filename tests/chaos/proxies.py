"""Toxiproxy in front of brokers: one process, one proxy per listener, faults added and removed over HTTP."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from scorer.local.child import Child
from scorer.local.running import free_ports

_CALL_S: Final = 10.0  # one request to a process on this machine
_START_S: Final = 20.0

Stream = Literal["upstream", "downstream"]
BOTH: Final[tuple[Stream, ...]] = ("upstream", "downstream")


class Proxy(NamedTuple):
    """A port that forwards to another port of this machine."""

    name: str
    listen: int
    upstream: int


class Toxic(NamedTuple):
    """What a proxy does to the bytes that pass it; the types and attributes are Toxiproxy's own."""

    kind: str
    attributes: Mapping[str, int]
    streams: tuple[Stream, ...] = BOTH


class Toxiproxy:
    """A Toxiproxy server with its proxies."""

    def __init__(self, program: Path, folder: Path, proxies: Iterable[Proxy]) -> None:
        """Starts the server and creates the proxies.

        Args:
            program: the server's executable.
            folder: for its log.
            proxies: what to create.
        """
        (self._port,) = free_ports(1)
        command = [str(program), "-host", "127.0.0.1", "-port", str(self._port)]
        self._server = Child(command, folder, "toxiproxy", {})
        self._wait_for_start()
        for proxy in proxies:
            self._call(
                "POST",
                "/proxies",
                {
                    "name": proxy.name,
                    "listen": f"127.0.0.1:{proxy.listen}",
                    "upstream": f"127.0.0.1:{proxy.upstream}",
                    "enabled": True,
                },
            )

    def add(self, names: Iterable[str], toxic: Toxic) -> None:
        """Adds a toxic to each of these proxies."""
        for name in names:
            for stream in toxic.streams:
                self._call(
                    "POST",
                    f"/proxies/{name}/toxics",
                    {
                        "name": f"{toxic.kind}-{stream}",
                        "type": toxic.kind,
                        "stream": stream,
                        "attributes": dict(toxic.attributes),
                    },
                )

    def remove(self, names: Iterable[str], toxic: Toxic) -> None:
        """Removes a toxic that was added."""
        for name in names:
            for stream in toxic.streams:
                self._call("DELETE", f"/proxies/{name}/toxics/{toxic.kind}-{stream}")

    def accept(self, names: Iterable[str], *, connections: bool) -> None:
        """Lets these proxies accept connections, or closes what is open and refuses new ones."""
        for name in names:
            self._call("POST", f"/proxies/{name}", {"enabled": connections})

    def reset(self) -> None:
        """Removes every toxic and enables every proxy."""
        self._call("POST", "/reset", {})

    def stop(self) -> None:
        """Ends the server."""
        self._server.kill()

    def _wait_for_start(self) -> None:
        ends_at = time.monotonic() + _START_S
        while True:
            try:
                self._call("GET", "/version")
            except OSError:
                assert time.monotonic() < ends_at, f"Toxiproxy does not answer: {self._server.last_lines()}"
                time.sleep(0.05)
            else:
                return

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=_CALL_S):  # noqa: S310  (its own server)
            pass
