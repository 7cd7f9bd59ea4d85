"""The audit: three workers, killed again and again in the middle of their work, and no application unaccounted for.

Killed with SIGKILL, so that nothing of a worker's own can help: what holds is what Kafka's protocol makes hold.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from threading import Thread

import msgspec
import pytest
from confluent_kafka import Producer

from producer.generator import generate_applications
from scorer.local.broker import Broker
from tests.contract.fake_link import Delivery
from tests.integration.worker_process import WAIT_S, Topics, WorkerProcess, headers_of, start_worker, wait_until

pytestmark = pytest.mark.broker

RECORDS = 30_000
BAD_SHARE = 0.05
PARTITIONS = 6
WORKERS = 3
# In each round every worker is killed once.
ROUNDS = 2
# Seconds after the first commit of a round within which the workers die, at moments of chance.
KILLED_WITHIN_S = 0.4
# Small enough that there are many commits to hit.
OPTIONS = ("--set", "batch_records_max=500")

Place = tuple[int, int]


class _Source(msgspec.Struct, gc=False):
    partition: int
    offset: int


class _Decision(msgspec.Struct, gc=False):
    source: _Source


class Publishing:
    """Publishes the applications over the rounds: each adds its share, in a thread, so that there is always work."""

    def __init__(self, topics: Topics, seed: int) -> None:
        self.sent = 0
        self._topic = topics.applications
        self._records = generate_applications(seed, invalid_share=BAD_SHARE)
        self._producer = Producer({"bootstrap.servers": topics.servers, "enable.idempotence": True, "linger.ms": 5})
        self._thread = Thread()

    def publish(self, count: int) -> None:
        """Begins to publish so many more, once the ones before are out."""
        self.finish()
        self._thread = Thread(target=self._publish, args=(count,), daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Waits until all that was begun is out."""
        if self._thread.ident is not None:
            self._thread.join()

    def _publish(self, count: int) -> None:
        for number, record in enumerate(islice(self._records, count), self.sent):
            self._producer.produce(self._topic, record.value, key=record.key, partition=number % PARTITIONS)
            if number % 1_000 == 0:
                self._producer.poll(0)
        assert self._producer.flush(WAIT_S) == 0
        self.sent += count


class Crew:
    """The workers and their supervisor: whoever is gone is started again."""

    def __init__(self, topics: Topics, folder: Path, delivery: Delivery) -> None:
        self.kills = 0
        self.exits = 0
        self._topics = topics
        self._folder = folder
        self._options = ("--delivery", delivery, *OPTIONS)
        # Static members keep their partitions over a restart; of dynamic ones the group waits for the session's end.
        self._static = delivery == "exactly-once"
        self._workers = [self._start(number) for number in range(WORKERS)]

    def kill(self, number: int) -> None:
        """SIGKILL for one of them, whose next life begins at once."""
        self._workers[number].kill()
        self._workers[number] = self._start(number)
        self.kills += 1

    def supervise(self) -> None:
        """Starts those again that ended by themselves, as fenced ones do."""
        for number, worker in enumerate(self._workers):
            if worker.process.poll() is not None:
                self.exits += 1
                self._workers[number] = self._start(number)

    def stop(self) -> list[int]:
        """SIGTERM for all; returns their exit codes."""
        return [worker.terminate() for worker in self._workers]

    def last_words(self) -> str:
        """The end of each worker's log."""
        return "\n".join(f"{n}: ...{worker.log()[-2_000:]}" for n, worker in enumerate(self._workers))

    def close(self) -> None:
        """Leaves no process behind."""
        for worker in self._workers:
            worker.kill()

    def _start(self, number: int) -> WorkerProcess:
        identity = ("--instance-id", f"worker-{number}") if self._static else ()
        return start_worker(self._topics, self._folder / f"{number}.log", *self._options, *identity)


@pytest.fixture(params=["exactly-once", "at-least-once"])
def delivery(request: pytest.FixtureRequest) -> Delivery:
    """Both modes."""
    mode: Delivery = request.param
    return mode


def test_audit(broker: Broker, delivery: Delivery, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of 30,000 applications has a result, whichever worker was killed; with exactly-once it has exactly one."""
    begun_at = time.monotonic()
    topics = Topics(broker.bootstrap_servers, PARTITIONS)
    publishing = Publishing(topics, seed=11)
    crew = Crew(topics, tmp_path, delivery)
    try:
        hits = kill_and_publish(topics, publishing, crew, Random(11))
        expected = {p: len(range(p, RECORDS, PARTITIONS)) for p in range(PARTITIONS)}
        wait_until(lambda: all_committed(topics, crew, expected), "every application committed")
        assert crew.stop() == [0] * WORKERS, crew.last_words()
    finally:
        crew.close()
    decided, rejected = Counter(decided_in(topics)), Counter(rejected_in(topics))
    counts = decided + rejected
    published = {(partition, offset) for partition, count in expected.items() for offset in range(count)}
    lost, doubled = len(published - counts.keys()), counts.total() - len(counts)
    with capsys.disabled():
        sys.stdout.write(
            f"\naudit {delivery}: {crew.kills} kills ({hits} with work in hand), {crew.exits} other exits, "
            f"{RECORDS:,} records, {decided.total():,} decided, {rejected.total():,} rejected, "
            f"{lost} lost, {doubled} duplicated, {time.monotonic() - begun_at:.0f} s\n"
        )
    assert lost == 0
    assert counts.keys() == published
    assert not decided.keys() & rejected.keys()
    assert crew.kills >= WORKERS * ROUNDS
    assert hits > crew.kills / 2
    if delivery == "exactly-once":
        assert doubled == 0


def kill_and_publish(topics: Topics, publishing: Publishing, crew: Crew, random: Random) -> int:
    """In each round applications come, and once they are being decided every worker dies; returns the kills at work."""
    hits = 0
    share = RECORDS // (ROUNDS + 1)
    for _ in range(ROUNDS):
        before = sum(topics.committed().values())
        publishing.publish(share)
        wait_until(lambda: makes_progress(topics, crew, before), "a commit")  # noqa: B023  (done with before it changes)
        moments = sorted((random.uniform(0, KILLED_WITHIN_S), number) for number in range(WORKERS))
        round_began_at = time.monotonic()
        for moment, number in moments:
            time.sleep(max(0.0, round_began_at + moment - time.monotonic()))
            hits += sum(topics.committed().values()) < publishing.sent + share
            crew.kill(number)
    publishing.publish(RECORDS - ROUNDS * share)
    publishing.finish()
    return hits


def makes_progress(topics: Topics, crew: Crew, before: int) -> bool:
    """Whether anything was committed since."""
    crew.supervise()
    return sum(topics.committed().values()) > before


def all_committed(topics: Topics, crew: Crew, expected: dict[int, int]) -> bool:
    """Whether the group has come to the end."""
    crew.supervise()
    return topics.committed() == expected


def decided_in(topics: Topics) -> Iterator[Place]:
    """The records that decisions are about."""
    decode = msgspec.json.Decoder(_Decision).decode
    for message in topics.read(topics.decisions):
        source = decode(message.value() or b"").source
        yield source.partition, source.offset


def rejected_in(topics: Topics) -> Iterator[Place]:
    """The records that dead letters are about."""
    for message in topics.read(topics.dead_letters):
        headers = headers_of(message)
        yield int(headers["dlq.partition"]), int(headers["dlq.offset"])
