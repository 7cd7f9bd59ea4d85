"""From an application's moment to its decision in the hands of a read_committed reader, under an open loop."""

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from benchmarks.arena import PARTITIONS, Entry
from benchmarks.rivals import CannotTakePartError
from producer.generator import generate_applications

QUANTILES = (0.5, 0.99, 0.999)
# The first seconds warm everything up: compilers, connections, caches.
_WARM_UP_S = 5.0
_READY_S = 60.0
_DRAIN_S = 10.0


class Latency(NamedTuple):
    """Of one load: milliseconds by quantile, and how many decisions were not there soon after its end."""

    rate: int
    ms: dict[str, float]
    missing: int


def measure(entry: Entry, rate: int, seconds: float) -> Latency:
    """Loads a rival that is at work already.

    Args:
        entry: the rival, started on a topic that nobody else writes to.
        rate: applications a second.
        seconds: how long, warm-up included.

    Raises:
        CannotTakePartError: it decides nothing within a minute.
    """
    reader = open_reader(entry)
    wait_until_ready(entry, reader)
    prefix = f"l{uuid.uuid4().hex[:6]}"
    servers, topic = entry.settings.bootstrap_servers, entry.settings.applications_topic
    command = [sys.executable, "-m", "benchmarks.openloop", servers, topic, prefix, str(rate), str(seconds)]
    arrived_at = np.full(int(rate * seconds), np.nan)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as loop:
        _read(reader, prefix.encode() + b"-", arrived_at, lambda: loop.poll() is not None)
        assert loop.stdout is not None
        began = float(loop.stdout.read())
    reader.close()
    latencies = (arrived_at - began - np.arange(len(arrived_at)) / rate)[int(rate * _WARM_UP_S) :]
    missing = np.isnan(latencies)
    latencies[missing] = np.inf  # what did not come is not left out
    ms = {f"p{100 * q:g}": float(np.quantile(latencies, q, method="higher")) * 1_000 for q in QUANTILES}
    return Latency(rate, ms, int(missing.sum()))


def open_reader(entry: Entry) -> Consumer:
    """A read_committed reader of all that a rival decides."""
    reader = Consumer(
        {
            "bootstrap.servers": entry.settings.bootstrap_servers,
            "group.id": uuid.uuid4().hex,
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": 1,
            "fetch.wait.max.ms": 10,
        }
    )
    reader.assign([TopicPartition(entry.settings.decisions_topic, p, 0) for p in range(PARTITIONS)])
    return reader


def wait_until_ready(entry: Entry, reader: Consumer) -> None:
    """Publishes an application now and then until one is decided.

    Raises:
        CannotTakePartError: none is within a minute.
    """
    producer = Producer({"bootstrap.servers": entry.settings.bootstrap_servers})
    applications = generate_applications(seed=2, prefix=f"w{uuid.uuid4().hex[:6]}")
    ends_at = time.monotonic() + _READY_S
    while not reader.consume(1, 0.2):
        entry.usage()  # says so if it has ended
        if time.monotonic() > ends_at:
            raise CannotTakePartError(f"it decided nothing within {_READY_S:.0f} s")
        for _ in range(PARTITIONS):
            record = next(applications)
            producer.produce(entry.settings.applications_topic, value=record.value, key=record.key)
        producer.flush()


def _read(reader: Consumer, prefix: bytes, arrived_at: "np.ndarray", over: Callable[[], bool]) -> None:
    """Notes when each decision came, until all are there or the load has been over for a while."""
    missing = len(arrived_at)
    for now, numbered in arrivals(reader, prefix, over):
        for number, _ in numbered:
            arrived_at[number] = now
        missing -= len(numbered)
        if not missing:
            break


def arrivals(
    reader: Consumer, prefix: bytes, over: Callable[[], bool]
) -> Iterator[tuple[float, list[tuple[int, Message]]]]:
    """What a reader gets, until the load has been over for a while: when, in seconds since 1970, and which decisions.

    Args:
        reader: of decisions.
        prefix: of the load's ids; what is behind it is an application's number. Other decisions are left out.
        over: whether the load has ended.
    """
    give_up_at = float("inf")
    while time.monotonic() < give_up_at:
        messages = reader.consume(10_000, 0.001)
        now = time.time()
        keyed = [(message.key() or b"", message) for message in messages]
        yield now, [(int(key[len(prefix) :]), message) for key, message in keyed if key.startswith(prefix)]
        if give_up_at == float("inf") and over():
            give_up_at = time.monotonic() + _DRAIN_S
