"""One worker as a process: it stops well, says how it is, sets aside what is unsound, and keeps data to itself."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from schemas.rejection import RejectionCode
from scorer.local.broker import Broker
from tests.fakes import application
from tests.integration.worker_process import Topics, WorkerProcess, headers_of, wait_until, worker, worker_by_command

pytestmark = pytest.mark.broker

# Stands in every bad value below; must stand in no log, header or metric.
MARK = "Secret4711"
OPENING = b'{"application_id": "'
# Each is no JSON; joined by a comma, as a decoder of many at once would, they read as two sound applications.
PAIR = (application("x") + b"," + OPENING, application("y").removeprefix(OPENING + b"y"))


class Bad(NamedTuple):
    """A record that cannot be decided, and why."""

    value: bytes | None
    code: RejectionCode


def changed(old: bytes, new: bytes) -> bytes:
    """A sound application with a stretch of it replaced."""
    sound = application(MARK)
    assert old in sound
    return sound.replace(old, new, 1)


BAD = {
    "empty": Bad(b"", RejectionCode.EMPTY),
    "tombstone": Bad(None, RejectionCode.EMPTY),
    "not UTF-8": Bad(changed(b"rent", b"\xff\xfe"), RejectionCode.NOT_UTF8),
    "truncated": Bad(application(MARK)[:-20], RejectionCode.NOT_JSON),
    "an array": Bad(b"[" + application(MARK) + b"]", RejectionCode.NOT_AN_OBJECT),
    "a string": Bad(json.dumps(MARK).encode(), RejectionCode.NOT_AN_OBJECT),
    "null": Bad(b"null", RejectionCode.NOT_AN_OBJECT),
    "deep": Bad(changed(b"{", b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b","), RejectionCode.NOT_JSON),
    "a field twice": Bad(changed(b'"age": 30', b'"age": 30, "age": 31'), RejectionCode.NOT_JSON),
    "NaN": Bad(changed(b"182", b"NaN"), RejectionCode.NOT_JSON),
    "Infinity": Bad(changed(b"182", b"-Infinity"), RejectionCode.NOT_JSON),
    "1e400": Bad(changed(b"182", b"1e400"), RejectionCode.OUT_OF_RANGE),
    "beyond 64 bits": Bad(changed(b"182", b"99999999999999999999999"), RejectionCode.OUT_OF_RANGE),
    "5,000 digits": Bad(changed(b"182", b"9" * 5_000), RejectionCode.OUT_OF_RANGE),
    "a string for a number": Bad(application(MARK, income="182"), RejectionCode.WRONG_TYPE),
    "a number for a string": Bad(application(MARK, home=4711), RejectionCode.WRONG_TYPE),
    "a number for an id": Bad(changed(f'"{MARK}"'.encode(), b"4711"), RejectionCode.WRONG_TYPE),
    "true for a number": Bad(application(MARK, age=True), RejectionCode.WRONG_TYPE),
    "upper case": Bad(application(MARK, home="RENT"), RejectionCode.UNKNOWN_CATEGORY),
    "title case": Bad(application(MARK, marital="Married"), RejectionCode.UNKNOWN_CATEGORY),
    "unknown": Bad(application(MARK, job=MARK), RejectionCode.UNKNOWN_CATEGORY),
    "missing": Bad(application(MARK, age=...), RejectionCode.MISSING_FIELD),
    "null for a number": Bad(application(MARK, age=None), RejectionCode.WRONG_TYPE),
    "null for a category": Bad(application(MARK, home=None), RejectionCode.WRONG_TYPE),
    "negative": Bad(application(MARK, amount=-1150), RejectionCode.OUT_OF_RANGE),
    "17 years": Bad(application(MARK, age=17), RejectionCode.OUT_OF_RANGE),
    "121 years": Bad(application(MARK, age=121), RejectionCode.OUT_OF_RANGE),
    "no id": Bad(application(""), RejectionCode.OUT_OF_RANGE),
    "an id of 65": Bad(application((MARK * 7)[:65]), RejectionCode.OUT_OF_RANGE),
    "half a surrogate pair": Bad(changed(MARK.encode(), rb"\ud83d"), RejectionCode.NOT_JSON),
    "2 MB": Bad(application(MARK) + b" " * 2_000_000, RejectionCode.TOO_LARGE),
    "first of a pair": Bad(PAIR[0], RejectionCode.NOT_JSON),
    "second of a pair": Bad(PAIR[1], RejectionCode.NOT_JSON),
}
# Unusual, and sound.
SOUND_IDS = ('with "quotes"', "with\nnewlines\r\n", "🦆", "é" * 64, "\x00", "x" * 64, "a\\b", '{"id":1}')


@pytest.fixture
def topics(broker: Broker) -> Topics:
    """Topics of two partitions that take large records."""
    return Topics(broker.bootstrap_servers, 2, {"max.message.bytes": "4000000"})


@pytest.fixture
def running(topics: Topics, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker on them."""
    with worker(topics, tmp_path / "worker.log") as started:
        yield started


def samples(metrics: str) -> dict[str, float]:
    """The samples of a text exposition, by name and labels."""
    return {
        f"{sample.name}{sorted(sample.labels.items())}" if sample.labels else sample.name: sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
    }


def total(metrics: str, name: str) -> float:
    """A counter's total over all its labels."""
    families = text_string_to_metric_families(metrics)
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


@pytest.mark.usefixtures("running")
def test_invalid_records(topics: Topics) -> None:
    """Each bad record becomes a dead letter with the right code and untouched bytes; its neighbours are decided."""
    for name, bad in BAD.items():
        topics.publish(application(f"before {name}"), bad.value, application(f"after {name}"))
    for name in SOUND_IDS:
        topics.publish(application(name))
    everything = 3 * len(BAD) + len(SOUND_IDS)
    wait_until(lambda: topics.committed().get(0, 0) >= everything, "all records decided")

    letters = list(topics.read(topics.dead_letters))
    result = [(letter.value(), headers_of(letter)["dlq.code"].decode()) for letter in letters]
    assert sorted(result, key=repr) == sorted(((bad.value, bad.code.value) for bad in BAD.values()), key=repr)
    assert {letter.key() for letter in letters} == {b"key"}
    decided = [json.loads(decision.value() or b"")["application_id"] for decision in topics.read(topics.decisions)]
    neighbours = [f"{side} {name}" for name in BAD for side in ("before", "after")]
    assert Counter(decided) == Counter([*neighbours, *SOUND_IDS])


def test_crafted_neighbours() -> None:
    """The pair above is what it should be: each is unsound, and joined by a comma they read as two applications."""
    joined = json.loads(b"[" + b",".join(PAIR) + b"]")
    assert len(joined) == 2
    for value in PAIR:
        with pytest.raises(json.JSONDecodeError):
            json.loads(value)


def test_data_stay_in_the_payload(topics: Topics, running: WorkerProcess) -> None:
    """No value of a field appears in the log, in a dead letter's added headers, or in the metrics."""
    topics.publish(*(bad.value for bad in BAD.values()), application(MARK))
    wait_until(lambda: topics.committed().get(0, 0) > len(BAD), "all records decided")
    metrics = running.get("/metrics")[1]
    assert running.terminate() == 0
    for letter in topics.read(topics.dead_letters):
        for name, value in headers_of(letter).items():
            assert name == "dlq.topic" or MARK.encode() not in value, name
            assert name != "dlq.reason" or b"4711" not in value
    assert MARK not in running.log()
    assert MARK not in metrics


def test_probes_and_metrics(topics: Topics, running: WorkerProcess) -> None:
    """The worker becomes ready when it has partitions, lives while it polls, and its counters add up."""
    wait_until(lambda: running.get("/readyz")[0] == 200, "ready")
    ready = running.probe("/readyz")
    checks = {"alive": True, "assigned": True, "broker_reachable": True, "partitions_readable": True}
    assert ready["checks"] == checks
    assert ready["partitions"] == [0, 1]
    assert ready["bundle"]["name"] == "credit-risk"
    assert running.get("/healthz")[0] == 200
    assert running.get("/elsewhere")[0] == 404

    before = running.get("/metrics")[1]
    assert total(before, "scorer_applications_consumed_total") == 0
    for i in range(100):
        topics.publish(application(f"a-{i}", age=17 if i < 7 else 30), partition=i % 2)
    wait_until(lambda: total(running.get("/metrics")[1], "scorer_applications_consumed_total") == 100, "all counted")
    wait_until(lambda: total(running.get("/metrics")[1], "scorer_consumer_lag_records") == 0, "no lag")
    text = running.get("/metrics")[1]
    metrics = samples(text)
    assert total(text, "scorer_decisions_total") == 93
    assert total(text, "scorer_rejections_total") == metrics["scorer_rejections_total[('code', 'out_of_range')]"] == 7
    assert metrics["scorer_batch_records_sum"] == metrics["scorer_decision_latency_seconds_count"] == 100
    assert total(text, "scorer_probability_of_default_count") == 93
    assert metrics["scorer_transactions_total[('result', 'committed')]"] >= metrics["scorer_batch_records_count"]
    assert metrics["scorer_transactions_total[('result', 'aborted')]"] == 0
    assert metrics["scorer_assigned_partitions"] == 2


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_sigterm_under_load(broker: Broker, tmp_path: Path, delivery: str) -> None:
    """On SIGTERM a worker finishes the batch in hand, commits it and exits 0; no transaction is left open.

    The next one goes on from there: together they decide every record once.
    """
    topics = Topics(broker.bootstrap_servers, 2)
    for partition in (0, 1):
        topics.publish(*(application(f"a-{partition}-{i}") for i in range(10_000)), partition=partition)
    options = ("--delivery", delivery)
    # A thousand batches: more than a worker commits before it is stopped.
    with worker(topics, tmp_path / "first.log", *options, "--set", "batch_records_max=20") as first:
        wait_until(lambda: sum(topics.committed().values()) > 0, "the first batch")
        assert first.terminate() == 0
        assert len(first.events("worker_stopped")) == 1
    done = topics.committed()
    assert 0 < sum(done.values()) < 20_000
    # An open transaction would hide whatever comes behind it.
    assert topics.count(topics.decisions) == sum(done.values())
    with worker(topics, tmp_path / "second.log", *options) as second:
        wait_until(lambda: topics.committed() == {0: 10_000, 1: 10_000}, "the rest")
        assert second.terminate() == 0
    report = Counter(json.loads(decision.value() or b"")["decision_id"] for decision in topics.read(topics.decisions))
    assert len(report) == 20_000
    assert set(report.values()) == {1}


def test_wrong_start(topics: Topics, tmp_path: Path) -> None:
    """What is wrong at the start is said in one message without a traceback; misuse exits 2, a missing topic 1."""
    with worker_by_command(topics, tmp_path / "misuse.log", "--set", "no_such_setting=1") as misused:
        assert misused.process.wait(60) == 2
        (line,) = misused.events("process_failed")
        assert "no_such_setting" in line["error"]
    with worker_by_command(topics, tmp_path / "missing.log", "--set", "decisions_topic=missing-here") as lost:
        assert lost.process.wait(60) == 1
        (line,) = lost.events("process_failed")
        assert "missing topic: missing-here" in line["error"]
        assert "Traceback" not in lost.log()
