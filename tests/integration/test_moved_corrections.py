"""Corrections in other partitions than the decisions that they supersede."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from schemas.contracts import shipped_contract
from schemas.examples import APPLICATIONS
from schemas.files import dump_application
from scorer.local.broker import Broker
from scorer.operate.reading import TopicReader
from tests.integration.readers import BAD, GOOD, command, decide, settings_of
from tests.integration.worker_process import WAIT_S, Topics, scorer, wait_until

pytestmark = pytest.mark.broker


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
