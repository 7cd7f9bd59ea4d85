"""The current state of a setup in one look: brokers, workers with their lag and bundles, and the deployed bundles."""

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Final

from confluent_kafka import TopicPartition

from schemas.decision import BundleReference, shorten
from schemas.deployment import DeploymentEvent
from scorer.operate.cluster import ClusterReader, ClusterState, check_replicas
from scorer.operate.deployments import read_history
from scorer.operate.group import Group, describe_group
from scorer.operate.reading import TopicReader
from scorer.operate.rollout import compare, load_failures
from scorer.settings import Settings
from scorer.stream.admin import admin_client
from scorer.stream.group_offsets import CommittedOffsets
from scorer.stream.history import State, fold
from scorer.stream.metadata import CommittedMetadata, decode_metadata

_ANSWER_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker.

    Attributes:
        name: its name in the group.
        partitions: those that are assigned to it.
        lag: applications in them that it has not processed yet.
        bundles: the bundles that it decides with, as `name:version@digest`, shortened; empty before its first batch.
        fault: why it does not use a deployed bundle; empty if it does.
    """

    name: str
    partitions: tuple[int, ...]
    lag: int
    bundles: tuple[str, ...]
    fault: str


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a setup.

    Attributes:
        cluster: the brokers, and the replicas of the topics.
        partitions: number of partitions of the applications topic.
        unassigned: the partitions without an owner.
        lag: applications that no worker has processed yet.
        rebalancing: whether partitions are moving between workers.
        workers: the workers of the group.
        champion: the deployed champion; None before the first deployment.
        challenger: the challenger; None if there is none.
        last: the last deployment; None if there was none.
    """

    cluster: ClusterState
    partitions: int
    unassigned: tuple[int, ...]
    lag: int
    rebalancing: bool
    workers: tuple[WorkerStatus, ...]
    champion: BundleReference | None
    challenger: BundleReference | None
    last: DeploymentEvent | None

    @property
    def problems(self) -> list[str]:
        """What needs attention, one line each; empty if nothing does."""
        problems = [finding.text for finding in check_replicas(self.cluster) if finding.state == "wrong"]
        if not self.workers:
            return [*problems, "no workers: start one with scorer worker"]
        problems += [f"{worker.name}: {worker.fault}" for worker in self.workers if worker.fault]
        if self.unassigned and not self.rebalancing:
            problems.append(f"partitions without an owner: {', '.join(map(str, self.unassigned))}")
        return problems

    @property
    def warnings(self) -> list[str]:
        """What affects nobody yet, one line each: brokers that are missing, and replicas that are not in sync."""
        return [finding.text for finding in check_replicas(self.cluster) if finding.state == "warning"]


def read_status(settings: Settings) -> Status:
    """Reads the state of a setup; it changes nothing and joins no group.

    Raises:
        BrokerError: no broker answers, or one returns an error.
        SettingsError, TopicsError: a property is invalid, or a topic is missing.
    """
    admin = admin_client(settings)
    cluster = ClusterReader(settings, admin).read()
    lines = read_history(settings)
    group = describe_group(admin, settings, _ANSWER_S)
    with ExitStack() as opened:
        offsets = opened.enter_context(closing(CommittedOffsets(settings)))
        reader = opened.enter_context(closing(TopicReader(settings, settings.applications_topic)))
        wanted = [TopicPartition(settings.applications_topic, partition) for partition in reader.partitions]
        committed = {tp.partition: tp for tp in offsets.read(wanted, _ANSWER_S)}
        bounds = reader.bounds()  # read after the committed offsets, so that the lag is never negative
    lags = {number: max(0, end - max(committed[number].offset, first)) for number, (first, end) in bounds.items()}
    metadata = {number: decode_metadata(tp.metadata) for number, tp in committed.items()}
    state = fold(lines)
    return Status(
        cluster=cluster,
        partitions=len(lags),
        unassigned=tuple(sorted(lags.keys() - group.assigned)),
        lag=sum(lags.values()),
        rebalancing=group.rebalancing,
        workers=describe_workers(group, metadata, lags, state),
        champion=state.current("champion"),
        challenger=state.current("challenger"),
        last=next((line.event for line in reversed(lines) if line.event is not None), None),
    )


def describe_workers(
    group: Group, metadata: Mapping[int, CommittedMetadata], lags: Mapping[int, int], state: State
) -> tuple[WorkerStatus, ...]:
    """The workers of a group, by name.

    Args:
        group: the workers and their partitions.
        metadata: by partition, its committed metadata.
        lags: by partition, the number of applications that are not processed yet.
        state: the deployed bundles.
    """
    champion, challenger = state.current("champion"), state.current("challenger")
    faults: dict[str, str] = {}
    if challenger is not None:
        for name, reason in load_failures(group, metadata, "challenger", str(challenger)):
            faults[name] = f"cannot load the challenger {challenger.short}: {reason}"
    if champion is not None:
        for worker in compare(group, metadata, str(champion)).unswitched:
            reason = worker.reason or "is it pinned (--bundle) or busy? See its log and /readyz"
            faults[worker.worker] = f"does not use the champion {champion.short}: {reason}"
    workers = []
    for member in sorted(group.members, key=lambda member: member.name):
        partitions = tuple(sorted(member.partitions))
        bundles = {metadata[p].bundle for p in partitions if p in metadata and metadata[p].bundle}
        lag = sum(lags.get(partition, 0) for partition in partitions)
        fault = faults.get(member.name, "")
        workers.append(WorkerStatus(member.name, partitions, lag, tuple(sorted(map(shorten, bundles))), fault))
    return tuple(workers)
