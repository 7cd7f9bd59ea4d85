"""A worker as a process of its own, as `scorer worker` starts it, the topics around it, and commands on them."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.integration.forked import ForkedProcess, run_forked
from tests.reading import read_to_the_end

WITHOUT_TRAINING = Path(__file__).parents[1] / "without_training"
WAIT_S = 60.0
"""For what takes a moment on an idle machine."""


def wait_until(holds: Callable[[], bool], what: str, wait_s: float = WAIT_S, every_s: float = 0.05) -> None:
    """Waits until a condition holds, which is looked at every so many seconds, and less often the longer it takes."""
    began = time.monotonic()
    while not holds():
        waited = time.monotonic() - began
        assert waited < wait_s, f"waited in vain for: {what}"
        time.sleep(max(every_s, min(0.5, waited / 8)))


class Topics:
    """A set of topics with names of their own."""

    def __init__(
        self, servers: str, partitions: int, config: Mapping[str, str] | None = None, replicas: int = 1
    ) -> None:
        self.servers = servers
        self.partitions = partitions
        self.mark = uuid.uuid4().hex[:12]
        self.applications, self.decisions, self.dead_letters, self.deployments, self.reviews = (
            f"{kind}-{self.mark}" for kind in ("applications", "decisions", "dead-letters", "deployments", "reviews")
        )
        names = (self.applications, self.decisions, self.dead_letters, self.deployments)
        new = [NewTopic(name, partitions, replicas, config=dict(config or {})) for name in names]
        new.append(NewTopic(self.reviews, 1, replicas, config=dict(config or {})))
        admin = AdminClient({"bootstrap.servers": servers})
        for future in admin.create_topics(new).values():
            future.result(WAIT_S)

    def environment(self) -> dict[str, str]:
        """The settings that send a worker here, and of this machine's none but the engine."""
        kept = {"SCORER_ENGINE"}
        own = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_") or name in kept}
        return own | {
            "PYTHONPATH": str(WITHOUT_TRAINING),
            "SCORER_BOOTSTRAP_SERVERS": self.servers,
            "SCORER_GROUP_ID": f"group-{self.mark}",
            "SCORER_APPLICATIONS_TOPIC": self.applications,
            "SCORER_DECISIONS_TOPIC": self.decisions,
            "SCORER_DEAD_LETTERS_TOPIC": self.dead_letters,
            "SCORER_DEPLOYMENTS_TOPIC": self.deployments,
            "SCORER_REVIEWS_TOPIC": self.reviews,
            "SCORER_HTTP_PORT": "0",
            "SCORER_KAFKA__SESSION_TIMEOUT_MS": "6000",
            "SCORER_KAFKA__HEARTBEAT_INTERVAL_MS": "500",
        }

    def publish(
        self, *values: bytes | None, partition: int = 0, topic: str | None = None, key: bytes | None = b"key"
    ) -> None:
        """Publishes to one partition, in order: applications, if no topic is named."""
        for value in values:
            self._producer.produce(topic or self.applications, value, key=key, partition=partition)
        assert self._producer.flush(WAIT_S) == 0

    def read(self, topic: str) -> Iterator[Message]:
        """Everything that is committed in a topic, up to where it ends now."""
        return read_to_the_end(self.servers, topic, self.partitions)

    def count(self, topic: str) -> int:
        """How many records are committed in a topic."""
        return sum(1 for _ in self.read(topic))

    def recreate(self, topic: str) -> None:
        """Deletes a topic and creates it again at once, with the same name."""
        for client in ("_producer", "_reader", "_group"):  # they would know the old one
            vars(self).pop(client, None)
        admin = AdminClient({"bootstrap.servers": self.servers})
        admin.delete_topics([topic])[topic].result(WAIT_S)
        while True:
            try:
                admin.create_topics([NewTopic(topic, self.partitions, 1)])[topic].result(WAIT_S)
            except KafkaException as refused:  # the broker deletes it in a moment
                if refused.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
            else:
                return

    def ends(self, topic: str) -> dict[int, int]:
        """Where each partition of a topic ends now."""
        return {
            partition: self._reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=WAIT_S)[1]
            for partition in range(self.partitions)
        }

    def committed(self) -> dict[int, int]:
        """The group's offsets."""
        return {tp.partition: tp.offset for tp in self.commits()}

    def commits(self) -> list[TopicPartition]:
        """The group's offsets, with their metadata."""
        wanted = [TopicPartition(self.applications, partition) for partition in range(self.partitions)]
        ends_at = time.monotonic() + WAIT_S
        while True:
            try:
                return [tp for tp in self._group.committed(wanted, timeout=WAIT_S) if tp.offset >= 0]
            except KafkaException:  # a group that is new to a new broker has no coordinator yet
                assert time.monotonic() < ends_at

    # These are kept: a new client costs the broker more than ten requests, and tests publish and ask again and again.

    @cached_property
    def _producer(self) -> Producer:
        return Producer({"bootstrap.servers": self.servers, "linger.ms": 0, "message.max.bytes": 8_000_000})

    @cached_property
    def _reader(self) -> Consumer:
        return Consumer({"bootstrap.servers": self.servers, "group.id": "reader"})

    @cached_property
    def _group(self) -> Consumer:
        """Reads the group's offsets without joining the group."""
        return Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": f"group-{self.mark}",
                # Read committed would wait for a moment without an open transaction, and under load there is none.
                "isolation.level": "read_uncommitted",
            }
        )


def scorer(topics: Topics, *arguments: str | Path) -> tuple[int, str, str]:
    """Runs a command on the topics; returns exit code, output and errors."""
    ended = run_forked(["scorer", *map(str, arguments)], topics.environment() | {"COLUMNS": "200"})
    assert "Traceback" not in ended.errors, ended.errors
    return ended


def operate(topics: Topics, *arguments: str | Path) -> str:
    """Runs a command, which must succeed; returns its output."""
    code, output, errors = scorer(topics, *arguments)
    assert code == 0, errors
    return output


def event_of_a_missing_bundle(slot: str) -> bytes:
    """A line of the deployments' history, written by hand, with a bundle that nobody has."""
    event = {
        "event_id": "by-hand", "slot": slot, "action": "deploy",
        "bundle": {"name": "credit-risk", "version": "9.9.9", "digest": "0" * 64}, "previous": None,
        "actor": "eve", "reason": "by hand", "at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return json.dumps(event).encode()


def headers_of(message: Message) -> dict[str, bytes]:
    """A record's headers by name."""
    return cast("dict[str, bytes]", dict(message.headers() or []))


class WorkerProcess:
    """One worker; what it writes goes to a file."""

    def __init__(self, process: ForkedProcess | subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(encoding="utf-8")

    def events(self, event: str) -> list[dict[str, Any]]:
        """What it has said so far of an event; all that it says must be JSON lines."""
        whole, _, _ = self.log().rpartition("\n")
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if line["event"] == event]

    def get(self, path: str) -> tuple[int, str]:
        """Asks its HTTP server; returns status and body."""
        wait_until(self._has_started, "the worker's address")
        address = self.events("worker_started")[0]["http"]
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=WAIT_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()

    def probe(self, path: str) -> dict[str, Any]:
        """A probe's answer."""
        report: dict[str, Any] = json.loads(self.get(path)[1])
        return report

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_S)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(WAIT_S)

    def _has_started(self) -> bool:
        assert self.process.poll() is None, self.log()
        return bool(self.events("worker_started"))


def start_worker(topics: Topics, log: Path, *options: str) -> WorkerProcess:
    """Starts a worker, forked from a process that has imported everything; see `tests.integration.forked`."""
    command = ("scorer", "worker", *options)
    return WorkerProcess(ForkedProcess(command, topics.environment(), log.parent, log, log), log)


@contextmanager
def worker(topics: Topics, log: Path, *options: str) -> Iterator[WorkerProcess]:
    """A worker, started as above, that is gone at the end, whatever happens."""
    started = start_worker(topics, log, *options)
    try:
        yield started
    finally:
        started.kill()


@contextmanager
def worker_by_command(topics: Topics, log: Path, *options: str) -> Iterator[WorkerProcess]:
    """A worker that its command started, with a Python of its own; gone at the end, whatever happens."""
    command = [sys.executable, "-m", "scorer", "worker", *options]
    with log.open("ab") as sink:
        process = subprocess.Popen(command, env=topics.environment(), cwd=log.parent, stdout=sink, stderr=sink)
    started = WorkerProcess(process, log)
    try:
        yield started
    finally:
        started.kill()
