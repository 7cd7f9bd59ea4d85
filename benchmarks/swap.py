"""Measures a deployment and its rollback under load: lost, duplicated or mixed decisions, and latency.

`make bench-swap` runs it. Two workers decide 20,000 applications per second, exactly once, published by an open loop.
During the run credit-risk:1.0.0 is deployed over 1.1.1 with the operator's command, and then rolled back. A
read_committed reader records when each decision arrived; latency counts from when the application was due.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import msgspec
import numpy as np
from confluent_kafka import Consumer, Message
from numpy.typing import NDArray

from benchmarks.arena import PARTITIONS, Entry, machine, model_folder
from benchmarks.broker import create_topics, open_broker
from benchmarks.latency import arrivals, open_reader, wait_until_ready
from benchmarks.rivals import DEFAULT
from schemas.settings import ENV_PREFIX
from scorer.cli.options import DEFAULT_BUNDLE
from scorer.errors import ScorerError
from scorer.operate.rollout import wait_for_workers
from scorer.settings import Settings
from scorer.store.store import BundleStore

RESULT = Path(__file__).parent / "results" / "swap.json"
VERSIONS = ("1.1.1", "1.0.0")
"""The champion at the start and at the end, and the one deployed in between."""
_DEPLOY = ("deploy", f"credit-risk:{VERSIONS[1]}", "--despite", "it decides drawn applications only")
_WORKERS = 2
_READY_S = 60.0
# A new broker's JIT compilation takes this long, and it is slow until then.
_WARM_UP_S = 20.0
_DEPLOY_AT_S = 30.0
_BETWEEN_S = 5.0
_WINDOW_S = 1.0
"""Applications due this long before and after a swap belong to it."""
_ROW = np.dtype(
    [
        ("number", np.int64),
        ("at", np.float64),
        ("partition", np.int32),
        ("offset", np.int64),
        ("source_partition", np.int32),
        ("source_offset", np.int64),
        ("version", np.int8),
    ]
)
"""A decision as read: application number, arrival time, position, source position, and the bundle's version."""


class _Source(msgspec.Struct, gc=False):
    partition: int
    offset: int


class _Bundle(msgspec.Struct, gc=False):
    version: str


class _Decision(msgspec.Struct, gc=False):
    source: _Source
    bundle: _Bundle


class Findings(NamedTuple):
    """Violations, all of which must be 0, and the number of transactions checked."""

    lost: int
    duplicated: int
    unknown_bundle: int
    """Decisions that name neither bundle."""
    out_of_order: int
    """Input partitions that were not decided by the first, the second, and then the first bundle again."""
    mixed: int
    """Transactions with decisions of two bundles."""
    transactions: int

    @property
    def ok(self) -> bool:
        """True if no violation was found."""
        return not any(self[:-1])


def check(rows: NDArray[np.void], count: int) -> Findings:
    """Checks all decisions that were read.

    A partition's decisions come from one worker, and the marker at the end of a transaction occupies an offset:
    decisions without a gap are one transaction.

    Args:
        rows: the decisions, shape (n,), of type `_ROW`.
        count: the number of applications.
    """
    assert (rows["partition"] == rows["source_partition"]).all(), "a partition's decisions are one worker's"
    times = np.bincount(rows["number"], minlength=count)
    by_source = rows[np.lexsort((rows["source_offset"], rows["source_partition"]))]
    out_of_order = 0
    for partition in np.unique(rows["source_partition"]):
        versions = by_source["version"][by_source["source_partition"] == partition]
        version_sequence = versions[np.flatnonzero(np.diff(versions, prepend=-2))]
        out_of_order += version_sequence.tolist() != [0, 1, 0]
    by_position = rows[np.lexsort((rows["offset"], rows["partition"]))]
    begins = (np.diff(by_position["partition"]) != 0) | (np.diff(by_position["offset"]) != 1)
    mixed = ~begins & (np.diff(by_position["version"]) != 0)
    return Findings(
        lost=int(np.count_nonzero(times == 0)),
        duplicated=int(np.count_nonzero(times > 1)),
        unknown_bundle=int(np.count_nonzero(rows["version"] < 0)),
        out_of_order=out_of_order,
        mixed=int(np.count_nonzero(mixed)),
        transactions=int(np.count_nonzero(begins)) + 1,
    )


def swaps(version: NDArray[np.int8], rate: int) -> list[slice]:
    """Returns the applications of the two swaps: decided while both bundles were in use, or due shortly around that.

    Args:
        version: index in VERSIONS of the bundle that decided each application, in the order in which they were due.
        rate: applications per second.
    """
    first, second = np.flatnonzero(version == 0), np.flatnonzero(version == 1)
    middle = (second[0] + second[-1]) // 2
    margin = int(rate * _WINDOW_S)
    return [
        slice(second[0] - margin, first[first < middle][-1] + margin),
        slice(first[first > middle][0] - margin, second[-1] + margin),
    ]


def load(
    entry: Entry, reader: Consumer, rate: int, seconds: float, on_first_decision: Callable[[], None]
) -> tuple[NDArray[np.void], float]:
    """Publishes applications and reads the decisions; returns them with the time when the first application was due.

    Args:
        entry: the workers.
        reader: the reader of their decisions.
        rate: applications per second.
        seconds: duration.
        on_first_decision: called when the first decision has arrived.
    """
    prefix = f"s{uuid.uuid4().hex[:6]}"
    target = (entry.settings.bootstrap_servers, entry.settings.applications_topic)
    command = [sys.executable, "-m", "benchmarks.openloop", *target, prefix, str(rate), str(seconds)]
    read: list[NDArray[np.void]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as loop:
        for now, numbered in arrivals(reader, prefix.encode() + b"-", lambda: loop.poll() is not None):
            if numbered and not read:
                on_first_decision()
            if numbered:
                read.append(np.array([_row(number, now, message) for number, message in numbered], dtype=_ROW))
        assert loop.stdout is not None
        began = float(loop.stdout.read())
    return np.concatenate(read), began


_decode = msgspec.json.Decoder(_Decision).decode


def _row(number: int, now: float, message: Message) -> tuple[int, float, int | None, int | None, int, int, int]:
    decision = _decode(message.value() or b"")
    version = VERSIONS.index(decision.bundle.version) if decision.bundle.version in VERSIONS else -1
    source = decision.source
    return number, now, message.partition(), message.offset(), source.partition, source.offset, version


class Operator:
    """Deploys and rolls back with the operator's commands, under load.

    In production an operator uses another machine. Here the cores are shared with everything else: therefore the
    commands run in a process that has already loaded its libraries, with idle scheduling priority. Otherwise
    Python's startup would be measured.
    """

    def __init__(self, settings: Settings) -> None:
        """Rehearses on a separate history, so that neither this process nor the broker does it for the first time."""
        names = ("bootstrap_servers", "group_id", "applications_topic", "deployments_topic")
        environment = {f"{ENV_PREFIX}{name.upper()}": getattr(settings, name) for name in names}
        context = multiprocessing.get_context("spawn")
        self._connection, child_connection = context.Pipe()
        context.Process(target=_run_commands, args=(child_connection, environment), daemon=True).start()
        rehearsal = settings.model_copy(update={"deployments_topic": f"{settings.deployments_topic}-rehearsal"})
        create_topics(rehearsal, PARTITIONS)
        options = (
            "--set",
            f"deployments_topic={rehearsal.deployments_topic}",
            "--set",
            "group_id=rehearsal",
        )
        self._scorer(*_DEPLOY, "--wait", "1", *options)
        self.began_at = 0.0
        self._thread = Thread(target=self._operate, daemon=True)
        self._failure = ""

    def start(self) -> None:
        """Starts waiting for the first command."""
        self._thread.start()

    def join(self) -> None:
        """Waits until the second command has finished."""
        self._thread.join()
        self._connection.send(())
        assert not self._failure, self._failure

    def _operate(self) -> None:
        time.sleep(_DEPLOY_AT_S)
        self.began_at = time.time()
        try:
            self._scorer(*_DEPLOY)
            time.sleep(_BETWEEN_S)
            self._scorer("rollback")
        except RuntimeError as failure:
            self._failure = str(failure)

    def _scorer(self, *arguments: str) -> None:
        self._connection.send([*arguments, "--reason", "a benchmark"])
        if code := self._connection.recv():
            raise RuntimeError(f"scorer {' '.join(arguments)} ended with exit code {code}")


def _run_commands(connection: Connection, environment: dict[str, str]) -> None:
    """Runs in the operator's process: executes the commands it receives, and answers with their exit codes."""
    from scorer.cli.root import app

    os.environ |= environment
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while arguments := connection.recv():
        try:
            app(arguments)
        except SystemExit as end:
            connection.send(end.code)
        except ScorerError as error:
            print(error, file=sys.stderr)
            connection.send(error.exit_code)


def measure(base: Settings, rate: int, seconds: float) -> dict[str, Any]:
    """Performs the whole run; returns the findings, and the milliseconds before and around the swaps."""
    entry = Entry(DEFAULT, "exactly-once", base, _WORKERS)
    try:
        with model_folder() as model:
            entry.start(model)
        reader = open_reader(entry)
        wait_until_ready(entry, reader)
        _wait_for_both(entry.settings)
        operator = Operator(entry.settings)
        rows, began = load(entry, reader, rate, seconds, operator.start)
        operator.join()
        reader.close()
    finally:
        entry.stop()
    count = int(rate * seconds)
    findings = check(rows, count)
    return {
        "applications": count,
        "findings": findings._asdict(),
        "sound": findings.ok,
        "ms": _latencies(rows, rate, began, operator.began_at) if findings.ok else {},
    }


def _latencies(rows: NDArray[np.void], rate: int, began: float, deployed_at: float) -> dict[str, dict[str, float]]:
    """Returns milliseconds from when an application was due until its decision arrived: before and around the swaps."""
    count = len(rows)
    arrived_at, version = np.empty(count), np.empty(count, dtype=np.int8)
    arrived_at[rows["number"]], version[rows["number"]] = rows["at"], rows["version"]
    latencies = (arrived_at - began - np.arange(count) / rate) * 1_000
    before = slice(int(rate * _WARM_UP_S), int(rate * (deployed_at - began)))
    names = ("before", f"deploy {VERSIONS[1]}", f"rollback to {VERSIONS[0]}")
    spans = zip(names, [before, *swaps(version, rate)], strict=True)
    return {name: _figures(latencies[span]) for name, span in spans}


def _wait_for_both(settings: Settings) -> None:
    """Waits until each worker has its share of the partitions; otherwise the load would start with a rebalance."""
    champion = BundleStore(settings.store).open(DEFAULT_BUNDLE).reference
    ends_at = time.monotonic() + _READY_S
    while time.monotonic() < ends_at:
        rollout = wait_for_workers(settings, champion, _READY_S)
        if rollout.done and rollout.workers == _WORKERS:
            return
        time.sleep(0.5)
    raise TimeoutError(f"{_WORKERS} workers were not ready within {_READY_S:.0f} s")


def _figures(ms: NDArray[np.float64]) -> dict[str, float]:
    p50, p99, highest = np.quantile(ms, (0.5, 0.99, 1), method="higher").tolist()
    return {"applications": len(ms), "p50": p50, "p99": p99, "max": highest}


def main() -> None:
    """Measures, prints and saves the figures as JSON; exits with 1 if anything was lost, duplicated or mixed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=54.0)
    options = parser.parse_args()
    with open_broker() as broker:
        mark = uuid.uuid4().hex[:6]
        names = {"applications_topic": f"a-{mark}", "deployments_topic": f"deployments-{mark}"}
        base = Settings(bootstrap_servers=broker.bootstrap_servers, **names)
        create_topics(base, PARTITIONS)
        print(f"{options.rate:,} applications per second for {options.seconds:g} s, {_WORKERS} workers")
        result = measure(base, options.rate, options.seconds) | {"machine": machine(broker.description)}
    findings = ", ".join(f"{name} {count:,}" for name, count in result["findings"].items())
    print(f"  of {result['applications']:,} applications: {findings}")
    print(f"  {'':<20} {'applications':>12} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'p99 ×':>7}")
    for name, ms in result["ms"].items():
        ratio = ms["p99"] / result["ms"]["before"]["p99"]
        figures = f"{ms['p50']:8.1f} {ms['p99']:8.1f} {ms['max']:8.1f} {ratio:7.2f}"
        print(f"  {name:<20} {ms['applications']:>12,} {figures}")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2))
    sys.exit(0 if result["sound"] else 1)


if __name__ == "__main__":
    main()
