"""The minimum Kafka rights of each role, as a table; the documentation and the commands are generated from it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from schemas import rights
from schemas.rights import TAIL_GROUP, Kind, Operation, Right, Role, ask_for, principal_of, to_group, to_topic
from scorer.settings import Settings

REPLAY_GROUPS: Final = "scorer-replay-"
"""Prefix of the group ids of all replays."""
READER_GROUP: Final = "decisions-table"
"""The group of `examples/read_decisions.py`; readers choose their own."""


TITLES: Final[Mapping[Role, str]] = {
    Role.WORKER: "A worker",
    Role.PUBLISHER: "A publisher: `producer publish`, `load`, `try`, `watch`",
    Role.READER: "A reader of decisions",
    Role.DEPLOY: "An operator: `scorer deploy`, `rollback`, `retire`, `history`",
    Role.DLQ: "An operator: `scorer dlq list`, `show`, `requeue`",
    Role.OFFSETS: "An operator: `scorer offsets show`, `reset`",
    Role.TOPICS: "An operator: `scorer topics ensure`, `check`",
    Role.DOCTOR: "`scorer doctor`",
    Role.CONSOLE: "`scorer console`",
    Role.REPLAY: "`scorer replay`",
}
"""The titles of the roles, in Markdown."""


@dataclass(frozen=True, slots=True)
class Need:
    """A right that a role needs."""

    right: Right
    why: str


def transactional_prefix(settings: Settings) -> str:
    """Returns the prefix of the transactional ids of a group's workers, which no other group has."""
    return f"{quote(settings.group_id, safe='')}/"


def deployments_writer(settings: Settings) -> str:
    """Returns the transactional id shared by everyone who changes the deployments."""
    return f"{settings.deployments_topic}-writer"


def requeue_writer(settings: Settings) -> str:
    """Returns the transactional id shared by everyone who requeues dead letters."""
    return f"{settings.dead_letters_topic}-requeue"


def to_own_group(settings: Settings, operation: Operation) -> Right:
    """Returns a right to the settings' group; if it is a replay's, to the groups of all replays."""
    if settings.group_id.startswith(REPLAY_GROUPS):
        return Right(operation, Kind.GROUP, REPLAY_GROUPS, prefixed=True)
    return to_group(operation, settings.group_id)


def to_transactions(transactional_id: str) -> Right:
    """Returns the right to transactions with one transactional id."""
    return Right(Operation.WRITE, Kind.TRANSACTIONAL_ID, transactional_id)


def to_own_transactions(settings: Settings) -> Right:
    """Returns the right to the transactions of the workers of the settings' group, or of all replays."""
    own = REPLAY_GROUPS if settings.group_id.startswith(REPLAY_GROUPS) else transactional_prefix(settings)
    return Right(Operation.WRITE, Kind.TRANSACTIONAL_ID, own, prefixed=True)


def to_own_topics(settings: Settings) -> list[Right]:
    """Returns the rights of a worker to the topics of its applications and results."""
    outputs = settings.decisions_topic, settings.dead_letters_topic
    applications = to_topic(Operation.READ, settings.applications_topic)
    return [applications, *(to_topic(Operation.WRITE, topic) for topic in outputs)]


def needs_of(role: Role, settings: Settings) -> list[Need]:
    """Returns the minimum rights of a role: without any one of them, one of its operations fails.

    Args:
        role: the role.
        settings: the names of topics and group, and the delivery guarantee.
    """
    return [Need(right, why) for right, why in _NEEDS[role](settings)]


def how_to_grant(settings: Settings, *rights: Right) -> str:
    """Returns which rights to grant to this client, with the commands that grant them."""
    return ask_for(rights, principal_of(settings.kafka), settings.bootstrap_servers)


def missing_topic(right: Right, settings: Settings) -> str:
    """Returns the message for a missing topic, with the right to grant in case it exists."""
    return rights.missing_topic(right, settings.kafka, settings.bootstrap_servers)


_Needs = Iterable[tuple[Right, str]]


def _worker(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.applications_topic), "to read applications"
    yield to_topic(Operation.WRITE, settings.decisions_topic), "to publish decisions"
    yield to_topic(Operation.WRITE, settings.dead_letters_topic), "to publish dead letters"
    deployments = to_topic(Operation.READ, settings.deployments_topic)
    yield deployments, "to follow deployments; not with `scorer worker --bundle`"
    yield to_own_group(settings, Operation.READ), "to join the group and commit offsets"
    if settings.delivery == "exactly-once":
        yield to_own_transactions(settings), "to commit results and offsets in one transaction"


def _publisher(settings: Settings) -> _Needs:
    yield to_topic(Operation.WRITE, settings.applications_topic), "to publish"
    yield to_topic(Operation.READ, settings.deployments_topic), "to know the contract of the deployed bundle"
    yield to_topic(Operation.READ, settings.decisions_topic), "only for `try` and `watch`: to read decisions"
    yield to_topic(Operation.READ, settings.dead_letters_topic), "only for `try` and `watch`: to read dead letters"
    yield (
        to_group(Operation.DESCRIBE, TAIL_GROUP),
        "to read: the client requires a group; it is not joined",
    )


def _reader(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.decisions_topic), "to read decisions"
    yield to_group(Operation.READ, READER_GROUP), "its own group, which may have any name"


def _deploy(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.deployments_topic), "to read the deployment history"
    yield to_topic(Operation.WRITE, settings.deployments_topic), "to append to it; not for `history`"
    yield to_transactions(deployments_writer(settings)), "to prevent concurrent changes; not for `history`"
    yield to_own_group(settings, Operation.DESCRIBE), "to show the progress of the workers"
    yield (
        to_topic(Operation.READ, settings.applications_topic),
        "for `deploy`, to compare decisions; to show the progress of the workers, Describe is enough",
    )


def _dlq(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.dead_letters_topic), "to read dead letters"
    yield to_own_group(settings, Operation.DESCRIBE), "the client requires a group; it is not joined"
    yield to_topic(Operation.WRITE, settings.dead_letters_topic), "only for `requeue`: to publish marks"
    yield to_topic(Operation.WRITE, settings.applications_topic), "only for `requeue`: to publish the records"
    yield to_transactions(requeue_writer(settings)), "only for `requeue`: to prevent concurrent requeues"


def _offsets(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.applications_topic), "to read and reset its offsets"
    yield to_topic(Operation.READ, settings.deployments_topic), "to read and commit the topics' ids"
    yield to_own_group(settings, Operation.READ), "to commit its offsets"


def _topics(settings: Settings) -> _Needs:
    for name in _own_topics(settings):
        yield to_topic(Operation.CREATE, name), "only for `ensure`: to create it"
        yield to_topic(Operation.DESCRIBE, name), "to check whether it exists"
        yield to_topic(Operation.DESCRIBE_CONFIGS, name), "only for `check`: to compare its configuration"


def _doctor(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.applications_topic), "to check timestamps"
    yield to_topic(Operation.READ, settings.deployments_topic), "to read the deployment history"
    for name in (settings.decisions_topic, settings.dead_letters_topic, settings.reviews_topic):
        yield to_topic(Operation.DESCRIBE, name), "to check whether it exists"
    for name in _own_topics(settings):
        yield to_topic(Operation.DESCRIBE_CONFIGS, name), "to compare its configuration"
    yield to_own_group(settings, Operation.DESCRIBE), "to check the workers"
    if settings.delivery == "exactly-once":
        yield to_own_transactions(settings), "to check whether transactions are allowed"


def _console(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.applications_topic), "to show how long applications wait"
    yield to_topic(Operation.READ, settings.decisions_topic), "to read decisions"
    yield to_topic(Operation.READ, settings.dead_letters_topic), "to read dead letters"
    yield to_topic(Operation.READ, settings.deployments_topic), "to read the deployment history"
    yield to_own_group(settings, Operation.DESCRIBE), "to show the progress of the workers"
    yield to_topic(Operation.READ, settings.reviews_topic), "to show reviews"
    yield to_topic(Operation.WRITE, settings.applications_topic), "only for trying an application, and with operators"
    yield to_topic(Operation.WRITE, settings.reviews_topic), "only with reviewers: to write reviews"
    yield to_topic(Operation.WRITE, settings.dead_letters_topic), "only with operators: to publish marks"
    yield to_transactions(requeue_writer(settings)), "only with operators: to prevent concurrent requeues"
    for name in _own_topics(settings):
        yield to_topic(Operation.DESCRIBE_CONFIGS, name), "only for the metric of partitions below min.insync.replicas"


def _replay(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.decisions_topic), "to read decisions"
    yield to_topic(Operation.READ, settings.applications_topic), "to rescore applications"
    yield to_topic(Operation.READ, settings.deployments_topic), "to find the champion"
    yield to_topic(Operation.READ, settings.dead_letters_topic), "`report`: to read rejections of the replay"
    yield to_own_group(settings, Operation.DESCRIBE), "the client requires a group; it is not joined"
    yield to_topic(Operation.WRITE, settings.decisions_topic), "`run`: to publish corrections"
    yield to_topic(Operation.WRITE, settings.dead_letters_topic), "`run`: to publish dead letters"
    yield (
        Right(Operation.READ, Kind.GROUP, REPLAY_GROUPS, prefixed=True),
        "`run`, `status`: to commit and read progress",
    )
    yield (
        Right(Operation.WRITE, Kind.TRANSACTIONAL_ID, REPLAY_GROUPS, prefixed=True),
        "`run`: to commit corrections and offsets in one transaction",
    )


def _own_topics(settings: Settings) -> tuple[str, ...]:
    return (
        settings.applications_topic,
        settings.decisions_topic,
        settings.dead_letters_topic,
        settings.deployments_topic,
        settings.reviews_topic,
    )


_NEEDS: Final[Mapping[Role, Callable[[Settings], _Needs]]] = {
    Role.WORKER: _worker,
    Role.PUBLISHER: _publisher,
    Role.READER: _reader,
    Role.DEPLOY: _deploy,
    Role.DLQ: _dlq,
    Role.OFFSETS: _offsets,
    Role.TOPICS: _topics,
    Role.DOCTOR: _doctor,
    Role.CONSOLE: _console,
    Role.REPLAY: _replay,
}
