"""MAYBE decisions on topics of their own, and reviewers who log in to a console, as programs and in a browser."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from confluent_kafka import Message, Producer
from playwright.sync_api import Browser, Page, ViewportSize

from schemas.decision import BundleReference, Decision, Label, RecordReference, decision_id
from schemas.review import Review, read_review
from scorer.operate.reviews import ReviewFold
from scorer.store.store import BundleStore
from tests.integration.worker_process import WAIT_S, Topics, wait_until
from tests.ops.console_process import Answer, ConsoleProcess
from tests.reading import read_to_the_end

MARKER = "marker-of-a-person"
TOKENS = {name: f"{name} is one of the reviewers here 7f3a" for name in ("ana", "ben", "cleo")}
VIEWER = "somebody who may only look on"
BUNDLE = BundleStore(None).locate("credit-risk:1.1.0").reference
OTHER = BundleReference(name="credit-risk", version="9.9.9", digest="9" * 64)


def write_tokens(folder: Path) -> tuple[str, ...]:
    """Writes the files of tokens; returns the console's options that name them."""
    token, reviewers = folder / "token", folder / "reviewers"
    token.write_text(VIEWER, encoding="utf-8")
    lines = ["# reviewers", "", *(f"{name}  {token}" for name, token in TOKENS.items())]
    reviewers.write_text("\n".join(lines), encoding="utf-8")
    for file in (token, reviewers):
        file.chmod(0o600)
    return "--token-file", str(token), "--reviewers-file", str(reviewers)


class Decisions:
    """Writes applications and decisions on them, as a worker would."""

    def __init__(self, topics: Topics, timestamp: int = 0) -> None:
        """Writes records with this timestamp; 0 is the present."""
        self._topics = topics
        self._timestamp = timestamp
        self._producer = Producer({"bootstrap.servers": topics.servers, "partitioner": "murmur2_random"})
        self._sources: dict[str, tuple[int, int]] = {}

    def add(
        self,
        ids: Sequence[str],
        label: Label = "MAYBE",
        bundle: BundleReference = BUNDLE,
        fields: Mapping[str, object] | None = None,
    ) -> None:
        """An application with these fields for each id, and its decision; by default an application that is invalid."""
        for application_id in ids:
            value = json.dumps({**(fields or {"home": MARKER}), "application_id": application_id}).encode()
            self._producer.produce(
                self._topics.applications,
                value,
                application_id,
                on_delivery=self._delivered,
                timestamp=self._timestamp,
            )
            self._producer.poll(0)
        assert self._producer.flush(WAIT_S) == 0
        for application_id in ids:
            self.decide(application_id, label, bundle)
        assert self._producer.flush(WAIT_S) == 0

    def _delivered(self, _: object, message: Message) -> None:
        source = message.partition() or 0, message.offset() or 0
        self._sources[(message.key() or b"").decode()] = source

    def decide(self, application_id: str, label: Label, bundle: BundleReference, supersedes: str = "") -> Decision:
        """A decision on an application that was added, or a correction."""
        partition, offset = self._sources[application_id]
        made = Decision(
            decision_id=decision_id(self._topics.applications, partition, offset, bundle),
            application_id=application_id,
            decision=label,
            probability_of_default=0.34375,
            reasons=("INCOME", "DEBT") if label != "APPROVED" else (),
            bundle=bundle,
            source=RecordReference(topic=self._topics.applications, partition=partition, offset=offset),
        )
        headers: dict[str, str | bytes | None] = {"replay-id": "r-1", "supersedes": supersedes} if supersedes else {}
        topic, value = self._topics.decisions, made.model_dump_json()
        self._producer.produce(topic, value, application_id, headers=headers, timestamp=self._timestamp)
        self._producer.poll(0)
        return made

    def flush(self) -> None:
        """Waits until all was written."""
        assert self._producer.flush(WAIT_S) == 0


class Reviewer(NamedTuple):
    """A user with a session, as a program."""

    console: ConsoleProcess
    headers: Mapping[str, str]

    @classmethod
    def log_in(cls, console: ConsoleProcess, token: str) -> "Reviewer":
        """Opens a session."""
        own = {"Origin": console.address, "Content-Type": "application/x-www-form-urlencoded"}
        answer = console.ask("/login", "POST", urlencode({"token": token}).encode(), own)
        assert answer.status == 303, answer
        cookie = answer.headers["set-cookie"].partition(";")[0]
        return cls(console, {"Origin": console.address, "Cookie": cookie, "Content-Type": "application/json"})

    def get(self, path: str) -> Answer:
        """Asks for something."""
        return self.console.ask(path, headers=self.headers)

    def post(self, path: str, body: object = None) -> Answer:
        """Sends JSON."""
        return self.console.ask(path, "POST", json.dumps(body).encode(), self.headers)

    def waiting(self) -> list[dict[str, Any]]:
        """The whole queue."""
        decisions: list[dict[str, Any]] = []
        while True:
            page = json.loads(self.get(f"/api/reviews?first={len(decisions)}").body)
            decisions += page["decisions"]
            if not page["decisions"]:
                return decisions

    def review(self, decision: Mapping[str, Any], label: str, **more: object) -> Answer:
        """Reviews a decision of the queue."""
        ids = {name: decision[name] for name in ("application_id", "decision_id")}
        return self.post("/api/reviews", {**ids, "label": label, "reason": "INCOME", **more})


def wait_until_read(reviewer: Reviewer, count: int) -> None:
    """Waits until so many decisions wait."""

    def is_read() -> bool:
        answer = reviewer.get("/api/reviews?count=1")
        return answer.status == 200 and json.loads(answer.body)["waiting"] == count

    wait_until(is_read, f"{count} waiting decisions")


def reviews_of(topics: Topics) -> tuple[ReviewFold, list[Review]]:
    """The reviews on the topic, and which of them count."""
    fold, reviews = ReviewFold(), []
    for message in read_to_the_end(topics.servers, topics.reviews, 1):
        review = read_review(message)
        assert isinstance(review, Review), review
        fold.add(review, message.offset() or 0)
        reviews.append(review)
    return fold, reviews


@contextmanager
def page_of(
    chromium: Browser, console: ConsoleProcess, token: str, viewport: ViewportSize, **options: Any
) -> Iterator[Page]:
    """A page of a browser that has logged in, in which no script fails and no other host is asked."""
    context = chromium.new_context(viewport=viewport, **options)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.extend([request.url] * (console.host not in request.url)))
    page.goto(console.address + "/login")
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")
    page.wait_for_url(console.address + "/")
    yield page
    context.close()
    assert faults == []
