"""The reader of docs/reading-decisions.md on a real broker: what is committed, corrections, and being read twice."""

import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.decision import (
    REPLAY_ID_HEADER,
    SUPERSEDES_HEADER,
    BundleReference,
    Decision,
    Label,
    RecordReference,
)
from schemas.examples import REVIEW
from scorer.local.broker import Broker
from tests.integration.worker_process import WAIT_S, wait_until

pytestmark = pytest.mark.broker
READER = Path(__file__).parents[2] / "examples" / "read_decisions.py"
GOOD, BAD = (BundleReference(name="credit-risk", version=v, digest=d * 64) for v, d in (("1.1.0", "1"), ("1.0.0", "0")))
LAST = "the-last"


def decision(application: str, offset: int, outcome: Label, bundle: BundleReference) -> Decision:
    """What a bundle made of an application's record."""
    return Decision(
        decision_id=f"applications:0:{offset}@{bundle.digest[:12]}",
        application_id=application,
        decision=outcome,
        probability_of_default=0.25,
        bundle=bundle,
        source=RecordReference(topic="applications", partition=0, offset=offset),
    )


class Writing:
    """Writes decisions as workers and replays do, in transactions."""

    def __init__(self, servers: str, topic: str) -> None:
        self._topic = topic
        self._producer = Producer({"bootstrap.servers": servers, "transactional.id": f"writer-{topic}"})
        self._producer.init_transactions(WAIT_S)

    @contextmanager
    def transaction(self, *, commits: bool = True) -> Iterator[None]:
        """A transaction around what is written in it."""
        self._producer.begin_transaction()
        yield
        assert self._producer.flush(WAIT_S) == 0
        if commits:
            self._producer.commit_transaction(WAIT_S)
        else:
            self._producer.abort_transaction(WAIT_S)

    def write(
        self, made: Decision, supersedes: Decision | None = None, replay_id: str = "r-1", partition: int = -1
    ) -> None:
        """Writes a decision, or a correction of one; to its key's partition, unless another one is given."""
        headers: list[tuple[str, str | bytes | None]] = []
        if supersedes is not None:
            headers = [(REPLAY_ID_HEADER, replay_id), (SUPERSEDES_HEADER, supersedes.decision_id)]
        key, value = made.application_id.encode(), made.model_dump_json().encode()
        self._producer.produce(self._topic, value=value, key=key, headers=headers, partition=partition)

    def write_other(self, value: bytes) -> None:
        """Writes what is not a decision."""
        self._producer.produce(self._topic, value=value, partition=0)


@contextmanager
def reading(
    servers: str, topic: str, database: Path, group: str, says: str | re.Pattern[str] = "", reviews: str | None = None
) -> Iterator[subprocess.Popen[str]]:
    """The example at work, until it is told to stop; it ends well, and says this."""
    command = [sys.executable, str(READER), servers, str(database), "--topic", topic, "--group", group]
    command += ["--reviews", reviews] if reviews else []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            _, output = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, output
    assert says.fullmatch(output) if isinstance(says, re.Pattern) else output == says, output


def table(database: Path) -> dict[str, tuple[str, str, str]]:
    """Of each application: the decision that holds, who made it, and the replay if it is a correction."""
    if not database.exists():
        return {}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        try:
            rows = opened.execute("SELECT application_id, decision, bundle, replay_id FROM decisions").fetchall()
        except sqlite3.OperationalError:  # there is no table yet
            return {}
    return {application: (outcome, bundle.partition("@")[0], replay) for application, outcome, bundle, replay in rows}


def test_reader(broker: Broker, unique: Callable[[str], str], tmp_path: Path) -> None:
    """The table holds the latest correction of what is committed, and stays as it is when all of it is read again."""
    servers, topic, database = broker.bootstrap_servers, unique("decisions"), tmp_path / "decisions.sqlite"
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(WAIT_S)
    writing = Writing(servers, topic)
    with writing.transaction():
        writing.write(decision("kept", 0, "APPROVED", BAD))
        writing.write(turned := decision("turned", 1, "DECLINED", BAD))
        writing.write(back := decision("turned-back", 2, "DECLINED", BAD))
        writing.write(old := decision("sent-anew", 3, "DECLINED", BAD))
        writing.write(decision("sent-anew", 9, "MAYBE", BAD))
    with writing.transaction(commits=False):
        writing.write(decision("kept", 0, "DECLINED", GOOD), turned)
        writing.write(decision("never", 4, "APPROVED", BAD))
    with writing.transaction():
        writing.write(decision("turned", 1, "APPROVED", GOOD), turned)
        writing.write(approved := decision("turned-back", 2, "APPROVED", GOOD), back)
        writing.write(decision("sent-anew", 3, "APPROVED", GOOD), old)
    with writing.transaction():
        writing.write(back, approved, replay_id="r-2")
        writing.write(decision(LAST, 99, "APPROVED", GOOD))
    expected = {
        "kept": ("APPROVED", "credit-risk:1.0.0", ""),
        "turned": ("APPROVED", "credit-risk:1.1.0", "r-1"),
        "turned-back": ("DECLINED", "credit-risk:1.0.0", "r-2"),
        "sent-anew": ("MAYBE", "credit-risk:1.0.0", ""),
        LAST: ("APPROVED", "credit-risk:1.1.0", ""),
    }
    with reading(servers, topic, database, unique("group")):
        wait_until(lambda: LAST in table(database), "all was read")
        assert table(database) == expected
    with closing(sqlite3.connect(database)) as opened, opened:
        opened.execute("DELETE FROM decision_records WHERE application_id = ?", (LAST,))
    with reading(servers, topic, database, unique("group")):
        wait_until(lambda: LAST in table(database), "all was read again")
        assert table(database) == expected


def test_topic_that_grew(broker: Broker, unique: Callable[[str], str], tmp_path: Path) -> None:
    """Corrections in other partitions than what they supersede are current, whichever is read first.

    The table kept what was read last, and so a decision that had been corrected. A record that is no decision is
    skipped, where it ended the reader.
    """
    servers, topic, database = broker.bootstrap_servers, unique("decisions"), tmp_path / "decisions.sqlite"
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, 6, 1)])[topic].result(WAIT_S)
    writing = Writing(servers, topic)
    with writing.transaction():
        writing.write_other(b"hello")
        for number in range(60):
            writing.write(bad := decision(f"a-{number}", number, "DECLINED", BAD), partition=number % 3)
            writing.write(good := decision(f"a-{number}", number, "APPROVED", GOOD), bad, partition=(number + 1) % 6)
            if number % 2:
                writing.write(bad, good, replay_id="r-2", partition=number % 5)
        writing.write(decision(LAST, 99, "APPROVED", GOOD))
    corrected, turned_back = ("APPROVED", "credit-risk:1.1.0", "r-1"), ("DECLINED", "credit-risk:1.0.0", "r-2")
    expected = {f"a-{number}": turned_back if number % 2 else corrected for number in range(60)}
    expected[LAST] = ("APPROVED", "credit-risk:1.1.0", "")
    skipped = f"skipped {topic}[0]@0: the value is not JSON\n"
    with reading(servers, topic, database, unique("group"), skipped):
        wait_until(lambda: table(database) == expected, "all was read")


def test_a_batch_that_cannot_be_read(broker: Broker, unique: Callable[[str], str], tmp_path: Path) -> None:
    """A batch of some kilobytes that is larger than 100 MB once decompressed ended the reader.

    It is passed and reported once, and the decisions before and after it are entered.
    """
    servers, topic, database = broker.bootstrap_servers, unique("decisions"), tmp_path / "decisions.sqlite"
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(WAIT_S)
    config = {"bootstrap.servers": servers, "compression.type": "zstd", "message.max.bytes": 200_000_000}
    writing, large = Writing(servers, topic), Producer(config)
    for number, partition in enumerate((0, 1, 0)):
        with writing.transaction():
            writing.write(decision(f"a-{number}", number, "APPROVED", GOOD), partition=partition)
        large.produce(topic, b"A" * 101_000_000, partition=0)
        assert large.flush(WAIT_S) == 0
    with writing.transaction():
        writing.write(decision(LAST, 99, "APPROVED", GOOD), partition=0)
    # A transaction takes two offsets: its record and its marker.
    lines = [rf"skipped {topic}\[0\]@{n}: unreadable record batch up to offset {n}: .+\n" for n in (2, 3, 6)]
    with reading(servers, topic, database, unique("group"), re.compile("".join(lines))):
        wait_until(lambda: table(database).keys() == {"a-0", "a-1", "a-2", LAST}, "all that can be read was read")


def test_reviews(broker: Broker, unique: Callable[[str], str], tmp_path: Path) -> None:
    """With the reviews, the table has the decisions of record: the first review of a MAYBE decision gives its label."""
    servers, database = broker.bootstrap_servers, tmp_path / "decisions.sqlite"
    decisions, reviews = unique("decisions"), unique("reviews")
    admin = AdminClient({"bootstrap.servers": servers})
    for created in admin.create_topics([NewTopic(topic, 1, 1) for topic in (decisions, reviews)]).values():
        created.result(WAIT_S)
    maybe = decision("a", 0, "MAYBE", GOOD)
    producer = Producer({"bootstrap.servers": servers})
    for written in (maybe, decision("b", 1, "MAYBE", GOOD)):
        producer.produce(decisions, written.model_dump_json(), written.application_id)
    for name, label in (("first", "DECLINED"), ("second", "APPROVED"), (LAST, "APPROVED")):
        written_id = LAST if name == LAST else maybe.decision_id
        review = REVIEW.model_copy(
            update={"review_id": name, "application_id": "a", "decision_id": written_id, "label": label}
        )
        producer.produce(reviews, review.model_dump_json(), "a")
    producer.produce(reviews, b"{")
    assert producer.flush(WAIT_S) == 0

    def of_record() -> dict[str, tuple[str, str]]:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
            if not opened.execute("SELECT * FROM review_records WHERE review_id = ?", (LAST,)).fetchall():
                return {}
            rows = opened.execute("SELECT application_id, decision, review_id FROM decisions_of_record").fetchall()
            return {application: (label, review) for application, label, review in rows}

    skipped = f"skipped {reviews}[0]@3: the value is not a review\n"
    with reading(servers, decisions, database, unique("group"), skipped, reviews):
        wait_until(lambda: len(table(database)) == 2 and len(of_record()) == 2, "all was read")
        assert of_record() == {"a": ("DECLINED", "first"), "b": ("MAYBE", "")}
