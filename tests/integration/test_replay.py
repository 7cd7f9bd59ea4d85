"""A rollback set right: what the bad bundle decided is decided again, with the commands that an operator types."""

import csv
import json
import re
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka import Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from producer.generator import generate_applications
from scorer.local.broker import Broker
from scorer.local.running import free_ports
from scorer.replay.plan import read_plan
from scorer.replay.progress import ProgressReader
from scorer.settings import load_settings
from tests.integration.forked import ForkedProcess
from tests.integration.worker_process import WAIT_S, Topics, headers_of, scorer, wait_until, worker

pytestmark = pytest.mark.broker
PARTITIONS = 3
GOOD, BAD = "credit-risk:1.1.1", "credit-risk:1.0.0"
BY_GOOD, BY_BAD = 6_000, 24_000


@dataclass(frozen=True)
class Decided:
    """Topics on which the good bundle decided the first applications and the bad one the later ones."""

    topics: Topics
    good: dict[str, dict[str, Any]]
    bad: dict[str, dict[str, Any]]
    """By application id, the decisions."""


def publish(topics: Topics, begin: int, end: int) -> None:
    """Publishes made-up applications, some of them bad, to every partition in turn."""
    producer = Producer({"bootstrap.servers": topics.servers, "linger.ms": 20})
    for number, record in enumerate(islice(generate_applications(seed=5, invalid_share=0.02), begin, end)):
        producer.produce(topics.applications, value=record.value, key=record.key, partition=number % PARTITIONS)
        producer.poll(0)
    assert producer.flush(WAIT_S) == 0


def decide(topics: Topics, bundle: str, log: Path) -> None:
    """Lets a worker with a bundle decide all there is."""
    ends = {p: topics.ends(topics.applications)[p] for p in range(PARTITIONS)}
    with worker(topics, log, "--bundle", bundle) as at_work:
        wait_until(lambda: topics.committed() == ends, "every application decided")
        assert at_work.terminate() == 0


def decisions(topics: Topics, topic: str) -> list[tuple[Message, dict[str, Any]]]:
    """A decisions topic as it is now, in order by partition."""
    return [(message, json.loads(message.value() or b"")) for message in topics.read(topic)]


@pytest.fixture
def decided(broker: Broker, tmp_path: Path) -> Decided:
    """Decided by the good bundle first, then by the bad one."""
    topics = Topics(broker.bootstrap_servers, PARTITIONS)
    publish(topics, 0, BY_GOOD)
    decide(topics, GOOD, tmp_path / "good.log")
    publish(topics, BY_GOOD, BY_GOOD + BY_BAD)
    decide(topics, BAD, tmp_path / "bad.log")
    by_version: dict[str, dict[str, dict[str, Any]]] = {"1.0.0": {}, "1.1.1": {}}
    for _, decision in decisions(topics, topics.decisions):
        by_version[decision["bundle"]["version"]][decision["decision_id"].partition("@")[0]] = decision
    return Decided(topics, by_version["1.1.1"], by_version["1.0.0"])


def test_killed_and_resumed(decided: Decided, tmp_path: Path) -> None:
    """Killed three times and then shared by two, a replay corrects each of the bad bundle's decisions once.

    The corrections are what the good one would have said.
    """
    topics, plan = decided.topics, tmp_path / "plan"
    code, output, errors = scorer(topics, "replay", "plan", plan, "--decided-by", BAD, "--with", GOOD)
    assert code == 0, errors
    assert f"{len(decided.bad):,} applications decided by {BAD}@" in output
    made = read_plan(plan)
    assert len(made.selection) == len(decided.bad)
    settings = load_settings({"bootstrap_servers": topics.servers}, environment={}).settings
    progress = ProgressReader(settings, made)
    for part in (0.1, 0.3, 0.5):
        (port,) = free_ports(1)
        # What is told is some seconds of work away from the end at this pace, which is time enough to kill it.
        with running(topics, plan, tmp_path / "run.log", "--rate", "2000", "--http-port", str(port)) as started:
            wait_until(partial(has_come_to, part, started, port), f"{part:.0%} done")
        assert not progress.read().complete
    logs = [tmp_path / f"{name}.log" for name in "ab"]
    with running(topics, plan, logs[0], "--rate", "2000") as a, running(topics, plan, logs[1], "--rate", "2000") as b:
        for process, log in zip((a, b), logs, strict=True):
            assert process.wait(WAIT_S) == 0, log.read_text()
            assert "complete" in log.read_text()
    progress.close()
    check_corrections(decided, made.replay_id, tmp_path)
    check_report(decided, made.replay_id, plan)
    code, output, _ = scorer(topics, "replay", "run", plan)
    assert (code, "is complete" in output) == (0, True)
    code, output, _ = scorer(topics, "replay", "status", plan, "--json")
    assert json.loads(output)["done"] == json.loads(output)["total"] == len(decided.bad)
    # What stands now is by the good bundle alone, and can be reproduced.
    code, _, errors = scorer(topics, "replay", "plan", tmp_path / "rescored", "--decided-by", BAD)
    assert (code, f"no current decision is by {BAD}" in errors) == (1, True)
    code, output, _ = scorer(topics, "replay", "verify", "--json")
    assert code == 0
    assert json.loads(output)["different"] == 0
    assert json.loads(output)["decisions"] == len(decided.good) + len(decided.bad)


def has_come_to(part: float, run: ForkedProcess, port: int) -> bool:
    """Whether a process tells that more than this part of its replay is done; it must still be at work."""
    assert run.poll() is None, "it was to be killed in the middle of its work"
    return progress_told(port) > part


def progress_told(port: int) -> float:
    """How far a replay has come, as its process tells Prometheus; 0 while it does not listen yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S) as answer:
            match = re.search(r'^scorer_replay_progress_ratio{replay_id="[^"]+"} (\S+)$', answer.read().decode(), re.M)
    except OSError:
        return 0
    assert match is not None
    return float(match[1])


@contextmanager
def running(topics: Topics, plan: Path, log: Path, *options: str) -> Iterator[ForkedProcess]:
    """A process that works on a replay; whatever it does, SIGKILL ends it."""
    command = ("scorer", "replay", "run", str(plan), *options)
    run = ForkedProcess(command, topics.environment(), Path.cwd(), log, log)
    try:
        yield run
    finally:
        run.kill()
        run.wait()


def check_corrections(decided: Decided, replay_id: str, tmp_path: Path) -> None:
    """Each correction is once there, and byte for byte what the good bundle says on the same records elsewhere."""
    topics = decided.topics
    corrections = {}
    for message, decision in decisions(topics, topics.decisions):
        headers = headers_of(message)
        if not headers:
            continue
        source = decision["decision_id"].partition("@")[0]
        assert headers["replay-id"] == replay_id.encode()
        assert headers["supersedes"] == decided.bad[source]["decision_id"].encode()
        assert message.key() == decision["application_id"].encode()
        assert source not in corrections, "twice"
        corrections[source] = message.value()
    assert corrections.keys() == decided.bad.keys()
    elsewhere = Topics(topics.servers, PARTITIONS)
    elsewhere.applications = topics.applications
    decide(elsewhere, GOOD, tmp_path / "elsewhere.log")
    would_be = {d["decision_id"].partition("@")[0]: m.value() for m, d in decisions(elsewhere, elsewhere.decisions)}
    assert corrections == {source: would_be[source] for source in corrections}


def check_report(decided: Decided, replay_id: str, plan: Path) -> None:
    """The report's counts are those of a recount over both topics that shares no code with it."""
    topics = decided.topics
    code, output, errors = scorer(topics, "replay", "report", plan)
    assert code == 0, errors
    report = json.loads((plan / "report" / "report.json").read_bytes())
    recount = _recount(topics, replay_id)
    assert report["applications"] == report["rescored"] == report["corrections"] == recount.height
    flipped = recount.filter(pl.col("decision") != pl.col("decision_now"))
    assert report["flipped"] == flipped.height > 0
    assert f"{flipped.height:,} of {recount.height:,} decisions changed" in output
    pairs = Counter(zip(recount["decision"], recount["decision_now"], strict=True))
    flips = {(a, b): n for a, row in report["flips"].items() for b, n in row.items() if n}
    assert flips == pairs
    shift = recount["probability_now"] - recount["probability"]
    assert report["shift"]["mean"] == pytest.approx(shift.mean(), abs=1e-9)
    assert report["shift"]["median"] == pytest.approx(shift.median(), abs=1e-7)
    for field, groups in report["categories"].items():
        per_value = recount.group_by(field).agg(
            pl.len(), (pl.col("decision") != pl.col("decision_now")).sum().alias("flipped")
        )
        counted = {value: (n, flips) for value, n, flips in per_value.iter_rows()}
        assert {v: (g["applications"], g["flipped"]) for v, g in groups.items() if g["applications"]} == counted
    with (plan / "report" / "flips.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["application_id"] for row in rows) == sorted(flipped["application_id"])
    page = (plan / "report" / "report.html").read_text()
    assert f"{flipped.height:,}" in page
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?http", page), "the page loads nothing"


def _recount(topics: Topics, replay_id: str) -> pl.DataFrame:
    outcomes = pl.DataFrame(
        [
            {
                "source": d["decision_id"].partition("@")[0],
                "application_id": d["application_id"],
                "decision": d["decision"],
                "probability": d["probability_of_default"],
                "is_now": headers_of(m).get("replay-id") == replay_id.encode(),
            }
            for m, d in decisions(topics, topics.decisions)
        ]
    )
    applications = pl.DataFrame([_categories(m) for m in topics.read(topics.applications)])
    now = outcomes.filter("is_now").select("source", decision_now="decision", probability_now="probability")
    before = outcomes.filter(~pl.col("is_now")).drop("is_now")
    return before.join(now, on="source", how="inner").join(applications, on="source", how="left")


def _categories(message: Message) -> dict[str, Any]:
    source = f"{message.topic()}:{message.partition()}:{message.offset()}"
    try:
        fields = json.loads(message.value() or b"")
        categories = {name: fields.get(name) for name in ("home", "records", "job")}
        categories["marital"] = fields.get("marital") or "unk"
        # An application with a value that is not a string is not decided.
        return {"source": source} | {n: value if isinstance(value, str) else None for n, value in categories.items()}
    except (ValueError, AttributeError):
        return dict.fromkeys(("source", "home", "records", "job", "marital")) | {"source": source}


def test_parts_forgeries_and_retention(decided: Decided, tmp_path: Path) -> None:
    """Parts can be replayed, a decision that nobody made is found, and what retention took is told."""
    corrected = check_parts(decided, tmp_path)
    check_forgery(decided, corrected)
    check_retention(decided, corrected, tmp_path)


def check_parts(decided: Decided, tmp_path: Path) -> int:
    """By offsets, by ids, by time; what comes out the same is not published, and a dry run publishes nothing.

    Returns how many of the bad bundle's decisions were corrected, all of them on partition 1.
    """
    topics = decided.topics
    before = topics.ends(topics.decisions)

    def planned(name: str, *options: str | Path) -> dict[str, Any]:
        code, output, errors = scorer(topics, "replay", "plan", tmp_path / name, *options, "--with", GOOD, "--json")
        assert code == 0, errors
        report: dict[str, Any] = json.loads(output)
        return report

    current = {**decided.good, **decided.bad}
    sources = [decision["source"] for decision in current.values()]
    of_range = [s for s in sources if s["partition"] == 1 and 1_900 <= s["offset"] <= 2_099]
    mixed = planned("offsets", "--offsets", "1:1900-2099")
    assert mixed["applications"] == len(of_range)
    assert len(mixed["decided_by"]) == 2
    some = [decision["application_id"] for decision in list(decided.bad.values())[:50]]
    # As an editor on Windows saves it: the byte-order mark used to hide the first id.
    (tmp_path / "ids.txt").write_text("\ufeff" + "\r\n".join([*some, "nobody", some[0]]) + "\r\n")
    by_ids = planned("ids", "--ids", tmp_path / "ids.txt")
    assert (by_ids["applications"], by_ids["ids_without_decision"]) == (len(some), ["nobody"])
    code, printed, errors = scorer(topics, "replay", "verify", "--ids", tmp_path / "ids.txt", "--json")
    assert (code, json.loads(printed)["decisions"]) == (0, len(some))
    assert f'--ids: no decision found for 1 of {len(some) + 1} ids: "nobody"\n' in errors
    assert planned("all", "--from", "2020-01-01")["applications"] == len(current)
    code, _, errors = scorer(topics, "replay", "plan", tmp_path / "none", "--to", "2020-01-01")
    assert (code, "there is nothing to replay" in errors) == (1, True)
    assert not (tmp_path / "none").exists()

    code, printed, errors = scorer(topics, "replay", "run", tmp_path / "offsets", "--dry-run")
    assert code == 0, errors
    assert "nothing was published" in printed
    assert topics.ends(topics.decisions) == before
    dry = json.loads((tmp_path / "offsets" / "dry-run" / "report.json").read_bytes())
    assert scorer(topics, "replay", "run", tmp_path / "offsets")[0] == 0
    corrected = [d["source"] for m, d in decisions(topics, topics.decisions) if m.headers()]
    assert len(corrected) == sum(s["offset"] >= BY_GOOD // PARTITIONS for s in of_range), "the good ones' are the same"
    assert scorer(topics, "replay", "report", tmp_path / "offsets")[0] == 0
    wet = json.loads((tmp_path / "offsets" / "report" / "report.json").read_bytes())
    assert (dry["published"], wet["published"], wet["corrections"]) == (False, True, len(corrected))
    for figure in ("flips", "shift", "bands", "categories", "rescored"):
        assert dry[figure] == wet[figure]
    return len(corrected)


def check_forgery(decided: Decided, corrected: int) -> None:
    """Verification names an application on which another decision stands than its bundle makes, and fails."""
    topics = decided.topics
    source, decision = next((s, d) for s, d in decided.bad.items() if d["source"]["partition"] == 2)
    forged = decision | {"probability_of_default": decision["probability_of_default"] / 2}
    producer = Producer({"bootstrap.servers": topics.servers})
    producer.produce(
        topics.decisions, json.dumps(forged, separators=(",", ":")).encode(), key=decision["application_id"].encode()
    )
    assert producer.flush(WAIT_S) == 0
    code, output, errors = scorer(topics, "replay", "verify", "--decided-by", BAD)
    assert code == 1
    assert f"{len(decided.bad) - corrected:,} decisions read in" in output
    assert " per second): 1 differ" in output
    topic, partition, offset = source.rsplit(":", 2)
    assert f"{topic}[{partition}]@{offset}" in errors


def check_retention(decided: Decided, corrected: int, tmp_path: Path) -> None:
    """A plan says what is gone; a run that loses records says so; where all is gone there is nothing to plan."""
    topics = decided.topics
    first = BY_GOOD // PARTITIONS
    expire(topics, {0: first + 1_000})
    gone = sum(d["source"]["partition"] == 0 and d["source"]["offset"] < first + 1_000 for d in decided.bad.values())
    plan = tmp_path / "plan"
    code, output, errors = scorer(topics, "replay", "plan", plan, "--decided-by", BAD, "--with", GOOD)
    assert code == 0, errors
    assert f"{gone:,} more were deleted by retention" in output
    assert len(read_plan(plan).selection) == len(decided.bad) - corrected - gone
    expire(topics, topics.ends(topics.applications))
    code, _, errors = scorer(topics, "replay", "run", plan)
    assert (code, "retention deleted applications of this replay" in errors) == (1, True), errors
    code, _, errors = scorer(topics, "replay", "plan", tmp_path / "late", "--decided-by", BAD, "--with", GOOD)
    assert (code, "there is nothing left to replay: retention deleted all" in errors) == (1, True)
    code, _, errors = scorer(topics, "replay", "verify")
    assert (code, "nothing to verify" in errors) == (1, True)


def expire(topics: Topics, before: dict[int, int]) -> None:
    """Retention deletes the applications before these offsets."""
    admin = AdminClient({"bootstrap.servers": topics.servers})
    where = [TopicPartition(topics.applications, partition, offset) for partition, offset in before.items()]
    for future in admin.delete_records(where).values():
        future.result(WAIT_S)


@pytest.fixture(scope="module")
def empty(broker: Broker) -> Topics:
    """Topics with nothing on them."""
    return Topics(broker.bootstrap_servers, PARTITIONS)


def test_a_topic_that_was_created_again(broker: Broker, tmp_path: Path) -> None:
    """Its applications are others than those that the decisions name: nothing is planned, run or verified."""
    topics = Topics(broker.bootstrap_servers, 1)

    def publish_some(seed: int) -> None:
        producer = Producer({"bootstrap.servers": topics.servers})
        for record in islice(generate_applications(seed, invalid_share=0), 50):
            producer.produce(topics.applications, value=record.value, key=record.key)
        assert producer.flush(WAIT_S) == 0

    publish_some(1)
    with worker(topics, tmp_path / "w.log", "--bundle", BAD) as at_work:
        wait_until(lambda: topics.committed() == {0: 50}, "every application decided")
        assert at_work.terminate() == 0
    everything = ("--from", "2020-01-01", "--with", GOOD)
    assert scorer(topics, "replay", "plan", tmp_path / "before", *everything)[0] == 0
    topics.recreate(topics.applications)
    publish_some(2)
    plan, run = ("plan", tmp_path / "after", *everything), ("run", tmp_path / "before")
    for arguments in (plan, run, ("verify", "--from", "2020-01-01")):
        code, _, errors = scorer(topics, "replay", *arguments)
        assert code == 1
        assert "50 of 50 records differ. Was the topic deleted and created again" in errors
    assert not (tmp_path / "after").exists()
    assert topics.count(topics.decisions) == 50


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["plan", "new"], 2, "which applications?"),
        (["plan", "new", "--decided-by", "credit-risk:9.9.9"], 1, "bundle credit-risk:9.9.9 not found"),
        (["plan", "new", "--decided-by", BAD], 1, "no current decision is by credit-risk:1.0.0@"),
        (["plan", "new", "--from", "yesterday"], 2, "--from yesterday: invalid time; write 2026-11-01"),
        (["plan", "new", "--from", "2026-01-02", "--to", "2026-01-01"], 2, "the range is empty"),
        (["plan", "new", "--offsets", "1:9-3"], 2, "write PARTITION:FIRST-LAST"),
        (["plan", "new", "--ids", "missing.txt"], 2, "--ids missing.txt: cannot be read"),
        (["plan", "."], 2, ". already exists"),
        (["run", "missing"], 2, "missing contains no replay plan"),
        (["status", "missing"], 2, "missing contains no replay plan"),
        (["report", "missing"], 2, "missing contains no replay plan"),
        (["run", "missing", "--rate", "0"], 2, "--rate"),
        (["verify", "--set", "decisions_topic=nowhere"], 1, "missing topic: nowhere"),
        (["verify"], 1, "nothing to verify"),
    ],
)
def test_misuse_is_reported(
    empty: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    """Each mistake gets one message and its exit code, and leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    exit_code, _, errors = scorer(empty, "replay", *arguments)
    assert exit_code == code, errors
    assert message in errors
    assert not list(tmp_path.iterdir())
