"""Reviews in the console: who may review, several reviewers at once, a killed console, and the pages in a browser."""

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from scorer.local.broker import Broker
from tests.integration.worker_process import WAIT_S, Topics, wait_until
from tests.ops.console_process import ConsoleProcess, console, require_accessible
from tests.ops.reviewing import (
    MARKER,
    OTHER,
    TOKENS,
    VIEWER,
    Decisions,
    Reviewer,
    page_of,
    reviews_of,
    wait_until_read,
    write_tokens,
)

pytestmark = pytest.mark.broker
NARROW, WIDE = ViewportSize(width=360, height=740), ViewportSize(width=1280, height=800)

expect.set_options(timeout=WAIT_S * 1_000)


@pytest.fixture
def topics(broker: Broker) -> Topics:
    """Topics of two partitions."""
    return Topics(broker.bootstrap_servers, 2)


@pytest.fixture
def options(tmp_path: Path) -> tuple[str, ...]:
    """Options of a console with a token and three reviewers."""
    return write_tokens(tmp_path)


@pytest.fixture
def served(topics: Topics, options: tuple[str, ...], tmp_path: Path) -> Iterator[ConsoleProcess]:
    """A console in which decisions are reviewed."""
    with console(topics.environment(), tmp_path / "console.log", *options) as started:
        yield started


def test_who_may_review(topics: Topics, served: ConsoleProcess) -> None:
    """Nobody without a session, no viewer, no other page; a reviewer, under the name of the token and no other."""
    Decisions(topics).add(["a-1", "a-2"])
    ana, viewer = Reviewer.log_in(served, TOKENS["ana"]), Reviewer.log_in(served, VIEWER)
    wait_until_read(ana, 2)
    first, second = ana.waiting()
    nobody = Reviewer(served, {name: text for name, text in ana.headers.items() if name != "Cookie"})
    elsewhere = Reviewer(served, {**ana.headers, "Origin": "http://evil.example"})
    assert nobody.get("/api/reviews").status == 401
    assert nobody.review(first, "APPROVED").status == 401
    assert viewer.get("/api/reviews").status == 403
    assert viewer.review(first, "APPROVED").status == 403
    assert elsewhere.review(first, "APPROVED").status == 403
    forged = ana.review(first, "APPROVED", reviewer="ben")
    assert (forged.status, "reviewer" in forged.body) == (400, False)
    for wrong in ({"label": "MAYBE"}, {"reason": ""}, {"reason": "x" * 201}, {"comment": f"{MARKER}\n"}):
        answer = ana.review(first, **{"label": "APPROVED", **wrong})
        assert answer.status == 400
        assert MARKER not in answer.body
        assert next(iter(wrong)) in answer.body
    assert ana.review(first, "APPROVED", comment=MARKER).status == 201
    fold, (review,) = reviews_of(topics)
    assert (review.reviewer, review.label, review.reason, review.comment) == ("ana", "APPROVED", "INCOME", MARKER)
    assert fold.get(review.application_id, review.decision_id) is not None
    assert [one["application_id"] for one in ana.waiting()] == [second["application_id"]]
    assert viewer.post("/api/applications/history", {"application_id": "a-2"}).status == 200
    assert ana.post("/api/applications/0/0/value").status == 200
    assert MARKER not in served.log()
    for application_id in ("a-1", "a-2"):
        assert application_id not in served.log()
    assert "review_written" in served.log()
    assert "application_shown" in served.log()


def test_without_reviewers_nobody_reviews(topics: Topics, tmp_path: Path) -> None:
    """Reviews are off until a file names reviewers, and the page says how to turn them on."""
    with console(topics.environment(), tmp_path / "console.log") as started:
        body = json.dumps({"application_id": "a", "decision_id": "d", "label": "APPROVED", "reason": "x"}).encode()
        answer = started.ask("/api/reviews", "POST", body, {"Origin": started.address})
        assert answer.status == 404
        assert "console_reviewers_file" in answer.body
        assert "console_reviewers_file" in started.ask("/review").body
        assert "scorer_waiting_reviews" not in started.ask("/metrics").body


def test_the_metrics_need_no_session(topics: Topics, served: ConsoleProcess) -> None:
    """Prometheus reads the length of the queue, the age of the oldest decision, and the reviews by label."""
    Decisions(topics).add(["a-1", "a-2", "a-3"])
    ana = Reviewer.log_in(served, TOKENS["ana"])
    wait_until_read(ana, 3)
    assert ana.review(ana.waiting()[0], "DECLINED").status == 201
    lines = served.ask("/metrics", headers={"Host": "console:8765"}).body.splitlines()
    assert "scorer_waiting_reviews 2.0" in lines
    assert 'scorer_reviews_total{label="DECLINED"} 1.0' in lines
    assert 'scorer_reviews_total{label="APPROVED"} 0.0' in lines
    assert any(line.startswith("scorer_oldest_waiting_review_seconds ") for line in lines)


def test_corrections_and_replaced_reviews(topics: Topics, served: ConsoleProcess) -> None:
    """A correction needs a review of its own; a review is replaced by one that names it, and by no other."""
    decisions = Decisions(topics)
    decisions.add(["a-1", "a-2"])
    ana, ben = (Reviewer.log_in(served, TOKENS[name]) for name in ("ana", "ben"))
    wait_until_read(ana, 2)
    first = next(one for one in ana.waiting() if one["application_id"] == "a-1")
    reviewed = ana.review(first, "APPROVED")
    assert reviewed.status == 201
    late = ben.review(first, "DECLINED")
    assert late.status == 409
    assert json.loads(late.body)["error"] == ("your review does not count: ana reviewed the decision first (APPROVED)")
    review_id = json.loads(reviewed.body)["review_id"]
    assert ben.review(first, "DECLINED", supersedes="unknown").status == 409
    assert ben.review(first, "DECLINED", supersedes=review_id).status == 201
    history = json.loads(ana.post("/api/applications/history", {"application_id": "a-1"}).body)
    assert history["record"]["label"] == "DECLINED"
    assert history["record"]["reviewer"] == "ben"
    assert history["may_review"]
    assert [event["kind"] for event in history["events"]] == ["published", "decided", "reviewed", "reviewed"]
    corrected = decisions.decide("a-1", "MAYBE", OTHER, first["decision_id"])
    decisions.decide("a-2", "APPROVED", OTHER, f"{topics.applications}:0:0@nothing")
    decisions.flush()
    wait_until(
        lambda: [one["decision_id"] for one in ana.waiting()] == [corrected.decision_id],
        "the correction waits, and a-2 does not",
    )
    stale = ben.review(first, "APPROVED", supersedes=history["record"]["review_id"])
    assert (stale.status, "not current any more" in stale.body) == (409, True)
    assert ana.post("/api/applications/history", {"application_id": "nobody"}).status == 404


DECISIONS = int(os.environ.get("REVIEWED_DECISIONS", "300"))
"""A larger number takes longer: 10,000 some minutes."""


class Crowd:
    """Three reviewers who review every decision at once, on whichever of two consoles is alive."""

    def __init__(self, consoles: Callable[[], list[ConsoleProcess]]) -> None:
        self._consoles = consoles
        self.progress = Event()
        self._answered = 0

    def review_all(self, name: str, decisions: list[dict[str, Any]], label: str) -> list[tuple[str, str]]:
        """Reviews all decisions in their order, as the others do; returns those that were said to count."""
        counted: list[tuple[str, str]] = []
        session: Reviewer | None = None
        for decision in decisions:
            answered = False
            while not answered:
                try:
                    session = session or self._log_in(name)
                    answer = session.review(decision, label)
                except (OSError, HTTPException, AssertionError):
                    session = None  # the console was killed: log in to another one, and try again
                    continue
                if answer.status in {401, 503}:
                    session = None if answer.status == 401 else session
                    continue
                assert answer.status in {201, 409}, answer
                answered = True
                self._answered += 1
                if self._answered > DECISIONS // 4:
                    self.progress.set()
                if answer.status == 201:
                    counted.append((decision["application_id"], json.loads(answer.body)["review_id"]))
        return counted

    def _log_in(self, name: str) -> Reviewer:
        return Reviewer.log_in(random.choice(self._consoles()), TOKENS[name])


def test_three_reviewers_at_once_and_a_killed_console(topics: Topics, options: tuple[str, ...], tmp_path: Path) -> None:
    """Two consoles, three reviewers who all review everything at once, and SIGKILL of a console in between.

    Safety: each decision has exactly one review that counts, and a reviewer whose review was confirmed is its reviewer.
    Liveness: everything is reviewed in the end, and nothing waits.
    """
    Decisions(topics).add([f"a-{number}" for number in range(DECISIONS)])
    with (
        console(topics.environment(), tmp_path / "first.log", *options) as first,
        console(topics.environment(), tmp_path / "second.log", *options) as second,
    ):
        alive = [first, second]
        ana = Reviewer.log_in(second, TOKENS["ana"])
        wait_until_read(ana, DECISIONS)
        wait_until_read(Reviewer.log_in(first, TOKENS["ana"]), DECISIONS)
        decisions = ana.waiting()
        assert len({one["application_id"] for one in decisions}) == DECISIONS
        crowd = Crowd(lambda: list(alive))
        with ThreadPoolExecutor(len(TOKENS)) as pool:
            reviewing = [
                pool.submit(crowd.review_all, name, decisions, label)
                for name, label in zip(TOKENS, ("APPROVED", "DECLINED", "APPROVED"), strict=True)
            ]
            assert crowd.progress.wait(WAIT_S)
            alive.remove(first)
            first.process.kill()
            first.process.wait(WAIT_S)
            with console(topics.environment(), tmp_path / "third.log", *options) as third:
                alive.append(third)
                counted = [one for answers in reviewing for one in answers.result(20 * WAIT_S)]
                for of in (second, third):
                    wait_until_read(Reviewer.log_in(of, TOKENS["ben"]), 0)
    fold, reviews = reviews_of(topics)
    confirmed = dict(counted)
    assert len(confirmed) == len(counted), "no decision has two confirmed reviews"
    for decision in decisions:
        application_id, decision_id = decision["application_id"], decision["decision_id"]
        counting = fold.get(application_id, decision_id)
        assert counting is not None, application_id
        # A reviewer whose console was killed before it answered got no confirmation, and later a conflict.
        assert confirmed.get(application_id, counting.review_id) == counting.review_id
    assert len(reviews) >= DECISIONS


@pytest.mark.parametrize("viewport", [NARROW, WIDE], ids=["360", "1280"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_pages(
    chromium: Browser, topics: Topics, served: ConsoleProcess, viewport: ViewportSize, theme: str
) -> None:
    """The queue, a form, and an application's history with everything that can happen: complete and accessible."""
    decisions = Decisions(topics)
    decisions.add(["a-corrected-and-reviewed", "a-1001", "a-1002"])
    ana = Reviewer.log_in(served, TOKENS["ana"])
    wait_until_read(ana, 3)
    one = next(one for one in ana.waiting() if one["application_id"] == "a-corrected-and-reviewed")
    assert ana.review(one, "APPROVED", comment="pay slips of three months were checked").status == 201
    decisions.decide("a-corrected-and-reviewed", "MAYBE", OTHER, one["decision_id"])
    decisions.flush()
    wait_until_read(ana, 3)
    with page_of(chromium, served, TOKENS["ben"], viewport, color_scheme=theme, bypass_csp=True) as page:
        page.goto(served.address + "/review")
        expect(page.locator("#queue > li")).to_have_count(3)
        expect(page.locator("#news")).to_contain_text("3 waiting, the oldest for")
        expect(page.locator("#queue > li").first).to_contain_text("PD 34.4 %")
        page.get_by_role("button", name="Review application a-1001").click()
        page.get_by_role("button", name="Show values of application a-1002").click()
        expect(page.locator("#queue pre")).to_contain_text(MARKER)
        require_accessible(page, theme)
        page.goto(served.address + "/applications#a-corrected-and-reviewed")
        expect(page.locator("#timeline > li")).to_have_count(4)
        expect(page.locator("#record")).to_contain_text("MAYBE waits for a review")
        expect(page.locator("#timeline")).to_contain_text("reviewed APPROVED")
        expect(page.locator("#timeline")).to_contain_text("corrected to MAYBE")
        assert MARKER not in page.content()
        page.get_by_role("button", name="Show values").click()
        expect(page.locator("#timeline pre")).to_contain_text(MARKER)
        page.get_by_text("Policy", exact=True).first.click()
        require_accessible(page, theme)


def test_a_review_by_keyboard(chromium: Browser, topics: Topics, served: ConsoleProcess) -> None:
    """From the queue to a review that counts without a mouse; the next decision has the focus then."""
    Decisions(topics).add(["a-1"])
    Decisions(topics).add(["a-2"])
    wait_until_read(Reviewer.log_in(served, TOKENS["ben"]), 2)
    with page_of(chromium, served, TOKENS["ana"], WIDE) as page:
        page.goto(served.address + "/review")
        expect(page.locator("#queue > li")).to_have_count(2)
        page.get_by_role("button", name="Review application a-1").focus()
        for key in ("Enter", "Space", "Tab", "I", "N", "C", "O", "M", "E", "Tab"):
            page.keyboard.press(key)
        page.keyboard.type("pay slips were checked")
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Submit review")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#announce")).to_have_text("a-1: APPROVED. Your review is the decision of record.")
        expect(page.get_by_role("button", name="Review application a-2")).to_be_focused()
        expect(page.locator("#news")).to_contain_text("1 waiting")
    _, (review,) = reviews_of(topics)
    assert (review.reviewer, review.label, review.reason) == ("ana", "APPROVED", "INCOME")
    assert review.comment == "pay slips were checked"


def test_a_conflict_is_one_clear_message(chromium: Browser, topics: Topics, served: ConsoleProcess) -> None:
    """Who comes second reads who was first; and can replace that review in the application's history."""
    Decisions(topics).add(["a-1"])
    ben = Reviewer.log_in(served, TOKENS["ben"])
    wait_until_read(ben, 1)
    with page_of(chromium, served, TOKENS["ana"], WIDE) as page:
        page.goto(served.address + "/review")
        page.get_by_role("button", name="Review application a-1").click()
        assert ben.review(ben.waiting()[0], "DECLINED").status == 201
        page.get_by_label("Approve").check()
        page.get_by_label("Reason").fill("INCOME")
        page.get_by_role("button", name="Submit review").click()
        message = "your review does not count: ben reviewed the decision first (DECLINED)"
        expect(page.get_by_role("alert").filter(has_text="does not count")).to_have_text(message)
        page.goto(served.address + "/applications")
        page.get_by_label("Application id").fill("a-1")
        page.keyboard.press("Enter")
        expect(page.locator("#record")).to_contain_text("DECLINED reviewed by ben")
        page.get_by_text("Replace the review").click()
        page.get_by_label("Approve").check()
        page.get_by_label("Reason").fill("a mistake")
        page.get_by_role("button", name="Submit review").click()
        expect(page.locator("#record")).to_contain_text("APPROVED reviewed by ana")
        expect(page.locator("#timeline > li")).to_have_count(4)
    fold, (first, _) = reviews_of(topics)
    counting = fold.get(first.application_id, first.decision_id)
    assert counting is not None
    assert counting.reviewer == "ana"


def test_many_decisions_have_pages(chromium: Browser, topics: Topics, served: ConsoleProcess) -> None:
    """Twenty-five at a time, the oldest first; and the last page is shorter."""
    Decisions(topics).add([f"a-{number:03}" for number in range(60)])
    wait_until_read(Reviewer.log_in(served, TOKENS["ben"]), 60)
    with page_of(chromium, served, TOKENS["ana"], WIDE) as page:
        page.goto(served.address + "/review")
        expect(page.locator("#range")).to_have_text("1–25 of 60")
        expect(page.get_by_role("button", name="Previous")).to_be_disabled()
        page.get_by_role("button", name="Next").click()
        expect(page.locator("#range")).to_have_text("26–50 of 60")
        page.get_by_role("button", name="Next").click()
        expect(page.locator("#range")).to_have_text("51–60 of 60")
        expect(page.locator("#queue > li")).to_have_count(10)
        expect(page.get_by_role("button", name="Next")).to_be_disabled()


def test_timestamps_in_another_unit(
    chromium: Browser, broker: Broker, options: tuple[str, ...], tmp_path: Path
) -> None:
    """One record in nanoseconds, which a browser's calendar does not have, emptied the queue and the history."""
    topics = Topics(broker.bootstrap_servers, 2, {"message.timestamp.after.max.ms": str(2**63 - 1)})
    Decisions(topics, time.time_ns()).add(["a-1"])
    Decisions(topics).add(["a-2"])
    with (
        console(topics.environment(), tmp_path / "console.log", *options) as served,
        page_of(chromium, served, TOKENS["ana"], WIDE) as page,
    ):
        wait_until_read(Reviewer.log_in(served, TOKENS["ana"]), 2)
        page.goto(served.address + "/review")
        expect(page.locator("#queue > li")).to_have_count(2)
        expect(page.get_by_text("time unknown")).to_have_count(1)
        page.goto(served.address + "/applications#a-1")
        expect(page.locator("#timeline > li")).to_have_count(2)
        expect(page.get_by_text("time unknown")).to_have_count(2)
