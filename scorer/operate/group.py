"""Describes a consumer group: its members, their partitions, and whether it is rebalancing."""

from dataclasses import dataclass

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription, MemberDescription

from schemas.rights import Operation
from scorer.errors import BrokerError
from scorer.settings import Settings
from scorer.stream.explain import with_hint
from scorer.stream.requests import ask
from scorer.stream.rights import to_own_group


@dataclass(frozen=True, slots=True)
class Member:
    """One worker of the group.

    Attributes:
        member_id: unique in the group; Kafka assigns it.
        name: its instance id, or its client id if it has none, and the host that it connects from.
        client_id: the client's `client.id`.
        instance_id: None for a dynamic member.
        partitions: those of the applications topic that are assigned to it.
    """

    member_id: str
    name: str
    client_id: str
    instance_id: str | None
    partitions: frozenset[int]


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group at one moment; a group that does not exist has no members.

    Attributes:
        members: its workers.
        rebalancing: True while partitions move between members, when assignments are incomplete.
    """

    members: tuple[Member, ...]
    rebalancing: bool

    @property
    def assigned(self) -> frozenset[int]:
        """The partitions that have an owner."""
        return frozenset(partition for member in self.members for partition in member.partitions)


def describe_group(admin: AdminClient, settings: Settings, wait_s: float) -> Group:
    """Describes the group.

    At a broker's first request for a group, its coordinator is not available at once, so transient errors are retried.

    Args:
        admin: the client to use.
        settings: the group and its topic.
        wait_s: timeout of one request, and of the retries after transient errors, in seconds.

    Raises:
        BrokerError: the group cannot be described.
    """
    group_id = settings.group_id

    def call() -> ConsumerGroupDescription:
        described: ConsumerGroupDescription = admin.describe_consumer_groups([group_id], request_timeout=wait_s)[
            group_id
        ].result()
        return described

    try:
        description = ask(call, wait_s)
    except KafkaException as failure:
        error = failure.args[0]
        if error.name() == "GROUP_ID_NOT_FOUND":
            return Group((), rebalancing=False)
        explained = with_hint(error, settings, to_own_group(settings, Operation.DESCRIBE))
        raise BrokerError(f"consumer group {group_id} cannot be described: {explained}") from failure
    members = tuple(_member(member, settings.applications_topic) for member in description.members)
    return Group(members, bool(members) and description.state != ConsumerGroupState.STABLE)


def _member(member: MemberDescription, topic: str) -> Member:
    assigned = [] if member.assignment is None else member.assignment.topic_partitions
    return Member(
        member_id=member.member_id,
        name=f"{member.group_instance_id or member.client_id} at {member.host.lstrip('/')}",
        client_id=member.client_id,
        instance_id=member.group_instance_id,
        partitions=frozenset(tp.partition for tp in assigned if tp.topic == topic),
    )
