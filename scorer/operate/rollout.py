"""The progress of a deployment: which bundle each partition's committed metadata names."""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.decision import BundleReference
from schemas.deployment import Slot
from scorer.operate.group import Group, describe_group
from scorer.settings import Settings
from scorer.stream.admin import admin_client
from scorer.stream.group_offsets import CommittedOffsets
from scorer.stream.load_failure import LoadFailure
from scorer.stream.metadata import CommittedMetadata, decode_metadata

_ANSWER_S: Final = 10.0
_POLL_INTERVAL_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class UnswitchedWorker:
    """A worker that still decides with another bundle than the deployed one.

    Attributes:
        worker: its name.
        partitions: those that it decides with other bundles.
        bundles: the bundles that decide them, as `name:version@digest`; empty if nothing was decided yet.
        reason: why it could not load the deployed bundle; empty if it has reported no failure.
    """

    worker: str
    partitions: tuple[int, ...]
    bundles: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Rollout:
    """The progress of a deployment: the number of workers, and those that have not switched to it."""

    workers: int
    unswitched: tuple[UnswitchedWorker, ...]
    rebalancing: bool
    """True during a rebalance, when it is not known which workers have switched."""

    @property
    def done(self) -> bool:
        """Whether every worker that has partitions has switched."""
        return not self.unswitched and not self.rebalancing

    @property
    def failed(self) -> bool:
        """Whether every worker that has not switched has reported that it cannot."""
        return bool(self.unswitched) and not self.rebalancing and all(worker.reason for worker in self.unswitched)


def wait_for_workers(
    settings: Settings,
    reference: BundleReference,
    wait_s: float,
    show: Callable[[Rollout, float], None] = lambda _rollout, _waited_s: None,
) -> Rollout:
    """Waits until every worker of the group has switched to a bundle or reported that it cannot, or until a timeout.

    Args:
        settings: the group and its topic.
        reference: the deployed bundle.
        wait_s: timeout in seconds; 0 checks once.
        show: called with the progress and the elapsed seconds, several times per second.

    Returns:
        The progress at the end.

    Raises:
        BrokerError: the group or its offsets cannot be read.
    """
    admin = admin_client(settings)
    began_at = time.monotonic()
    with closing(CommittedOffsets(settings)) as offsets:
        while True:
            rollout = compare(*ask_group(settings, admin, offsets), str(reference))
            waited_s = time.monotonic() - began_at
            show(rollout, waited_s)
            if rollout.done or rollout.failed or waited_s > wait_s:
                return rollout
            time.sleep(_POLL_INTERVAL_S)


def ask_group(
    settings: Settings, admin: AdminClient, offsets: CommittedOffsets
) -> tuple[Group, dict[int, CommittedMetadata]]:
    """Returns the group, and the committed metadata of each assigned partition.

    Raises:
        BrokerError: the group or its offsets cannot be read.
    """
    group = describe_group(admin, settings, _ANSWER_S)
    partitions = [TopicPartition(settings.applications_topic, partition) for partition in group.assigned]
    return group, {tp.partition: decode_metadata(tp.metadata) for tp in offsets.read(partitions, _ANSWER_S)}


def compare(group: Group, committed: Mapping[int, CommittedMetadata], bundle: str) -> Rollout:
    """Returns which workers do not decide with a bundle.

    Args:
        group: the workers and their partitions.
        committed: by partition, its committed metadata.
        bundle: the bundle, as `name:version@digest`.
    """
    unswitched = []
    for member in group.members:
        of_other_bundles = {
            p: committed[p] for p in sorted(member.partitions) if p in committed and committed[p].bundle != bundle
        }
        if of_other_bundles:
            bundles = tuple(sorted({metadata.bundle for metadata in of_other_bundles.values() if metadata.bundle}))
            reason = _reason(of_other_bundles, "champion", bundle)
            unswitched.append(UnswitchedWorker(member.name, tuple(of_other_bundles), bundles, reason))
    return Rollout(len(group.members), tuple(unswitched), rebalancing=group.rebalancing)


def load_failures(
    group: Group, committed: Mapping[int, CommittedMetadata], slot: Slot, bundle: str
) -> list[tuple[str, str]]:
    """Returns the workers that could not load the bundle deployed to a slot, each with its reason."""
    failures = []
    for member in group.members:
        of_member = {p: committed[p] for p in sorted(member.partitions) if p in committed}
        if reason := _reason(of_member, slot, bundle):
            failures.append((member.name, reason))
    return failures


def _reason(committed: Mapping[int, CommittedMetadata], slot: Slot, bundle: str) -> str:
    """Returns the first failure reported for a bundle; those of other bundles are of earlier deployments."""
    for metadata in committed.values():
        failure = LoadFailure.read(metadata.refused)
        if failure is not None and (failure.slot, failure.bundle) == (slot, bundle):
            return failure.reason
    return ""
