"""What librdkafka tells of itself, reduced to the few figures that say where a delay comes from."""

import json
from typing import Any, Final, Literal, NamedTuple

Fault = Literal["disconnected", "failed", "retried", "timed_out"]

# By fault, the counters of a broker's statistics that count it.
FAULT_COUNTERS: Final[dict[Fault, tuple[str, ...]]] = {
    "disconnected": ("disconnects",),
    "failed": ("txerrs", "rxerrs"),
    "retried": ("txretries",),
    "timed_out": ("req_timeouts",),
}


class Statistics(NamedTuple):
    """One report of one client; what is measured was measured since the report before."""

    client: Literal["consumer", "producer"]
    connections: int
    """Connections to brokers that are up."""
    queued_records: int
    """Consumer: fetched and not polled yet. Producer: handed over and not confirmed yet."""
    round_trips_s: dict[int, float]
    """By broker that was asked something, the 99th percentile of how long it took to answer, in seconds."""
    throttled_s: float
    """The longest wait that a broker's quota put on a request, in seconds."""
    faults: dict[tuple[str, Fault], int]
    """By broker's name and fault, how many there were since the client began."""


def read_statistics(text: str) -> Statistics:
    """Reads a report as librdkafka writes it: its STATISTICS.md says what the fields are."""
    told = json.loads(text)
    brokers: dict[str, dict[str, Any]] = told["brokers"]
    round_trips_s: dict[int, float] = {}
    for broker in brokers.values():
        if broker["rtt"]["cnt"]:  # a broker and the coordinator on it have a connection each
            asked, took_s = broker["nodeid"], broker["rtt"]["p99"] / 1e6
            round_trips_s[asked] = max(took_s, round_trips_s.get(asked, 0.0))
    return Statistics(
        client=told["type"],
        connections=sum(broker["state"] == "UP" for broker in brokers.values()),
        queued_records=_fetched(told) if told["type"] == "consumer" else told["msg_cnt"],
        round_trips_s=round_trips_s,
        throttled_s=max((broker["throttle"]["max"] / 1e3 for broker in brokers.values()), default=0.0),
        faults={
            (name, fault): sum(broker[counter] for counter in counters)
            for name, broker in brokers.items()
            for fault, counters in FAULT_COUNTERS.items()
        },
    )


def _fetched(told: dict[str, Any]) -> int:
    return sum(
        partition["fetchq_cnt"] for topic in told["topics"].values() for partition in topic["partitions"].values()
    )
