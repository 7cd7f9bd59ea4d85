"""`scorer deploy --dry-run` on a real broker: what a bundle would reject of the applications on the topic."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from scorer.errors import LocalBrokerError
from scorer.local.broker import Broker, start_broker
from scorer.operate.dry_run import compare_contracts
from scorer.settings import load_settings
from tests.integration.test_deployments import stored
from tests.integration.test_other_contracts import NO_BOATS, WHY, with_purposes
from tests.integration.worker_process import WAIT_S, Topics, event_of_a_missing_bundle, operate, scorer, wait_until
from tests.unit.bundle.contracts import car_loan, car_loan_bundle

pytestmark = pytest.mark.broker
PARTITIONS = 3
DRY = ("deploy", "car-loan:2.0.0", "--dry-run")
TOO_LARGE = car_loan(purpose="car", note="x" * 100_000)


@pytest.fixture
def topics(broker: Broker, tmp_path: Path) -> Iterator[Topics]:
    """Topics of their own, with a champion for cars, vans and boats, and in the store a bundle without boats."""
    car_loan_bundle(tmp_path / "store" / "car-loan" / "1.0.0", "1.0.0", with_purposes("car", "van", "boat"))
    car_loan_bundle(tmp_path / "store" / "car-loan" / "2.0.0", "2.0.0", with_purposes("car", "van"))
    with stored(Topics(broker.bootstrap_servers, PARTITIONS), tmp_path / "store") as own:
        operate(own, "deploy", "car-loan:1.0.0", "--allow-breaking", *WHY)
        yield own


def reported(topics: Topics, *options: str) -> dict[str, Any]:
    """What a dry run reports to scripts."""
    report: dict[str, Any] = json.loads(operate(topics, *DRY, "--json", *options))
    return report


def counts(report: dict[str, Any]) -> tuple[int, int, int | None]:
    """Of a report: the records, those that the new bundle rejects, and those that the champion rejects."""
    return report["records"], report["rejected"], report["rejected_by_champion"]


def expire(topics: Topics, ends: Mapping[int, int]) -> None:
    """Retention deletes the applications before these offsets, by partition."""
    admin = AdminClient({"bootstrap.servers": topics.servers})
    before = [TopicPartition(topics.applications, partition, end) for partition, end in ends.items()]
    for future in admin.delete_records(before).values():
        future.result(WAIT_S)


def test_a_category_that_the_new_bundle_does_not_know(topics: Topics) -> None:
    """The share of the records is found before anything changed: nothing is published, nothing is committed.

    The deployment is then refused without the flag.
    """
    for partition in range(PARTITIONS):
        purposes = ("boat" if i % 100 in {7, 40, 93} else ("car", "van")[i % 2] for i in range(1_000))
        topics.publish(*(car_loan(f"c-{i}", purpose=p) for i, p in enumerate(purposes)), partition=partition)
    before = topics.ends(topics.deployments)
    output = operate(topics, *DRY)
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert lines[0].startswith("dry run of car-loan:2.0.0@")
    assert lines[0].endswith(": nothing was changed")
    assert "purpose unknown_category 90 (3.00%) 0 (0.00%)" in lines
    assert "90 (3.00%) would become dead letters" in lines
    assert NO_BOATS in output
    report = reported(topics)
    assert counts(report) == (3_000, 90, 0)
    assert (report["newly_rejected"], report["newly_accepted"]) == (90, 0)
    assert report["causes"] == [
        {"field": "purpose", "code": "unknown_category", "rejected": 90, "rejected_by_champion": 0}
    ]
    assert report["breaking_changes"] == [NO_BOATS.strip()]
    assert (report["bundle"]["version"], report["champion"]["version"]) == ("2.0.0", "1.0.0")

    assert topics.ends(topics.deployments) == before
    assert topics.committed() == {}
    assert topics.count(topics.decisions) == topics.count(topics.dead_letters) == 0
    code, _, errors = scorer(topics, "deploy", "car-loan:2.0.0", *WHY)
    assert code == 1
    assert NO_BOATS in errors
    assert topics.ends(topics.deployments) == before


def test_records_that_neither_accepts(topics: Topics) -> None:
    """Dead letters of today are counted for both, so that only the rest is news; no value is printed."""
    values = (
        b"", b"{", b"[]", b"\xff", TOO_LARGE, car_loan(purpose="marker-plane"),
        car_loan(salary="marker-2", purpose="car"), car_loan(salary=-1, purpose="boat"),
        car_loan(purpose="boat"), car_loan(purpose="car"),
    )  # fmt: skip
    topics.publish(*values)
    report = reported(topics)
    assert counts(report) == (10, 9, 8)
    assert (report["newly_rejected"], report["newly_accepted"]) == (1, 0)
    found = {
        (cause["field"], cause["code"]): (cause["rejected"], cause["rejected_by_champion"])
        for cause in report["causes"]
    }
    whole = ("empty", "not_json", "not_an_object", "not_utf8", "too_large")
    assert found == {(None, code): (1, 1) for code in whole} | {
        ("purpose", "unknown_category"): (3, 1), ("salary", "wrong_type"): (1, 1), ("salary", "out_of_range"): (1, 1)
    }  # fmt: skip
    code, output, errors = scorer(topics, *DRY)
    assert (code, errors) == (0, "")
    assert "marker" not in output


def test_the_newest_of_all_partitions(topics: Topics) -> None:
    """A sample that is smaller than the topic has its newest records, of whatever partition."""
    topics.publish(*[car_loan(purpose="boat")] * 500, partition=0)
    time.sleep(0.01)
    topics.publish(*[car_loan(purpose="car")] * 300, partition=1)
    topics.publish(*[car_loan(purpose="van")] * 300, partition=2)
    assert counts(reported(topics, "--sample", "600")) == (600, 0, 0)
    assert counts(reported(topics, "--sample", "700")) == (700, 100, 0)
    assert counts(reported(topics, "--sample", "1000000")) == (1_100, 500, 0)


def test_offsets_without_records(topics: Topics) -> None:
    """Expired records, aborted ones and transaction markers are not counted; a topic of nothing else is empty."""
    topics.publish(*[car_loan(purpose="boat")] * 20)
    expire(topics, {0: 15})
    producer = Producer({"bootstrap.servers": topics.servers, "transactional.id": topics.mark})
    producer.init_transactions(WAIT_S)
    for commits in (False, True):
        producer.begin_transaction()
        for partition in (0, 1):
            producer.produce(topics.applications, car_loan(purpose="boat"), partition=partition)
        assert producer.flush(WAIT_S) == 0
        (producer.commit_transaction if commits else producer.abort_transaction)(WAIT_S)
    assert counts(reported(topics)) == (7, 7, 0)
    assert counts(reported(topics, "--sample", "1000000")) == (7, 7, 0)
    expire(topics, topics.ends(topics.applications))
    assert counts(reported(topics)) == (0, 0, 0)


def test_a_compacted_topic() -> None:
    """Offsets whose records were compacted are not counted, and the rest is read to its end."""
    try:
        started = start_broker("java", overrides={"log.cleaner.backoff.ms": "100"})
    except LocalBrokerError as fault:
        pytest.skip(f"needs a broker that compacts soon: {fault}")
    soon = {"segment.ms": "200", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "200"}
    contracts = with_purposes("car", "van"), with_purposes("car", "van", "boat")
    with started as broker:
        topics = Topics(broker.bootstrap_servers, 1, {"cleanup.policy": "compact", **soon})
        settings = load_settings(
            {"bootstrap_servers": topics.servers, "applications_topic": topics.applications}, environment={}
        ).settings
        for key in (b"a", b"b"):
            topics.publish(*[car_loan(purpose="boat")] * 500, key=key)

        def compacted() -> bool:
            topics.publish(car_loan(purpose="car"), key=b"c")  # a record after its time begins a segment
            return compare_contracts(settings, *contracts, 1_000_000)[0].new.rejected == 2

        wait_until(compacted, "of each key, the last record is left", every_s=0.5)
        for offsets_max in (topics.ends(topics.applications)[0] - 1, 1_000_000):
            counts, skipped = compare_contracts(settings, *contracts, offsets_max)
            assert 3 <= counts.values < 1_000
            assert (counts.new.rejected, counts.newly_rejected, skipped.count) == (2, 2, 0)


def test_no_records(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty topic is reported as empty; a missing one is an error with the way to create it."""
    output = operate(topics, *DRY)
    assert f"topic {topics.applications} has no applications to decode" in output
    assert NO_BOATS in output
    environment = topics.environment() | {"SCORER_APPLICATIONS_TOPIC": "no-such-applications"}
    monkeypatch.setattr(topics, "environment", lambda: environment)
    code, output, errors = scorer(topics, *DRY)
    assert (code, output) == (1, "")
    assert "missing topic: no-such-applications; `scorer topics ensure` creates it" in errors


def test_a_champion_that_is_gone(topics: Topics) -> None:
    """Without the champion's contract, only what the new bundle rejects is reported."""
    topics.publish(event_of_a_missing_bundle("champion"), topic=topics.deployments, key=None)
    topics.publish(car_loan(purpose="boat"), car_loan(purpose="car"))
    code, output, errors = scorer(topics, *DRY, "--json")
    assert code == 0
    assert "warning: the contract is not compared with the champion's" in errors
    report = json.loads(output)
    assert counts(report) == (2, 1, None)
    assert (report["newly_rejected"], report["newly_accepted"]) == (None, None)
    assert "1 (50.00%) would become dead letters" in operate(topics, *DRY)
