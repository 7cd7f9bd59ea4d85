"""The console without a broker, in a browser: what each view says meanwhile, and that it recovers by itself."""

import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from scorer.errors import LocalBrokerError
from scorer.local.broker import start_broker
from tests.integration.forked import run_forked
from tests.integration.worker_process import WAIT_S
from tests.ops.console_process import console
from tests.ops.reviewing import TOKENS, page_of, write_tokens
from tests.ops.test_console_guard import NOBODY

pytestmark = pytest.mark.broker
WIDE: Final = ViewportSize(width=1280, height=800)
SHOWN: Final = {
    "/": ("#workers", "0"),
    "/try": ("#contract", "nothing is deployed yet"),
    "/applications#somebody": ("#fault", "no decision and no dead letter with this application id"),
    "/review": ("#empty", "No decision waits for a review."),
    "/deployments": ("#empty", "No deployments yet"),
    "/bundles": (".tag.role", "champion"),
    "/challenger": ("#empty", "No challenger"),
    "/dead-letters#0:0": ("#empty", "No dead letters."),
    "/interface": ("#contract", "nothing is deployed yet"),
}
"""What each view shows of empty topics, and in which element."""

expect.set_options(timeout=WAIT_S * 1_000)


def free_port() -> int:
    """A port at which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def test_every_view_waits_for_the_broker(chromium: Browser, tmp_path: Path) -> None:
    """Deployments and Challenger used to be empty without a word, and others stayed as they were until a reload.

    From a console that starts before its broker, until the broker answers; and after it went away again.
    """
    port = free_port()
    environment = NOBODY | {"SCORER_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}"}
    with console(environment, tmp_path / "console.log", *write_tokens(tmp_path)) as served, ExitStack() as opened:
        pages: dict[str, Page] = {}
        for view in SHOWN:
            pages[view] = opened.enter_context(page_of(chromium, served, TOKENS["ana"], WIDE))
            pages[view].goto(served.address + view)
        for view, page in pages.items():
            expect(page.locator(".strip.bad #status")).to_contain_text("cannot connect to Kafka at")
            expect(page.locator("#unread")).to_contain_text("Waiting for Kafka")
            expect(page.locator("#unread")).not_to_contain_text("out of date")
            element, text = SHOWN[view]
            expect(page.locator(element).filter(visible=True).filter(has_text=text)).to_have_count(0)
        for view in ("/applications#somebody", "/dead-letters#0:0"):
            expect(pages[view].locator("#fault")).to_contain_text("cannot connect to Kafka at")
        try:
            broker = start_broker("java", port=port)
        except LocalBrokerError as fault:
            pytest.skip(f"needs a broker that may be stopped: {fault}")
        with broker:
            code, _, errors = run_forked(["scorer", "topics", "ensure"], environment)
            assert code == 0, errors
            for view, page in pages.items():
                element, text = SHOWN[view]
                expect(page.locator(element).first).to_contain_text(text)
                expect(page.locator("#unread")).to_be_hidden()
            expect(pages["/dead-letters#0:0"].locator("#linked-letter")).to_contain_text("no dead letter")
            broker.stop()
            for page in pages.values():
                expect(page.locator(".strip.bad #status")).to_contain_text("cannot connect to Kafka at")
                expect(page.locator("#unread")).to_contain_text("Waiting for Kafka: this may be out of date.")
            expect(pages["/"].locator("#workers")).to_have_text("–")


def test_before_the_script_runs(chromium: Browser, tmp_path: Path) -> None:
    """On a busy machine a click could come first and be lost, and a search would have sent the id in a URL."""
    environment = NOBODY | {"SCORER_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}
    with console(environment, tmp_path / "console.log") as served:
        context = chromium.new_context(viewport=WIDE, java_script_enabled=False)
        page = context.new_page()
        page.goto(f"{served.address}/applications")
        page.get_by_label("Application id").fill("somebody")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Search")).to_be_disabled()
        for view, button in (("/dead-letters", "Reload"), ("/challenger", "Compare again")):
            assert "somebody" not in page.url
            page.goto(served.address + view)
            expect(page.locator("#refresh")).to_have_text(button)
            expect(page.locator("#refresh")).to_be_disabled()
        context.close()
