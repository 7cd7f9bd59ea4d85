"""Rights on Kafka, on a broker that allows nobody anything else: those of the table are enough, and each is needed."""

import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final, NamedTuple

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBindingFilter
from confluent_kafka.admin._scram import ScramMechanism

from schemas import rejection
from schemas.contracts import shipped_contract
from schemas.examples import APPLICATIONS
from schemas.files import dump_application
from schemas.rights import Kind, Operation, Right, Role, grant
from scorer.console.publish import RecordPublisher
from scorer.errors import BrokerError
from scorer.operate import topics
from scorer.settings import Settings
from scorer.stream.kafka import KafkaLink
from scorer.stream.rights import needs_of
from scorer.stream.worker import run
from tests.acls import allow, bindings
from tests.fakes import CountingMonitor, Tally
from tests.integration.worker_process import wait_until
from tests.ops.acl_broker import add_users, broker_with_acls
from tests.ops.principals import BUNDLE, DEAREST, DOES, REFUSALS, WAIT_S, within

_PASSWORD: Final = secrets.token_urlsafe()


class Guarded(NamedTuple):
    """A broker with passwords and ACLs."""

    servers: str
    """Where users come in."""
    open_servers: str
    """Where the administrator comes in, who may do everything."""


class Case(NamedTuple):
    """A principal with the rights of a role, or with one less."""

    role: Role
    lacks: int | None = None
    """Which of the role's rights it lacks."""
    describes: bool = False
    """Whether it may describe what it lacks a right to."""

    @property
    def user(self) -> str:
        """Its name, and that of its group."""
        return f"{self.role}-{'all' if self.lacks is None else self.lacks}{'d' * self.describes}"

    def settings(self, servers: str) -> Settings:
        """Its settings: a group of its own, and topics of its own if it creates them."""
        names = {"applications": "credit.applications", "decisions": "credit.decisions"}
        names |= {"dead_letters": "credit.applications.dlq", "deployments": "scorer.deployments"}
        names |= {"reviews": "credit.reviews"}
        if self.role is Role.TOPICS:
            names = {kind: f"{self.user}.{name}" for kind, name in names.items()}
        login = {"sasl.mechanism": "SCRAM-SHA-256", "sasl.username": self.user, "sasl.password": _PASSWORD}
        return Settings(
            bootstrap_servers=servers,
            group_id=self.user,
            kafka={"security.protocol": "SASL_PLAINTEXT", **login},
            **{f"{kind}_topic": name for kind, name in names.items()},
        )

    def rights(self) -> list[Right]:
        """What it may do."""
        rights = [need.right for need in needs_of(self.role, self.settings("unused:1"))]
        if self.lacks is not None:
            lacked = rights.pop(self.lacks)
            if self.describes:
                rights.append(Right(Operation.DESCRIBE, lacked.kind, lacked.name, lacked.prefixed))
        return rights

    def lacked(self) -> Right:
        """What it may not."""
        assert self.lacks is not None
        return needs_of(self.role, self.settings("unused:1"))[self.lacks].right


WHOLE: Final = [Case(role) for role in Role]
LESS: Final = [Case(role, lacks) for role in Role for lacks in range(len(Case(role).rights()))]
SEEING: Final = [
    Case(case.role, case.lacks, describes=True)
    for case in LESS
    if case.lacked().operation in {Operation.READ, Operation.WRITE} and case.lacked().kind is Kind.TOPIC
]
"""Those that see the topic and may not do with it what they want."""
STRANGER: Final = "stranger"
LATE: Final = "late"
"""A user who gets rights during a test."""


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    """The broker, with decisions and a dead letter on its topics; each case's user has its rights."""
    with broker_with_acls("SASL_PLAINTEXT", "SCRAM-SHA-256", {}) as (broker, port):
        _admit(AdminClient({"bootstrap.servers": broker.bootstrap_servers}))
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, group_id="first")
        topics.ensure(settings, 2, 1)
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        for number in range(4):
            value = dump_application(
                APPLICATIONS["plain"] | {"application_id": f"a-{number}", "amount": DEAREST if number == 3 else 500},
                shipped_contract(),
            )
            producer.produce(settings.applications_topic, value, f"a-{number}", partition=number % 2)
        producer.produce(settings.applications_topic, b"[]", partition=0)
        assert producer.flush(WAIT_S) == 0
        tally, late = Tally(), within(WAIT_S)
        with closing(KafkaLink(settings, tally, lambda: False)) as link:
            run(link, lambda: BUNDLE, CountingMonitor(), 65_536, lambda: tally.records > number + 1 or late())
        yield Guarded(f"127.0.0.1:{port}", broker.bootstrap_servers)


def _admit(admin: AdminClient) -> None:
    """Makes the users and gives them their rights, all at once."""
    cases = [*WHOLE, *LESS, *SEEING]
    add_users(admin, [STRANGER, LATE, *(case.user for case in cases)], _PASSWORD, ScramMechanism.SCRAM_SHA_256)
    wanted = [binding for case in cases for binding in bindings(case.user, case.rights())]
    allow(admin, wanted)
    late = within(WAIT_S)
    one = wanted[-1]
    last = AclBindingFilter(
        one.restype, one.name, one.resource_pattern_type, one.principal, "*", one.operation, one.permission_type
    )
    while not admin.describe_acls(last).result(WAIT_S) and not late():
        time.sleep(0.1)


@contextmanager
def around(case: Case, guarded: Guarded) -> Iterator[Settings]:
    """What a case needs besides its rights: a member of the group to ask about, a dead letter to put back."""
    settings = case.settings(guarded.servers)
    if case.role in {Role.DLQ, Role.CONSOLE}:
        _set_aside(guarded, settings)
    if case.role is not Role.DEPLOY:
        yield settings
        return
    with closing(Consumer({"bootstrap.servers": guarded.open_servers, "group.id": settings.group_id})) as member:
        late = within(WAIT_S)
        member.subscribe([settings.applications_topic])
        while not member.assignment() and not late():
            member.poll(0.1)
        yield settings


def _set_aside(guarded: Guarded, settings: Settings) -> None:
    told = {
        rejection.CODE_HEADER: "model_error",
        rejection.REASON_HEADER: "the model fails on it",
        rejection.TOPIC_HEADER: settings.applications_topic,
        rejection.PARTITION_HEADER: "0",
        rejection.OFFSET_HEADER: "0",
        rejection.AT_HEADER: "2026-01-01T00:00:00Z",
    }
    producer = Producer({"bootstrap.servers": guarded.open_servers})
    producer.produce(
        settings.dead_letters_topic,
        dump_application(APPLICATIONS["plain"], shipped_contract()),
        b"a-0",
        headers=dict(told),
    )
    assert producer.flush(WAIT_S) == 0


@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.user)
def test_the_rights_of_the_table_are_enough(case: Case, guarded: Guarded) -> None:
    """With the rights of its role, and no others, a principal does all that the role does."""
    with around(case, guarded) as settings:
        DOES[case.role](settings)


@pytest.mark.parametrize("case", LESS, ids=lambda case: case.user)
def test_each_right_of_the_table_is_needed(case: Case, guarded: Guarded) -> None:
    """With one right less, what fails names the resource, the operation and the command that grants it.

    A right to a topic that was missing was told as a missing topic, one to a transactional id as another operator who
    had been quicker, and one to a group without the group's name.
    """
    refuse(case, guarded)


@pytest.mark.parametrize("case", SEEING, ids=lambda case: case.user)
def test_seeing_a_topic_is_not_enough(case: Case, guarded: Guarded) -> None:
    """The same where the principal may describe the topic, which is refused later: where it reads or writes."""
    refuse(case, guarded)


def refuse(case: Case, guarded: Guarded) -> None:
    """Does what the role does, which must fail for the right that is missing."""
    lacked = case.lacked()
    with around(case, guarded) as settings, pytest.raises(REFUSALS) as refusal:
        DOES[case.role](settings)
    if isinstance(refusal.value, KafkaException) and case.role is not Role.READER:
        raise refusal.value
    if isinstance(refusal.value, KafkaException):  # a reader's own program
        assert case.role is Role.READER
        assert "authorization failed" in str(refusal.value).lower()
        return
    said = str(refusal.value)
    assert f"{lacked.operation} on {lacked.resource}" in said
    assert grant([lacked], f"User:{case.user}", guarded.servers)[0] in said
    assert "missing topic" not in said
    assert "at the same time" not in said
    assert _PASSWORD not in said


@pytest.mark.parametrize("role", Role)
def test_a_stranger_may_do_nothing(role: Role, guarded: Guarded) -> None:
    """A principal that no table lists is refused everything."""
    settings = Case(role).settings(guarded.servers)
    kafka = settings.kafka | {"sasl.username": STRANGER}
    with pytest.raises(REFUSALS) as refusal:
        DOES[role](settings.model_copy(update={"kafka": kafka}))
    assert "authorization failed" in str(refusal.value).lower()


def test_a_right_that_is_granted_later(guarded: Guarded) -> None:
    """A console publishes as soon as it may, without a restart: librdkafka's producer ends with the first rejection."""
    settings = Case(Role.CONSOLE).settings(guarded.servers)
    settings = settings.model_copy(update={"kafka": settings.kafka | {"sasl.username": LATE}})
    publisher = RecordPublisher(settings, settings.applications_topic, "the application")
    _allow_late(guarded, settings, Operation.DESCRIBE)

    def answer() -> str:
        try:
            return str(publisher.publish("a-late", b"{}")["topic"])
        except BrokerError as error:
            return str(error)

    wait_until(lambda: "Cluster authorization failed" in answer(), "the rejection of a producer")
    assert "Cluster authorization failed" in answer()
    _allow_late(guarded, settings, Operation.WRITE)
    wait_until(lambda: answer() == settings.applications_topic, "the first record")


def _allow_late(guarded: Guarded, settings: Settings, operation: Operation) -> None:
    right = Right(operation, Kind.TOPIC, settings.applications_topic)
    allow(AdminClient({"bootstrap.servers": guarded.open_servers}), bindings(LATE, [right]))
