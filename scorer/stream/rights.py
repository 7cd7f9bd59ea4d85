"""The least rights on Kafka of each who takes part, as a table; the documentation and the commands are made from it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from schemas import rights
from schemas.rights import TAIL_GROUP, Kind, Operation, Right, Role, ask_for, principal_of, to_group, to_topic
from scorer.settings import Settings

REPLAY_GROUPS: Final = "scorer-replay-"
"""What the group ids of all replays begin with."""
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
"""Who or what a role is, in Markdown."""


@dataclass(frozen=True, slots=True)
class Need:
    """A right that a role needs."""

    right: Right
    why: str


def transactional_prefix(settings: Settings) -> str:
    """What the transactional ids of a group's workers begin with, and those of no other group."""
    return f"{quote(settings.group_id, safe='')}/"


def deployments_writer(settings: Settings) -> str:
    """The transactional id that everyone who changes the deployments shares."""
    return f"{settings.deployments_topic}-writer"


def requeue_writer(settings: Settings) -> str:
    """The transactional id that everyone who requeues dead letters shares."""
    return f"{settings.dead_letters_topic}-requeue"


def to_own_group(settings: Settings, operation: Operation) -> Right:
    """A right to the group of the settings; if that is a replay's, to those of all replays."""
    if settings.group_id.startswith(REPLAY_GROUPS):
        return Right(operation, Kind.GROUP, REPLAY_GROUPS, prefixed=True)
    return to_group(operation, settings.group_id)


def to_transactions(transactional_id: str) -> Right:
    """The right to transactions with one transactional id."""
    return Right(Operation.WRITE, Kind.TRANSACTIONAL_ID, transactional_id)


def to_own_transactions(settings: Settings) -> Right:
    """The right to the transactions of the workers of the settings' group, or of all replays."""
    own = REPLAY_GROUPS if settings.group_id.startswith(REPLAY_GROUPS) else transactional_prefix(settings)
    return Right(Operation.WRITE, Kind.TRANSACTIONAL_ID, own, prefixed=True)


def needs_of(role: Role, settings: Settings) -> list[Need]:
    """The least rights of a role: with one less, something that it does fails.

    Args:
        role: who.
        settings: the names of topics and group, and how workers deliver.
    """
    return [Need(right, why) for right, why in _NEEDS[role](settings)]


def ask_operator(settings: Settings, *rights: Right) -> str:
    """What has to be granted to this client, with the commands that do it."""
    return ask_for(rights, principal_of(settings.kafka), settings.bootstrap_servers)


def missing_topic(right: Right, settings: Settings) -> str:
    """The message for a topic that the brokers say they do not have, with what has to be granted if they do."""
    return rights.missing_topic(right, settings.kafka, settings.bootstrap_servers)


_Needs = Iterable[tuple[Right, str]]


def _worker(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.applications_topic), "what it decides"
    yield to_topic(Operation.WRITE, settings.decisions_topic), "what it decided"
    yield to_topic(Operation.WRITE, settings.dead_letters_topic), "what it could not decide"
    deployments = to_topic(Operation.READ, settings.deployments_topic)
    yield deployments, "which bundle decides; not with `scorer worker --bundle`"
    yield to_own_group(settings, Operation.READ), "its share of the partitions, and its offsets"
    if settings.delivery == "exactly-once":
        yield to_own_transactions(settings), "decisions and offsets in one transaction"


def _publisher(settings: Settings) -> _Needs:
    yield to_topic(Operation.WRITE, settings.applications_topic), "to publish"
    yield to_topic(Operation.READ, settings.decisions_topic), "only for `try` and `watch`: what was decided"
    yield to_topic(Operation.READ, settings.dead_letters_topic), "only for `try` and `watch`: what was rejected"
    yield (
        to_group(Operation.DESCRIBE, TAIL_GROUP),
        "only for `try` and `watch`: the client requires a group; none joins",
    )


def _reader(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.decisions_topic), "the decisions"
    yield to_group(Operation.READ, READER_GROUP), "its own group, which may have any name"


def _deploy(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.deployments_topic), "the history"
    yield to_topic(Operation.WRITE, settings.deployments_topic), "to add to it; not for `history`"
    yield to_transactions(deployments_writer(settings)), "one operator at a time; not for `history`"
    yield to_own_group(settings, Operation.DESCRIBE), "how far the workers have come"
    yield to_topic(Operation.DESCRIBE, settings.applications_topic), "how far the workers have come"


def _dlq(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.dead_letters_topic), "the dead letters"
    yield to_own_group(settings, Operation.DESCRIBE), "the client requires a group; it is not joined"
    yield to_topic(Operation.WRITE, settings.dead_letters_topic), "only for `requeue`: marks"
    yield to_topic(Operation.WRITE, settings.applications_topic), "only for `requeue`: the records"
    yield to_transactions(requeue_writer(settings)), "only for `requeue`: one operator at a time"


def _offsets(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.applications_topic), "its offsets"
    yield to_topic(Operation.READ, settings.deployments_topic), "the offset by which the group knows its topics"
    yield to_own_group(settings, Operation.READ), "to commit its offsets"


def _topics(settings: Settings) -> _Needs:
    for name in _own_topics(settings):
        yield to_topic(Operation.CREATE, name), "`ensure`: to create it"
        yield to_topic(Operation.DESCRIBE, name), "whether it exists"
        yield to_topic(Operation.DESCRIBE_CONFIGS, name), "`check`: to compare it with the contract"


def _doctor(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.applications_topic), "their timestamps"
    yield to_topic(Operation.READ, settings.deployments_topic), "which bundle decides"
    for name in (settings.decisions_topic, settings.dead_letters_topic):
        yield to_topic(Operation.DESCRIBE, name), "whether it exists"
    for name in _own_topics(settings):
        yield to_topic(Operation.DESCRIBE_CONFIGS, name), "to compare it with the contract"
    yield to_own_group(settings, Operation.DESCRIBE), "whether the workers work"
    if settings.delivery == "exactly-once":
        yield to_own_transactions(settings), "whether one may be begun"


def _console(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.applications_topic), "how long applications wait"
    yield to_topic(Operation.READ, settings.decisions_topic), "what was decided"
    yield to_topic(Operation.READ, settings.dead_letters_topic), "what was rejected"
    yield to_topic(Operation.READ, settings.deployments_topic), "the history"
    yield to_own_group(settings, Operation.DESCRIBE), "how far the workers have come"
    yield to_topic(Operation.WRITE, settings.applications_topic), "only for the page that tries an application"


def _replay(settings: Settings) -> _Needs:
    yield to_topic(Operation.READ, settings.decisions_topic), "what was decided"
    yield to_topic(Operation.READ, settings.applications_topic), "to decide it again"
    yield to_topic(Operation.READ, settings.deployments_topic), "what decides now"
    yield to_topic(Operation.READ, settings.dead_letters_topic), "`report`: what could not be decided again"
    yield to_own_group(settings, Operation.DESCRIBE), "the client requires a group; it is not joined"
    yield to_topic(Operation.WRITE, settings.decisions_topic), "`run`: corrections"
    yield to_topic(Operation.WRITE, settings.dead_letters_topic), "`run`: what cannot be decided again"
    yield Right(Operation.READ, Kind.GROUP, REPLAY_GROUPS, prefixed=True), "`run`, `status`: how far it has come"
    yield (
        Right(Operation.WRITE, Kind.TRANSACTIONAL_ID, REPLAY_GROUPS, prefixed=True),
        "`run`: corrections and offsets in one transaction",
    )


def _own_topics(settings: Settings) -> tuple[str, ...]:
    return (
        settings.applications_topic,
        settings.decisions_topic,
        settings.dead_letters_topic,
        settings.deployments_topic,
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
