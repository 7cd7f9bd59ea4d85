"""One scenario's stage: topics, a group, supervised workers, a publisher and readers on a cluster that runs."""

import time
from collections.abc import Callable, Mapping
from subprocess import CompletedProcess
from types import TracebackType
from typing import Final, Self

from tests.chaos import product, topics
from tests.chaos.cluster import Cluster
from tests.chaos.history import ACT, NOTE, Event, Recorder, Waiver
from tests.chaos.ledger import Ledger
from tests.chaos.offsets import OffsetsWatch
from tests.chaos.publisher import Load, Publisher
from tests.chaos.reader import LiveReader, read_results
from tests.chaos.scenario import Scenario
from tests.chaos.workers import SupervisedWorker

_READY_S: Final = 90.0
_LOOK_S: Final = 0.2
FRAGILE_REPLICAS: Final = (1, 2)
"""The leader and the follower of a fragile topic."""
_FRAGILE: Final = {"min.insync.replicas": "1", "unclean.leader.election.enable": "true"}
_ASK_S: Final = 8.0
"""Between the first error that asks for an operator and what the operator does."""
_BEHIND_S: Final = 2.0
"""A group that has no more than so many seconds' records to decide keeps up."""


class Stage:
    """What a fault may touch, and what records its effects.

    Attributes:
        scenario: what is played here.
        cluster: the nodes and proxies.
        names: the topics and the group.
        recorder: the history.
        ledger: what is acknowledged and not decided.
        workers: all that were ever started here, by number.
        store: the folder of this stage's bundles.
        offsets: where the group stands.
        round: which repetition of the fault this is, from 0.
        acts: the commands that an operator has run, as the workers' errors ask.
    """

    def __init__(self, scenario: Scenario, cluster: Cluster, recorder: Recorder, say: Callable[[str], None]) -> None:
        self.scenario = scenario
        self.cluster = cluster
        self.recorder = recorder
        self.names = product.names(scenario.name)
        self.store = recorder.folder / "store"
        self.ledger = Ledger()
        self.workers: list[SupervisedWorker] = []
        self.round = 0
        self._publisher: Publisher | None = None
        self._say = say
        self.acts: list[str] = []
        self._environment = product.environment(cluster.direct, self.names, str(self.store))
        if scenario.fragile_topic:
            topics.create(cluster.admin, self.names.applications, scenario.partitions, _FRAGILE, FRAGILE_REPLICAS)
        made = self.scorer("topics", "ensure", "--partitions", str(scenario.partitions), "--replication", "3")
        assert made.returncode == 0, made.stdout + made.stderr
        if scenario.decisions_config:
            topics.configure(cluster.admin, self.names.decisions, scenario.decisions_config)
        self._reader = LiveReader(cluster.direct, self.names.decisions, self.names.dead_letters, recorder, self.ledger)
        self.offsets = OffsetsWatch(cluster.direct, self.names.group, self.names.applications, recorder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.remove()
        if self._publisher is not None:
            self._publisher.abandon()
        self.offsets.stop()
        self._reader.stop()
        self.cluster.admin.delete_topics(list(self.names[:4]))

    # What is recorded

    def note(self, text: str) -> None:
        """Records, and says, something about the run."""
        self.event(NOTE, text)

    def event(self, kind: str, text: str) -> None:
        """Records, and says, that something was done."""
        now = self.recorder.now()
        self.recorder.write(Event(now, kind, text))
        self._say(f"  {now:7.1f} s  {kind}: {text}")

    def waive(self, partition: int, first: int, beyond: int) -> None:
        """Expects no results of records that the topic has lost by the scenario's doing."""
        waiver = Waiver(self.recorder.now(), partition, first, beyond)
        self.recorder.write(waiver)
        self.ledger.waive(waiver)

    # Workers

    @property
    def running(self) -> list[SupervisedWorker]:
        """The workers that were not asked to stop."""
        return [worker for worker in self.workers if not worker.stopping]

    def add_worker(self, *options: str, settings: Mapping[str, str] | None = None) -> SupervisedWorker:
        """Starts one more worker; it takes the lowest number that no running worker has."""
        used = {worker.number for worker in self.running}
        number = next(number for number in range(len(self.workers) + 1) if number not in used)
        if not self.scenario.workers.static:
            number = len(self.workers)
        plan = self.scenario.workers
        instance = ("--instance-id", instance_id(number)) if plan.static else ()
        environment = {
            **self._environment,
            "SCORER_BOOTSTRAP_SERVERS": self.cluster.proxied if plan.proxied else self.cluster.direct,
            **plan.settings,
            **(settings or {}),
        }
        worker = SupervisedWorker(number, environment, [*instance, *options], self.recorder)
        self.workers.append(worker)
        return worker

    def start_workers(self) -> None:
        """Starts the scenario's workers and waits until they have all partitions between them."""
        for _ in range(self.scenario.workers.count):
            self.add_worker()
        if not self.wait_for(self.all_ready, _READY_S):
            self.note("the workers are not ready; the scenario goes on without that")

    def all_ready(self) -> bool:
        """Whether every running worker is ready and every partition is assigned."""
        probes = [worker.probes for worker in self.running]
        assigned = {partition for probe in probes for partition in probe.partitions}
        return all(probe.ready for probe in probes) and len(assigned) >= self.scenario.partitions

    @property
    def publishing(self) -> bool:
        """Whether applications are being published."""
        return self._publisher is not None

    def stop_workers(self) -> None:
        """SIGTERM to all that run, and waits for their ends."""
        for worker in self.running:
            worker.stop()
        for worker in self.workers:
            worker.wait()

    # Applications

    def publish(self, load: Load) -> None:
        """Publishes from now on, until `stop_publishing`."""
        self._publisher = self._new_publisher(load)
        self._publisher.start()

    def publish_now(self, count: int, load: Load) -> None:
        """Publishes so many records as fast as it goes, and waits until the brokers have them."""
        left = self._new_publisher(load).publish_now(count)
        if left:
            self.note(f"{left} records of a backlog were not acknowledged")

    def stop_publishing(self, *, topic_is_gone: bool = False) -> Load | None:
        """Publishes no more; returns what was being published.

        Args:
            topic_is_gone: do not wait for acknowledgements.
        """
        if self._publisher is None:
            return None
        publisher, self._publisher = self._publisher, None
        if topic_is_gone:
            publisher.abandon()
            return publisher.load
        left = publisher.stop()
        if left or publisher.refused:
            self.note(f"publisher: refused: {dict(publisher.refused)}, not acknowledged: {left}")
        return publisher.load

    def read_results(self) -> None:
        """Records all results as somebody finds them who reads them now."""
        cluster, names = self.cluster, self.names
        read_results(cluster.admin, cluster.direct, names.decisions, names.dead_letters, self.recorder)

    # Commands

    def scorer(self, *arguments: str) -> CompletedProcess[str]:
        """Runs a command of the product as an operator does, past all proxies."""
        return product.scorer(self._environment, *arguments)

    def operate(self) -> None:
        """Does, once, what the workers' errors ask an operator to do: stops them all, and runs the commands named."""
        if self.acts or not self._asked_for():
            return
        self.sleep(_ASK_S)  # others may ask for something too
        self.acts = self._asked_for()
        self.note(f"the workers ask for: {', '.join(self.acts)}")
        self.stop_workers()
        answers = []
        for command in self.acts:
            ran = self.scorer(*product.arguments_of(command))
            answers.append(f"{command} (exit {ran.returncode}): {(ran.stdout + ran.stderr).strip()}")
        self.start_workers()
        for answer in answers:
            self.event(ACT, answer)

    def _asked_for(self) -> list[str]:
        """The commands that the workers' logs name, each once."""
        logs = sorted((self.recorder.folder / "workers").glob("*.log"))
        texts = (log.read_text(encoding="utf-8", errors="replace") for log in logs)
        return list(dict.fromkeys(command for text in texts for command in product.commands_in(text)))

    # Waiting

    def sleep(self, seconds: float) -> None:
        """Lets time pass."""
        time.sleep(seconds)

    def wait_for(self, holds: Callable[[], bool], limit_s: float) -> bool:
        """Waits until a condition holds, at most for so long; returns whether it does."""
        ends_at = time.monotonic() + limit_s
        while not (result := holds()) and time.monotonic() < ends_at:
            if self.scenario.expect.must_act:
                self.operate()
            time.sleep(_LOOK_S)
        return result

    def _new_publisher(self, load: Load) -> Publisher:
        return Publisher(self.cluster.direct, self.names.applications, load, self.recorder, self.ledger)


def has_recovered(stage: Stage, since_s: float) -> bool:
    """Whether every running worker has decided something since, or has nothing to do, and none falls behind.

    Where the workers must ask an operator for something, not before they have.
    """
    if stage.scenario.expect.must_act and not stage.acts:
        return False
    running = stage.running
    if stage.offsets.answered_at_s < since_s or not all(worker.probes.ready for worker in running):
        return False
    owned = [set(worker.probes.partitions) for worker in running]
    with_some = sum(map(bool, owned))
    if set().union(*owned) < set(stage.offsets.lag) or with_some < min(len(owned), len(stage.offsets.lag)):
        return False  # partitions are still moving
    idle = {p for p, lag in stage.offsets.lag.items() if lag == 0}
    decided = all(w.progressed_at_s > since_s or own <= idle for w, own in zip(running, owned, strict=True))
    load = stage.scenario.load
    behind_max = load.per_s * _BEHIND_S if load is not None and stage.publishing else 0.0
    return decided and abs(sum(stage.offsets.lag.values())) <= behind_max


def instance_id(number: int) -> str:
    """The instance id of the static worker with this number."""
    return f"scorer-{number}"
