"""Deploying and rolling back while applications flow, with the commands that an operator types."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from threading import Event, Thread

import pytest
from confluent_kafka import Producer

from producer.generator import generate_applications
from scorer.local.broker import Broker
from tests.integration.worker_process import WAIT_S, Topics, wait_until, worker

pytestmark = pytest.mark.broker
PARTITIONS = 4
RATE = 4_000


class Flow:
    """Applications without end, at a steady pace, to every partition in turn."""

    def __init__(self, topics: Topics) -> None:
        self.sent = 0
        self._topics = topics
        self._stop = Event()
        self._thread = Thread(target=self._publish, daemon=True)
        self._thread.start()

    def stop(self) -> dict[int, int]:
        """Ends it; returns how many records each partition has."""
        self._stop.set()
        self._thread.join()
        return {p: len(range(p, self.sent, PARTITIONS)) for p in range(PARTITIONS)}

    def _publish(self) -> None:
        producer = Producer({"bootstrap.servers": self._topics.servers, "linger.ms": 5})
        began_at = time.monotonic()
        for number, record in enumerate(generate_applications(seed=3)):
            if number % 40 == 0:
                if self._stop.is_set():
                    break
                time.sleep(max(0.0, began_at + number / RATE - time.monotonic()))
                producer.poll(0)
            producer.produce(
                self._topics.applications, value=record.value, key=record.key, partition=number % PARTITIONS
            )
            self.sent = number + 1
        assert producer.flush(WAIT_S) == 0


@pytest.fixture
def topics(broker: Broker) -> Topics:
    """Topics of their own."""
    return Topics(broker.bootstrap_servers, PARTITIONS)


def scorer(topics: Topics, *arguments: str) -> tuple[int, str, str]:
    """Runs a command; returns exit code, output and errors."""
    done = subprocess.run(
        [sys.executable, "-m", "scorer", *arguments],
        env=topics.environment() | {"COLUMNS": "200"},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@contextmanager
def flowing(topics: Topics) -> Iterator[Flow]:
    """A flow that ends with the test."""
    flow = Flow(topics)
    try:
        yield flow
    finally:
        flow.stop()


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_deploy_and_roll_back(topics: Topics, tmp_path: Path, delivery: str) -> None:
    """Under load a bundle is deployed over another and taken back: nothing is lost or doubled, and bundles take turns.

    Of each partition's applications the one decides all up to a point, the other all up to the next, then the first.
    """
    options = ("--delivery", delivery)
    with worker(topics, tmp_path / "a.log", *options) as first, worker(topics, tmp_path / "b.log", *options) as second:
        with flowing(topics) as flow:
            wait_until(lambda: len(topics.committed()) == PARTITIONS, "every partition decided")
            for at_work in (first, second):
                wait_until(lambda w=at_work: len(w.probe("/readyz")["partitions"]) == 2, "partitions shared")  # type: ignore[misc]
            code, said, errors = scorer(topics, "deploy", "credit-risk:1.0.0", "--reason", "bad luck", "--actor", "ana")
            assert code == 0, errors
            assert "deploy: credit-risk:1.0.0@" in said
            assert "every worker with partitions decides with it (2 in group" in said
            time.sleep(1)
            code, said, errors = scorer(topics, "rollback", "--reason", "declines too many", "--actor", "bob")
            assert code == 0, errors
            assert "rollback: credit-risk:1.1.0@" in said
            time.sleep(1)
            published = flow.stop()
        wait_until(lambda: topics.committed() == published, "every application committed")
        for at_work in (first, second):
            assert at_work.probe("/readyz")["bundle"]["version"] == "1.1.0"
            assert 'scorer_bundle_swaps_total{outcome="swapped"} 2.0' in at_work.get("/metrics")[1]
        assert [first.terminate(), second.terminate()] == [0, 0]
    decisions = [json.loads(message.value() or b"") for message in topics.read(topics.decisions)]
    check_segments(decisions, published)
    check_history(topics)


def check_segments(decisions: list[dict[str, object]], published: dict[int, int]) -> None:
    """Each application once, and each partition's bundles one after another."""
    by_source = sorted(
        (source["partition"], source["offset"], decision["bundle"]["version"])  # type: ignore[index]
        for decision in decisions
        for source in [decision["source"]]
    )
    found = Counter((partition, offset) for partition, offset, _ in by_source)
    assert found.keys() == {(p, offset) for p, count in published.items() for offset in range(count)}
    assert set(found.values()) == {1}
    for _, of_partition in groupby(by_source, key=lambda entry: entry[0]):
        versions = [version for version, _ in groupby(of_partition, key=lambda entry: entry[2])]
        assert versions == ["1.1.0", "1.0.0", "1.1.0"]


def check_history(topics: Topics) -> None:
    """What was done stands in the history, for people and for scripts."""
    code, said, _ = scorer(topics, "history", "--json")
    assert code == 0
    events = json.loads(said)
    assert [
        (e["action"], e["bundle"]["version"], e["previous"]["version"], e["actor"], e["reason"]) for e in events
    ] == [
        ("deploy", "1.0.0", "1.1.0", "ana", "bad luck"),
        ("rollback", "1.1.0", "1.0.0", "bob", "declines too many"),
    ]
    code, said, _ = scorer(topics, "history")
    assert code == 0
    for text in ("bad luck", "declines too many", "ana", "bob", "rollback"):
        assert text in said


def test_without_workers(topics: Topics) -> None:
    """Before any worker runs a deployment is written down; and what makes no sense is refused with what is the case."""
    assert scorer(topics, "history") == (
        0, "Nothing was deployed yet: workers decide with credit-risk:1.1.0, which is shipped with them.\n", "",
    )  # fmt: skip
    code, _, said = scorer(topics, "rollback", "--reason", "x")
    assert code == 2
    assert "the history has nothing before credit-risk:1.1.0@" in said
    code, _, said = scorer(topics, "deploy", "credit-risk:1.1.0", "--reason", "x")
    assert code == 2
    assert "is what decides already" in said
    code, _, said = scorer(topics, "deploy", "credit-risk:1.0.0", "--reason", "x", "--expect", "0123456789")
    assert code == 1
    assert "--expect 0123456789: what decides is credit-risk:1.1.0@" in said
    assert json.loads(scorer(topics, "history", "--json")[1]) == []
    code, said, _ = scorer(topics, "deploy", "credit-risk:latest", "--reason", "x")
    assert code == 2
    code, said, _ = scorer(topics, "deploy", "credit-risk:1.0.0", "--reason", "x", "--actor", "ana")
    assert code == 0
    assert "no worker is in group" in said
    code, _, said = scorer(topics, "deploy", "credit-risk:1.1.0", "--reason", "x", "--expect", "0123456789")
    assert code == 1
    assert "by ana (x). Nothing was changed" in said
    code, _, said = scorer(topics, "deploy", "credit-risk:9.9.9", "--reason", "x")
    assert code == 1
    assert "there is no bundle credit-risk:9.9.9" in said


def test_worker_that_does_not_follow(topics: Topics, tmp_path: Path) -> None:
    """A worker whose bundle is pinned is named when the time is up; the event stands, and so the exit code is 1."""
    with worker(topics, tmp_path / "w.log", "--bundle", "credit-risk:1.1.0", "--instance-id", "pinned-0") as pinned:
        topics.publish(b"{}", partition=0)
        wait_until(lambda: len(topics.committed()) > 0, "the first commit")
        code, _, said = scorer(topics, "deploy", "credit-risk:1.0.0", "--reason", "x", "--wait", "2")
        assert code == 1
        assert "after 2 s not every worker has taken it over: pinned-0 at " in said
        assert "still decides with credit-risk:1.1.0@" in said
        assert len(json.loads(scorer(topics, "history", "--json")[1])) == 1
        assert pinned.terminate() == 0


def test_bad_lines_and_missing_bundle(topics: Topics, tmp_path: Path) -> None:
    """Lines by hand that are no events, or name a bundle that is not here, crash nobody; they are counted and shown."""
    with worker(topics, tmp_path / "w.log") as running:
        wait_until(lambda: running.get("/readyz")[0] == 200, "ready")
        missing = {"name": "credit-risk", "version": "9.9.9", "digest": "0" * 64}
        event = {
            "event_id": "by-hand", "slot": "champion", "action": "deploy", "bundle": missing, "previous": None,
            "actor": "eve", "reason": "by hand", "at": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        producer = Producer({"bootstrap.servers": topics.servers})
        for value in (b"{", json.dumps({**event, "slot": "basement"}).encode(), json.dumps(event).encode()):
            producer.produce(topics.deployments, value, partition=0)
        assert producer.flush(WAIT_S) == 0
        wait_until(lambda: "9.9.9" in running.probe("/readyz")["refused"], "the refusal is shown")
        metrics = running.get("/metrics")[1]
        assert "scorer_deployment_faults_total 2.0" in metrics
        assert 'scorer_bundle_swaps_total{outcome="failed"} 1.0' in metrics
        topics.publish(b"{}", partition=0)
        wait_until(lambda: topics.count(topics.dead_letters) == 1, "it goes on working")
        assert running.get("/readyz")[0] == 200
        code, said, _ = scorer(topics, "history")
        assert code == 0
        assert said.count("no event") == 2
        assert "basement" not in said
        assert running.terminate() == 0
