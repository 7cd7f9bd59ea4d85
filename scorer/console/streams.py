"""The pages that are open, and what each has not heard yet: server-sent events, a bounded queue for each page."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Final

_STREAMS_MAX: Final = 64
_QUEUE_MAX: Final = 120
"""Events, so about two minutes: a page that is so far behind gets the whole picture anew instead."""
_RETRY_MS: Final = 1_500


class Streams:
    """Tells every open page what happens; used in the loop's thread alone."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[bytes | None]] = set()

    def tell(self, event: str, data: object) -> None:
        """Tells every page; one that does not keep up is let go, and comes back for the whole picture."""
        text = _event(event, data)
        for queue in list(self._queues):
            try:
                queue.put_nowait(text)
            except asyncio.QueueFull:
                self._queues.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)

    def full(self) -> bool:
        """Whether no further page can be open."""
        return len(self._queues) >= _STREAMS_MAX

    async def events(self, whole: object, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
        """What one page hears, as server-sent events.

        Args:
            whole: the whole picture, which it hears first.
            ended: whether the server, or the page's session, has ended.
        """
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE_MAX)
        self._queues.add(queue)
        try:
            yield f"retry: {_RETRY_MS}\n\n".encode() + _event("whole", whole)
            while (text := await queue.get()) is not None and not ended():
                yield text
        finally:
            self._queues.discard(queue)


def _event(name: str, data: object) -> bytes:
    """A server-sent event; JSON has no line breaks of its own."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
