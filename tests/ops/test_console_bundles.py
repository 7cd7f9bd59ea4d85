"""The console's views of bundles and of the challenger in a real browser, on a real broker with a worker."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from schemas.contracts import shipped_contract
from schemas.files import dump_application
from schemas.made_up import make_applications
from scorer.local.broker import Broker
from scorer.store.store import SHIPPED
from tests.integration.worker_process import WAIT_S, Topics, operate, wait_until, worker
from tests.ops.console_process import ConsoleProcess, console, require_accessible
from tests.unit.bundle.making import PLAIN, named

pytestmark = pytest.mark.broker
NARROW, WIDE = ViewportSize(width=360, height=740), ViewportSize(width=1280, height=800)
STORED = 30
"""Bundles of the store: more than one response has."""

expect.set_options(timeout=WAIT_S * 1_000)


class TopicsWithStore(Topics):
    """Topics whose console has a store."""

    store: str

    def environment(self) -> dict[str, str]:
        """The settings."""
        return super().environment() | {"SCORER_STORE": self.store}


@pytest.fixture(scope="module")
def topics(chromium: Browser, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> TopicsWithStore:
    """Topics with applications, and a store with many bundles."""
    del chromium
    store = tmp_path_factory.mktemp("store")
    for number in range(STORED):
        named(store / "mine" / f"1.0.{number}", "mine", f"1.0.{number}", PLAIN)
    (store / "mine" / "1.0.0" / "bundle.json").write_text("{", encoding="utf-8")
    made = TopicsWithStore(broker.bootstrap_servers, 1)
    made.store = str(store)
    made.publish(*(dump_application(one, shipped_contract()) for one in make_applications(shipped_contract())))
    return made


@pytest.fixture(scope="module")
def served(topics: TopicsWithStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleProcess]:
    """A console that sees a worker at work."""
    folder = tmp_path_factory.mktemp("served")
    with worker(topics, folder / "w.log"), console(topics.environment(), folder / "console.log") as started:
        count = topics.count(topics.applications)
        wait_until(lambda: topics.count(topics.decisions) == count, "the worker decides")
        yield started


@pytest.fixture
def page(chromium: Browser, served: ConsoleProcess) -> Iterator[Page]:
    """A page in which the browser finds no fault, the security policy in force."""
    context = chromium.new_context(viewport=WIDE)
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    yield opened
    context.close()
    assert faults == []
    assert served.process.poll() is None


def without_challenger(topics: Topics) -> None:
    """Retires the challenger, if a test has left one."""
    history = json.loads(operate(topics, "history", "--json"))
    slots = [line for line in history if line.get("slot") == "challenger"]
    if slots and slots[-1]["bundle"]:
        operate(topics, "retire", "--reason", "the next test")


def test_the_list_continues(page: Page, served: ConsoleProcess) -> None:
    """The first bundles come at once, the others on request; the champion has a badge, and a damaged one a reason."""
    page.goto(f"{served.address}/bundles")
    rows = page.locator("#bundles tr")
    expect(rows).to_have_count(25)
    expect(page.locator("#news")).to_have_text(f"25 of {STORED + 3}")
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(STORED + 3)
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    champion = rows.filter(has=page.get_by_text("champion", exact=True))
    expect(champion).to_have_count(1)
    expect(champion).to_contain_text("credit-risk:1.1.1")
    expect(champion).to_contain_text("0.8449")
    expect(champion).to_contain_text("MAYBE above 30 %, DECLINED above 50 %")
    expect(rows.filter(has_text="mine:1.0.0").last).to_contain_text("not a valid manifest")


def test_two_bundles_are_compared(page: Page, served: ConsoleProcess) -> None:
    """In words, with what differs marked; every entry in which the manifests differ is listed on request."""
    page.goto(f"{served.address}/bundles")
    page.get_by_role("button", name="Show more").click()
    expect(page.get_by_role("button", name="Compare")).to_be_disabled()
    page.get_by_label("A: credit-risk:1.0.0").check()
    page.get_by_label("B: credit-risk:1.1.0").check()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#diff")).to_be_focused()
    expect(page.locator("#diff-note")).to_contain_text("A: credit-risk:1.0.0@")
    fields = page.locator("#facts tr", has=page.get_by_role("rowheader", name="fields"))
    expect(fields).to_contain_text("differs")
    expect(fields.locator("td").first).to_contain_text("only here: marital")
    runner = page.locator("#facts tr", has=page.get_by_role("rowheader", name="model"))
    expect(runner).not_to_contain_text("differs")
    row = page.locator("#changes tr", has_text="features.columns.marital=single")
    expect(row).to_be_hidden()
    page.locator("#entries-title").click()
    expect(row.locator("td").first).to_have_text("included")
    expect(row.locator("td").last).to_have_text("–")


def test_a_bundle_with_its_card_and_review(page: Page, served: ConsoleProcess) -> None:
    """From the list to facts, metrics and card; the review runs on request and shows the findings with their fixes."""
    page.goto(f"{served.address}/bundles")
    page.get_by_role("button", name="Show more").click()
    page.get_by_role("link", name="credit-risk:1.0.0").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("credit-risk:1.0.0")
    expect(page.locator(".model-card")).to_contain_text("Prohibited bases")
    expect(page.get_by_role("table", name="Policy on the held-out rows")).to_contain_text("DECLINED")
    page.get_by_role("button", name="Review").click()
    expect(page.locator("#news")).to_contain_text(re.compile(r"[1-9]\d* errors?, .*engine on this machine"))
    expect(page.locator("#findings li").first).to_contain_text("marital status is a prohibited basis")
    expect(page.locator("#findings li").first).to_contain_text("→ train without it")


def test_a_bundle_that_does_not_exist(chromium: Browser, served: ConsoleProcess) -> None:
    """A link to a bundle that the store lacks says so; a path opens nothing.

    The requests for a review and a comparison had status 503, as if it were worth trying again.
    """
    del chromium
    for reference in ("nobodys:1.0.0", str(SHIPPED / "credit-risk" / "1.1.1"), "<script>"):
        answer = served.ask(f"/bundles/show?bundle={reference}")
        assert answer.status == 404
        assert "<script>" not in answer.body.partition("<main")[2]
    assert served.ask("/bundles/show").status == 400
    assert served.ask("/api/bundles?first=-1").status == 400
    for path in ("review?bundle=nobodys:1.0.0", "diff?before=credit-risk:1.1.1&after=credit-risk:1.1.0@00000000"):
        answer = served.ask(f"/api/bundles/{path}")
        assert answer.status == 404
        assert "error" in json.loads(answer.body)
    assert served.ask("/api/bundles/diff?before=mine:1.0.0&after=credit-risk:1.1.1").status == 503, "it is damaged"


def test_a_store_that_cannot_be_reached(chromium: Browser, topics: TopicsWithStore, tmp_path: Path) -> None:
    """Whether it has the bundle is unknown: the requests can be repeated later."""
    del chromium
    environment = topics.environment() | {"SCORER_STORE": "http://127.0.0.1:9/store"}
    with console(environment, tmp_path / "console.log") as started:
        for path in ("/bundles/show?bundle=a:1.0.0", "/api/bundles/review?bundle=a:1.0.0", "/api/bundles"):
            assert started.ask(path).status == 503


def test_the_challenger(page: Page, served: ConsoleProcess, topics: TopicsWithStore) -> None:
    """Without one the page says how to start one; then it appears, with what `scorer challenger` counts; then it goes.

    The reason and the operator are shown as text, and no application's id or value is sent to the page.
    """
    without_challenger(topics)
    bodies: list[str] = []
    page.on("response", lambda answer: bodies.append(answer.text()) if "/api/challenger" in answer.url else None)
    page.goto(f"{served.address}/challenger")
    expect(page.locator("#empty")).to_contain_text("scorer deploy NAME:VERSION --slot challenger")
    deploy = ("deploy", "credit-risk:1.0.0", "--slot", "challenger", "--despite", "a test")
    operate(topics, *deploy, "--reason", "<b>why</b>", "--actor", "ana")
    expect(page.locator("#since")).to_contain_text("by ana: “<b>why</b>”")
    expect(page.locator("#challenger")).to_contain_text("credit-risk:1.0.0@")
    expect(page.locator("#champion")).to_contain_text("credit-risk:1.1.1")
    counted = json.loads(operate(topics, "challenger", "--json"))
    expect(page.locator("#counts")).to_contain_text(f"{counted['flipped']} of {counted['compared']} applications")
    cells = page.locator("#flips td").all_inner_texts()
    assert [int(cell) for cell in cells] == [
        count for old in ("APPROVED", "MAYBE", "DECLINED") for count in counted["flips"][old].values()
    ]
    assert not any("seniority" in body or "application_id" in body for body in bodies)
    page.goto(served.address)
    expect(page.locator("#challenger")).to_contain_text("credit-risk:1.0.0@")
    page.get_by_role("link", name=re.compile("credit-risk:1.0.0@")).click()
    expect(page.locator("#flips td")).to_have_count(9)
    operate(topics, "retire", "--reason", "seen enough")
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#comparison")).to_be_hidden()


@pytest.mark.parametrize("viewport", [NARROW, WIDE], ids=["360", "1280"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_violation(
    chromium: Browser, served: ConsoleProcess, topics: TopicsWithStore, viewport: ViewportSize, theme: str
) -> None:
    """Axe finds nothing serious or critical on a bundle's page and with a challenger; and nothing is cut off."""
    without_challenger(topics)
    deploy = ("deploy", "credit-risk:1.0.0", "--slot", "challenger", "--despite", "a test")
    operate(topics, *deploy, "--reason", "to be seen")
    context = chromium.new_context(viewport=viewport, color_scheme=theme, bypass_csp=True)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{served.address}/bundles/show?bundle=credit-risk:1.0.0")
    page.get_by_role("button", name="Review").click()
    expect(page.locator("#findings li").first).to_be_visible()
    require_accessible(page, theme)
    page.goto(f"{served.address}/challenger")
    expect(page.locator("#flips td")).to_have_count(9)
    require_accessible(page, theme)
    page.goto(f"{served.address}/bundles")
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#bundles tr")).to_have_count(STORED + 3)
    require_accessible(page, theme)
    context.close()


def test_by_keyboard_alone(page: Page, served: ConsoleProcess) -> None:
    """Two bundles are chosen and compared, and the cursor of a chart is moved, without a mouse."""
    page.goto(f"{served.address}/bundles")
    page.get_by_role("button", name="Show more").press("Enter")
    page.get_by_label("A: credit-risk:1.0.0").press("Space")
    page.get_by_label("B: credit-risk:1.1.0").press("Space")
    page.get_by_role("button", name="Compare").press("Enter")
    expect(page.locator("#facts tr").first).to_be_visible()
    page.goto(served.address)
    chart = page.get_by_role("slider", name=re.compile("^Backlog"))
    expect(chart).to_have_attribute("aria-valuetext", re.compile(r"UTC: [\d,]+ waiting"))
    chart.focus()
    page.wait_for_function("() => document.querySelector('#chart-waiting .readout').textContent !== ''")
    page.keyboard.press("ArrowLeft")
    expect(chart).not_to_have_attribute("aria-valuenow", "0")
    page.keyboard.press("Escape")
    expect(chart.locator(".readout")).to_be_empty()
