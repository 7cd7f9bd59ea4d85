"""Rights to Kafka resources, as ACLs name them, and the `kafka-acls.sh` commands that grant them."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

TAIL_GROUP: Final = "producer-tail"
"""The group id of publishers that read results: the client requires one, but the group is never joined."""


class Role(StrEnum):
    """A role: a program that somebody runs, or a task of an operator."""

    WORKER = "worker"
    PUBLISHER = "publisher"
    READER = "reader"
    DEPLOY = "deploy"
    DLQ = "dlq"
    OFFSETS = "offsets"
    TOPICS = "topics"
    DOCTOR = "doctor"
    CONSOLE = "console"
    REPLAY = "replay"


class Operation(StrEnum):
    """What a right allows, as `kafka-acls.sh --operation` names it. Read and Write include Describe."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"


class Kind(StrEnum):
    """The kind of resource of a right, named like the option of `kafka-acls.sh`."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional-id"


DENIED: Final[Mapping[int, Kind]] = {29: Kind.TOPIC, 30: Kind.GROUP, 53: Kind.TRANSACTIONAL_ID}
"""By Kafka's error code: the kind of resource that a right is missing for."""
# CLUSTER_AUTHORIZATION_FAILED: the error of an idempotent producer without the right to write to any topic.
_NO_WRITE_RIGHT: Final = 31


@dataclass(frozen=True, slots=True)
class Right:
    """One operation on one resource, or on all resources whose names have a prefix."""

    operation: Operation
    kind: Kind
    name: str
    prefixed: bool = False

    @property
    def resource(self) -> str:
        """The resource in words."""
        kind = self.kind.replace("-", " ")
        return f"{kind}s with the prefix {self.name}" if self.prefixed else f"{kind} {self.name}"

    def __str__(self) -> str:
        return f"{self.operation} on {self.resource}"


def to_topic(operation: Operation, name: str) -> Right:
    """A right to a topic."""
    return Right(operation, Kind.TOPIC, name)


def to_group(operation: Operation, name: str) -> Right:
    """A right to a consumer group."""
    return Right(operation, Kind.GROUP, name)


def missing(rights: Iterable[Right], code: int) -> list[Right]:
    """The rights of a call that can be missing according to Kafka's error code."""
    if code == _NO_WRITE_RIGHT:
        return [right for right in rights if right.kind is Kind.TOPIC and right.operation is Operation.WRITE]
    return [right for right in rights if DENIED.get(code) is right.kind]


def principal_of(properties: Mapping[str, str]) -> str:
    """A client's principal, from its librdkafka properties; a placeholder if they do not name it."""
    return f"User:{properties.get('sasl.username') or 'NAME'}"


def grant(rights: Iterable[Right], principal: str, servers: str) -> list[str]:
    """The commands that grant rights, one per resource, for a shell.

    Args:
        rights: what to grant.
        principal: the principal, such as `User:scorer`.
        servers: the brokers, host:port.
    """
    by_resource: dict[tuple[Kind, str, bool], list[Operation]] = {}
    for right in rights:
        operations = by_resource.setdefault((right.kind, right.name, right.prefixed), [])
        if right.operation not in operations:
            operations.append(right.operation)
    commands = []
    for (kind, name, prefixed), operations in by_resource.items():
        words = ["kafka-acls.sh", "--bootstrap-server", servers, "--command-config", "admin.properties"]
        words += ["--add", "--allow-principal", principal]
        words += [word for operation in operations for word in ("--operation", operation)]
        words += [f"--{kind}", name] + (["--resource-pattern-type", "prefixed"] if prefixed else [])
        commands.append(shlex.join(words))
    return commands


def ask_for(rights: Iterable[Right], principal: str, servers: str) -> str:
    """A request to an administrator to grant rights to a principal, with the commands."""
    requests = [f"{right}: `{grant([right], principal, servers)[0]}`" for right in rights]
    return f"Allow {principal} {'; and '.join(requests)}"


def missing_topic(right: Right, properties: Mapping[str, str], servers: str) -> str:
    """The message for an unknown topic. Brokers also report a topic as unknown to clients without any right to it.

    Args:
        right: the right to the topic that the client needs.
        properties: the client's librdkafka properties.
        servers: the brokers, host:port.
    """
    text = f"missing topic: {right.name}; `scorer topics ensure` creates it"
    if properties.get("security.protocol", "PLAINTEXT").upper() == "PLAINTEXT":
        return text  # without authentication there is no principal
    principal = principal_of(properties)
    return (
        f"{text}. If it exists, {principal} has no Describe permission on it, which {right.operation} includes. "
        f"{ask_for([right], principal, servers)}"
    )
