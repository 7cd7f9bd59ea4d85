"""The reasons of a decision in the console, in a real browser: their sentences, their codes, or none."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from scorer.bundle.load import read_manifest
from scorer.local.broker import Broker
from tests.integration.worker_process import WAIT_S, Topics, worker
from tests.ops.console_process import console, require_accessible
from tests.unit.bundle.making import EXPLAINED, PLAIN, named

pytestmark = pytest.mark.broker

expect.set_options(timeout=WAIT_S * 1_000)


@contextmanager
def trying(
    chromium: Browser, topics: Topics, folder: Path, bundle: str, width: int = 1280, theme: str = "light"
) -> Iterator[Page]:
    """The page to try applications, decided by one worker with a bundle; the console's store is another one."""
    environment = topics.environment() | {"SCORER_STORE": str(folder / "empty")}
    with (
        worker(topics, folder / "w.log", "--set", f"store={folder / 'store'}", "--bundle", bundle),
        console(environment, folder / "console.log") as started,
    ):
        viewport = ViewportSize(width=width, height=740)
        # Only so that axe can be put into the page; what the policy allows is other tests' business.
        context = chromium.new_context(viewport=viewport, color_scheme=theme, bypass_csp=True)  # type: ignore[arg-type]
        page, faults = context.new_page(), list[str]()
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.goto(started.address + "/try")
        expect(page.locator(".strip.good #status")).to_have_text("1 worker is running")
        yield page
        assert started.ask("/api/reasons?name=credit-risk&version=1.1.1&digest=x").status == 400
        assert faults == []
        context.close()


def publish(page: Page, income: int, records: str) -> Locator:
    """Publishes an application; returns its result, once it is there."""
    page.get_by_role("spinbutton", name="Income").fill(str(income))
    page.get_by_label("Records").select_option(records)
    page.get_by_role("button", name="Publish").click()
    tried = page.locator("#tries li").first
    expect(tried).to_contain_text(re.compile("APPROVED|MAYBE|DECLINED"))
    return tried


def reasons_of(tried: Locator) -> Locator:
    """The reasons that are shown of a decision."""
    return tried.locator("dt", has_text=re.compile(r"^reason \d$")).locator("xpath=following-sibling::dd[1]")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_reasons_with_their_sentences(
    chromium: Browser, broker: Broker, tmp_path: Path, width: int, theme: str
) -> None:
    """The most important one first, as in the decision on the topic; nothing is cut off, and axe is content."""
    reasons = read_manifest(EXPLAINED).reasons
    assert reasons is not None
    sentences = {entry.code: entry.text["en"] for entry in reasons.catalogue}
    topics = Topics(broker.bootstrap_servers, 1)
    with trying(chromium, topics, tmp_path, "credit-risk:1.1.1", width, theme) as page:
        tried = publish(page, income=20, records="yes")
        expect(tried).to_contain_text("DECLINED")
        (decided,) = [json.loads(message.value() or b"") for message in topics.read(topics.decisions)]
        assert decided["reasons"]
        expect(reasons_of(tried)).to_have_text([f"{sentences[code]} {code}" for code in decided["reasons"]])
        require_accessible(page, theme)
        approved = publish(page, income=900, records="no")
        expect(approved).to_contain_text("APPROVED")
        expect(reasons_of(approved)).to_have_count(0)


def test_a_bundle_that_the_consoles_store_does_not_have(chromium: Browser, broker: Broker, tmp_path: Path) -> None:
    """The codes are shown alone, and nothing fails."""
    folder = named(tmp_path / "store" / "credit-risk" / "7.0.0", "credit-risk", "7.0.0", EXPLAINED)
    topics = Topics(broker.bootstrap_servers, 1)
    with trying(chromium, topics, tmp_path, "credit-risk:7.0.0") as page:
        with page.expect_response(re.compile("/api/reasons")) as answered:
            tried = publish(page, income=20, records="yes")
        assert (answered.value.status, answered.value.json()) == (200, {})
        expect(tried).to_contain_text(read_manifest(folder).reference.short)
        (decided,) = [json.loads(message.value() or b"") for message in topics.read(topics.decisions)]
        expect(reasons_of(tried)).to_have_text(decided["reasons"])


def test_a_bundle_without_a_catalogue(chromium: Browser, broker: Broker, tmp_path: Path) -> None:
    """Its decisions are shown as before, and nothing is requested."""
    topics, asked = Topics(broker.bootstrap_servers, 1), list[str]()
    with trying(chromium, topics, tmp_path, str(read_manifest(PLAIN).reference)) as page:
        page.on("request", lambda request: asked.append(request.url))
        tried = publish(page, income=20, records="yes")
        expect(tried).to_contain_text("DECLINED")
        expect(reasons_of(tried)).to_have_count(0)
    assert not any("/api/reasons" in url for url in asked)
