"""A second reviewer in the console, on a real broker: two who agree, the same one twice, and two who disagree."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from schemas.decision import BundleReference
from schemas.examples import APPLICATIONS
from scorer.bundle.load import read_manifest
from scorer.local.broker import Broker
from tests.integration.test_reading_decisions import reading, table
from tests.integration.worker_process import WAIT_S, Topics, wait_until
from tests.ops.console_process import ConsoleProcess, console
from tests.ops.reviewing import TOKENS, Decisions, Reviewer, page_of, reviews_of, wait_until_read, write_tokens
from tests.unit.bundle.making import EXPLAINED, named, remake

pytestmark = pytest.mark.broker
AMOUNT: Final = 20_000
FIELDS: Final = next(iter(APPLICATIONS.values()))
LARGE, SMALL = ({**FIELDS, "amount": amount} for amount in (AMOUNT + 1, AMOUNT))

expect.set_options(timeout=WAIT_S * 1_000)


@pytest.fixture
def topics(broker: Broker) -> Topics:
    """Topics of two partitions."""
    return Topics(broker.bootstrap_servers, 2)


@pytest.fixture
def bundle(tmp_path: Path) -> BundleReference:
    """A bundle in a store of its own whose policy requires a second reviewer above an amount."""
    folder = named(tmp_path / "store" / "mine" / "2.0.0", "mine", "2.0.0", EXPLAINED)
    remake(folder, lambda manifest: manifest["policy"].update(second_review_when=f"amount > {AMOUNT}"))
    return read_manifest(folder).reference


@pytest.fixture
def served(topics: Topics, tmp_path: Path) -> Iterator[ConsoleProcess]:
    """A console in which decisions are reviewed, with that store."""
    environment = topics.environment() | {"SCORER_STORE": str(tmp_path / "store")}
    with console(environment, tmp_path / "console.log", *write_tokens(tmp_path)) as started:
        yield started


def waiting(reviewer: Reviewer, application_id: str) -> dict[str, Any]:
    """A decision of the queue."""
    return next(one for one in reviewer.waiting() if one["application_id"] == application_id)


def record_of(reviewer: Reviewer, application_id: str) -> dict[str, Any]:
    """The decision of record in the history."""
    answer = reviewer.post("/api/applications/history", {"application_id": application_id})
    record: dict[str, Any] = json.loads(answer.body)["record"]
    return record


def test_two_reviewers_decide_above_the_amount(
    topics: Topics, bundle: BundleReference, served: ConsoleProcess, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """The first review is not the decision of record; the same reviewer again is an error; the second one decides.

    Up to the amount one reviewer is enough. A reader of the topics finds the same decisions of record in its tables.
    """
    Decisions(topics).add(["large"], bundle=bundle, fields=LARGE)
    Decisions(topics).add(["small"], bundle=bundle, fields=SMALL)
    ana, ben = (Reviewer.log_in(served, TOKENS[name]) for name in ("ana", "ben"))
    wait_until_read(ana, 2)
    large = waiting(ana, "large")
    assert ana.review(waiting(ana, "small"), "APPROVED").status == 201
    first = ana.review(large, "APPROVED")
    assert first.status == 202
    assert "the decision waits until one agrees" in json.loads(first.body)["pending"]
    assert waiting(ben, "large")["pending"] == ["ana"]
    assert (record_of(ben, "large")["label"], record_of(ben, "large")["pending"]) == ("MAYBE", ["ana"])
    for label in ("APPROVED", "DECLINED"):
        again = ana.review(large, label)
        assert again.status == 409
        assert json.loads(again.body)["error"] == (
            "you have reviewed this decision already (APPROVED): it waits for another reviewer to agree"
        )
    assert ben.review(large, "APPROVED").status == 201
    assert ben.waiting() == []
    record = record_of(ana, "large")
    assert (record["label"], record["agrees_with"], record["reviewer"]) == ("APPROVED", "ana", "ben")
    fold, reviews = reviews_of(topics)
    assert [(one.application_id, one.reviewer, one.needs_second) for one in reviews] == [
        ("small", "ana", False),
        ("large", "ana", True),
        ("large", "ben", True),
    ]
    assert fold.get("large", large["decision_id"]) is not None
    database = tmp_path / "decisions.sqlite"
    with reading(topics.servers, topics.decisions, database, unique("group"), reviews=topics.reviews):
        wanted = {("small", "APPROVED", "ana"), ("large", "APPROVED", "ben")}
        wait_until(lambda: len(table(database)) == 2 and of_record(database) == wanted, "the decisions of record")


def of_record(database: Path) -> set[tuple[str, str, str]]:
    """Application, label and reviewer of the decisions of record in a reader's tables."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        return set(opened.execute("SELECT application_id, decision, reviewer FROM decisions_of_record").fetchall())


def test_a_third_reviewer_settles_a_disagreement(
    topics: Topics, bundle: BundleReference, served: ConsoleProcess
) -> None:
    """The second reviewer reads who differs, and the decision stays in the queue until a third one agrees with either.

    To replace what two have decided takes two as well, and until then it counts.
    """
    Decisions(topics).add(["a-1"], bundle=bundle, fields=LARGE)
    ana, ben, cleo = (Reviewer.log_in(served, TOKENS[name]) for name in ("ana", "ben", "cleo"))
    wait_until_read(ana, 1)
    decision = waiting(ana, "a-1")
    assert ana.review(decision, "APPROVED").status == 202
    differs = ben.review(decision, "DECLINED")
    assert differs.status == 202
    assert json.loads(differs.body)["pending"] == (
        "your review was recorded, but ana chose APPROVED: the decision waits for a third reviewer, who agrees with "
        "one of you"
    )
    assert waiting(cleo, "a-1")["pending"] == ["ana", "ben"]
    assert ben.review(decision, "APPROVED").status == 409
    assert record_of(cleo, "a-1")["label"] == "MAYBE"
    settled = cleo.review(decision, "DECLINED")
    assert settled.status == 201
    assert cleo.waiting() == []
    review_id = json.loads(settled.body)["review_id"]
    replacing = ana.review(decision, "APPROVED", supersedes=review_id)
    assert replacing.status == 202
    assert "until one agrees, the review by cleo counts (DECLINED)" in json.loads(replacing.body)["pending"]
    record = record_of(ben, "a-1")
    assert (record["label"], record["pending"]) == ("DECLINED", ["ana"])
    assert ben.review(decision, "APPROVED", supersedes=review_id).status == 201
    record = record_of(ben, "a-1")
    assert (record["label"], record["agrees_with"], record["pending"]) == ("APPROVED", "ana", [])


def test_what_cannot_be_compared(topics: Topics, bundle: BundleReference, served: ConsoleProcess) -> None:
    """An application that the contract rejects needs a second reviewer; a bundle that is not there is an error."""
    Decisions(topics).add(["invalid"], bundle=bundle)
    Decisions(topics).add(["unknown"], bundle=bundle.model_copy(update={"digest": "0" * 64}))
    ana = Reviewer.log_in(served, TOKENS["ana"])
    wait_until_read(ana, 2)
    assert ana.review(waiting(ana, "invalid"), "APPROVED").status == 202
    unknown = ana.review(waiting(ana, "unknown"), "APPROVED")
    assert unknown.status == 503
    assert "its bundle is not available" in json.loads(unknown.body)["error"]
    _, reviews = reviews_of(topics)
    assert [one.application_id for one in reviews] == ["invalid"]


def test_the_pages(chromium: Browser, topics: Topics, bundle: BundleReference, served: ConsoleProcess) -> None:
    """The queue and the history say for whom a decision waits; who has reviewed it has no form for it in the queue."""
    Decisions(topics).add(["a-1"], bundle=bundle, fields=LARGE)
    ben = Reviewer.log_in(served, TOKENS["ben"])
    wait_until_read(ben, 1)
    wide = ViewportSize(width=1280, height=800)
    with page_of(chromium, served, TOKENS["ana"], wide) as page:
        page.goto(served.address + "/review")
        page.get_by_role("button", name="Review application a-1").click()
        page.get_by_label("Approve").check()
        page.get_by_label("Reason").fill("INCOME")
        page.get_by_role("button", name="Submit review").click()
        waits = "the policy requires a second reviewer, and the decision waits until one agrees"
        expect(page.locator("#queue")).to_contain_text(waits)
        page.get_by_role("button", name="Reload").click()
        expect(page.locator("#queue")).to_contain_text("waiting for a second reviewer: reviewed by you")
        expect(page.get_by_role("button", name="Review application a-1")).to_have_count(0)
        page.goto(served.address + "/applications#a-1")
        expect(page.locator("#record")).to_contain_text("MAYBE waiting for a second reviewer: reviewed by ana")
        expect(page.locator("#timeline")).to_contain_text("reviewed APPROVED (another reviewer must agree)")
        assert ben.review(ben.waiting()[0], "APPROVED").status == 201
        page.get_by_role("button", name="Search").click()
        expect(page.locator("#record")).to_contain_text("APPROVED reviewed by ana and ben; the decision was MAYBE")
