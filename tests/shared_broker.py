"""One broker for all processes of a parallel run: who started them owns it, and starts it when the first one asks."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import Client, Listener
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from scorer.local.broker import start_broker


class Shared(NamedTuple):
    """What a test has to know about a broker that another process owns."""

    kind: str
    bootstrap_servers: str
    description: str
    log_path: Path | None
    lacks: str
    """Why there is no better one than the mock cluster; empty if there is."""


class BrokerOwner:
    """Starts the broker when the first process asks for it, and tells the others of the same one."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._listener = self._stack.enter_context(closing(Listener()))
        self._shared: Shared | Exception | None = None
        self.address = str(self._listener.address)
        Thread(target=self._serve, name="shared broker", daemon=True).start()

    def close(self) -> None:
        """Stops the broker, if one was started."""
        self._stack.close()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:  # closed
                return
            with connection:
                connection.send(self._ask())

    def _ask(self) -> Shared | Exception:
        if self._shared is None:
            try:
                self._shared = self._stack.enter_context(started())
            except Exception as failure:  # noqa: BLE001  (whoever asked raises it)
                self._shared = failure
        return self._shared


@contextmanager
def started() -> Iterator[Shared]:
    """The broker that is given, or one in Docker or on Java, while it is used."""
    messages: list[str] = []
    given = os.environ.get("SCORER_BOOTSTRAP_SERVERS")
    with start_broker("auto", bootstrap_servers=given, say=messages.append) as broker:
        lacks = "; ".join(messages[:-1]) if broker.kind == "mock" else ""
        yield Shared(broker.kind, broker.bootstrap_servers, broker.description, broker.log_path, lacks)


def ask(address: str) -> Shared:
    """The broker of the process that listens there.

    Raises:
        Exception: whatever kept it from being started.
    """
    with Client(address) as connection:
        answer = connection.recv()
    if isinstance(answer, Exception):
        raise answer
    assert isinstance(answer, Shared)
    return answer
