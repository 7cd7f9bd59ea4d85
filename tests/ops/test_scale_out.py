"""Scaling for real: more workers under constant load, down to zero and back, by the lag that an autoscaler reads.

KEDA's Kafka scaler asks the broker for each partition's end and the group's committed offset, and so does Kafka's own
consumer-groups tool; what KEDA makes of the two is imitated here (kedacore/keda, pkg/scalers/kafka_scaler.go).
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka import Producer

from scorer.local.audit import Audit
from scorer.local.broker import Broker
from scorer.settings import load_settings
from tests.contract.fake_link import Delivery
from tests.fakes import application
from tests.integration.worker_process import WAIT_S, Topics, WorkerProcess, start_worker, wait_until, worker
from tests.tools import tool

pytestmark = pytest.mark.broker

PARTITIONS = 8
BACKLOG = 10_000
LOAD_RATE = 500
# What a replica may have before KEDA asks for another one; above what is in flight under this load.
LAG_THRESHOLD = 400
# Small batches, so that one worker has its hands full with what this machine can publish beside it.
OPTIONS = ("--set", "batch_records_max=200")

Tool = Callable[..., str]


@pytest.fixture(scope="session")
def kafka_tool() -> Tool:
    """Runs one of Kafka's own command-line tools; its output."""
    program = tool("kafka-tools")

    def run(name: str, *arguments: str) -> str:
        command: list[str | Path] = [program, f"org.apache.kafka.tools.{name}", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=WAIT_S).stdout

    return run


class PartitionOffsets(NamedTuple):
    """Where a group stands in a partition, as the consumer-groups tool prints it."""

    committed: int | None
    end: int


class Reading(NamedTuple):
    """What KEDA makes of it."""

    lag: int
    """What it divides by the threshold for the number of replicas."""
    active: bool
    """Whether there is to be any replica."""


class Autoscaler:
    """KEDA's Kafka scaler with `offsetResetPolicy: earliest` and `excludePersistentLag: "true"`, without its hands."""

    def __init__(self, kafka_tool: Tool, topics: Topics) -> None:
        self._kafka_tool = kafka_tool
        self._topics = topics
        self._committed_before: dict[int, int] = {}

    def offsets(self) -> dict[int, PartitionOffsets]:
        """By partition, as the tool says; a partition that the group has never committed is there without an offset."""
        servers = ("--bootstrap-server", self._topics.servers)
        offsets = {}
        described = self._kafka_tool(
            "consumer.group.ConsumerGroupCommand", *servers, "--describe", "--group", f"group-{self._topics.mark}"
        )
        titles: list[str] = []
        for words in map(str.split, described.splitlines()):
            if words[:1] == ["GROUP"]:
                titles = words
            elif titles and len(words) == len(titles):
                row = dict(zip(titles, words, strict=True))
                if row["TOPIC"] != self._topics.applications:
                    continue  # the group has a mark on the deployments topic, too
                committed, end = row["CURRENT-OFFSET"], row["LOG-END-OFFSET"]
                offsets[int(row["PARTITION"])] = PartitionOffsets(
                    None if committed == "-" else int(committed), int(end)
                )
        if len(offsets) < PARTITIONS:  # of a group that has never been there the tool says nothing
            ends = self._kafka_tool("GetOffsetShell", *servers, "--topic", self._topics.applications)
            for _, partition, end in (line.split(":") for line in ends.splitlines()):
                offsets.setdefault(int(partition), PartitionOffsets(None, int(end)))
        return offsets

    def look(self) -> Reading:
        """One round of KEDA's polling (getLagForPartition and getTotalLag)."""
        lag = with_persistent = 0
        for partition, (committed, end) in self.offsets().items():
            behind = end if committed is None else end - committed
            with_persistent += behind
            if committed is None or self._committed_before.get(partition) != committed:
                lag += behind
            if committed is not None:
                self._committed_before[partition] = committed
        return Reading(min(lag, PARTITIONS * LAG_THRESHOLD), with_persistent > 0)


class Deployment:
    """As many workers as somebody asks for."""

    def __init__(self, topics: Topics, folder: Path) -> None:
        self._topics = topics
        self._folder = folder
        self._workers: list[WorkerProcess] = []
        self._started = 0

    def scale(self, replicas: int) -> None:
        """Starts what is missing, or stops what is too much, and waits until the partitions are shared evenly."""
        while len(self._workers) < replicas:
            self._started += 1
            self._workers.append(start_worker(self._topics, self._folder / f"{self._started}.log", *OPTIONS))
        gone, self._workers = self._workers[replicas:], self._workers[:replicas]
        for leaving in gone:
            leaving.process.send_signal(signal.SIGTERM)
        assert [leaving.process.wait(WAIT_S) for leaving in gone] == [0] * len(gone)
        wait_until(self._is_shared, f"{replicas} workers with as many partitions each")

    def assigned(self) -> list[list[int]]:
        """The partitions of each worker, as it says."""
        return [one.probe("/readyz")["partitions"] for one in self._workers]

    def close(self) -> None:
        """Leaves no process behind."""
        for one in self._workers:
            one.kill()

    def _is_shared(self) -> bool:
        assigned = self.assigned()
        everything = sorted(partition for own in assigned for partition in own)
        sizes = {len(own) for own in assigned}
        return not assigned or (everything == list(range(PARTITIONS)) and len(sizes) == 1)


class Load:
    """Applications at a constant rate until it is told to stop."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._process = self._start(LOAD_RATE, "600s", seed=2)

    def add_at_once(self, count: int) -> int:
        """About so many besides; how many they are."""
        return _acknowledged(self._start(count, "1s", seed=1))

    def stop(self) -> int:
        """Ends it; how many it has published."""
        self._process.send_signal(signal.SIGINT)
        return _acknowledged(self._process)

    def close(self) -> None:
        """Leaves no process behind."""
        self._process.kill()
        self._process.communicate()

    def _start(self, rate: int, duration: str, seed: int) -> subprocess.Popen[bytes]:
        command = [
            sys.executable, "-m", "producer", "load", "--rate", str(rate), "--for", duration, "--seed", str(seed),
            "--invalid", "0.02", "--json",
        ]  # fmt: skip
        return subprocess.Popen(command, env=self._topics.environment(), stdout=subprocess.PIPE)


def _acknowledged(load: subprocess.Popen[bytes]) -> int:
    report: int = json.loads(load.communicate(timeout=WAIT_S)[0])["acknowledged"]
    return report


@pytest.fixture
def topics(broker: Broker) -> Topics:
    """Topics of eight partitions."""
    return Topics(broker.bootstrap_servers, PARTITIONS)


@pytest.fixture
def audit(topics: Topics) -> Iterator[Audit]:
    """Counts what becomes of every application, as a reader of the topics."""
    with closing(Audit(load_settings(environment=topics.environment()).settings)) as begun:
        yield begun


@pytest.fixture
def deployment(topics: Topics, tmp_path: Path) -> Iterator[Deployment]:
    """Workers, none at first and none left."""
    with closing(Deployment(topics, tmp_path)) as made:
        yield made


@pytest.fixture
def load(topics: Topics) -> Iterator[Load]:
    """Constant load, from here on."""
    with closing(Load(topics)) as begun:
        yield begun


def test_scale_out_to_zero_and_back(
    kafka_tool: Tool,
    topics: Topics,
    audit: Audit,
    deployment: Deployment,
    load: Load,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Under constant load 1, 2 and 4 workers share 8 partitions evenly and work off a backlog; at rest the lag is 0.

    No application is lost or decided twice, whoever came and went meanwhile. Scaled to zero the lag stays 0 until
    somebody publishes, and then one worker decides what has come.
    """
    autoscaler = Autoscaler(kafka_tool, topics)
    report = []

    def note(what: str) -> Reading:
        reading = autoscaler.look()
        report.append(f"{what}: lag {reading.lag}, active {reading.active}, assigned {deployment.assigned()}")
        return reading

    def behind() -> int:
        return sum(topics.ends(topics.applications).values()) - sum(topics.committed().values())

    published = 0
    for replicas in (1, 2, 4):
        published += load.add_at_once(BACKLOG)
        before = behind()
        if replicas == 1:
            assert note("no worker yet").active
        deployment.scale(replicas)
        wait_until(lambda: behind() < before / 2, "the lag to fall")  # noqa: B023
        note(f"{replicas} at work, {before:,} were waiting")
    wait_until(lambda: audit.lost < LAG_THRESHOLD, "the backlog worked off")
    wait_until(lambda: note("the backlog is gone, the load goes on").lag < LAG_THRESHOLD, "a lag of what is in flight")
    published += load.stop()
    wait_until(lambda: audit.published == published and audit.lost == 0, "every outcome")
    wait_until(lambda: not note("at rest").active, "no lag")

    deployment.scale(0)
    assert note("scaled to zero") == Reading(0, active=False)
    publish_in_transactions(topics, range(PARTITIONS), each=5)
    assert note("somebody publishes, in a transaction").active
    deployment.scale(1)
    wait_until(lambda: audit.published == published + 5 * PARTITIONS and audit.lost == 0, "every outcome")
    wait_until(lambda: not note("at rest again").active, "no lag")
    assert (audit.lost, audit.duplicated) == (0, 0)
    assert sum(audit.decisions.values()) + sum(audit.rejections.values()) == audit.published
    deployment.scale(0)
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join([*report, f"{audit.published:,} applications, 0 lost, 0 doubled"]) + "\n")


def publish_in_transactions(topics: Topics, partitions: range, each: int) -> None:
    """One transaction of applications that is committed, then one that is aborted: each ends in a marker."""
    producer = Producer({"bootstrap.servers": topics.servers, "transactional.id": f"publisher-{topics.mark}"})
    producer.init_transactions(WAIT_S)
    for is_kept in (True, False):
        producer.begin_transaction()
        for partition in partitions:
            for i in range(each):
                producer.produce(topics.applications, application(f"{partition}-{i}"), b"key", partition=partition)
        if is_kept:
            producer.commit_transaction(WAIT_S)
        else:
            producer.flush(WAIT_S)
            producer.abort_transaction(WAIT_S)


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_lag_is_zero_behind_transactions(kafka_tool: Tool, topics: Topics, delivery: Delivery, tmp_path: Path) -> None:
    """A partition that ends in a transaction's marker, committed or aborted, or has no record, reads as a lag of 0.

    "Last offset + 1" would leave 1 for ever (keda#5675), and no autoscaler would ever go to zero.
    """
    autoscaler = Autoscaler(kafka_tool, topics)
    used = range(PARTITIONS - 1)
    with worker(topics, tmp_path / "worker.log", "--delivery", delivery) as running:
        for round_ in (1, 2):  # the second one comes while the worker stands at the end
            publish_in_transactions(topics, used, each=2)
            wait_until(lambda: topics.count(topics.decisions) == 2 * round_ * len(used), "all decided")  # noqa: B023
            wait_until(lambda: topics.committed() == topics.ends(topics.applications), "the very end committed")
        assert autoscaler.look() == Reading(0, active=False)
        assert running.terminate() == 0
    offsets = autoscaler.offsets()
    assert [partition.committed for partition in offsets.values()] == [s.end for s in offsets.values()]
    # In each round: two applications, a marker, two that were taken back, a marker.
    assert {p: s.end for p, s in offsets.items()} == {**dict.fromkeys(used, 12), PARTITIONS - 1: 0}
