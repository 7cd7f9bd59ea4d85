"""No plain text by accident: properties for TLS or a login that have no effect, and what is weaker than it looks."""

from collections.abc import Callable, Mapping

import pytest
from pydantic import ValidationError

from producer.errors import MisuseError
from producer.settings import Settings as PublisherSettings
from producer.settings import load_settings as load_publisher
from schemas.transport import find_weaknesses
from scorer.errors import SettingsError
from scorer.settings import Settings, load_settings

LOGIN = {"sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "s3cr3t"}
UNSIGNED = {
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "OAUTHBEARER",
    "enable.sasl.oauthbearer.unsecure.jwt": "true",
}
CA = {"ssl.ca.location": "/ca.crt"}


def of_scorer(properties: Mapping[str, str], servers: str) -> None:
    """The scorer's settings."""
    load_settings({"bootstrap_servers": servers, "kafka": properties}, environment={})


def of_producer(properties: Mapping[str, str], servers: str) -> None:
    """The producer's settings."""
    load_publisher({"bootstrap_servers": servers, "kafka": properties}, environment={})


def in_python(properties: Mapping[str, str], servers: str) -> None:
    """The settings that a Python program makes of its own."""
    PublisherSettings(bootstrap_servers=servers, kafka=dict(properties))


each_program = pytest.mark.parametrize("load", [of_scorer, of_producer, in_python])


@each_program
@pytest.mark.parametrize(
    ("properties", "words"),
    [
        (LOGIN | CA, "kafka.security.protocol is not set: connections use neither TLS nor a login. Set"),
        (LOGIN, "kafka.sasl.mechanism, kafka.sasl.password, kafka.sasl.username: no effect"),
        (LOGIN, "Set kafka.security.protocol to SASL_SSL (TLS and a login), or remove"),
        (CA, "kafka.ssl.ca.location: no effect"),
        (CA, "Set kafka.security.protocol to SSL (TLS) or SASL_SSL (TLS and a login), or remove"),
        (CA | {"security.protocol": "plaintext"}, "kafka.security.protocol is PLAINTEXT: connections use neither"),
        (LOGIN | CA | {"security.protocol": "SSL"}, "kafka.security.protocol is SSL: connections use TLS without"),
        (LOGIN | CA | {"security.protocol": "SASL_PLAINTEXT"}, "kafka.ssl.ca.location: no effect"),
        ({"enable.ssl.certificate.verification": "true"}, "kafka.enable.ssl.certificate.verification: no effect"),
        ({"enable.sasl.oauthbearer.unsecure.jwt": "true"}, "kafka.enable.sasl.oauthbearer.unsecure.jwt: no effect"),
        ({"sasl.pasword": "s3cr3t"}, "kafka.sasl.pasword: no effect"),
    ],
)  # fmt: skip
def test_properties_without_an_effect(
    load: Callable[[Mapping[str, str], str], None], properties: dict[str, str], words: str
) -> None:
    """TLS and a password without `security.protocol` meant plain text, and `scorer doctor` found nothing wrong."""
    with pytest.raises((SettingsError, MisuseError, ValidationError)) as refused:
        load(properties, "localhost:9092")
    assert words in str(refused.value)
    assert "s3cr3t" not in str(refused.value)


@each_program
@pytest.mark.parametrize(
    ("servers", "properties"),
    [
        ("SSL://a:1", {}),
        ("a:1, SSL://b:1", {}),
        ("PLAINTEXT://a:1", CA | {"security.protocol": "SSL"}),
        ("SASL_PLAINTEXT://a:1", LOGIN | {"security.protocol": "SASL_SSL"}),
    ],
)
def test_an_address_with_another_protocol(
    load: Callable[[Mapping[str, str], str], None], servers: str, properties: dict[str, str]
) -> None:
    """The client ignores it, and says "No brokers configured" where it is the only one."""
    with pytest.raises((SettingsError, MisuseError, ValidationError), match=r"bootstrap_servers: .*:// does not fit"):
        load(properties, servers)


@each_program
@pytest.mark.parametrize("config", ["s3cr3t", "principal=a s3cr3t", "principal=a lifeSeconds=s3cr3t", "principal= a"])
def test_a_token_that_librdkafka_cannot_make(load: Callable[[Mapping[str, str], str], None], config: str) -> None:
    """Its message was "Unrecognized sasl.oauthbearer.config beginning at:", and then the secret."""
    properties = UNSIGNED | {"sasl.oauthbearer.config": config}
    with pytest.raises(
        (SettingsError, MisuseError, ValidationError), match=r"sasl\.oauthbearer\.config: write principal=NAME"
    ) as refused:
        load(properties, "a:1")
    assert "s3cr3t" not in str(refused.value)
    load(properties | {"sasl.oauthbearer.config": "principal=a  scope=b,c lifeSeconds=60 extension_traceId=1"}, "a:1")


@each_program
@pytest.mark.parametrize(
    ("servers", "properties"),
    [
        ("a:1", {}),
        ("a:1", {"security.protocol": "PLAINTEXT"}),
        ("a:1", CA | {"security.protocol": "ssl"}),
        ("SASL_SSL://a:1", LOGIN | CA | {"security.protocol": "SASL_SSL"}),
        ("a:1", LOGIN | {"security.protocol": "SASL_PLAINTEXT"}),
    ],
)
def test_settings_that_fit(
    load: Callable[[Mapping[str, str], str], None], servers: str, properties: dict[str, str]
) -> None:
    """What says what it means is taken, plain text too."""
    load(properties, servers)


def test_a_login_in_an_address_is_not_shown() -> None:
    """An address is shown in messages and by `scorer config`."""
    for load in (of_scorer, of_producer):
        with pytest.raises((SettingsError, MisuseError), match="a login is not part of an address") as refused:
            load({}, "SASL_SSL://u:s3cr3t@a:1")
        assert "s3cr3t" not in str(refused.value)


def test_a_program_of_ones_own_reveals_nothing() -> None:
    """What Python prints of settings, and of wrong ones, has no passwords in it."""
    protocol = {"security.protocol": "SASL_SSL"}
    assert "s3cr3t" not in repr(Settings(kafka=LOGIN | protocol))
    with pytest.raises(ValueError, match="no effect") as refused:
        Settings(kafka=LOGIN)
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"security.protocol": "SASL_PLAINTEXT"}, "security.protocol is SASL_PLAINTEXT"),
        ({"security.protocol": "SSL", "enable.ssl.certificate.verification": "False"}, "can pose as a broker"),
        ({"security.protocol": "sasl_ssl", "ssl.endpoint.identification.algorithm": "None"}, "algorithm is none"),
        ({"security.protocol": "SASL_SSL", "enable.sasl.oauthbearer.unsecure.jwt": "true"}, "tokens are not signed"),
        (
            {"security.protocol": "SASL_SSL", "sasl.oauthbearer.token.endpoint.url": "HTTP://login.example.com/token"},
            "token.endpoint.url is not https",
        ),
    ],
)
def test_weaknesses(properties: dict[str, str], words: str) -> None:
    """Each may be intended, and each is named with what to set instead."""
    (weakness,) = find_weaknesses(properties)
    assert words in weakness


def test_no_weakness() -> None:
    """TLS with a login, verified, and plain text without any claim to more."""
    assert not list(find_weaknesses({"security.protocol": "SASL_SSL", **LOGIN, **CA}))
    assert not list(find_weaknesses({}))
