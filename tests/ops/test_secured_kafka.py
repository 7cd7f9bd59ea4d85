"""docs/secured-kafka.md on a broker that wants TLS and a password, and allows nobody what the page does not name."""

import re
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter
from confluent_kafka.admin._scram import ScramMechanism

from schemas.rights import Kind, Role
from scorer.settings import Settings
from scorer.stream.rights import needs_of
from tests.acls import allow, bindings
from tests.ops.acl_broker import add_users, broker_with_acls
from tests.ops.pages import DOCS, Terminal, blocks, missing_from
from tests.tools import tool

_PAGE: Final = DOCS / "secured-kafka.md"
_PASSWORD: Final = secrets.token_urlsafe()
_WAIT_S: Final = 30
_USERS: Final = ("administrator", "scorer", "ana", "publisher", "nobody", "half", "worker")


class Secured(NamedTuple):
    """A broker with TLS, SCRAM and ACLs."""

    servers: str
    """Where users come in."""
    admin: AdminClient
    """The administrator, who comes in by another door and may do everything."""
    admin_servers: str
    """That door."""
    authority: Path
    """The certificate of whoever signed the broker's."""


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The broker, with nobody allowed anything."""
    folder = tmp_path_factory.mktemp("secured")
    certificate = _certificate(folder)
    overrides = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificate),
        "super.users": "User:ANONYMOUS;User:administrator",
    }
    with broker_with_acls("SASL_SSL", "SCRAM-SHA-512", overrides) as (broker, port):
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        add_users(admin, _USERS, _PASSWORD, ScramMechanism.SCRAM_SHA_512)
        yield Secured(f"localhost:{port}", admin, broker.bootstrap_servers, folder / "ca.crt")


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


def give(secured: Secured, user: str, role: Role) -> None:
    """Gives a user the rights of a role."""
    allow(secured.admin, bindings(user, (need.right for need in needs_of(role, Settings()))))


def test_the_page(secured: Secured, tmp_path: Path) -> None:
    """With the page's settings and the rights of the roles, and no others, each does what the page says of him.

    As written, but for the broker's address, the files' places, and one copy of each record, since it is one broker.
    """
    page_blocks = blocks(_PAGE)
    (settings,) = (block.text for block in page_blocks if block.language == "toml")
    configured, granted, checked, started, tried = (block.commands for block in page_blocks if block.language == "sh")
    shown_by_rights, shown_by_doctor, shown_by_try = (block.text for block in page_blocks if block.language == "text")
    password = tmp_path / "password"
    password.write_text(_PASSWORD + "\n")
    for setting, real in {
        "kafka-1:9093": secured.servers,
        "/run/secrets/kafka-password": str(password),
        "/etc/ssl/certs/ca-certificates.crt": str(secured.authority),
    }.items():
        assert setting in settings
        settings = settings.replace(setting, real)
    (tmp_path / "scorer.toml").write_text(settings)
    scorer, administrator, ana, publisher = (
        Terminal(tmp_path, {"SCORER_KAFKA__SASL_USERNAME": user, "SCORER_HTTP_PORT": "0"}, forks=True)
        for user in ("scorer", "administrator", "ana", "publisher")
    )

    outputs = scorer.run(configured[0])
    assert "********" in outputs
    assert _PASSWORD not in outputs
    assert not missing_from("".join(scorer.run(command) for command in granted), shown_by_rights)
    ensure, doctor = checked
    administrator.run(ensure.replace("--replication 3", "--replication 1"))
    administrator.run(doctor)

    give(secured, "scorer", Role.WORKER)
    give(secured, "publisher", Role.PUBLISHER)
    with scorer.running(started[0], until="partitions_changed"):
        assert not missing_from(publisher.run(tried[0]), shown_by_try)
        give(secured, "scorer", Role.DOCTOR)
        outputs = scorer.run(doctor)
        assert not missing_from(outputs, shown_by_doctor), outputs
        give(secured, "ana", Role.DEPLOY)
        assert "all workers" in ana.run('scorer deploy credit-risk:1.1.0 --reason "to see whether she may"')
        assert "credit-risk:1.1.0" in ana.run("scorer history")


def test_what_does_not_work(secured: Secured, tmp_path: Path) -> None:
    """What the page's last table says is seen, is: another authority, a wrong password, no rights, no TLS."""
    rows = re.findall(r"^\| (`.+?) \|", _PAGE.read_text().partition("## Troubleshooting")[2], re.MULTILINE)
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
        outputs = [
            [at_once.submit(terminal.run, command, exit_code=1) for command in commands] for terminal in terminals
        ]
    for of_fault, row in zip(outputs, rows, strict=True):
        for output in of_fault:
            assert any(text in output.result() for text in re.findall("`([^`]+)`", row)), output.result()
            assert _PASSWORD not in output.result()


def test_no_right_to_transactions(secured: Secured, tmp_path: Path) -> None:
    """A worker with every right but that to its transactions says which one it wants."""
    needs = needs_of(Role.WORKER, Settings())
    allow(secured.admin, bindings("half", (n.right for n in needs if n.right.kind is not Kind.TRANSACTIONAL_ID)))
    terminal = Terminal(tmp_path, _environment(secured) | {"SCORER_KAFKA__SASL_USERNAME": "half"})
    output = terminal.run("scorer worker", exit_code=1)
    assert "Transactional Id authorization failed" in output
    assert "Allow User:half Write on transactional ids with the prefix scorer/: `kafka-acls.sh " in output


def test_the_commands_are_kafkas(secured: Secured, tmp_path: Path) -> None:
    """Kafka's own tool takes the commands that `scorer topics rights` prints, and they grant the role's rights."""
    program = tool("kafka-tools")
    (tmp_path / "admin.properties").write_text("")  # the administrator's door wants no login
    flags = ("--principal", "User:worker", "-b", secured.admin_servers)
    printed = Terminal(tmp_path, {}, forks=True).run(shlex.join(["scorer", "topics", "rights", "worker", *flags]))
    for line in printed.splitlines():
        name, *arguments = shlex.split(line)
        assert name == "kafka-acls.sh"
        command: list[str | Path] = [program, "org.apache.kafka.tools.AclCommand", *arguments]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=_WAIT_S)
    for binding in bindings("worker", (need.right for need in needs_of(Role.WORKER, Settings()))):
        assert secured.admin.describe_acls(_only(binding)).result(_WAIT_S), binding


def _only(binding: AclBinding) -> AclBindingFilter:
    pattern, permission = binding.resource_pattern_type, binding.permission_type
    return AclBindingFilter(
        binding.restype, binding.name, pattern, binding.principal, binding.host, binding.operation, permission
    )


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
