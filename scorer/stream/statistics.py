"""librdkafka's statistics, reduced to the few metrics that explain where a delay comes from."""

import json
from typing import Any, Final, Literal, NamedTuple

Fault = Literal["disconnected", "failed", "retried", "timed_out"]

# By fault, its counters in a broker's statistics.
FAULT_COUNTERS: Final[dict[Fault, tuple[str, ...]]] = {
    "disconnected": ("disconnects",),
    "failed": ("txerrs", "rxerrs"),
    "retried": ("txretries",),
    "timed_out": ("req_timeouts",),
}


class Statistics(NamedTuple):
    """One report of one client; measurements cover the time since the previous report."""

    client: Literal["consumer", "producer"]
    connections: int
    """Open connections to brokers."""
    queued_records: int
    """Consumer: fetched and not polled yet. Producer: produced and not acknowledged yet."""
    round_trips_s: dict[int, float]
    """By broker that received requests, the 99th percentile of its response time, in seconds."""
    throttled_s: float
    """The longest delay of a request by a broker's quota, in seconds."""
    faults: dict[tuple[str, Fault], int]
    """By broker's name and fault, their number since the client started."""


def read_statistics(text: str) -> Statistics:
    """Parses a report of librdkafka, whose STATISTICS.md documents the fields."""
    report = json.loads(text)
    brokers: dict[str, dict[str, Any]] = report["brokers"]
    round_trips_s: dict[int, float] = {}
    for broker in brokers.values():
        if broker["rtt"]["cnt"]:  # a broker and the coordinator on it have a connection each
            broker_id, took_s = broker["nodeid"], broker["rtt"]["p99"] / 1e6
            round_trips_s[broker_id] = max(took_s, round_trips_s.get(broker_id, 0.0))
    return Statistics(
        client=report["type"],
        connections=sum(broker["state"] == "UP" for broker in brokers.values()),
        queued_records=_fetched_records(report) if report["type"] == "consumer" else report["msg_cnt"],
        round_trips_s=round_trips_s,
        throttled_s=max((broker["throttle"]["max"] / 1e3 for broker in brokers.values()), default=0.0),
        faults={
            (name, fault): sum(broker[counter] for counter in counters)
            for name, broker in brokers.items()
            for fault, counters in FAULT_COUNTERS.items()
        },
    )


def _fetched_records(report: dict[str, Any]) -> int:
    return sum(
        partition["fetchq_cnt"] for topic in report["topics"].values() for partition in topic["partitions"].values()
    )
