"""What is never shown: secret properties by a rule, which also knows misspelt ones, and URLs that let anyone in."""

import ctypes
import re
from pathlib import Path

import confluent_kafka
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.confidential import (
    AZURE_CONTAINER,
    PLAIN_PROPERTIES,
    SECRET_PROPERTIES,
    URL_LOGIN,
    URL_QUERY,
    has_url_credentials,
    is_secret,
    strip_file_suffix,
)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all properties of the librdkafka that is installed, as it lists them itself."""
    wheel = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    library = next(wheel.glob("librdkafka-*"), None)
    if library is None:
        pytest.skip("librdkafka is not the one of the wheel")
    listing = tmp_path_factory.mktemp("librdkafka") / "properties"
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.fopen(str(listing).encode(), b"w"))
    ctypes.CDLL(str(library)).rd_kafka_conf_properties_show(stream)
    libc.fclose(stream)
    return set(re.findall(r"^([a-z][a-z0-9.]+) +\|", listing.read_text(), re.MULTILINE))


def test_every_property_of_librdkafka_is_known(known: set[str]) -> None:
    """A property that librdkafka gains under `sasl.` or `ssl.` counts as a secret until it is listed as plain."""
    assert {name for name in known if is_secret(name)} == set(SECRET_PROPERTIES)
    assert known >= PLAIN_PROPERTIES
    assert not {name for name in PLAIN_PROPERTIES if is_secret(name)}


def test_properties_that_name_a_file_are_not_read_from_one(known: set[str]) -> None:
    """The client opens those files itself."""
    assert {name for name in known if name.endswith(".file")} > {"sasl.oauthbearer.assertion.file"}
    assert {name for name in known if strip_file_suffix(name) != name} == set()
    assert strip_file_suffix("sasl.password.file") == "sasl.password"
    assert strip_file_suffix("client.rack.file") == "client.rack.file"


@pytest.mark.parametrize(
    "name",
    [
        "sasl.pasword", "sasl.passwd", "sasl.paswrod", "sasl_password", "SASL.PASSWORD", "sals.password", "pasword",
        "ssl.key.pasphrase", "ssl.keystore.key", "ssl.key.pme", "sasl.jaas.config", "sasl.oauthbearer.secert",
        "sasl.oauthbearer.confg", "ssl.truststore.password", "basic.auth.pwd", "bearer.token", "sasl-password",
    ],
)  # fmt: skip
def test_misspelt_secrets(name: str) -> None:
    """`scorer config` printed the value of `sasl.pasword`: no list of names has it."""
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "sasl.username", "sasl.mechanism", "ssl.ca.location", "ssl.key.location", "security.protocol", "client.id",
        "sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.assertion.private.key.file", "session.timeout.ms",
        "enable.ssl.certificate.verification", "compression.type", "partition.assignment.strategy", "ssl.cipher.suites",
    ],
)  # fmt: skip
def test_a_property_that_is_not_secret_is_shown(name: str) -> None:
    """Who looks for a mistake needs to see it."""
    assert not is_secret(name)


WITH_CREDENTIALS = [
    "s3://k:hunter2@b", "simplecache::s3://k:hunter2@b", "zip://x.zip::s3://k:hunter2@b/x", "S3://k:hunter2@b",
    "https://TOKEN@h", "https://TOKEN@h/x", "sftp://u:hun/ter2@h", "sftp://u:hun?ter2@h", "sftp://u:hun#ter2@h/x",
    "sftp://user@h/x", "s3:/k:hunter2@b", "https:k:hunter2@h", "HTTPS://h/x?SIG=abc", "abfs://c/x?sv=1&sig=abc",
    "https://h/x?access_token=abc", "https://h/x#token=abc", "https://h/x?X-Amz-Signature=abc", "https://h/x?s%69g=a",
    "https://h/x?X-Goog-Credential=a", "https://h/x?apikey=a", "https://h/x?code=a", "abfs://c@h.dfs.core.windows.net?sig=a",
    "abfs://key:hunter2@h.dfs.core.windows.net/x", "abfs://c@h.dfs.core.windows.net:hunter2@evil/x", "s3://k:@b", "s3://:p@b",
]  # fmt: skip
WITHOUT_CREDENTIALS = [
    "s3://models/bundles", "s3://models/a@b", "gs://models/design=1", "https://h:8080/x?version=1&design=2",
    "abfs://container@account.dfs.core.windows.net/bundles", "ABFSS://c@account.blob.core.windows.net/x", "/srv/a:b@c",
    "./models", "C:/models/a:b@c", "credit-risk:1.0.0@0f3a9c", "simplecache::s3://models/bundles", "file:///srv/bundles",
    "https://login.example.com/realms/x/protocol/openid-connect/token", "kafka-1:9092", "", "./a?sig=1",
]  # fmt: skip


@pytest.mark.parametrize("url", WITH_CREDENTIALS)
def test_urls_with_credentials(url: str) -> None:
    """Only `scheme://user:password@host` in small letters, without a slash in it, was known."""
    assert has_url_credentials(url)


@pytest.mark.parametrize("url", WITHOUT_CREDENTIALS)
def test_urls_without_credentials(url: str) -> None:
    """Azure names a container where others have a login; paths and versions may have an @."""
    assert not has_url_credentials(url)


PIECES = st.sampled_from([
    "s3", "ab", "http", "abfs", ":", "/", "//", "://", "@", "?", "&", ";", "#", "=", "token", "sig", "key", "x", ".",
    "-", "c.dfs.", "A", "\n", " ",
])  # fmt: skip


@given(st.lists(PIECES, max_size=14).map("".join))
def test_urls_are_read_as_the_expressions_say(text: str) -> None:
    """A text is read in pieces, for speed; the chart has the expressions alone and finds the same."""
    whole = re.sub(AZURE_CONTAINER, r"\1://\2/\3", text)
    is_url = re.search(r"(?i)[a-z][a-z0-9+.-]{1,40}:/", text)
    expected = bool(re.search(URL_LOGIN, whole) or (is_url and re.search(URL_QUERY, text)))
    assert has_url_credentials(text) == expected
