"""Runs a rival: starts its process, measures it from outside, and checks its decisions."""

import json
import os
import platform
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import xgboost
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from benchmarks.applications import as_records, course_applications
from benchmarks.broker import create_topics, delete_outputs
from benchmarks.engines import BUNDLE
from benchmarks.rivals import CannotTakePartError, Delivery, Rival
from schemas.decision import Decision
from scorer.core.score import score_batch
from scorer.settings import Settings
from scorer.store.store import BundleStore
from scorer.stream.admin import admin_client
from scorer.stream.faults import raise_on_partition_error
from scorer.stream.requests import ask, ask_bounds

PARTITIONS = 6
_CHECKED = 2_000
_STEP_S = 0.2
# A busy broker answers late; a request is retried for so long.
_ANSWER_S = 30.0
_ATTEMPT_S = 5.0
_TICKS = os.sysconf("SC_CLK_TCK")


def machine(broker: str) -> dict[str, Any]:
    """Describes the machine: processor, cores, broker, and Python, whose builds differ in speed."""
    optimised = "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
    # A distribution's configure arguments do not show how it is built: Debian's runs the optimised build itself.
    of_distribution = sys.base_prefix == "/usr"
    build = " of the distribution" if of_distribution else " configured without --enable-optimizations"
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version() + ("" if optimised else build),
        "broker": broker.partition(",")[0],
    }


class Sample(NamedTuple):
    """A rival's progress at a time (monotonic clock), and the resources that its processes had used."""

    time_s: float
    decided: int
    cpu_s: float
    rss_bytes: int


def rate_between(first: Sample, last: Sample) -> tuple[float, float]:
    """Returns records per second and CPU microseconds per record."""
    records = last.decided - first.decided
    return records / (last.time_s - first.time_s), (last.cpu_s - first.cpu_s) / records * 1e6


class Usage(NamedTuple):
    """Resource usage of a process and its children: CPU seconds, and resident memory in bytes."""

    cpu_s: float
    rss_bytes: int


class Entry:
    """A rival that runs on separate topics."""

    def __init__(self, rival: Rival, delivery: Delivery, base: Settings, workers: int = 1) -> None:
        name = f"rival-{uuid.uuid4().hex[:8]}"
        self.rival, self.delivery = rival, delivery
        self.settings = base.model_copy(
            update={"group_id": name, "decisions_topic": f"{name}-d", "dead_letters_topic": f"{name}-d-rejected"}
        )
        self._workers = workers
        self._processes: list[subprocess.Popen[bytes]] = []
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `stop`)

    def start(self, model: Path) -> None:
        """Creates its topics and starts its processes."""
        create_topics(self.settings, PARTITIONS)
        job = {
            "bootstrap_servers": self.settings.bootstrap_servers,
            "group_id": self.settings.group_id,
            "applications_topic": self.settings.applications_topic,
            "decisions_topic": self.settings.decisions_topic,
            "deployments_topic": self.settings.deployments_topic,
            "delivery": self.delivery,
            **json.loads((model / "job.json").read_text()),
        }
        for _ in range(self._workers):
            self._processes.append(subprocess.Popen(self.rival.command(job), stdout=self._log, stderr=self._log))

    def usage(self) -> Usage:
        """Returns what its processes have used so far.

        Raises:
            CannotTakePartError: it has exited; with its last output.
        """
        if any(process.poll() is not None for process in self._processes):
            self._log.seek(0)
            raise CannotTakePartError(f"it exited: {self._log.read()[-400:].decode(errors='replace').strip()}")
        usages = [_usage_of(pid) for process in self._processes for pid in _process_tree(process.pid)]
        return Usage(sum(u.cpu_s for u in usages), sum(u.rss_bytes for u in usages))

    def stop(self) -> None:
        """Stops it and deletes its topics."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._log.close()
        delete_outputs(self.settings)


def watch(entry: Entry, partitions: int = PARTITIONS) -> Iterator[Sample]:
    """Yields its progress, several times per second, without end.

    With at-least-once delivery, `decided` counts the decisions on the topic; with exactly-once delivery, the records
    before the group's committed offsets, because transaction markers occupy offsets of the decisions topic too.
    """
    settings = entry.settings
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": uuid.uuid4().hex})
    admin = admin_client(settings)
    inputs = [TopicPartition(settings.applications_topic, p) for p in range(partitions)]
    try:
        while True:
            time.sleep(_STEP_S)
            usage = entry.usage()
            if entry.delivery == "at-least-once":
                decided = sum(
                    ask_bounds(consumer, settings.decisions_topic, p, _ANSWER_S)[1] for p in range(PARTITIONS)
                )
            else:
                committed = ask(partial(_committed, admin, settings.group_id, inputs), _ANSWER_S)
                decided = sum(max(tp.offset, 0) for tp in committed)
            yield Sample(time.monotonic(), decided, usage.cpu_s, usage.rss_bytes)
    finally:
        consumer.close()


def _committed(admin: AdminClient, group_id: str, partitions: list[TopicPartition]) -> list[TopicPartition]:
    request = [ConsumerGroupTopicPartitions(group_id, partitions)]
    (answer,) = admin.list_consumer_group_offsets(request, request_timeout=_ATTEMPT_S).values()
    return raise_on_partition_error(answer.result().topic_partitions)


@contextmanager
def model_folder() -> Iterator[Path]:
    """Provides the model of the compared bundle in the form that jobs refer to."""
    store = BundleStore(Settings().store)
    bundle = store.open(BUNDLE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        booster = xgboost.Booster(model_file=store.find(BUNDLE) / "model.ubj")
        for suffix in ("json", "ubj"):
            booster.save_model(folder / f"model.{suffix}")
        job = {
            "model_json": str(folder / "model.json"),
            "model_ubj": str(folder / "model.ubj"),
            "columns": bundle.encoding.columns,
            "maybe_above": bundle.policy.policy.maybe_above,
            "declined_above": bundle.policy.policy.declined_above,
        }
        (folder / "job.json").write_text(json.dumps(job))
        yield folder


def require_same_decisions(entry: Entry) -> None:
    """Compares its first decisions with ours on the same applications.

    Raises:
        CannotTakePartError: a decision differs, or none of the compared applications was decided.
    """
    ours = _our_decisions()
    settings = entry.settings
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": uuid.uuid4().hex})
    consumer.assign([TopicPartition(settings.decisions_topic, p, 0) for p in range(PARTITIONS)])
    compared = 0
    ends_at = time.monotonic() + 20
    while compared < _CHECKED // 2 and time.monotonic() < ends_at:
        for message in consumer.consume(1_000, 1.0):
            if message.error() is not None:
                continue
            theirs = json.loads(message.value() or b"{}")
            expected = ours.get(theirs.get("application_id", ""))
            if expected is None:
                continue
            compared += 1
            difference = abs(theirs["probability_of_default"] - expected.probability_of_default)
            if difference > 1e-6 or theirs["decision"] != expected.decision:
                raise CannotTakePartError(f"its decision differs: {theirs} instead of {expected}")
    consumer.close()
    if not compared:
        raise CannotTakePartError("none of the compared applications was decided")


def _our_decisions() -> dict[str, Decision]:
    bundle = BundleStore(Settings().store).open(BUNDLE)
    outcomes = score_batch(as_records(course_applications(), _CHECKED), bundle, Settings().record_bytes_max).results
    decisions = [Decision.model_validate_json(outcome) for outcome in outcomes if isinstance(outcome, bytes)]
    return {decision.application_id: decision for decision in decisions}


def _process_tree(pid: int) -> list[int]:
    """Returns a process and all its descendants."""
    pids = [pid]
    for parent in pids:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            pids += map(int, _read(task).split())
    return pids


def _usage_of(pid: int) -> Usage:
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    if not fields:
        return Usage(0.0, 0)
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * os.sysconf("SC_PAGE_SIZE"))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has exited in the meantime
        return ""
