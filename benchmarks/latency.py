"""Measures latency with an open loop: from when an application is due until a read_committed reader has the result."""

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
# Warm-up: JIT compilation, connections, caches.
_WARM_UP_S = 5.0
_READY_S = 60.0
_DRAIN_S = 10.0


class Latency(NamedTuple):
    """Result of one load: milliseconds by quantile, and how many decisions were missing soon after its end."""

    rate: int
    ms: dict[str, float]
    missing: int


def measure(entry: Entry, rate: int, seconds: float) -> Latency:
    """Measures the latency of a running rival.

    Args:
        entry: the rival, started on a topic without other publishers.
        rate: applications per second.
        seconds: duration, including the warm-up.

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
    latencies[missing] = np.inf  # missing decisions count
    ms = {f"p{100 * q:g}": float(np.quantile(latencies, q, method="higher")) * 1_000 for q in QUANTILES}
    return Latency(rate, ms, int(missing.sum()))


def open_reader(entry: Entry) -> Consumer:
    """Opens a read_committed reader of all decisions of a rival."""
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
    """Publishes applications until one is decided.

    Raises:
        CannotTakePartError: none is decided within a minute.
    """
    producer = Producer({"bootstrap.servers": entry.settings.bootstrap_servers})
    applications = generate_applications(seed=2, prefix=f"w{uuid.uuid4().hex[:6]}")
    ends_at = time.monotonic() + _READY_S
    while not any(message.error() is None for message in reader.consume(1, 0.2)):
        entry.usage()  # raises if it has exited
        if time.monotonic() > ends_at:
            raise CannotTakePartError(f"it decided nothing within {_READY_S:.0f} s")
        for _ in range(PARTITIONS):
            record = next(applications)
            producer.produce(entry.settings.applications_topic, value=record.value, key=record.key)
        producer.flush()


def _read(reader: Consumer, prefix: bytes, arrived_at: "np.ndarray", over: Callable[[], bool]) -> None:
    """Records when each decision arrived, until all have arrived or for some seconds after the load has ended."""
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
    """Yields arrival times, in seconds since 1970, with the decisions, until some seconds after the load has ended.

    Args:
        reader: the reader of decisions.
        prefix: prefix of the load's ids, followed by the application's number. Other decisions are ignored.
        over: returns whether the load has ended.
    """
    give_up_at = float("inf")
    while time.monotonic() < give_up_at:
        messages = reader.consume(10_000, 0.001)
        now = time.time()
        keyed = [(message.key() or b"", message) for message in messages]
        yield now, [(int(key[len(prefix) :]), message) for key, message in keyed if key.startswith(prefix)]
        if give_up_at == float("inf") and over():
            give_up_at = time.monotonic() + _DRAIN_S
