"""Requeueing in the console: who may, several at once, a console that ends in between, and the page in a browser."""

import json
import re
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from schemas.contracts import shipped_contract
from schemas.examples import APPLICATIONS
from schemas.files import dump_application
from scorer.local.broker import Broker
from tests.dead_letters import set_aside
from tests.integration.worker_process import WAIT_S, Topics, event_of_a_missing_bundle, headers_of, scorer, wait_until
from tests.ops.console_process import ConsoleProcess, console, require_accessible
from tests.ops.reviewing import MARKER, TOKENS, VIEWER, Reviewer, page_of, write_tokens

pytestmark = pytest.mark.broker
NARROW, WIDE = ViewportSize(width=360, height=740), ViewportSize(width=1280, height=800)
OPERATORS = {"dora": "dora is one of the operators here 7f3a", "ana": TOKENS["ana"]}
"""Ana is a reviewer, too."""
REQUEUE = "/api/dead-letters/requeue"
VALID = dump_application(APPLICATIONS["plain"], shipped_contract())
LARGE = VALID[:-1] + b', "padding": "' + b"A" * 30_000 + b'"}'
"""About 560 of them are a transaction."""
KEY = "a-1001"
BUTTON = re.compile("^Requeue")

expect.set_options(timeout=WAIT_S * 1_000)


@pytest.fixture
def topics(broker: Broker) -> Topics:
    """Topics of two partitions."""
    return Topics(broker.bootstrap_servers, 2)


@pytest.fixture
def options(tmp_path: Path) -> tuple[str, ...]:
    """Options of a console with a token, three reviewers and two operators."""
    operators = tmp_path / "operators"
    operators.write_text("\n".join(f"{name} {token}" for name, token in OPERATORS.items()), encoding="utf-8")
    operators.chmod(0o600)
    return (*write_tokens(tmp_path), "--operators-file", str(operators))


@pytest.fixture
def served(topics: Topics, options: tuple[str, ...], tmp_path: Path) -> Iterator[ConsoleProcess]:
    """A console in which operators requeue."""
    with console(topics.environment(), tmp_path / "console.log", *options) as started:
        yield started


def chosen(user: Reviewer, code: str = "model_error") -> dict[str, Any]:
    """What the page sends to requeue all dead letters of a code that are listed."""
    groups = json.loads(user.get("/api/dead-letters").body)["groups"]
    (group,) = [group for group in groups if group["code"] == code]
    return {"code": code, "ranges": group["requeueable"]["ranges"]}


def state_of(user: Reviewer) -> dict[str, Any]:
    """The state with which the event stream begins."""
    connection = HTTPConnection(user.console.host, timeout=WAIT_S)
    try:
        connection.request("GET", "/api/live", headers=dict(user.headers))
        line = next(line for line in connection.getresponse() if line.startswith(b"data: "))
    finally:
        connection.close()
    state: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
    return state


def ended(user: Reviewer) -> dict[str, Any]:
    """The state of the newest requeue, after its end."""
    states: list[dict[str, Any]] = []

    def has_ended() -> bool:
        states.extend([state] if (state := state_of(user)["requeue"]) else [])
        return bool(states) and states[-1]["has_ended"]

    wait_until(has_ended, "the end of the requeue")
    return states[-1]


def requeued(topics: Topics) -> Counter[bytes]:
    """How often each dead letter is on the applications topic again."""
    return Counter(headers_of(message)["requeued-from"] for message in topics.read(topics.applications))


def test_who_may_requeue(topics: Topics, served: ConsoleProcess) -> None:
    """An operator, under the name of the token; nobody without a session, no viewer, no reviewer, and no other page."""
    set_aside(topics, MARKER.encode(), MARKER.encode())
    dora, ana, ben = (Reviewer.log_in(served, {**TOKENS, **OPERATORS}[name]) for name in ("dora", "ana", "ben"))
    viewer = Reviewer.log_in(served, VIEWER)
    both = chosen(dora)
    nobody = Reviewer(served, {name: text for name, text in dora.headers.items() if name != "Cookie"})
    elsewhere = Reviewer(served, {**dora.headers, "Origin": "http://evil.example"})
    assert nobody.post(REQUEUE, both).status == 401
    assert [user.post(REQUEUE, both).status for user in (viewer, ben, elsewhere)] == [403] * 3
    assert dora.post(REQUEUE, {**both, "actor": "ben"}).status == 400
    lists = [json.loads(user.get("/api/dead-letters").body)["may_requeue"] for user in (dora, ana, ben, viewer)]
    assert lists == [True, True, False, False]
    assert state_of(viewer)["requeue"] is None
    assert topics.count(topics.applications) == 0
    assert dora.post(REQUEUE, {**both, "ranges": [[0, 1, 1]]}).status == 202
    assert (ended(viewer)["operator"], ended(viewer)["done"]) == ("dora", 1)
    letters = json.loads(viewer.get("/api/dead-letters").body)["letters"]
    assert {letter["offset"]: letter["requeued"] and letter["requeued"]["actor"] for letter in letters} == {
        0: None, 1: "dora",
    }  # fmt: skip
    assert ana.post(REQUEUE, both).status == 202
    assert (ended(ana)["number"], ended(ana)["done"], ended(ana)["requeued_before"]) == (2, 1, 1)
    assert set(requeued(topics).values()) == {1}
    assert [message.value() for message in topics.read(topics.applications)] == [MARKER.encode()] * 2
    lines = [json.loads(line) for line in served.log().splitlines() if "dead_letters_requeued" in line]
    assert [(line["operator"], line["code"], line["count"], line["positions"]) for line in lines] == [
        ("dora", "model_error", 1, ["0:1"]), ("ana", "model_error", 1, ["0:0"]),
    ]  # fmt: skip
    assert MARKER not in served.log()
    assert KEY not in served.log()


def test_without_operators_nobody_requeues(topics: Topics, tmp_path: Path) -> None:
    """The console is as it was: the page has the command, and says which setting lets people requeue there."""
    set_aside(topics, VALID)
    with console(topics.environment(), tmp_path / "console.log") as started:
        body = json.dumps({"code": "model_error", "ranges": [[0, 0, 0]]}).encode()
        answer = started.ask(REQUEUE, "POST", body, {"Origin": started.address})
        assert (answer.status, "console_operators_file" in answer.body) == (404, True)
        page = started.ask("/dead-letters").body
        assert "console_operators_file" in page
        assert "<dialog" not in page
        assert started.ask_json("/api/dead-letters")["may_requeue"] is False
    assert topics.count(topics.applications) == 0


def test_two_operators_and_a_command_at_once(topics: Topics, options: tuple[str, ...], tmp_path: Path) -> None:
    """In two consoles and with the command, all requeue everything at once.

    Safety: each dead letter is requeued once; who was too late learns it. Liveness: in the end, all are requeued.
    """
    set_aside(topics, *[VALID] * 1_500)
    with (
        console(topics.environment(), tmp_path / "first.log", *options) as first,
        console(topics.environment(), tmp_path / "second.log", *options) as second,
        ThreadPoolExecutor(3) as pool,
    ):
        dora, ana = Reviewer.log_in(first, OPERATORS["dora"]), Reviewer.log_in(second, OPERATORS["ana"])
        everything = chosen(dora)
        command = pool.submit(scorer, topics, "dlq", "requeue", "--code", "model_error", "--actor", "cleo")
        answers = [pool.submit(user.post, REQUEUE, everything) for user in (dora, ana)]
        assert [answer.result(WAIT_S).status for answer in answers] == [202, 202]
        errors = [ended(user)["error"] for user in (dora, ana)]
        code, _, said = command.result(2 * WAIT_S)
        errors += [said] if code else []
        assert all("another operator requeued at the same time" in error for error in errors if error), errors
        assert dora.post(REQUEUE, everything).status == 202
        assert ended(dora)["error"] == ""
    counts = requeued(topics)
    assert (len(counts), set(counts.values())) == (1_500, {1})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_console_that_ends_in_between(
    topics: Topics, options: tuple[str, ...], tmp_path: Path, number: signal.Signals
) -> None:
    """Nothing is lost and nothing is requeued twice: another console requeues the rest."""
    set_aside(topics, *[LARGE] * 1_900)
    with console(topics.environment(), tmp_path / "first.log", *options) as first:
        dora = Reviewer.log_in(first, OPERATORS["dora"])
        everything = chosen(dora)
        assert dora.post(REQUEUE, everything).status == 202
        wait_until(lambda: "dead_letters_requeued" in first.log(), "a transaction", every_s=0.005)
        first.process.send_signal(number)
        first.process.wait(WAIT_S)
    with console(topics.environment(), tmp_path / "second.log", *options) as second:
        dora = Reviewer.log_in(second, OPERATORS["dora"])
        assert dora.post(REQUEUE, everything).status == 202
        assert ended(dora)["error"] == ""
    counts = requeued(topics)
    assert (len(counts), set(counts.values())) == (1_900, {1})


@pytest.mark.parametrize("viewport", [NARROW, WIDE], ids=["360", "1280"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page(
    chromium: Browser, topics: Topics, served: ConsoleProcess, viewport: ViewportSize, theme: str
) -> None:
    """From a code to a confirmed requeue and its result; and one that fails, with the reason: complete, accessible."""
    set_aside(topics, *[VALID] * 3)
    set_aside(topics, VALID, code="empty", topic="of-someone-else")
    with page_of(chromium, served, OPERATORS["dora"], viewport, color_scheme=theme, bypass_csp=True) as page:
        page.goto(served.address + "/dead-letters")
        page.get_by_role("button", name="model_error", exact=True).click()
        expect(page.locator("#range")).to_have_text("model_error, 1 to 3 of 3")
        page.get_by_role("button", name="Requeue all 3 with code model_error").click()
        dialog = page.get_by_role("dialog", name="Requeue 3 dead letters?")
        for text in (topics.applications, "model_error", "cannot be undone", "the default bundle"):
            expect(dialog).to_contain_text(text)
        box = dialog.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= viewport["width"]
        require_accessible(page, theme)
        dialog.get_by_role("button", name="Requeue", exact=True).click()
        expect(page.locator("#requeue-status")).to_contain_text("dora requeued 3 dead letters with code model_error.")
        expect(page.locator("#letters li", has_text="requeued by dora")).to_have_count(3)
        expect(page.get_by_role("button", name=BUTTON)).to_have_count(0)
        page.get_by_role("button", name="empty", exact=True).click()
        page.get_by_role("button", name="Requeue dead letter").click()
        dialog = page.get_by_role("dialog", name="Requeue 1 dead letter?")
        dialog.get_by_role("button", name="Requeue", exact=True).click()
        expect(page.locator("#requeue-fault")).to_contain_text("came from topic of-someone-else")
        expect(page.locator("#requeue-status")).to_contain_text("with code empty by dora ended early, after 0.")
        require_accessible(page, theme)
    assert len(requeued(topics)) == 3


def test_by_keyboard(chromium: Browser, topics: Topics, served: ConsoleProcess) -> None:
    """Escape changes nothing and returns to the button; the way to a requeue ends at its result.

    The confirmation names the deployed bundle.
    """
    set_aside(topics, VALID, VALID)
    topics.publish(event_of_a_missing_bundle("champion"), topic=topics.deployments, key=None)
    dora = Reviewer.log_in(served, OPERATORS["dora"])
    wait_until(lambda: bool((state_of(dora)["deployed"] or {}).get("bundle")), "the deployment")
    with page_of(chromium, served, OPERATORS["dora"], WIDE) as page:
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url) if request.url.endswith(REQUEUE) else None)
        page.goto(served.address + "/dead-letters")
        button = page.get_by_role("button", name="Requeue dead letter 0:0")
        button.focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Requeue 1 dead letter?")
        expect(dialog).to_contain_text("the deployed bundle, credit-risk:9.9.9.")
        expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(button).to_be_focused()
        for key in ("Enter", "Enter"):  # opens it, and cancels
            page.keyboard.press(key)
        expect(dialog).to_be_hidden()
        assert sent == []
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(dialog.get_by_role("button", name="Requeue", exact=True)).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#requeue-title")).to_be_focused()
        expect(page.locator("#requeue-status")).to_contain_text("dora requeued 1 dead letter with code model_error.")
        assert len(sent) == 1
    assert list(requeued(topics)) == [f"{topics.dead_letters}:0:0".encode()]


def test_a_linked_dead_letter(chromium: Browser, topics: Topics, served: ConsoleProcess) -> None:
    """A link to a dead letter that was requeued offered to requeue it again; the list did not.

    One that is requeued where the link shows it has its mark afterwards, too.
    """
    set_aside(topics, VALID, VALID)
    dora = Reviewer.log_in(served, OPERATORS["dora"])
    assert dora.post(REQUEUE, {"code": "model_error", "ranges": [[0, 0, 0]]}).status == 202
    ended(dora)
    marks = [json.loads(dora.get(f"/api/dead-letters/0/{offset}").body)["requeued"] for offset in (0, 1)]
    assert [mark and mark["actor"] for mark in marks] == ["dora", None]
    with page_of(chromium, served, OPERATORS["dora"], WIDE) as page:
        linked = page.locator("#linked-letter")
        page.goto(served.address + "/dead-letters#0:0")
        expect(linked).to_contain_text("requeued by dora")
        expect(linked.get_by_role("button", name=BUTTON)).to_have_count(0)
        page.goto(served.address + "/dead-letters#0:1")
        linked.get_by_role("button", name="Requeue dead letter 0:1").click()
        page.get_by_role("dialog").get_by_role("button", name="Requeue", exact=True).click()
        expect(linked).to_contain_text("requeued by dora")
        expect(linked.get_by_role("button", name=BUTTON)).to_have_count(0)
    assert set(requeued(topics).values()) == {1}


def test_others_copy_the_command(chromium: Browser, topics: Topics, served: ConsoleProcess) -> None:
    """A viewer has no button, and sees what operators have requeued and whether it failed."""
    set_aside(topics, VALID, VALID)
    dora = Reviewer.log_in(served, OPERATORS["dora"])
    assert dora.post(REQUEUE, {"code": "model_error", "ranges": [[0, 1, 1]]}).status == 202
    ended(dora)
    with page_of(chromium, served, VIEWER, WIDE) as page:
        page.goto(served.address + "/dead-letters")
        expect(page.locator("#letters")).to_contain_text("scorer dlq requeue 0:0")
        page.get_by_role("button", name="model_error", exact=True).click()
        expect(page.locator("#requeue-code")).to_contain_text("scorer dlq requeue --code model_error")
        expect(page.get_by_role("button", name=BUTTON)).to_have_count(0)
        expect(page.locator("#requeue-status")).to_contain_text("dora requeued 1 dead letter with code model_error.")
