"""What librdkafka tells of itself: read from its own reports, and reduced to what matters."""

import json
import time
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from scorer.stream.statistics import Statistics, read_statistics

WAIT_S = 60.0


@pytest.fixture(scope="module")
def reports() -> dict[str, str]:
    """A report of each client, by librdkafka itself, on its mock cluster: three records are fetched and not polled."""
    report: dict[str, str] = {}
    common: dict[str, Any] = {"statistics.interval.ms": 100}
    producer = Producer(
        {
            **common,
            "test.mock.num.brokers": 1,
            "bootstrap.servers": "mock",
            "stats_cb": lambda t: report.update(producer=t),
        }
    )
    servers = ",".join(f"{b.host}:{b.port}" for b in producer.list_topics(timeout=WAIT_S).brokers.values())
    for _ in range(4):
        producer.produce("t", b"x", partition=0)
    assert producer.flush(WAIT_S) == 0
    consumer = Consumer(
        {**common, "bootstrap.servers": servers, "group.id": "g", "stats_cb": lambda t: report.update(consumer=t)}
    )
    consumer.assign([TopicPartition("t", 0, 0)])
    assert consumer.poll(WAIT_S) is not None
    consumer.pause([TopicPartition("t", 0)])
    ends_at = time.monotonic() + WAIT_S
    while not ("consumer" in report and "producer" in report and read_statistics(report["producer"]).round_trips_s):
        assert time.monotonic() < ends_at
        producer.produce("t", b"x", partition=0)
        assert producer.flush(WAIT_S) == 0
        consumer.poll(0.05)
    consumer.close()
    return report


def test_reports_of_both_clients(reports: dict[str, str]) -> None:
    """A real report of either client is read whole; what it says is plausible."""
    for client, text in reports.items():
        statistics = read_statistics(text)
        assert statistics.client == client
        assert statistics.connections >= 1
        assert statistics.queued_records >= 0
        assert statistics.throttled_s == 0
        assert {fault for _, fault in statistics.faults} == {"disconnected", "failed", "retried", "timed_out"}
    round_trips_s = read_statistics(reports["producer"]).round_trips_s
    assert list(round_trips_s) == [1]
    assert 0 < round_trips_s[1] < WAIT_S


def changed(report: str, **of_first_broker: object) -> Statistics:
    """A report whose first broker has other figures."""
    values = json.loads(report)
    name = next(iter(values["brokers"]))
    values["brokers"][name] |= of_first_broker
    return read_statistics(json.dumps(values))


def test_figures(reports: dict[str, str]) -> None:
    """Milliseconds and microseconds become seconds; errors of both directions are one fault."""
    report = reports["producer"]
    window = {"cnt": 3, "p99": 250_000}
    assert changed(report, nodeid=7, rtt=window).round_trips_s[7] == 0.25
    assert 8 not in changed(report, nodeid=8, rtt={"cnt": 0, "p99": 0}).round_trips_s
    assert changed(report, throttle={"max": 1_500}).throttled_s == 1.5
    assert changed(report, state="UP").connections == changed(report, state="DOWN").connections + 1
    faults = changed(report, txerrs=2, rxerrs=3, disconnects=5, txretries=7, req_timeouts=11).faults
    name = next(iter(json.loads(report)["brokers"]))
    assert {fault: count for (broker, fault), count in faults.items() if broker == name} == {
        "failed": 5, "disconnected": 5, "retried": 7, "timed_out": 11,
    }  # fmt: skip


def test_two_connections_to_one_broker(reports: dict[str, str]) -> None:
    """A broker that is a coordinator too is told once, with the slower of its two connections."""
    report = json.loads(reports["producer"])
    one = {**next(iter(report["brokers"].values())), "nodeid": 1, "rtt": {"cnt": 1, "p99": 1_000_000}}
    report["brokers"] = {"a": one, "b": {**one, "rtt": {"cnt": 1, "p99": 3_000_000}}}
    assert read_statistics(json.dumps(report)).round_trips_s == {1: 3.0}


def test_queues(reports: dict[str, str]) -> None:
    """What waits in the consumer is what was fetched in all partitions, in the producer what is not confirmed."""
    report = json.loads(reports["consumer"])
    report["topics"] = {"t": {"partitions": {"0": {"fetchq_cnt": 2}, "1": {"fetchq_cnt": 3}}}}
    assert read_statistics(json.dumps(report)).queued_records == 5
    assert read_statistics(json.dumps({**json.loads(reports["producer"]), "msg_cnt": 9})).queued_records == 9
