"""How far a deployment has come: what each partition's committed offset says of the bundle that decides it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from schemas.decision import BundleReference
from schemas.deployment import Slot
from scorer.settings import Settings
from scorer.stream.group import Group, describe_group
from scorer.stream.metadata import CommittedMetadata, decode_metadata
from scorer.stream.reading import ask_committed, connect_to_offsets, offsets_refused
from scorer.stream.refusal import Refusal
from scorer.stream.topics import admin_client

_ANSWER_S: Final = 10.0
_LOOK_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Behind:
    """A worker with partitions that another bundle still decides.

    Attributes:
        worker: its name.
        partitions: those.
        deciding: what decides them, as `name:version@digest`; empty where nothing was decided yet.
        reason: why it could not load the one that was deployed; empty where it has not said so.
    """

    worker: str
    partitions: tuple[int, ...]
    deciding: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far a deployment has come: how many workers there are, and which have not switched to it."""

    workers: int
    behind: tuple[Behind, ...]
    moving: bool
    """True while partitions move between workers; nobody can be said to be done then."""

    @property
    def done(self) -> bool:
        """Whether every worker that has partitions decides with it."""
        return not self.behind and not self.moving

    @property
    def failed(self) -> bool:
        """Whether every worker that has not switched has said that it cannot."""
        return bool(self.behind) and not self.moving and all(worker.reason for worker in self.behind)


def wait_for_workers(
    settings: Settings,
    reference: BundleReference,
    wait_s: float,
    show: Callable[[Rollout, float], None] = lambda _rollout, _waited_s: None,
) -> Rollout:
    """Waits until every worker of the group decides with a bundle, or has said that it cannot, or the time is up.

    Args:
        settings: the group and its topic.
        reference: what was deployed.
        wait_s: for how long; 0 looks once.
        show: is given how it stands, and for how many seconds it has been waited, some times a second.

    Returns:
        How it stood at the end.

    Raises:
        BrokerError: the group cannot be asked.
    """
    admin = admin_client(settings)
    asking = connect_to_offsets(settings)
    began_at = time.monotonic()
    try:
        while True:
            rollout = compare(*ask_group(settings, admin, asking), str(reference))
            waited_s = time.monotonic() - began_at
            show(rollout, waited_s)
            if rollout.done or rollout.failed or waited_s > wait_s:
                return rollout
            time.sleep(_LOOK_S)
    finally:
        asking.close()


def ask_group(settings: Settings, admin: AdminClient, asking: Consumer) -> tuple[Group, dict[int, CommittedMetadata]]:
    """The group, and what the committed offset of each assigned partition says.

    Raises:
        BrokerError: the group cannot be asked.
    """
    group = describe_group(admin, settings, _ANSWER_S)
    try:
        committed = ask_committed(asking, settings.applications_topic, group.assigned, _ANSWER_S)
    except KafkaException as failure:
        raise offsets_refused(failure.args[0], settings) from failure
    return group, {tp.partition: decode_metadata(tp.metadata) for tp in committed}


def compare(group: Group, committed: Mapping[int, CommittedMetadata], wanted: str) -> Rollout:
    """Which workers do not decide with a bundle.

    Args:
        group: the workers and their partitions.
        committed: by partition, what its committed offset says.
        wanted: the bundle, as `name:version@digest`.
    """
    behind = []
    for member in group.members:
        others = {
            p: committed[p] for p in sorted(member.partitions) if p in committed and committed[p].bundle != wanted
        }
        if others:
            deciding = tuple(sorted({metadata.bundle for metadata in others.values() if metadata.bundle}))
            reason = _reason(others, "champion", wanted)
            behind.append(Behind(member.name, tuple(others), deciding, reason))
    return Rollout(len(group.members), tuple(behind), moving=group.rebalancing)


def refusals(
    group: Group, committed: Mapping[int, CommittedMetadata], slot: Slot, bundle: str
) -> list[tuple[str, str]]:
    """The workers that could not load what was deployed into a slot, each with its reason."""
    refused = []
    for member in group.members:
        of_member = {p: committed[p] for p in sorted(member.partitions) if p in committed}
        if reason := _reason(of_member, slot, bundle):
            refused.append((member.name, reason))
    return refused


def _reason(committed: Mapping[int, CommittedMetadata], slot: Slot, bundle: str) -> str:
    """The first reason that offsets give for a bundle; one for another bundle is of an earlier deployment."""
    for metadata in committed.values():
        refusal = Refusal.read(metadata.refused)
        if refusal is not None and (refusal.slot, refusal.bundle) == (slot, bundle):
            return refusal.reason
    return ""
