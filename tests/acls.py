"""Rights as ACLs, given by an administrator's client."""

from collections.abc import Iterable, Iterator
from typing import Final

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from schemas.rights import Kind, Operation, Right

_WAIT_S: Final = 30
_KINDS: Final = {
    Kind.TOPIC: ResourceType.TOPIC,
    Kind.GROUP: ResourceType.GROUP,
    Kind.TRANSACTIONAL_ID: ResourceType.TRANSACTIONAL_ID,
}
_OPERATIONS: Final = {
    Operation.READ: AclOperation.READ,
    Operation.WRITE: AclOperation.WRITE,
    Operation.CREATE: AclOperation.CREATE,
    Operation.DESCRIBE: AclOperation.DESCRIBE,
    Operation.DESCRIBE_CONFIGS: AclOperation.DESCRIBE_CONFIGS,
}


def bindings(user: str, rights: Iterable[Right]) -> Iterator[AclBinding]:
    """A user's rights, from anywhere."""
    for right in rights:
        pattern = ResourcePatternType.PREFIXED if right.prefixed else ResourcePatternType.LITERAL
        kind, operation = _KINDS[right.kind], _OPERATIONS[right.operation]
        yield AclBinding(kind, right.name, pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)


def allow(admin: AdminClient, wanted: Iterable[AclBinding]) -> None:
    """Gives rights."""
    for given in admin.create_acls(list(wanted)).values():
        given.result(_WAIT_S)
