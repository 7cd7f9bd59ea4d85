"""Selecting applications and dead letters by time, whatever timestamps publishers sent and in any order."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from schemas.contracts import shipped_contract
from schemas.examples import APPLICATIONS
from schemas.files import dump_application
from scorer.local.broker import Broker
from tests.integration.readers import GOOD, command, decide, ours
from tests.integration.worker_process import WAIT_S, Topics, scorer

pytestmark = pytest.mark.broker
DAY = datetime(2024, 11, 26, tzinfo=UTC)
FOR_EVER = {"retention.ms": "-1"}
"""Of topics with old timestamps, by which retention deletes."""


def milliseconds(moment: datetime) -> int:
    """Since 1970."""
    return round(moment.timestamp() * 1_000)


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
    code, said, _ = scorer(topics, "replay", "verify", "--to", "2024-11-26T11:00")
    assert (code, "left out because retention deleted their records" in said) == (0, True)


def test_dead_letters_since(broker: Broker) -> None:
    """`dlq list --since` compares each dead letter's own timestamp, whatever comes before or after it."""
    topics = Topics(broker.bootstrap_servers, 1, FOR_EVER)
    producer = Producer({"bootstrap.servers": topics.servers})
    for hour in (9, 12, 10, 13):
        moment = milliseconds(DAY + timedelta(hours=hour))
        producer.produce(topics.dead_letters, b"{", f"at-{hour}", headers=ours(), partition=0, timestamp=moment)
    producer.produce(topics.dead_letters, None, "m", headers={"dlq.requeued": "3", "dlq.actor": "ana"}, partition=0)
    assert producer.flush(WAIT_S) == 0
    code, said, errors = scorer(topics, "dlq", "list", "--since", "2024-11-26T11:00", "--json")
    assert code == 0, errors
    letters = json.loads(said)["dead_letters"]
    assert [letter["id"] for letter in letters] == ["at-12", "at-13"]
    assert [letter["requeued"] and letter["requeued"]["actor"] for letter in letters] == [None, "ana"]
