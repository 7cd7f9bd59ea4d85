"""Readers of decisions and dead letters on a real broker: publishers' headers, strangers' records, new topics.

Publishers and strangers write what they like: headers, records of other kinds. Every reader makes the same of it, and
none ends.
"""

import json
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Producer

from schemas.contracts import shipped_contract
from schemas.examples import APPLICATIONS
from schemas.files import dump_application
from scorer.console.dead_letters import newest_letters
from scorer.console.live import REJECTED
from scorer.errors import TopicsError
from scorer.local.audit import Audit
from scorer.local.broker import Broker
from scorer.operate.reading import TopicReader
from scorer.settings import load_settings
from tests.integration.readers import BAD, BIG, GOOD, Header, command, following, forge, settings_of, watched
from tests.integration.worker_process import WAIT_S, Topics, headers_of, scorer, wait_until, worker

pytestmark = pytest.mark.broker
SOUND = dump_application(APPLICATIONS["plain"], shipped_contract())
MARKER = b"basement-of-a-person"


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
    code, said, errors = scorer(topics, "dlq", "list", "--json")
    assert code == 0, errors
    assert json.loads(said)["counts"] == {"not_an_object": 9}
    groups = newest_letters(settings)["groups"]
    assert {group["code"]: group["count"] for group in groups} == {"not_an_object": 9}
    code, said, _ = scorer(topics, "dlq", "requeue", "--code", "not_an_object", "--json")
    assert (code, len(json.loads(said)["requeued"])) == (0, 9)
    back = list(topics.read(topics.applications))[9:]
    for sent, message in zip(SENT, back, strict=True):
        kept = [h for h in sent if h[0] not in {"replay-id", "supersedes", "requeued-from"}]
        assert [h for h in message.headers() or () if h[0] != "requeued-from"] == kept, "they go back as they came"
        assert headers_of(message)["requeued-from"].startswith(topics.dead_letters.encode())


STRANGERS: list[bytes | None] = [b"", None, b"hello", b"{}", b"\xff\xfe", b'{"source":' + b"[" * 50_000, MARKER]


def test_strangers_records_end_nothing(topics: Topics, tmp_path: Path) -> None:
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
    said = (tmp_path / "watch.err").read_text()
    assert said.count("\nskipped: ") == 2 * len(STRANGERS)
    assert MARKER.decode() not in said
    code, proof, errors = command(topics, "verify")
    assert code == 0, errors
    assert (proof["decisions"], proof["skipped"], proof["expired"]) == (1, len(STRANGERS), 2)
    assert proof["skipped_first"][2] == f"{topics.decisions}[0]@2: the value is not JSON"
    code, said, _ = scorer(topics, "replay", "plan", tmp_path / "plan", "--decided-by", GOOD, "--with", BAD)
    assert (code, f"{len(STRANGERS)} malformed records skipped" in said) == (0, True)
    assert scorer(topics, "replay", "run", tmp_path / "plan")[0] == 0
    topics.publish(b"hello", topic=topics.decisions)
    code, report, errors = command(topics, "report", tmp_path / "plan")
    assert code == 0, errors
    assert (report["corrections"], report["skipped"]) == (1, 1)
    code, said, _ = scorer(topics, "dlq", "list")
    assert (code, f"{len(STRANGERS)} malformed records skipped" in said) == (0, True)
    assert newest_letters(settings)["skipped"] == len(STRANGERS)
    code, said, errors = scorer(topics, "history")
    assert code == 0, errors


def test_a_topic_that_was_created_a_moment_ago(broker: Broker) -> None:
    """Brokers know a new topic, and who leads it, a moment after it was created.

    Readers called it missing in 22 of 25 tries.
    """
    for _ in range(5):
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
