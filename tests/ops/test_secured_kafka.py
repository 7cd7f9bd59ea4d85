"""docs/secured-kafka.md on a broker that wants TLS and a password, and allows nobody what the page does not name."""

import re
import secrets
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from scorer.errors import LocalBrokerError
from scorer.local import apache_kafka
from scorer.local.running import free_ports
from tests.ops.pages import DOCS, Terminal, blocks, missing_from

_PAGE: Final = DOCS / "secured-kafka.md"
_PASSWORD: Final = secrets.token_urlsafe()
_TOPICS: Final = ("credit.applications", "credit.decisions", "credit.applications.dlq", "scorer.deployments")
_WAIT_S: Final = 30
_USERS: Final = ("administrator", "scorer", "ana", "publisher", "nobody", "half")


class Secured(NamedTuple):
    """A broker with TLS, SCRAM and ACLs."""

    servers: str
    """Where users come in."""
    admin: AdminClient
    """The administrator, who comes in by another door and may do everything."""
    authority: Path
    """The certificate of whoever signed the broker's."""


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The broker, with nobody allowed anything."""
    folder = tmp_path_factory.mktemp("secured")
    certificate = _certificate(folder)
    plain, controller, tls = free_ports(3)
    overrides = {
        "listeners": f"PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SASL_SSL://127.0.0.1:{tls}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},SASL_SSL://localhost:{tls}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificate),
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:administrator",
    }
    try:
        broker = apache_kafka.start(plain, overrides, lambda _: None)
    except LocalBrokerError as fault:
        pytest.skip(f"needs Kafka on this machine's Java: {fault}")
    with broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        password = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        users: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(name, password, _PASSWORD.encode()) for name in _USERS
        ]
        for future in admin.alter_user_scram_credentials(users).values():
            future.result(_WAIT_S)
        yield Secured(f"localhost:{tls}", admin, folder / "ca.crt")


def _certificate(folder: Path) -> Path:
    """A broker's key and certificate in one file, and beside it the authority's certificate, ca.crt."""
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.crt -subj /CN=test-authority",
        "req -newkey rsa:2048 -nodes -keyout broker.key -out broker.csr -subj /CN=localhost",
        "x509 -req -in broker.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out broker.crt",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    whole = folder / "broker.pem"
    whole.write_bytes(b"".join((folder / name).read_bytes() for name in ("broker.key", "broker.crt", "ca.crt")))
    return whole


def rights(table: str) -> list[tuple[ResourceType, str, ResourcePatternType, AclOperation]]:
    """The rights that a table of the page names."""
    found = []
    for operations, places in re.findall(r"^\| ([A-Z]\w+(?:, \w+)*) \| (.+?) \|", table, re.MULTILINE):
        for place in places.split(", "):
            for kind, name, pattern in _resources(place):
                found += [(kind, name, pattern, _operation(operation)) for operation in operations.split(", ")]
    return found


def _resources(place: str) -> Iterator[tuple[ResourceType, str, ResourcePatternType]]:
    name = re.search("`(.+)`", place)
    if name is None:
        assert place == "the four topics"
        yield from ((ResourceType.TOPIC, topic, ResourcePatternType.LITERAL) for topic in _TOPICS)
        return
    kinds = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactional": ResourceType.TRANSACTIONAL_ID}
    pattern = ResourcePatternType.PREFIXED if "with the prefix" in place else ResourcePatternType.LITERAL
    yield kinds[place.split(maxsplit=1)[0]], name[1], pattern


def _operation(name: str) -> AclOperation:
    return AclOperation[re.sub("(?<=[a-z])(?=[A-Z])", "_", name).upper()]


def _tables() -> list[str]:
    """The page's tables of rights."""
    return re.findall(r"^\| operation .*?\n\n", _PAGE.read_text(), re.MULTILINE | re.DOTALL)


def allow(secured: Secured, user: str, table: str) -> None:
    """Gives a user the rights of a table, from anywhere."""
    bindings = [
        AclBinding(kind, name, pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
        for kind, name, pattern, operation in rights(table)
    ]
    assert bindings
    for future in secured.admin.create_acls(bindings).values():
        future.result(_WAIT_S)


def test_the_page(secured: Secured, tmp_path: Path) -> None:
    """With the page's settings and the rights of its tables, and no others, each does what the page says of him.

    As written, but for the broker's address, the files' places, and one copy of each record, since it is one broker.
    """
    found = blocks(_PAGE)
    (settings,) = (block.text for block in found if block.language == "toml")
    configured, checked, started, tried = (block.commands for block in found if block.language == "sh")
    shown_by_doctor, shown_by_try = (block.text for block in found if block.language == "text")
    workers, doctors, operators, publishers = _tables()
    password = tmp_path / "password"
    password.write_text(_PASSWORD + "\n")
    for place, real in {
        "kafka-1:9093": secured.servers,
        "/run/secrets/kafka-password": str(password),
        "/etc/ssl/certs/ca-certificates.crt": str(secured.authority),
    }.items():
        assert place in settings
        settings = settings.replace(place, real)
    (tmp_path / "scorer.toml").write_text(settings)
    scorer, administrator, ana, publisher = (
        Terminal(tmp_path, {"SCORER_KAFKA__SASL_USERNAME": user, "SCORER_HTTP_PORT": "0"})
        for user in ("scorer", "administrator", "ana", "publisher")
    )

    told = scorer.run(configured[0])
    assert "********" in told
    assert _PASSWORD not in told
    ensure, doctor = checked
    administrator.run(ensure.replace("--replication 3", "--replication 1"))
    administrator.run(doctor)

    allow(secured, "scorer", workers)
    allow(secured, "publisher", publishers)
    with scorer.running(started[0], until="partitions_changed"):
        assert not missing_from(publisher.run(tried[0]), shown_by_try)
        allow(secured, "scorer", doctors)
        told = scorer.run(doctor)
        assert not missing_from(told, shown_by_doctor), told
        allow(secured, "ana", operators)
        assert "every worker" in ana.run('scorer deploy credit-risk:1.0.0 --reason "to see whether she may"')
        assert "credit-risk:1.0.0" in ana.run("scorer history")


def test_what_does_not_work(secured: Secured, tmp_path: Path) -> None:
    """What the page's last table says is seen, is: another authority, a wrong password, no rights, no TLS."""
    rows = re.findall(r"^\| (`.+?) \|", _PAGE.read_text().partition("## When it does not work")[2], re.MULTILINE)
    faults = {
        "SCORER_KAFKA__SSL_CA_LOCATION": "/etc/ssl/certs/ca-certificates.crt",
        "SCORER_KAFKA__SASL_PASSWORD": "another",
        "SCORER_KAFKA__SASL_USERNAME": "nobody",
        "SCORER_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    }
    environments = [_environment(secured) | {name: value} for name, value in faults.items()]
    del environments[-1]["SCORER_KAFKA__SSL_CA_LOCATION"]  # without TLS the settings refuse it
    terminals = [Terminal(tmp_path, environment) for environment in environments]
    commands = ("scorer doctor", "scorer worker", "scorer worker --bundle credit-risk:1.1.0", "scorer history")
    with ThreadPoolExecutor(len(commands) * len(terminals)) as at_once:
        told = [[at_once.submit(terminal.run, command, exit_code=1) for command in commands] for terminal in terminals]
    for of_fault, row in zip(told, rows, strict=True):
        for said in of_fault:
            assert any(text in said.result() for text in re.findall("`([^`]+)`", row)), said.result()
            assert _PASSWORD not in said.result()


def test_no_right_to_transactions(secured: Secured, tmp_path: Path) -> None:
    """A worker with every right but that to its transactions says which one it wants."""
    rows = _tables()[0].splitlines(keepends=True)
    allow(secured, "half", "".join(row for row in rows if "transactional" not in row))
    terminal = Terminal(tmp_path, _environment(secured) | {"SCORER_KAFKA__SASL_USERNAME": "half"})
    said = terminal.run("scorer worker", exit_code=1)
    assert "Transactional Id authorization failed" in said
    assert "Allow this user Write and Describe on transactional ids with the prefix scorer/ " in said


def _environment(secured: Secured) -> dict[str, str]:
    """A worker's, with which all is well."""
    return {
        "SCORER_BOOTSTRAP_SERVERS": secured.servers,
        "SCORER_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "SCORER_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
        "SCORER_KAFKA__SASL_USERNAME": "scorer",
        "SCORER_KAFKA__SASL_PASSWORD": _PASSWORD,
        "SCORER_KAFKA__SSL_CA_LOCATION": str(secured.authority),
        "SCORER_HTTP_PORT": "0",
    }
