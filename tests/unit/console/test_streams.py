"""The pages that are open: each hears everything in order, and none holds up another."""

import asyncio
import json

from scorer.console.streams import Streams


async def heard(streams: Streams, *, ended: bool = False) -> tuple[asyncio.Task[list[bytes]], asyncio.Event]:
    """A page that hears everything there is once it is told to begin."""
    begin = asyncio.Event()

    async def hear() -> list[bytes]:
        found = []
        async for text in streams.events({"whole": True}, lambda: ended):
            found.append(text)
            await begin.wait()
        return found

    page = asyncio.create_task(hear())
    await asyncio.sleep(0)
    return page, begin


def test_a_page_that_does_not_keep_up_is_let_go() -> None:
    """It gets what was kept for it, and its stream ends, so that the browser comes back for the whole picture."""

    async def scene() -> list[bytes]:
        streams = Streams()
        page, begin = await heard(streams)
        for number in range(1_000):
            streams.tell("tick", {"number": number})
        begin.set()
        return await page

    found = asyncio.run(scene())
    assert found[0].startswith(b"retry: ")
    assert 50 < len(found) < 200
    numbers = [json.loads(text.splitlines()[1].removeprefix(b"data: "))["number"] for text in found[1:]]
    assert numbers == list(range(1, len(numbers) + 1)), "in order, but for the first, which made room for the end"


def test_a_bounded_number_of_pages() -> None:
    """So many may be open, and one that closes makes room."""

    async def scene() -> tuple[bool, bool]:
        streams = Streams()
        pages = []
        while not streams.full():
            pages.append((await heard(streams))[0])
            assert len(pages) < 1_000
        was_full = streams.full()
        pages[0].cancel()
        await asyncio.gather(pages[0], return_exceptions=True)
        for page in pages[1:]:
            page.cancel()
        await asyncio.gather(*pages, return_exceptions=True)
        return was_full, streams.full()

    assert asyncio.run(scene()) == (True, False)


def test_a_session_that_has_ended_hears_nothing_more() -> None:
    """What comes after the end is not told."""

    async def scene() -> list[bytes]:
        streams = Streams()
        page, begin = await heard(streams, ended=True)
        streams.tell("tick", {"secret": 1})
        begin.set()
        return await page

    (first,) = asyncio.run(scene())
    assert b"secret" not in first
