"""Deploying and rolling back while applications flow, with the commands that an operator types."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pytest
from confluent_kafka import Message

from producer.generator import generate_applications
from scorer.local.broker import Broker
from scorer.stream.load_failure import LoadFailure
from scorer.stream.metadata import CommittedMetadata, decode_metadata
from tests.integration.flow import flowing
from tests.integration.worker_process import (
    Topics,
    WorkerProcess,
    event_of_a_missing_bundle,
    operate,
    scorer,
    wait_until,
    worker,
)
from tests.unit.bundle.making import named

pytestmark = pytest.mark.broker
PARTITIONS = 4
RATE = 4_000
PAIR = 'challenger="credit-risk:1.0.0",champion="credit-risk:1.1.1"'


@pytest.fixture
def topics(broker: Broker) -> Topics:
    """Topics of their own."""
    return Topics(broker.bootstrap_servers, PARTITIONS)


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_deploy_and_roll_back(topics: Topics, tmp_path: Path, delivery: str) -> None:
    """Under load a bundle is deployed over another and taken back: nothing is lost or doubled, and bundles take turns.

    Of each partition's applications the one decides all up to a point, the other all up to the next, then the first;
    and no transaction has decisions of both.
    """
    options = ("--delivery", delivery)
    with worker(topics, tmp_path / "a.log", *options) as first, worker(topics, tmp_path / "b.log", *options) as second:
        applications = ((record.key, record.value) for record in generate_applications(seed=3))
        with flowing(topics, applications, RATE) as flow:
            wait_until(lambda: sum(map(bool, topics.committed().values())) == PARTITIONS, "every partition decided")
            for at_work in (first, second):
                wait_until(lambda w=at_work: len(w.probe("/readyz")["partitions"]) == 2, "partitions shared")  # type: ignore[misc]
            why = ("--reason", "bad luck", "--despite", "nobody is real")
            code, output, errors = scorer(topics, "deploy", "credit-risk:1.0.0", *why, "--actor", "ana")
            assert code == 0, errors
            assert "deploy: credit-risk:1.0.0@" in output
            assert "all workers with partitions have switched (2 in group" in output
            time.sleep(1)
            code, output, errors = scorer(topics, "rollback", "--reason", "declines too many", "--actor", "bob")
            assert code == 0, errors
            assert "rollback: credit-risk:1.1.1@" in output
            time.sleep(1)
            published = flow.stop()
        wait_until(lambda: topics.committed() == published, "every application committed")
        for at_work in (first, second):
            assert at_work.probe("/readyz")["bundle"]["version"] == "1.1.1"
            assert 'scorer_bundle_switches_total{result="switched"} 2.0' in at_work.get("/metrics")[1]
        assert [first.terminate(), second.terminate()] == [0, 0]
    messages = list(topics.read(topics.decisions))
    check_segments([json.loads(message.value() or b"") for message in messages], published)
    if delivery == "exactly-once":
        check_transactions(messages)
    check_history(topics)


def check_transactions(messages: list[Message]) -> None:
    """Each transaction's decisions are one bundle's.

    A partition's decisions come from one worker here, and the marker that ends a transaction takes up an offset: what
    stands without a gap is one transaction.
    """
    positions = [(message.partition() or 0, message.offset() or 0) for message in messages]
    transactions: dict[tuple[int, int], set[str]] = {}
    in_order = sorted(zip(positions, messages, strict=True), key=itemgetter(0))
    for number, ((partition, offset), message) in enumerate(in_order):
        decision = json.loads(message.value() or b"")
        assert decision["source"]["partition"] == partition
        transactions.setdefault((partition, offset - number), set()).add(decision["bundle"]["version"])
    assert len(transactions) > 10 * PARTITIONS
    assert {len(versions) for versions in transactions.values()} == {1}


def check_segments(decisions: list[dict[str, object]], published: dict[int, int]) -> None:
    """Each application once, and each partition's bundles one after another."""
    by_source = sorted(
        (source["partition"], source["offset"], decision["bundle"]["version"])  # type: ignore[index]
        for decision in decisions
        for source in [decision["source"]]
    )
    counts = Counter((partition, offset) for partition, offset, _ in by_source)
    assert counts.keys() == {(p, offset) for p, count in published.items() for offset in range(count)}
    assert set(counts.values()) == {1}
    for _, of_partition in groupby(by_source, key=lambda entry: entry[0]):
        versions = [version for version, _ in groupby(of_partition, key=lambda entry: entry[2])]
        assert versions == ["1.1.1", "1.0.0", "1.1.1"]


def check_history(topics: Topics) -> None:
    """What was done stands in the history, for people and for scripts."""
    code, output, _ = scorer(topics, "history", "--json")
    assert code == 0
    events = json.loads(output)
    assert [
        (e["action"], e["bundle"]["version"], e["previous"]["version"], e["actor"], e["reason"]) for e in events
    ] == [
        ("deploy", "1.0.0", "1.1.1", "ana", "bad luck"),
        ("rollback", "1.1.1", "1.0.0", "bob", "declines too many"),
    ]
    code, output, _ = scorer(topics, "history")
    assert code == 0
    for text in ("bad luck", "declines too many", "ana", "bob", "rollback"):
        assert text in output


def test_without_workers(topics: Topics) -> None:
    """Before any worker runs a deployment is written down; and what makes no sense is refused with what is the case."""
    assert scorer(topics, "history") == (
        0, "No deployments yet: workers use credit-risk:1.1.1, the shipped bundle.\n", "",
    )  # fmt: skip
    code, _, output = scorer(topics, "rollback", "--reason", "x")
    assert code == 2
    assert "the history has no champion before credit-risk:1.1.1@" in output
    code, _, output = scorer(topics, "deploy", "credit-risk:1.1.1", "--reason", "x")
    assert code == 2
    assert "is already the champion" in output
    code, _, output = scorer(topics, "deploy", "credit-risk:1.0.0", "--reason", "x", "--expect", "0123456789")
    assert code == 1
    assert "--expect 0123456789: the champion is credit-risk:1.1.1@" in output
    assert json.loads(scorer(topics, "history", "--json")[1]) == []
    code, output, _ = scorer(topics, "deploy", "credit-risk:latest", "--reason", "x")
    assert code == 2
    why = ("--reason", "x", "--despite", "a test")
    code, output, _ = scorer(topics, "deploy", "credit-risk:1.0.0", *why, "--actor", "ana")
    assert code == 0
    assert "has no workers; they will use the bundle when they start" in output
    code, _, output = scorer(topics, "deploy", "credit-risk:1.1.1", "--reason", "x", "--expect", "0123456789")
    assert code == 1
    assert "by ana (x). Nothing was changed" in output
    code, _, output = scorer(topics, "deploy", "credit-risk:9.9.9", "--reason", "x")
    assert code == 1
    assert "bundle credit-risk:9.9.9 not found" in output


def test_worker_that_does_not_follow(topics: Topics, tmp_path: Path) -> None:
    """A worker whose bundle is pinned is named when the time is up; the event stands, and so the exit code is 1."""
    with worker(topics, tmp_path / "w.log", "--bundle", "credit-risk:1.1.1", "--instance-id", "pinned-0") as pinned:
        topics.publish(b"{}", partition=0)
        wait_until(lambda: len(topics.committed()) > 0, "the first commit")
        why = ("--reason", "x", "--despite", "a test")
        code, _, errors = scorer(topics, "deploy", "credit-risk:1.0.0", *why, "--wait", "2")
        assert code == 1
        assert "1 of 1 workers have not switched to credit-risk:1.0.0 after 2 s" in errors
        assert "pinned-0 at " in errors
        assert "still uses credit-risk:1.1.1@" in errors
        assert "No reason given by pinned-0 at " in errors
        assert "scorer rollback --reason" in errors
        assert len(json.loads(scorer(topics, "history", "--json")[1])) == 1
        assert pinned.terminate() == 0


def test_malformed_records_and_a_missing_bundle(topics: Topics, tmp_path: Path) -> None:
    """Lines by hand that are no events, or name a bundle that is not here, crash nobody; they are counted and shown."""
    with worker(topics, tmp_path / "w.log") as running:
        wait_until(lambda: running.get("/readyz")[0] == 200, "ready")
        lines = (b"{", event_of_a_missing_bundle("basement"), event_of_a_missing_bundle("champion"))
        topics.publish(*lines, topic=topics.deployments, key=None)
        wait_until(lambda: "9.9.9" in running.probe("/readyz")["load_failure"], "the load failure is shown")
        metrics = running.get("/metrics")[1]
        assert "scorer_malformed_deployments_total 2.0" in metrics
        assert 'scorer_bundle_switches_total{result="failed"} 1.0' in metrics
        topics.publish(b"{}", partition=0)
        wait_until(lambda: topics.count(topics.dead_letters) == 1, "it goes on working")
        assert running.get("/readyz")[0] == 200
        code, output, _ = scorer(topics, "history")
        assert code == 0
        assert output.count("malformed") == 2
        assert "basement" not in output
        assert running.terminate() == 0


def test_a_bundle_that_no_worker_can_load(topics: Topics, tmp_path: Path) -> None:
    """It looked healthy everywhere: the command was silent for a minute, and named the workers' logs alone.

    The reason comes through Kafka within seconds, so that nobody waits for the time limit, which is ten minutes here.
    Once the workers' store has the bundle they switch by themselves, and say nothing of a refusal any more.
    """
    elsewhere = named(tmp_path / "elsewhere" / "plain-risk" / "1.0.0", "plain-risk", "1.0.0").parent.parent
    with stored(topics, tmp_path / "theirs") as own, worker(own, tmp_path / "a.log"), worker(own, tmp_path / "b.log"):
        wait_until(lambda: len(metadata_of(topics)) == PARTITIONS, "every partition decided")
        why = ("--reason", "a test", "--wait", "600")
        code, output, errors = scorer(own, "deploy", "plain-risk:1.0.0", "--store", elsewhere, *why)
        assert code == 1
        assert "deploy: plain-risk:1.0.0@" in output
        assert f"warning: --store {elsewhere} differs from the store in the settings ({tmp_path / 'theirs'})" in errors
        assert (
            "2 of 2 workers have not switched to plain-risk:1.0.0: they could not load it, and are retrying" in errors
        )
        assert errors.count("still uses credit-risk:1.1.1@") == 2
        assert "\nReason: bundle plain-risk:1.0.0@" in errors
        assert 'To revert: scorer rollback --reason "' in errors
        operate(own, "bundle", "import", elsewhere / "plain-risk" / "1.0.0")
        wait_until(lambda: {m.bundle[:16] for m in metadata_of(topics)} == {"plain-risk:1.0.0"}, "all have switched")
        wait_until(lambda: {m.refused for m in metadata_of(topics)} == {""}, "no refusal is left")
        operate(own, "rollback", "--reason", "and back")


def test_a_folder_that_is_not_in_the_store(topics: Topics, tmp_path: Path) -> None:
    """A bundle can be deployed by its folder's path, and workers cannot: that is said beforehand."""
    folder = named(tmp_path / "somewhere", "plain-risk", "1.0.0")
    with stored(topics, tmp_path / "theirs") as own:
        code, _, errors = scorer(own, "deploy", folder, "--reason", "a test")
        assert code == 0
        assert "warning: plain-risk:1.0.0@" in errors
        assert f"is not in the store {tmp_path / 'theirs'}" in errors
        assert "scorer bundle import" in errors
        why = ("--reason", "a test", "--despite", "a test")
        code, _, errors = scorer(own, "deploy", "credit-risk:1.0.0", *why, "--store", folder)
        assert (code, errors) == (0, ""), "a shipped bundle is with every worker"


def test_a_challenger_that_no_worker_can_load(topics: Topics, tmp_path: Path) -> None:
    """Nothing waits for a challenger: the group's offsets say why it is not loaded, and applications are decided."""
    with worker(topics, tmp_path / "w.log") as running:
        topics.publish(event_of_a_missing_bundle("challenger"), topic=topics.deployments, key=None)
        wait_until(lambda: "9.9.9" in running.probe("/readyz")["challenger_load_failure"], "the load failure is shown")

        def failures() -> set[str]:
            reported = [LoadFailure.read(metadata.refused) for metadata in metadata_of(topics)]
            return {f"{failure.slot} {failure.bundle[:17]}" for failure in reported if failure is not None}

        wait_until(lambda: failures() == {"challenger credit-risk:9.9.9"}, "the offsets say so")
        operate(topics, "retire", "--reason", "it cannot be loaded")
        wait_until(lambda: failures() == set(), "and no more")


@contextmanager
def stored(topics: Topics, store: Path) -> Iterator[Topics]:
    """The topics with a store of their own for every process."""
    with pytest.MonkeyPatch.context() as patched:
        environment = topics.environment()
        patched.setattr(topics, "environment", lambda: environment | {"SCORER_STORE": str(store)})
        yield topics


def metadata_of(topics: Topics) -> list[CommittedMetadata]:
    """What the group's committed offsets say, one for each partition that has one."""
    return [decode_metadata(tp.metadata) for tp in topics.commits()]


def test_challenger(topics: Topics, tmp_path: Path) -> None:
    """A challenger scores along under load: what it finds is in the metrics and the history, and in no decision."""
    with worker(topics, tmp_path / "w.log") as running:
        applications = ((record.key, record.value) for record in generate_applications(seed=3))
        with flowing(topics, applications, RATE) as flow:
            wait_until(lambda: sum(map(bool, topics.committed().values())) == PARTITIONS, "every partition decided")
            why = ("--reason", "would it decline more?", "--despite", "it decides nothing")
            code, output, errors = scorer(topics, "deploy", "credit-risk:1.0.0", "--slot", "challenger", *why)
            assert code == 0, errors
            assert "deploy: the challenger is now credit-risk:1.0.0@" in output
            wait_until(lambda: value_of(running, "scorer_challenger_compared_total", PAIR) > 1_000, "batches compared")
            assert value_of(running, "scorer_challenger_disagreements_total", PAIR) > 0
            assert running.probe("/readyz")["challenger"]["version"] == "1.0.0"
            code, _, output = scorer(topics, "deploy", "credit-risk:1.0.0", "--slot", "challenger", *why)
            assert code == 2
            assert "is already the challenger, since" in output
            code, _, output = scorer(topics, "deploy", "credit-risk:1.1.1", "--slot", "challenger", *why)
            assert code == 2
            assert "is the champion: the challenger must be a different bundle" in output
            code, _, output = scorer(topics, "retire", "--reason", "x", "--expect", "0123456789")
            assert code == 1
            assert "the challenger is credit-risk:1.0.0@" in output
            code, output, errors = scorer(topics, "retire", "--reason", "seen enough", "--json")
            assert code == 0, errors
            assert json.loads(output)["event"]["bundle"] is None
            wait_until(lambda: running.probe("/readyz")["challenger"] is None, "the challenger is gone")
            published = flow.stop()
        wait_until(lambda: topics.committed() == published, "every application committed")
        compared = value_of(running, "scorer_challenger_compared_total", PAIR)
        assert compared < sum(published.values())
        assert 'scorer_challenger_failures_total{step="score"} 0.0' in running.get("/metrics")[1]
        assert 'slot="challenger"' not in running.get("/metrics")[1]
        assert running.terminate() == 0
    decided_by = Counter(json.loads(m.value() or b"")["bundle"]["version"] for m in topics.read(topics.decisions))
    assert decided_by == {"1.1.1": sum(published.values())}
    code, _, output = scorer(topics, "retire", "--reason", "x")
    assert code == 2
    assert "no challenger is deployed, since" in output
    code, output, _ = scorer(topics, "history")
    assert code == 0
    assert output.count("challenger") == 2
    assert output.index("deploy") < output.index("retire")


def value_of(running: WorkerProcess, name: str, labels: str) -> float:
    """A metric's value; 0 if it is not there."""
    for line in running.get("/metrics")[1].splitlines():
        if line.startswith(f"{name}{{{labels}}} "):
            return float(line.split()[-1])
    return 0.0
