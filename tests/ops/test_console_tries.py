"""Tries after a reload: the browser keeps their ids and nothing else, and the console finds their results by them."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from scorer.local.broker import Broker
from tests.integration.worker_process import WAIT_S, Topics, wait_until, worker
from tests.ops.console_process import ConsoleProcess, console

pytestmark = pytest.mark.broker
TOKEN = "sixteen characters, or more"  # noqa: S105 - made up

expect.set_options(timeout=WAIT_S * 1_000)


@contextmanager
def console_with_token(topics: Topics, folder: Path, port: int) -> Iterator[ConsoleProcess]:
    """A console that requires a token, on a port."""
    folder.mkdir()
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    options = ("--token-file", str(folder / "token"), "--port", str(port))
    with console(topics.environment(), folder / "console.log", *options) as started:
        yield started


def log_in(page: Page, served: ConsoleProcess) -> None:
    """Logs in, and opens the form."""
    page.goto(served.address + "/login")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page).to_have_url(served.address + "/")
    page.goto(served.address + "/try")
    expect(page.locator(".strip.good")).to_contain_text("1 worker is running")


def shown_facts(page: Page) -> list[list[str]]:
    """The label and the facts of each try, newest first; how long its result took is known before a reload only."""
    facts = [re.sub(r"\s*received after\s+\S+ \S+", "", text) for text in page.locator("#tries li").all_inner_texts()]
    return [text.splitlines() for text in facts]


def saved(page: Page) -> dict[str, str]:
    """All that the tab has stored."""
    stored: dict[str, str] = json.loads(page.evaluate("() => JSON.stringify({...localStorage, ...sessionStorage})"))
    return stored


def test_results_after_a_reload(chromium: Browser, broker: Broker, tmp_path: Path) -> None:
    """A decision and a rejection used to vanish when the page was loaded again.

    They are shown again, also by a console that was restarted since and finds them on the topics. No value is stored,
    another tab does not show them, and logging out removes the ids.
    """
    topics = Topics(broker.bootstrap_servers, 2)
    context = chromium.new_context()
    page = context.new_page()
    with worker(topics, tmp_path / "worker.log"):
        with console_with_token(topics, tmp_path / "first", 0) as served:
            log_in(page, served)
            page.get_by_role("button", name="Publish").click()
            expect(page.locator("#tries li .scale")).to_have_count(1)
            page.get_by_label("Age").fill("17")
            page.get_by_role("button", name="Publish anyway").click()
            expect(page.locator("#tries li").first).to_contain_text("REJECTED")
            expect(page.locator("#tries .thresholds")).not_to_have_text("…")
            before = shown_facts(page)
            assert list(saved(page)) == ["tries"]
            ids = json.loads(saved(page)["tries"])
            assert len(ids) == 2
            assert all(re.fullmatch("try-[0-9a-f]{12}", one) for one in ids)
            page.reload()
            wait_until(lambda: shown_facts(page) == before, "the results after a reload")
            port = int(served.address.rpartition(":")[2])
            page.goto("about:blank")  # otherwise the page itself would go to the login of the next console
        with console_with_token(topics, tmp_path / "second", port) as served:
            log_in(page, served)
            wait_until(lambda: shown_facts(page) == before, "the results on the topics")
            other = context.new_page()
            other.goto(served.address + "/try")
            expect(other.locator("#empty")).to_be_visible()
            page.get_by_role("button", name="Log out").click()
            expect(page).to_have_url(served.address + "/login")
            assert saved(page) == {}
            log_in(page, served)
            expect(page.locator("#empty")).to_be_visible()
    context.close()
