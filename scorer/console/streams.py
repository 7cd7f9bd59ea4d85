"""The live streams of open pages: server-sent events with a bounded queue per page and a limit per client."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Final

STREAMS_MAX: Final = 64
"""In total: a quarter of the server's connections, so that streams never use them up."""
CLIENT_STREAMS_MAX: Final = 16
"""Per client: browsers open at most six connections to one server."""
_QUEUE_MAX: Final = 120
"""Events, about two minutes: a page that is further behind reconnects and gets the whole state again."""
_RETRY_MS: Final = 1_500
_DISPLACED_RETRY_MS: Final = 15_000
"""A displaced page reconnects later, so that two pages do not displace each other all the time."""


class _Page:
    """An open page and the events that it has not received yet."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE_MAX)

    def end(self, last: bytes = b"") -> None:
        """Ends the stream after the queued events; drops the oldest of them if the queue is full."""
        for text in (last, None):
            if text == b"":
                continue
            if self.queue.full():
                self.queue.get_nowait()
            self.queue.put_nowait(text)


class Streams:
    """Sends events to every open page; used only in the event loop's thread."""

    def __init__(self) -> None:
        self._pages: list[_Page] = []  # the oldest first

    def send(self, event: str, data: object) -> None:
        """Queues an event for every page; a page whose queue is full is disconnected and will reconnect."""
        text = _event(event, data)
        for page in list(self._pages):
            if page.queue.full():
                self._pages.remove(page)
                page.end()
            else:
                page.queue.put_nowait(text)

    async def events(self, client: str, state: object, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
        """The server-sent events of one page, which may displace an older page.

        Args:
            client: the session, or the address of a client without one.
            state: the whole state, which is sent first.
            ended: whether the server, or the page's session, has ended.
        """
        self._make_room(client)
        page = _Page(client)
        self._pages.append(page)
        try:
            yield _retry(_RETRY_MS) + _event("state", state)
            while (text := await page.queue.get()) is not None and not ended():
                yield text
        finally:
            if page in self._pages:
                self._pages.remove(page)

    def _make_room(self, client: str) -> None:
        """Ends the oldest page of this client at its limit, or of the client with the most pages at the total limit."""
        counts = Counter(page.client for page in self._pages)
        if counts[client] >= CLIENT_STREAMS_MAX:
            largest = client
        elif len(self._pages) >= STREAMS_MAX:
            largest = max(counts, key=counts.__getitem__)
        else:
            return
        oldest = next(page for page in self._pages if page.client == largest)
        self._pages.remove(oldest)
        oldest.end(_retry(_DISPLACED_RETRY_MS))


def _retry(retry_ms: int) -> bytes:
    """The time after which the browser reconnects."""
    return f"retry: {retry_ms}\n\n".encode()


def _event(name: str, data: object) -> bytes:
    """A server-sent event; JSON has no line breaks of its own."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
