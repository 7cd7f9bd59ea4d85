"""How far a deployment has come: what each partition's committed offset says of the bundle that decides it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, TopicPartition

from schemas.decision import BundleReference
from scorer.errors import BrokerError
from scorer.settings import Settings
from scorer.stream.metadata import decode_metadata
from scorer.stream.reading import connect_to_offsets
from scorer.stream.topics import admin_client

_ANSWER_S: Final = 10.0
_LOOK_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Behind:
    """A worker's partitions that another bundle still decides."""

    worker: str
    partitions: tuple[int, ...]
    deciding: str
    """As `name:version@digest`; empty where nothing was decided yet."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """Where a deployment stands: how many workers there are, and which have not taken it over."""

    workers: int
    behind: tuple[Behind, ...]
    moving: bool
    """True while partitions move between workers; nobody can be said to be done then."""

    @property
    def done(self) -> bool:
        """Whether every worker that has partitions decides with it."""
        return not self.behind and not self.moving


def wait_for_workers(settings: Settings, reference: BundleReference, wait_s: float) -> Rollout:
    """Waits until every worker of the group decides with a bundle, or the time is up.

    Args:
        settings: the group and its topic.
        reference: what was deployed.
        wait_s: for how long; 0 looks once.

    Returns:
        How it stood at the end.

    Raises:
        BrokerError: the group cannot be asked.
    """
    admin = admin_client(settings)
    asking = connect_to_offsets(settings)
    ends_at = time.monotonic() + wait_s
    try:
        with _refusals_explained(settings):
            while True:
                group = admin.describe_consumer_groups([settings.group_id])[settings.group_id].result(_ANSWER_S)
                found = _compare(settings, asking, group, str(reference))
                if found.done or time.monotonic() > ends_at:
                    return found
                time.sleep(_LOOK_S)
    finally:
        asking.close()


def _compare(settings: Settings, asking: Consumer, group: object, wanted: str) -> Rollout:
    members = group.members  # type: ignore[attr-defined]
    state = group.state  # type: ignore[attr-defined]
    owners = {
        tp.partition: f"{member.group_instance_id or member.client_id} at {member.host.lstrip('/')}"
        for member in members
        if member.assignment is not None
        for tp in member.assignment.topic_partitions
        if tp.topic == settings.applications_topic
    }
    topic = settings.applications_topic
    committed = asking.committed([TopicPartition(topic, p) for p in owners], timeout=_ANSWER_S) if owners else []
    behind: dict[tuple[str, str], list[int]] = {}
    for tp in committed:
        deciding = decode_metadata(tp.metadata).bundle
        if deciding != wanted:
            behind.setdefault((owners[tp.partition], deciding), []).append(tp.partition)
    return Rollout(
        workers=len(members),
        behind=tuple(Behind(who, tuple(sorted(partitions)), what) for (who, what), partitions in behind.items()),
        moving=bool(members) and state != ConsumerGroupState.STABLE,
    )


@contextmanager
def _refusals_explained(settings: Settings) -> Iterator[None]:
    try:
        yield
    except KafkaException as failure:
        raise BrokerError(
            f"the workers of group {settings.group_id} could not be asked: {failure.args[0].str()}"
        ) from failure
