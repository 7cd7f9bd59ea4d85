"""Readers of decisions and dead letters on a real broker: times in any order, corrections in any partition, strangers.

Publishers and strangers write what they like: timestamps, headers, records of other kinds. Every reader makes the same
of it, and none ends.
"""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from schemas.contracts import shipped_contract
from schemas.examples import APPLICATIONS
from schemas.files import dump_application
from scorer.console.dead_letters import newest_letters
from scorer.console.live import REJECTED, Live
from scorer.console.tail import Sample, follow_results
from scorer.errors import TopicsError
from scorer.local.audit import Audit
from scorer.local.broker import Broker
from scorer.operate.reading import Skipped, TopicReader
from scorer.settings import Settings, load_settings
from tests.integration.worker_process import WAIT_S, Topics, headers_of, scorer, wait_until, worker

pytestmark = pytest.mark.broker
GOOD, BAD = "credit-risk:1.1.0", "credit-risk:1.0.0"
DAY = datetime(2024, 11, 26, tzinfo=UTC)
SOUND = dump_application(APPLICATIONS["plain"], shipped_contract())
MARKER = b"basement-of-a-person"
BIG = b"9" * 5_000
FOR_EVER = {"retention.ms": "-1"}
"""Of topics with old timestamps, by which retention deletes."""
Header = tuple[str, str | bytes | None]


def settings_of(topics: Topics) -> Settings:
    """The settings that lead to the topics."""
    environment = {name: value for name, value in topics.environment().items() if name.startswith("SCORER_")}
    return load_settings(environment=environment).settings


def decide(topics: Topics, bundle: str, log: Path) -> None:
    """Lets a worker with a bundle decide all there is."""
    ends = {p: end for p, end in topics.ends(topics.applications).items() if end}
    with worker(topics, log, "--bundle", bundle) as running:
        wait_until(lambda: {p: n for p, n in topics.committed().items() if n} == ends, "every application decided")
        assert running.terminate() == 0


def command(topics: Topics, *arguments: str | Path) -> tuple[int, Any, str]:
    """A replay's command with --json: exit code, what it printed, errors."""
    code, output, errors = scorer(topics, "replay", *arguments, "--json")
    return code, json.loads(output) if output else None, errors


def milliseconds(moment: datetime) -> int:
    """Since 1970."""
    return round(moment.timestamp() * 1_000)


# Times


def publish_at(topics: Topics, *at_ms: int) -> None:
    """Publishes an application at each of these times, one after another, to one partition."""
    producer = Producer({"bootstrap.servers": topics.servers})
    for number, moment in enumerate(at_ms):
        value = dump_application(APPLICATIONS["plain"] | {"application_id": f"a-{number}"}, shipped_contract())
        producer.produce(topics.applications, value, f"a-{number}", partition=0, timestamp=moment)
    assert producer.flush(WAIT_S) == 0


def selected(topics: Topics, folder: Path, *options: str) -> int:
    """How many applications a plan and a proof select, which must be the same number."""
    name = "-".join(options).replace("/", "")
    code, plan, errors = command(topics, "plan", folder / name, "--with", GOOD, *options)
    planned = plan["applications"] if code == 0 else 0
    assert code == 0 or "there is nothing to replay" in errors, errors
    code, proof, errors = command(topics, "verify", *options)
    assert (proof["decisions"], proof["different"]) == (planned, 0)
    assert code == (0 if planned else 1), "nothing selected is no proof"
    assert planned or "nothing to verify" in errors
    return int(planned)


def test_times_in_any_order(broker: Broker, tmp_path: Path) -> None:
    """A publisher that catches up with a backlog publishes old timestamps after new ones.

    The period was turned into offsets, so that 09:30 to 11:30 selected none of two applications, and 11:30 to 12:30
    three instead of one; a proof on nothing passed. Each record's own timestamp decides.
    """
    topics = Topics(broker.bootstrap_servers, 1, FOR_EVER)
    publish_at(topics, *(milliseconds(DAY + timedelta(hours=hour)) for hour in (9, 12, 10, 11, 13)))
    decide(topics, GOOD, tmp_path / "w.log")

    def between(begin: str, end: str) -> int:
        return selected(topics, tmp_path, "--from", f"2024-11-26T{begin}", "--to", f"2024-11-26T{end}")

    assert between("09:30", "11:30") == 2
    assert between("11:30", "12:30") == 1
    assert between("10:00", "11:00") == 1, "the first moment is in it, the last is not"
    assert between("10:00:00.001", "11:00") == 0
    assert between("08:00", "09:00") == 0
    assert selected(topics, tmp_path, "--from", "2024-11-26T10:00+01:00") == 5
    assert selected(topics, tmp_path, "--to", "2024-11-26T10:30") == 2
    assert selected(topics, tmp_path, "--from", "2024-11-26T13:00:00.001") == 0


def test_times_in_other_units(broker: Broker, tmp_path: Path) -> None:
    """Seconds, microseconds and negative numbers are what they say: other times, which nothing else depends on."""
    topics = Topics(broker.bootstrap_servers, 1, FOR_EVER | {"message.timestamp.after.max.ms": str(2**63 - 1)})
    noon = milliseconds(DAY + timedelta(hours=12))
    publish_at(topics, noon // 1_000, noon * 1_000, noon, noon * 1_000_000, 1, noon + 1)
    decide(topics, GOOD, tmp_path / "w.log")
    assert selected(topics, tmp_path, "--from", "2024-11-26", "--to", "2024-11-27") == 2
    assert selected(topics, tmp_path, "--to", "2000-01-01") == 2
    assert selected(topics, tmp_path, "--from", "2024-11-26") == 4
    assert selected(topics, tmp_path, "--from", "1969-12-31T23:59:59.998", "--to", "1970-01-01T00:00:00.002") == 1
    assert selected(topics, tmp_path, "--from", "1900-01-01") == 6
    code, _, errors = scorer(topics, "replay", "verify", "--from", "0001-01-01T00:00+05:00")
    assert (code, "invalid time" in errors) == (2, True)


def test_times_of_the_broker(broker: Broker, tmp_path: Path) -> None:
    """On a topic with the broker's own timestamps those decide, and not what the publisher said."""
    topics = Topics(broker.bootstrap_servers, 1, {"message.timestamp.type": "LogAppendTime"})
    publish_at(topics, *[milliseconds(DAY)] * 3)
    decide(topics, GOOD, tmp_path / "w.log")
    assert selected(topics, tmp_path, "--from", "2024-11-26", "--to", "2024-11-27") == 0
    assert selected(topics, tmp_path, "--from", "2024-11-27") == 3


def test_what_retention_took_has_no_time(broker: Broker, tmp_path: Path) -> None:
    """An application whose record is gone cannot be said to be in a period: it is left out and counted."""
    from confluent_kafka import TopicPartition

    topics = Topics(broker.bootstrap_servers, 1, FOR_EVER)
    publish_at(topics, *(milliseconds(DAY + timedelta(hours=hour)) for hour in (9, 12, 10)))
    decide(topics, GOOD, tmp_path / "w.log")
    admin = AdminClient({"bootstrap.servers": topics.servers})
    for future in admin.delete_records([TopicPartition(topics.applications, 0, 1)]).values():
        future.result(WAIT_S)
    code, proof, errors = command(topics, "verify", "--from", "2024-11-26T09:30", "--to", "2024-11-26T11:00")
    assert code == 0, errors
    assert (proof["decisions"], proof["undated"], proof["expired"]) == (1, 1, 0)
    code, output, _ = scorer(topics, "replay", "verify", "--to", "2024-11-26T11:00")
    assert (code, "left out because retention deleted their records" in output) == (0, True)


def test_dead_letters_since(broker: Broker) -> None:
    """`dlq list --since` compares each dead letter's own timestamp, whatever comes before or after it."""
    topics = Topics(broker.bootstrap_servers, 1, FOR_EVER)
    producer = Producer({"bootstrap.servers": topics.servers})
    for hour in (9, 12, 10, 13):
        moment = milliseconds(DAY + timedelta(hours=hour))
        producer.produce(topics.dead_letters, b"{", f"at-{hour}", headers=ours(), partition=0, timestamp=moment)
    producer.produce(topics.dead_letters, None, "m", headers={"dlq.requeued": "3", "dlq.actor": "ana"}, partition=0)
    assert producer.flush(WAIT_S) == 0
    code, output, errors = scorer(topics, "dlq", "list", "--since", "2024-11-26T11:00", "--json")
    assert code == 0, errors
    letters = json.loads(output)["dead_letters"]
    assert [letter["id"] for letter in letters] == ["at-12", "at-13"]
    assert [letter["requeued"] and letter["requeued"]["actor"] for letter in letters] == [None, "ana"]


# Corrections


def test_corrections_in_other_partitions(broker: Broker, tmp_path: Path) -> None:
    """The decisions topic grows from 3 to 6 partitions between decisions and their corrections.

    Which of the two was current depended on which partition was read first: of 17 plans for what the bad bundle had
    decided 15 found nothing, and two found applications that had been corrected already.
    """
    topics = Topics(broker.bootstrap_servers, 3)
    producer = Producer({"bootstrap.servers": topics.servers})
    for number in range(60):
        value = dump_application(APPLICATIONS["plain"] | {"application_id": f"a-{number}"}, shipped_contract())
        producer.produce(topics.applications, value, f"a-{number}", partition=number % 3)
    assert producer.flush(WAIT_S) == 0
    decide(topics, BAD, tmp_path / "w.log")
    admin = AdminClient({"bootstrap.servers": topics.servers})
    for future in admin.create_partitions([NewPartitions(topics.decisions, 6)]).values():
        future.result(WAIT_S)
    wait_until(lambda: len(partitions_of(topics, topics.decisions)) == 6, "six partitions")
    replay(topics, tmp_path / "first", BAD, GOOD)
    assert any(message.partition() >= 3 for message in read_all(topics, 6)), "keys moved to other partitions"
    for number in range(4):
        code, _, errors = command(topics, "plan", tmp_path / f"again-{number}", "--decided-by", BAD, "--with", GOOD)
        assert (code, "no current decision is by credit-risk:1.0.0@" in errors) == (1, True), errors
    # Turned back and again: ids come a second time, and still the last replay's decisions are the current ones.
    replay(topics, tmp_path / "back", GOOD, BAD)
    replay(topics, tmp_path / "forth", BAD, GOOD)
    code, proof, errors = command(topics, "verify", "--decided-by", GOOD)
    assert code == 0, errors
    assert (proof["decisions"], proof["different"], proof["circular"], proof["skipped"]) == (60, 0, 0, 0)


def replay(topics: Topics, folder: Path, earlier: str, later: str) -> None:
    """Plans and runs a replay of all that a bundle decided."""
    code, plan, errors = command(topics, "plan", folder, "--decided-by", earlier, "--with", later)
    assert code == 0, errors
    assert plan["applications"] == 60
    code, _, errors = scorer(topics, "replay", "run", folder)
    assert code == 0, errors


def partitions_of(topics: Topics, topic: str) -> list[int]:
    """The partitions of a topic."""
    with closing(TopicReader(settings_of(topics), topic)) as reader:
        return reader.partitions


def read_all(topics: Topics, partitions: int) -> list[Any]:
    """All records of the decisions topic."""
    with closing(TopicReader(settings_of(topics), topics.decisions)) as reader:
        assert len(reader.partitions) == partitions
        return [record for records in reader.read(reader.bounds()) for record in records]


# Strangers' headers and records


def ours(code: str = "wrong_type", offset: int = 3) -> list[Header]:
    """The headers of a dead letter as the worker writes them."""
    return [("dlq.code", code), ("dlq.reason", "a rule"), ("dlq.partition", "0"), ("dlq.offset", str(offset))]


@pytest.fixture
def topics(broker: Broker) -> Topics:
    """Topics of their own, with one partition each."""
    return Topics(broker.bootstrap_servers, 1)


SENT: list[list[Header]] = [
    [],
    [("dlq.requeued", b"0")],
    [("dlq.code", b"forged"), ("dlq.requeued", b"1")],
    [("dlq.code", None), ("dlq.requeued", None), ("replay-id", None)],
    [("dlq.code", b"\xff"), ("dlq.offset", b"\xff"), ("dlq.partition", b"-1")],
    [("dlq.offset", BIG), ("dlq.partition", BIG), ("dlq.timestamp", BIG)],
    [("dlq.topic", b"elsewhere"), ("dlq.at", MARKER)],
    [("replay-id", b"r-1"), ("supersedes", b"x:0:1@y"), ("supersedes", b"x"), ("requeued-from", b"y")],
    [("dlq.code", b"a"), ("dlq.code", b"b"), ("dlq.reason", MARKER), ("dlq.bundle", MARKER), ("dlq.actor", MARKER)],
]
"""What publishers send along with nine records that cannot be decided."""


@contextmanager
def following(settings: Settings) -> Iterator[Live]:
    """What the console counts from now on."""
    live, stop = Live(), Event()
    thread = Thread(target=follow_results, args=(settings, live, Sample(), stop))
    thread.start()
    try:
        wait_until(lambda: live.reads_results, "the console follows")
        yield live
        assert thread.is_alive(), "nothing ends it"
    finally:
        stop.set()
        thread.join(WAIT_S)


def test_publishers_headers_hide_no_dead_letter(topics: Topics, tmp_path: Path) -> None:
    """Publishers that send headers named like the scorer's hid two of nine dead letters from `producer watch`.

    Every reader sees all nine: what the worker writes comes last, and the last one of a name counts.
    """
    settings = settings_of(topics)
    with closing(Audit(settings)) as audit, following(settings) as live, worker(topics, tmp_path / "w.log") as running:
        producer = Producer({"bootstrap.servers": topics.servers})
        for number, headers in enumerate(SENT):
            producer.produce(topics.applications, b"[]", f"k-{number}", headers=headers)
        assert producer.flush(WAIT_S) == 0
        wait_until(lambda: audit.results == 9, "nine outcomes")
        assert (audit.rejections, audit.lost, audit.duplicated) == ({"not_an_object": 9}, 0, 0)
        assert (audit.skipped.count, audit.unmatched) == (0, 0)
        wait_until(lambda: live.state()["codes"] == {"not_an_object": 9}, "the console counts nine")
        assert live.tick(0)["kinds"][REJECTED] == 9
        assert running.terminate() == 0
    assert watched(topics, tmp_path, 9) == [f"k-{number}" for number in range(9)]
    code, output, errors = scorer(topics, "dlq", "list", "--json")
    assert code == 0, errors
    assert json.loads(output)["counts"] == {"not_an_object": 9}
    assert newest_letters(settings)["codes"] == {"not_an_object": 9}
    code, output, _ = scorer(topics, "dlq", "requeue", "--code", "not_an_object", "--json")
    assert (code, len(json.loads(output)["requeued"])) == (0, 9)
    back = list(topics.read(topics.applications))[9:]
    for sent, message in zip(SENT, back, strict=True):
        expected = [h for h in sent if h[0] not in {"replay-id", "supersedes", "requeued-from"}]
        assert [h for h in message.headers() or () if h[0] != "requeued-from"] == expected, "they go back as they came"
        assert headers_of(message)["requeued-from"].startswith(topics.dead_letters.encode())


def watched(topics: Topics, folder: Path, count: int) -> list[str]:
    """The ids that `producer watch --dead-letters` shows."""
    import subprocess
    import sys

    options = ["--dead-letters", "--from-beginning", "--json"]
    names = ["--decisions-topic", topics.decisions, "--dead-letters-topic", topics.dead_letters]
    log = folder / "watch.log"
    with (
        log.open("wb") as sink,
        (folder / "watch.err").open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "producer", "watch", *options, *names],
            env=topics.environment(),
            stdout=sink,
            stderr=errors,
        ) as watch,
    ):
        try:
            wait_until(lambda: log.read_bytes().count(b"\n") >= count, f"{count} outcomes")
            assert watch.poll() is None, "nothing ends it"
        finally:
            watch.terminate()
    return [json.loads(line)["application_id"] for line in log.read_text().splitlines()]


STRANGERS: list[bytes | None] = [b"", None, b"hello", b"{}", b"\xff\xfe", b'{"source":' + b"[" * 50_000, MARKER]


def test_foreign_records_stop_no_reader(topics: Topics, tmp_path: Path) -> None:
    """A stranger's record among the decisions was skipped, ended a replay, or ended the audit, by who read it.

    On all three topics they are skipped, counted and named by their place, and whoever reads goes on.
    """
    settings = settings_of(topics)
    with closing(Audit(settings)) as audit, following(settings) as live, worker(topics, tmp_path / "w.log") as running:
        for topic in (topics.decisions, topics.dead_letters, topics.deployments):
            topics.publish(*STRANGERS, topic=topic)
        forge(topics)
        topics.publish(SOUND, b"[]")
        wait_until(lambda: audit.results == 2, "both outcomes")
        wait_until(lambda: live.state()["skipped"] == 2 * len(STRANGERS), "the console counts the strangers'")
        assert (audit.skipped.count, audit.lost, audit.duplicated) == (2 * len(STRANGERS), 0, 0)
        assert audit.unmatched == 4, "what was forged about applications that nobody sent"
        assert MARKER.decode() not in str(audit.skipped)
        assert running.terminate() == 0
    assert sorted(watched(topics, tmp_path, 6)) == ["a-1001", *["forged"] * 4, "key"]
    output = (tmp_path / "watch.err").read_text()
    assert output.count("\nskipped: ") == 2 * len(STRANGERS)
    assert MARKER.decode() not in output
    code, proof, errors = command(topics, "verify")
    assert code == 0, errors
    assert (proof["decisions"], proof["skipped"], proof["expired"]) == (1, len(STRANGERS), 2)
    assert proof["skipped_first"][2] == f"{topics.decisions}[0]@2: the value is not JSON"
    code, output, _ = scorer(topics, "replay", "plan", tmp_path / "plan", "--decided-by", GOOD, "--with", BAD)
    assert (code, f"{len(STRANGERS)} malformed records skipped" in output) == (0, True)
    assert scorer(topics, "replay", "run", tmp_path / "plan")[0] == 0
    topics.publish(b"hello", topic=topics.decisions)
    code, report, errors = command(topics, "report", tmp_path / "plan")
    assert code == 0, errors
    assert (report["corrections"], report["skipped"]) == (1, 1)
    code, output, _ = scorer(topics, "dlq", "list")
    assert (code, f"{len(STRANGERS)} malformed records skipped" in output) == (0, True)
    assert newest_letters(settings)["skipped"] == len(STRANGERS)
    code, output, errors = scorer(topics, "history")
    assert code == 0, errors


def forge(topics: Topics) -> None:
    """Writes decisions and dead letters about records that no partition has, or that nobody sent."""
    producer = Producer({"bootstrap.servers": topics.servers})
    bundle = {"name": "credit-risk", "version": "6.6.6", "digest": "6" * 64}
    for partition, offset in ((0, 2**62), (2**31 - 1, 0)):
        source = {"topic": topics.applications, "partition": partition, "offset": offset}
        forged = {"decision_id": "x", "application_id": "forged", "decision": "APPROVED", "probability_of_default": 0.5}
        producer.produce(topics.decisions, json.dumps(forged | {"bundle": bundle, "source": source}), partition=0)
    for number in (b"7000", BIG):
        headers: list[Header] = [
            *ours(),
            ("dlq.offset", number),
            ("dlq.code", b"[/red]forged"),
            ("dlq.partition", b"0"),
        ]
        producer.produce(topics.dead_letters, b"{", b"forged", headers=headers, partition=0)
    assert producer.flush(WAIT_S) == 0


# Topics that are new


def test_a_topic_that_was_created_a_moment_ago(broker: Broker) -> None:
    """Brokers know a new topic, and who leads it, a moment after it was created.

    Readers called it missing in 22 of 25 tries.
    """
    for _ in range(25):
        topics = Topics(broker.bootstrap_servers, 2)
        settings = settings_of(topics)
        for topic in (topics.decisions, topics.dead_letters, topics.deployments, topics.applications):
            with closing(TopicReader(settings, topic)) as reader:
                assert reader.bounds() == {0: (0, 0), 1: (0, 0)}


def test_a_topic_that_is_missing(broker: Broker) -> None:
    """After some seconds it is called missing."""
    settings = load_settings({"bootstrap_servers": broker.bootstrap_servers}, environment={}).settings
    with pytest.raises(TopicsError, match="missing topic: no-such-topic; `scorer topics ensure` creates it"):
        TopicReader(settings, "no-such-topic")


SMALL_MEMORY = {"fetch.max.bytes": "1000000", "receive.message.max.bytes": "1100000"}  # 64 MB in production


def test_a_batch_among_the_results_that_cannot_be_read(topics: Topics) -> None:
    """The console ended its reading at such a batch and missed what came with it; the audit waited for ever.

    Both count it, and what is written after it.
    """
    settings = settings_of(topics).model_copy(update={"kafka": SMALL_MEMORY})
    config = {"bootstrap.servers": topics.servers, "compression.type": "zstd", "linger.ms": 60_000}
    large = Producer(config | {"message.max.bytes": 100_000_000, "batch.size": 100_000_000})
    with closing(Audit(settings)) as audit, following(settings) as live:
        for number in (1, 2):
            for topic in (topics.decisions, topics.dead_letters):
                large.produce(topic, b"A" * 3_000_000, partition=0)
            assert large.flush(WAIT_S) == 0
            forge(topics)
            wait_until(lambda n=number: live.state()["skipped"] == 2 * n, "the console counts the batches")  # type: ignore[misc]
            wait_until(lambda n=number: sum(live.state()["codes"].values()) == 2 * n, "and the dead letters")  # type: ignore[misc]
            wait_until(lambda n=number: (audit.skipped.count, audit.unmatched) == (2 * n, 4 * n), "so does the audit")  # type: ignore[misc]
        audit.require_running()
    assert str(audit.skipped.first[0]).partition(": ")[2].startswith("unreadable record batch up to offset 0: ")


@pytest.mark.parametrize("records", [1, 3])
def test_a_batch_that_cannot_be_read(topics: Topics, records: int) -> None:
    """A batch of some kilobytes that takes too much memory is passed and counted; readings waited for it and ended.

    Whoever may publish could keep every replay from reading the applications.
    """
    settings = settings_of(topics).model_copy(update={"kafka": SMALL_MEMORY})
    config = {"bootstrap.servers": topics.servers, "compression.type": "zstd", "linger.ms": 60_000}
    large = Producer(config | {"message.max.bytes": 100_000_000, "batch.size": 100_000_000})
    for number in range(3):
        topics.publish(SOUND)
        for _ in range(records if number < 2 else 0):
            large.produce(topics.applications, b"A" * (3_000_000 // records), partition=0)
        assert large.flush(WAIT_S) == 0
    skipped = Skipped()
    with closing(TopicReader(settings, topics.applications, skipped)) as reader:
        for begin, expected, count in ((0, 3, 2), (1, 2, 2), (records + 1, 2, 1), (2 * records + 2, 1, 0)):
            before = skipped.count
            read = [r.offset() for records_ in reader.read({0: (begin, 2 * records + 3)}) for r in records_]
            assert read == [0, records + 1, 2 * records + 2][-expected:]
            assert skipped.count - before == count
        assert list(reader.read({0: (1, records + 1)})) == [], "nothing but the batch"
        (after,) = next(reader.read({0: (records, records + 2)}))
        assert after.offset() == records + 1, "begun inside of the batch"
    assert str(skipped.first[0]).startswith(
        f"{topics.applications}[0]@1: unreadable record batch up to offset {records}: "
    )
