"""The table of rights: it goes by the settings, and messages name what it names."""

import json
import shlex

import pytest
from confluent_kafka import KafkaError
from typer.testing import CliRunner

from schemas.rights import (
    DENIED,
    TAIL_GROUP,
    Kind,
    Operation,
    Right,
    Role,
    grant,
    missing_topic,
    principal_of,
    to_topic,
)
from scorer.cli.topics import app
from scorer.settings import Settings
from scorer.stream.explain import with_hint
from scorer.stream.librdkafka import transactional_id
from scorer.stream.rights import needs_of, to_own_group, to_own_transactions

LOGIN = {"security.protocol": "SASL_SSL", "sasl.username": "ana"}
READ = to_topic(Operation.READ, "t")


def test_the_codes_are_kafkas() -> None:
    """Kafka's error codes for missing rights are those of the client."""
    assert dict(DENIED) == {
        KafkaError.TOPIC_AUTHORIZATION_FAILED: Kind.TOPIC,
        KafkaError.GROUP_AUTHORIZATION_FAILED: Kind.GROUP,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: Kind.TRANSACTIONAL_ID,
    }


@pytest.mark.parametrize("role", Role)
def test_names_come_from_the_settings(role: Role) -> None:
    """With other names for topics and group, no right is to one of the default names."""
    kinds = ("applications", "decisions", "dead_letters", "deployments", "reviews")
    names = {f"{kind}_topic": f"own.{kind}" for kind in kinds}
    rights = {need.right for need in needs_of(role, Settings(group_id="own group", **names))}
    given = {right.name for right in rights if right.name not in {TAIL_GROUP, "scorer-replay-", "decisions-table"}}
    assert all(name.startswith("own") for name in given)
    assert len(rights) == len(needs_of(role, Settings())), "no right stands in the table twice"


def test_a_workers_transactional_ids() -> None:
    """The prefix covers the ids of the group's workers, and workers that use no transactions need none."""
    settings = Settings(group_id="ä/b", instance_id="c")
    assert transactional_id(settings).startswith(to_own_transactions(settings).name)
    once = settings.model_copy(update={"delivery": "at-least-once"})
    assert len(needs_of(Role.WORKER, settings)) - len(needs_of(Role.WORKER, once)) == 1


def test_a_replay_is_allowed_once_for_all() -> None:
    """Rights of a replay's group are to all replays' groups: each has an id that nobody knows before."""
    settings = Settings(group_id="scorer-replay-20260101T000000Z-abcdef")
    replays = {need.right for need in needs_of(Role.REPLAY, Settings())}
    assert {to_own_group(settings, Operation.READ), to_own_transactions(settings)} <= replays


def test_commands_are_one_line_of_a_shell() -> None:
    """Operations on one resource share a command, and no name ends an argument."""
    rights = [to_topic(operation, "a b; c") for operation in (Operation.READ, Operation.WRITE, Operation.READ)]
    (command,) = grant(rights, "User:CN=$HOME", "k:1")
    words = shlex.split(command)
    assert words[-6:] == ["--operation", "Read", "--operation", "Write", "--topic", "a b; c"]
    assert "User:CN=$HOME" in words
    (prefixed,) = grant([Right(Operation.READ, Kind.GROUP, "g-", prefixed=True)], "User:x", "k:1")
    assert prefixed.endswith("--group g- --resource-pattern-type prefixed")


def test_who_a_client_is() -> None:
    """A user name is a principal; who comes with a certificate or a token puts in their own."""
    assert principal_of(LOGIN) == "User:ana"
    assert principal_of({"security.protocol": "SSL"}) == "User:NAME"


def test_a_topic_that_may_be_hidden() -> None:
    """Brokers may say of a topic without rights that it does not exist; not of a client that nobody knows."""
    plain = "missing topic: t; `scorer topics ensure` creates it"
    assert missing_topic(READ, {}, "k:1") == plain
    message = missing_topic(READ, LOGIN, "k:1")
    assert message.startswith(f"{plain}. If it exists, User:ana has no Describe permission on it")
    assert message.endswith("--operation Read --topic t`")
    unknown = with_hint(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), Settings(kafka=LOGIN), READ)
    assert "If it exists, User:ana has no Describe permission on it" in unknown


def test_the_command_prints_the_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Roles are put together, for the names in the settings and the principal that is asked for."""
    monkeypatch.setenv("SCORER_KAFKA__SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("SCORER_KAFKA__SASL_USERNAME", "ana")
    names = ["--set", "deployments_topic=own.deployments", "-b", "k:1"]
    ran = CliRunner().invoke(app, ["rights", "deploy", "dlq", *names])
    assert ran.exit_code == 0, ran.output
    settings = Settings(bootstrap_servers="k:1", deployments_topic="own.deployments")
    rights = [need.right for role in (Role.DEPLOY, Role.DLQ) for need in needs_of(role, settings)]
    assert ran.stdout.splitlines() == grant(rights, "User:ana", "k:1")
    ran = CliRunner().invoke(app, ["rights", "worker", "--principal", "User:x", *names])
    assert "--allow-principal User:x " in ran.stdout
    ran = CliRunner().invoke(app, ["rights", "reader", "--json"])
    assert [right["kind"] for right in json.loads(ran.stdout)] == ["topic", "group"]
