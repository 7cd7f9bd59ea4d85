"""The pages that are open: each hears everything in order, and none holds up another."""

import asyncio
import json

from scorer.console.streams import CLIENT_STREAMS_MAX, STREAMS_MAX, Streams


async def receive(
    streams: Streams, client: str = "somebody", *, ended: bool = False
) -> tuple[asyncio.Task[list[bytes]], asyncio.Event]:
    """A client's page that hears everything there is once it is told to begin."""
    begin = asyncio.Event()

    async def hear() -> list[bytes]:
        events = []
        async for text in streams.events(client, {"whole": True}, lambda: ended):
            events.append(text)
            await begin.wait()
        return events

    page = asyncio.create_task(hear())
    await asyncio.sleep(0)
    return page, begin


def test_a_page_that_does_not_keep_up_is_let_go() -> None:
    """It gets what was kept for it, and its stream ends, so that the browser comes back for the whole picture."""

    async def scene() -> list[bytes]:
        streams = Streams()
        page, begin = await receive(streams)
        for number in range(1_000):
            streams.send("tick", {"number": number})
        begin.set()
        return await page

    events = asyncio.run(scene())
    assert events[0].startswith(b"retry: ")
    assert 50 < len(events) < 200
    numbers = [json.loads(text.splitlines()[1].removeprefix(b"data: "))["number"] for text in events[1:]]
    assert numbers == list(range(1, len(numbers) + 1)), "in order, but for the first, which made room for the end"


async def opened(streams: Streams, *clients: str) -> list[asyncio.Task[list[bytes]]]:
    """A page of each client, in this order, which hears everything at once."""
    pages = []
    for client in clients:
        page, begin = await receive(streams, client)
        begin.set()
        await asyncio.sleep(0)
        pages.append(page)
    return pages


async def ended_of(pages: list[asyncio.Task[list[bytes]]]) -> list[int]:
    """Which of these pages have come to their end; all of them are closed."""
    for _ in range(10):
        await asyncio.sleep(0)
    ended_pages = [number for number, page in enumerate(pages) if page.done()]
    for page in pages:
        page.cancel()
    await asyncio.gather(*pages, return_exceptions=True)
    return ended_pages


def test_one_client_has_a_bounded_number_of_pages() -> None:
    """Its oldest page makes room for its next one, and comes back later than others; nobody else's page ends.

    Sixty-four pages of one user used to lock all others out.
    """

    async def scene() -> tuple[list[int], bytes]:
        streams = Streams()
        pages = await opened(streams, "another", *["one"] * (CLIENT_STREAMS_MAX + 2))
        last = pages[1].result()[-1]
        return await ended_of(pages), last

    assert asyncio.run(scene()) == ([1, 2], b"retry: 15000\n\n")


def test_the_client_with_the_most_pages_makes_room() -> None:
    """Where there are too many pages in all, nobody is refused: the oldest page of the largest client ends."""

    async def scene(*clients: str) -> list[int]:
        return await ended_of(await opened(Streams(), *clients))

    several = [f"client {number}" for number in range(STREAMS_MAX)]
    assert asyncio.run(scene(*several, "late")) == [0]
    large = ["large"] * CLIENT_STREAMS_MAX
    assert asyncio.run(scene(*several[: STREAMS_MAX - len(large)], *large, "late", "later")) == [
        STREAMS_MAX - len(large),
        STREAMS_MAX - len(large) + 1,
    ]


def test_a_page_that_closes_makes_room() -> None:
    """Its place is free: no other page ends for the next one."""

    async def scene() -> list[int]:
        streams = Streams()
        pages = await opened(streams, *["one"] * CLIENT_STREAMS_MAX)
        pages[3].cancel()
        await asyncio.gather(pages[3], return_exceptions=True)
        return await ended_of(pages + await opened(streams, "one"))

    assert asyncio.run(scene()) == [3]


def test_a_page_that_does_not_read_can_make_room() -> None:
    """One whose queue is full ends like any other."""

    async def scene() -> list[bytes]:
        streams = Streams()
        page, begin = await receive(streams)
        for number in range(119):
            streams.send("tick", {"number": number})
        pages = await opened(streams, *["somebody"] * CLIENT_STREAMS_MAX)
        begin.set()
        events = await page
        assert await ended_of(pages) == []
        return events

    assert asyncio.run(scene())[-1] == b"retry: 15000\n\n"


def test_a_session_that_has_ended_receives_nothing_more() -> None:
    """What comes after the end is not told."""

    async def scene() -> list[bytes]:
        streams = Streams()
        page, begin = await receive(streams, ended=True)
        streams.send("tick", {"secret": 1})
        begin.set()
        return await page

    (first,) = asyncio.run(scene())
    assert b"secret" not in first
