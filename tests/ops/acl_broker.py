"""A broker with passwords (SCRAM) and ACLs: one listener for its users, and a plain one for the administrator."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from scorer.errors import LocalBrokerError
from scorer.local import apache_kafka
from scorer.local.broker import Broker
from scorer.local.running import free_ports

_WAIT_S: Final = 60.0


@contextmanager
def broker_with_acls(protocol: str, mechanism: str, overrides: Mapping[str, str]) -> Iterator[tuple[Broker, int]]:
    """The broker, which allows its users nothing, and the port at which they connect; skips without Java.

    Args:
        protocol: of the users' listener: SASL_PLAINTEXT or SASL_SSL.
        mechanism: SCRAM-SHA-256 or SCRAM-SHA-512.
        overrides: further properties of the broker.
    """
    plain, controller, users = free_ports(3)
    host = "localhost" if protocol == "SASL_SSL" else "127.0.0.1"
    properties = {
        "listeners": f"PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},{protocol}://127.0.0.1:{users}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},{protocol}://{host}:{users}",
        "listener.security.protocol.map": f"PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,{protocol}:{protocol}",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
        "sasl.enabled.mechanisms": mechanism,
        f"listener.name.{protocol.lower()}.{mechanism.lower()}.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        **overrides,
    }
    try:
        broker = apache_kafka.start(plain, properties, lambda _: None)
    except LocalBrokerError as fault:
        pytest.skip(f"needs Kafka on this machine's Java: {fault}")
    with broker:
        yield broker, users


def add_users(admin: AdminClient, names: Iterable[str], password: str, mechanism: ScramMechanism) -> None:
    """Creates users with a password, all at once."""
    credential = ScramCredentialInfo(mechanism, 4096)
    users: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(name, credential, password.encode()) for name in names
    ]
    for future in admin.alter_user_scram_credentials(users).values():
        future.result(_WAIT_S)
