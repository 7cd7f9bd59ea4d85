"""Faults of topics: created again, grown, deleted from, limited, read-only, away."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from tests.chaos import topics
from tests.chaos.history import ALL_PARTITIONS, TO_THE_END
from tests.chaos.scenario import Heal, nothing
from tests.chaos.stage import Stage

Kind = Literal["applications", "decisions", "dead_letters", "deployments"]
_ASSIGNED_S: Final = 120.0
_HEARD_S: Final = 60.0


def topic(stage: Stage, kind: Kind) -> str:
    """The name of one of the scenario's topics."""
    name: str = getattr(stage.names, kind)
    return name


@dataclass(frozen=True, slots=True)
class AddPartitions:
    """Topics get more partitions; over once the workers have all of the applications'."""

    count: int
    kinds: tuple[Kind, ...] = ("applications",)

    def begin(self, stage: Stage) -> Heal:
        topics.grow(stage.cluster.admin, [topic(stage, kind) for kind in self.kinds], self.count)
        began_at_s = stage.recorder.now()

        def all_assigned() -> bool:
            return {p for worker in stage.running for p in worker.probes.partitions} >= set(range(self.count))

        assigned = stage.wait_for(all_assigned, _ASSIGNED_S)
        stage.note(
            f"{self.count} partitions {'are' if assigned else 'are not'} assigned after "
            f"{stage.recorder.now() - began_at_s:.0f} s"
        )
        return nothing


@dataclass(frozen=True, slots=True)
class RecreateApplications:
    """The applications topic is deleted and created again under load, and other applications are published to it."""

    gap_s: float
    """Between the deletion and the creation."""
    backlog: int = 0
    """Published at once to the new topic; more than the old offsets hide that offsets began again."""

    def begin(self, stage: Stage) -> Heal:
        admin, name = stage.cluster.admin, stage.names.applications
        deleted = stage.cluster.ids_on_disk(name)
        topics.delete(admin, name)
        load = stage.stop_publishing(topic_is_gone=True)
        stage.waive(ALL_PARTITIONS, 0, TO_THE_END)
        stage.note("deleted; what was not decided is gone with it")
        stage.sleep(self.gap_s)
        topics.create(admin, name, stage.scenario.partitions, {"min.insync.replicas": "2"})
        # A node that has not heard of it takes records for the deleted topic: nobody could decide those.
        noticed = stage.wait_for(lambda: stage.cluster.ids_on_disk(name).isdisjoint(deleted), _HEARD_S)
        stage.note("created again" + ("" if noticed else ", and not every node has heard of it"))
        if load is not None:
            if self.backlog:
                stage.publish_now(self.backlog, load)
            stage.publish(load)
        return nothing


@dataclass(frozen=True, slots=True)
class DeleteRecords:
    """Retention passes the group in some partitions, as far as they go; the workers may be stopped meanwhile."""

    partitions: tuple[int, ...]
    workers_stopped_s: float

    def begin(self, stage: Stage) -> Heal:
        stage.stop_workers()
        stage.note("the workers are stopped")
        stage.sleep(self.workers_stopped_s)
        delete_undecided(stage, self.partitions)
        return stage.start_workers


@dataclass(frozen=True, slots=True)
class DeleteRecordsUnderWorkers:
    """Retention passes a group that lags while it runs: its workers are frozen meanwhile."""

    partitions: tuple[int, ...]
    lag_s: float

    def begin(self, stage: Stage) -> Heal:
        for worker in stage.running:
            worker.freeze()
        stage.sleep(self.lag_s)
        delete_undecided(stage, self.partitions)
        for worker in stage.running:
            worker.thaw()
        return nothing


def delete_undecided(stage: Stage, partitions: tuple[int, ...]) -> None:
    """Deletes what stands in some partitions half way between the group's offset and the end."""
    stage.sleep(2)  # the watch looks once per second
    for partition in partitions:
        end = stage.offsets.ends.get(partition, 0)
        beyond = end - stage.offsets.lag.get(partition, 0) // 2
        low = topics.delete_records(stage.cluster.admin, stage.names.applications, partition, beyond)
        stage.waive(partition, 0, low)
        stage.note(f"records of partition {partition} before {low} are deleted")


@dataclass(frozen=True, slots=True)
class SetConfig:
    """A topic gets a setting; healed by deleting it, which brings Kafka's default back."""

    kind: Kind
    config: Mapping[str, str]

    def begin(self, stage: Stage) -> Heal:
        change = partial(topics.configure, stage.cluster.admin, topic(stage, self.kind), self.config)
        change()
        stage.note(f"{self.kind}: {dict(self.config)}")
        return partial(change, reset=True)


@dataclass(frozen=True, slots=True)
class DenyWrites:
    """Nobody may write to a topic any more, by its ACL; healed by removing it."""

    kind: Kind

    def begin(self, stage: Stage) -> Heal:
        topics.deny_writes(stage.cluster.admin, topic(stage, self.kind))
        stage.note(f"{self.kind} cannot be written")
        return partial(topics.allow_writes, stage.cluster.admin, topic(stage, self.kind))


@dataclass(frozen=True, slots=True)
class DeleteDeployments:
    """The history of deployments is deleted, and a worker is killed meanwhile; healed by `scorer topics ensure`."""

    def begin(self, stage: Stage) -> Heal:
        topics.delete(stage.cluster.admin, stage.names.deployments)
        stage.sleep(5)
        stage.running[0].kill()

        def heal() -> None:
            made = stage.scorer("topics", "ensure", "--replication", "3")
            stage.note(f"topics ensure: {(made.stdout + made.stderr).strip()}")

        return heal
