"""The console in a real browser, on a real broker with real workers: what somebody does with it, and what they see."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from scorer.errors import LocalBrokerError
from scorer.local.broker import Broker, start_broker
from tests.integration.worker_process import (
    WAIT_S,
    Topics,
    WorkerProcess,
    event_of_a_missing_bundle,
    operate,
    wait_until,
    worker,
)
from tests.ops.console_process import ConsoleProcess, console, require_accessible

pytestmark = pytest.mark.broker
VIEWS = (
    "/", "/try", "/applications", "/review", "/deployments", "/bundles", "/challenger", "/dead-letters", "/interface",
)  # fmt: skip
MARKER = "marker-of-a-person"
NOW = ("--wait", "0")
SECRET = f'{{"application_id":"d-1","home":"{MARKER}"}}'.encode()
NARROW, WIDE = ViewportSize(width=360, height=740), ViewportSize(width=1280, height=800)

expect.set_options(timeout=WAIT_S * 1_000)


@pytest.fixture(scope="module")
def topics(broker: Broker) -> Topics:
    """Topics with a dead letter in them and a deployment before anybody looks."""
    made = Topics(broker.bootstrap_servers, 2)
    made.publish(SECRET, b"not JSON")
    return made


@pytest.fixture(scope="module")
def workers(
    topics: Topics, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[WorkerProcess]]:
    """Two workers at work; after the browser, without which nothing need start."""
    del chromium
    folder = tmp_path_factory.mktemp("workers")
    with worker(topics, folder / "a.log") as first, worker(topics, folder / "b.log") as second:
        wait_until(lambda: topics.count(topics.dead_letters) == 2, "the workers decide")
        yield [first, second]


@pytest.fixture(scope="module")
def served(
    topics: Topics, workers: list[WorkerProcess], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ConsoleProcess]:
    """A console that sees the workers."""
    del workers
    with console(topics.environment(), tmp_path_factory.mktemp("served") / "console.log") as started:
        yield started


class Visit:
    """A page of the console, and the hosts that the browser has asked for anything meanwhile."""

    def __init__(self, context: BrowserContext, served: ConsoleProcess) -> None:
        self.page: Page = context.new_page()
        self._address = served.address
        self.hosts: set[str] = set()
        self.faults: list[str] = []
        context.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on("console", lambda message: self.faults.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))

    def go(self, path: str) -> Page:
        """Opens a view and waits until it is live."""
        self.page.goto(self._address + path)
        expect(self.page.locator(".strip.good")).to_contain_text("2 workers are running")
        return self.page


@pytest.fixture
def visit(chromium: Browser, served: ConsoleProcess, workers: list[WorkerProcess]) -> Iterator[Visit]:
    """A visitor. Whatever they do, no request leaves the machine, and the browser finds no fault in the pages."""
    context = chromium.new_context(viewport=WIDE)
    visitor = Visit(context, served)
    yield visitor
    context.close()
    for one in workers:
        assert one.process.poll() is None, f"a worker ended: {one.log()[-3_000:]}"
    assert visitor.hosts == {served.host}
    assert visitor.faults == []


def test_try_an_application(visit: Visit, topics: Topics) -> None:
    """What the form holds is published as it stands there, and its decision comes by itself, the one on the topic."""
    page = visit.go("/try")
    page.get_by_role("spinbutton", name="Income").fill("900")
    page.get_by_role("spinbutton", name="Debt").fill("")
    page.get_by_label("Home").select_option("owner")
    expect(page.locator("#validation")).to_have_text("The application is valid.")
    page.get_by_role("button", name="Publish").click()
    tried = page.locator("#tries li")
    expect(tried).to_contain_text(re.compile("APPROVED|MAYBE|DECLINED"))
    expect(page.locator("#announce")).to_have_text(
        re.compile(r"^(APPROVED|MAYBE|DECLINED), probability of default [\d.]+ %$")
    )
    name = re.search("try-[0-9a-f]+", tried.inner_text())
    assert name is not None
    published = [json.loads(m.value() or b"") for m in topics.read(topics.applications) if m.key() == name[0].encode()]
    assert len(published) == 1
    assert published[0]["income"] == 900
    assert published[0]["home"] == "owner"
    assert "debt" not in published[0]
    (decided,) = [json.loads(m.value() or b"") for m in topics.read(topics.decisions) if m.key() == name[0].encode()]
    assert decided["decision"] in tried.inner_text()
    assert decided["decision_id"] in tried.inner_text()


def test_a_rejected_application(visit: Visit) -> None:
    """What breaks the contract is said beforehand, may be published all the same, and comes back with the reason."""
    page = visit.go("/try")
    page.get_by_label("Age").fill("17")
    expect(page.get_by_label("Age")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#validation")).to_contain_text("1 field is invalid")
    page.get_by_role("button", name="Publish anyway").click()
    expect(page.locator("#tries li")).to_contain_text("REJECTED")
    expect(page.locator("#tries li")).to_contain_text("age: out of range, a number from 18 to 120 is needed")
    expect(page.locator("#tries li")).to_contain_text("out_of_range")


def test_a_try_in_json(visit: Visit, topics: Topics) -> None:
    """What no form can say can be written; it is published as written, but never under an id that somebody typed."""
    page = visit.go("/try")
    page.get_by_role("button", name="JSON").click()
    text = page.get_by_label("JSON", exact=True)
    written = json.loads(text.input_value())
    assert written["age"] == 30
    for broken in ("{", "[]"):
        text.fill(broken)
        expect(page.get_by_role("button", name="Publish")).to_be_disabled()
        expect(page.locator("#validation")).to_contain_text("cannot be published")
    text.fill(json.dumps(written | {"application_id": "somebody-elses", "home": "RENT"}))
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#tries li").first).to_contain_text("home: unknown category, one of rent, owner")
    assert not any(m.key() == b"somebody-elses" for m in topics.read(topics.applications))


def test_the_overview(visit: Visit, topics: Topics) -> None:
    """Decisions are counted by kind, latency is measured, and at rest nothing waits, though markers take offsets."""
    page = visit.go("/try")
    for number in range(1, 4):
        page.get_by_role("button", name="Publish").click()
        expect(page.locator("#tries li .scale")).to_have_count(number)
    page = visit.go("/")
    expect(page.locator("#kinds tr", has_text="APPROVED").locator("td").nth(1)).not_to_have_text("0")
    expect(page.locator("#kinds tr")).to_have_count(4)
    expect(page.locator("#p50")).to_have_text(re.compile(r"^[\d.,]+ (ms|s)$"))
    expect(page.locator("#waiting")).to_have_text("0")
    expect(page.locator("#workers")).to_have_text("2")
    expect(page.locator("#deciding")).to_contain_text("credit-risk:1.1.1@")
    assert sum(topics.ends(topics.decisions).values()) > topics.count(topics.decisions), "markers take offsets"


def test_a_deployment_appears(visit: Visit, topics: Topics) -> None:
    """While the page is open a bundle is deployed and taken back; both come by themselves, newest first, as text."""
    page = visit.go("/deployments")
    why = "<b>quarterly</b> & <script>alert(1)</script>"
    despite = ("--despite", f"{why}, approved")
    operate(topics, "deploy", "credit-risk:1.0.0", "--reason", why, *despite, "--actor", "ana@lender.example", *NOW)
    first = page.locator("#history li").first
    expect(first).to_contain_text("deployed credit-risk:1.0.0@")
    expect(first).to_contain_text(f"“{why}” by ana@lender.example")
    expect(first).to_contain_text(f"Deployed despite its review: “{why}, approved”")
    operate(topics, "rollback", "--reason", "declines too many", "--actor", "bob", *NOW)
    expect(first).to_contain_text("rolled back to credit-risk:1.1.1@")
    expect(first).to_contain_text("“declines too many” by bob")
    expect(first).not_to_contain_text("despite")
    expect(first.locator("time")).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$"))
    page = visit.go("/")
    expect(page.locator("#since")).to_contain_text("rolled back to credit-risk:1.1.1@")


def test_a_deployment_that_no_worker_follows(chromium: Browser, broker: Broker, tmp_path: Path) -> None:
    """The strip stayed green, and the history showed the bundle as the one in force, while no worker could load it.

    The strip turns red on every view, the line of the history says why, and both are gone once it is taken back.
    """
    own = Topics(broker.bootstrap_servers, 2)
    with worker(own, tmp_path / "w.log"), console(own.environment(), tmp_path / "console.log") as started:
        context = chromium.new_context()
        page = context.new_page()
        page.goto(started.address + "/deployments")
        expect(page.locator(".strip.good #status")).to_have_text("1 worker is running")
        operate(own, "deploy", "credit-risk:1.0.0", "--reason", "first", "--despite", "a test")
        own.publish(event_of_a_missing_bundle("champion"), topic=own.deployments, key=None)
        status = "1 of 1 workers has not switched to credit-risk:9.9.9; still credit-risk:1.0.0"
        expect(page.locator(".strip.bad #status")).to_have_text(status)
        mark = page.locator("#history li").first.locator(".unswitched")
        expect(mark).to_contain_text(status)
        expect(mark).to_contain_text(re.compile("bundle credit-risk:9.9.9@0+ not found"))
        expect(mark).to_contain_text("scorer rollback")
        expect(page.locator("#history li").nth(1).locator(".unswitched")).to_be_hidden()
        page.goto(started.address)
        expect(page.locator(".strip.bad #status")).to_have_text(status)
        expect(page.locator("#unswitched")).to_contain_text(re.compile("bundle credit-risk:9.9.9@0+ not found"))
        operate(own, "rollback", "--reason", "nobody can load it")
        expect(page.locator(".strip.good #status")).to_have_text("1 worker is running")
        expect(page.locator("#unswitched")).to_be_hidden()
        page.goto(started.address + "/deployments")
        expect(page.locator("#history li")).to_have_count(3)
        expect(page.locator("#history .unswitched:visible")).to_have_count(0)
        context.close()


def test_dead_letters_are_hidden_until_asked_for(visit: Visit, served: ConsoleProcess) -> None:
    """Codes and reasons are shown; what a record holds is not even fetched until somebody asks, and then goes again."""
    bodies: list[str] = []
    visit.page.on(
        "response", lambda answer: bodies.append(answer.text()) if "/api/dead-letters" in answer.url else None
    )
    page = visit.go("/dead-letters")
    page.get_by_role("button", name="missing_field", exact=True).click()
    expect(page.locator("#range")).to_contain_text("missing_field, 1 to")
    letter = page.locator("#letters li", has_text="home: unknown category")
    expect(letter).to_contain_text("seniority: missing")
    assert bodies
    assert not any(MARKER in body for body in bodies)
    assert MARKER not in page.content()
    letter.get_by_role("button", name="Show value").click()
    expect(letter.locator("pre")).to_have_text(SECRET.decode())
    button = letter.get_by_role("button", name="Hide value")
    expect(button).to_be_focused()
    assert "dead_letter_shown" in served.log()
    assert MARKER not in served.log()
    button.click()
    expect(letter.locator("pre")).to_have_count(0)
    assert MARKER not in page.content()


def test_a_requeued_dead_letter_is_marked(visit: Visit, topics: Topics) -> None:
    """Who put it back and when stands beside it, and the one that came of it is another."""
    report = json.loads(operate(topics, "dlq", "list", "--code", "not_json", "--json"))["dead_letters"][0]
    operate(topics, "dlq", "requeue", report["position"], "--actor", "cleo")
    page = visit.go("/dead-letters")
    letter = page.locator("#letters li", has=page.get_by_text(f"dead letter {report['position']}", exact=True))
    expect(letter).to_contain_text("requeued by cleo")


def test_the_interface(visit: Visit, topics: Topics) -> None:
    """Every field of the contract and every code stands there, with this set-up's topics in code that can be copied."""
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visit.go("/interface")
    for text in ("application_id", "decision_id", "dlq.reason", "unknown_category", "requeued-from", "unlimited"):
        expect(page.locator("main")).to_contain_text(text)
    page.get_by_role("tab", name="kcat").click()
    block = page.locator(".copy", has=page.get_by_label("kcat", exact=True))
    expect(block).to_contain_text(f"-t {topics.applications}")
    block.get_by_role("button").click()
    expect(block.get_by_role("button")).to_contain_text("Copied")
    assert page.evaluate("() => navigator.clipboard.readText()") == block.locator("pre").inner_text()


@pytest.mark.parametrize("viewport", [NARROW, WIDE], ids=["360", "1280"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_violation(chromium: Browser, served: ConsoleProcess, viewport: ViewportSize, theme: str) -> None:
    """Axe finds nothing serious or critical on any view, in both themes, wide and narrow; and nothing is cut off."""
    # Only so that axe can be put into the page; what the policy allows is the other tests' business.
    context = chromium.new_context(viewport=viewport, color_scheme=theme, bypass_csp=True)  # type: ignore[arg-type]
    page = Visit(context, served)
    for view in VIEWS:
        shown = page.go(view)
        if view == "/try":
            shown.get_by_label("Age").fill("17")
            shown.get_by_role("button", name="Publish").click()
            expect(shown.locator("#tries li")).to_contain_text("REJECTED")
        if view == "/dead-letters":
            shown.get_by_role("button", name="Show value").first.click()
            expect(shown.locator("#letters pre")).to_have_count(1)
        if view == "/bundles":
            shown.get_by_label("A: credit-risk:1.0.0").check()
            shown.get_by_label("B: credit-risk:1.1.1").check()
            shown.get_by_role("button", name="Compare").click()
            expect(shown.locator("#facts tr").first).to_be_visible()
        require_accessible(shown, theme)
    context.close()


def test_by_keyboard_alone(visit: Visit) -> None:
    """From the address bar to a decision without a mouse; where one is can be seen at every step."""
    page = visit.go("/try")
    passed = []
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "() => { const e = document.activeElement; const s = getComputedStyle(e);"
            " return [e.textContent.trim().slice(0, 20) || e.name, s.outlineStyle, parseFloat(s.outlineWidth)]; }"
        )
        passed.append(focused[0])
        assert focused[1] != "none", focused
        assert focused[2] >= 2, focused
        if focused[0] == "Publish":
            break
    assert passed[0] == "Skip to content"
    views = ["Overview", "Try", "Applications", "Review", "Deployments", "Bundles", "Challenger"]
    assert passed[1:10] == [*views, "Dead letters", "Interface"]
    assert passed[-1] == "Publish"
    page.keyboard.press("Enter")
    expect(page.locator("#tries li .scale")).to_have_count(1)
    page = visit.go("/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_nothing_moves_by_itself(visit: Visit) -> None:
    """What arrives while one looks does not shift what one looks at (Google's limit for good is 0.1)."""
    for view in VIEWS:
        page = visit.go(view)
        page.wait_for_timeout(1_500)  # a second's figures arrive
        moved = page.evaluate(
            "() => new Promise((told) => { let sum = 0; new PerformanceObserver((list) => {"
            " for (const entry of list.getEntries()) sum += entry.value; })"
            ".observe({ type: 'layout-shift', buffered: true });"
            " setTimeout(() => told(sum), 100); })"
        )
        assert moved < 0.1, view


def test_with_a_token(chromium: Browser, topics: Topics, tmp_path: Path) -> None:
    """A browser is asked for the token, is told of a wrong one, gets in with the right one, and out again."""
    token = tmp_path / "token"
    token.write_text("sixteen characters, or more", encoding="utf-8")
    with console(topics.environment(), tmp_path / "console.log", "--token-file", str(token)) as closed:
        context = chromium.new_context()
        page = context.new_page()
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        page.goto(closed.address + "/dead-letters")
        expect(page).to_have_url(closed.address + "/login")
        page.get_by_label("Token").fill("something else entirely")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("Wrong token.")
        page.get_by_label("Token").fill("sixteen characters, or more")
        page.keyboard.press("Enter")
        expect(page).to_have_url(closed.address + "/")
        expect(page.locator("#status")).to_contain_text("running")
        assert context.cookies()[0]["httpOnly"]
        assert context.cookies()[0]["sameSite"] == "Strict"
        page.get_by_role("button", name="Log out").click()
        expect(page).to_have_url(closed.address + "/login")
        page.goto(closed.address + "/")
        expect(page).to_have_url(closed.address + "/login")
        assert not any("sixteen" in address or "else" in address for address in addresses)
        context.close()


def test_a_broker_that_stops_and_starts_again(chromium: Browser, tmp_path: Path) -> None:
    """The page says that no broker answers and why, and sees again by itself once one does."""
    try:
        first = start_broker("java")
    except LocalBrokerError as fault:
        pytest.skip(f"needs a broker that may be stopped: {fault}")
    with first:
        port = int(first.bootstrap_servers.rpartition(":")[2])
        own = Topics(first.bootstrap_servers, 1)
        served = tmp_path / "console.log"
        with console(own.environment(), served) as started:
            context = chromium.new_context()
            page = context.new_page()
            page.goto(started.address)
            expect(page.locator("#status")).to_have_text("no worker is running: applications are waiting")
            first.stop()
            expect(page.locator(".strip.bad #status")).to_contain_text("cannot connect to Kafka at")
            expect(page.locator("#waiting")).to_have_text("–")
            expect(page.locator("#rate")).to_have_text("–")
            with start_broker("java", port=port):
                expect(page.locator("#status")).to_contain_text("missing topic")
                operate(own, "topics", "ensure")
                expect(page.locator("#status")).to_have_text("no worker is running: applications are waiting")
            context.close()
