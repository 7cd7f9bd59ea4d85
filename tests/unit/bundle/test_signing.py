"""Signatures and keys: what verifies, what does not, and files of keys."""

from pathlib import Path

import pytest

from schemas.decision import BundleReference
from scorer.bundle.signing import (
    Signature,
    bundle_statement,
    event_statement,
    make_key,
    parse_signature,
    read_public_key,
    read_signing_key,
)
from scorer.errors import MisuseError

BUNDLE = BundleReference(name="my-risk", version="1.0.0", digest="a" * 64)
# Of `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`; this key signs nothing but this test.
OPENSSL_PRIVATE = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIGeFMSOfAJntNioPu56JI4utVgb87+RgBCR631UKn2iv
-----END PRIVATE KEY-----
"""
OPENSSL_PUBLIC = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAkLhkQcf2qsBa2MV64gk4fwav3otlU5t/imwojtY08ws=
-----END PUBLIC KEY-----
"""


def test_what_is_signed_verifies(tmp_path: Path) -> None:
    """By the public key as it is printed, after both went through a file and a text."""
    key = make_key(tmp_path / "key.pem")
    second = read_signing_key(tmp_path / "key.pem")
    signature = parse_signature(str(second.sign(bundle_statement(BUNDLE))))
    assert signature is not None
    public = read_public_key(key.public.text)
    assert public.key_id == second.public.key_id
    assert public.verifies(signature, bundle_statement(BUNDLE))
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600


def test_nothing_else_verifies(tmp_path: Path) -> None:
    """Not another statement, another key, another kind, or a bit more or less."""
    key, other = make_key(tmp_path / "a.pem"), make_key(tmp_path / "b.pem")
    statement = bundle_statement(BUNDLE)
    signature = key.sign(statement)
    assert not other.public.verifies(signature, statement)
    assert not other.public.verifies(Signature(other.public.key_id, signature.signature), statement)
    for bit in range(0, 512, 7):
        changed = bytearray(signature.signature)
        changed[bit // 8] ^= 1 << bit % 8
        assert not key.public.verifies(Signature(key.public.key_id, bytes(changed)), statement)
    for changed_statement in (
        statement + b"\n",
        bundle_statement(BUNDLE.model_copy(update={"version": "1.0.1"})),
        event_statement("", "", statement),
    ):
        assert not key.public.verifies(signature, changed_statement)


def test_an_event_counts_where_it_was_signed_for() -> None:
    """The cluster and the topic are part of what is signed, and cannot be moved into each other."""
    statements = {
        event_statement("cluster", "topic", b"{}"),
        event_statement("other", "topic", b"{}"),
        event_statement("cluster", "other", b"{}"),
        event_statement("cluster", "topic", b"{ }"),
    }
    assert len(statements) == 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ed25519",
        "ed25519:0123456789abcdef:AAAA",
        "rsa:0123456789abcdef:" + "A" * 86 + "==",
        "\x1b[2J",
        "x" * 10_000,
    ],
)
def test_not_a_signature(text: str) -> None:
    """It is told apart, whatever it is."""
    assert parse_signature(text) is None


def test_keys_of_openssl(tmp_path: Path) -> None:
    """Both files of OpenSSL are read, and belong together."""
    (tmp_path / "key.pem").write_text(OPENSSL_PRIVATE)
    (tmp_path / "pub.pem").write_text(OPENSSL_PUBLIC)
    key, public = read_signing_key(tmp_path / "key.pem"), read_public_key(str(tmp_path / "pub.pem"))
    assert key.public.text == public.text
    assert public.verifies(key.sign(b"x"), b"x")


def test_files_that_are_no_keys(tmp_path: Path) -> None:
    """One sentence, without anything of what is in the file."""
    path = tmp_path / "secret.txt"
    path.write_text("hunter2")
    with pytest.raises(MisuseError, match="is not a PEM private key without a password") as refused:
        read_signing_key(path)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(MisuseError, match="is not a public key: use the 44 characters"):
        read_public_key(str(path))
    with pytest.raises(MisuseError, match="cannot be read: No such file or directory"):
        read_signing_key(tmp_path / "none.pem")
    make_key(tmp_path / "key.pem")
    with pytest.raises(MisuseError, match="already exists, and a key is never overwritten"):
        make_key(tmp_path / "key.pem")
