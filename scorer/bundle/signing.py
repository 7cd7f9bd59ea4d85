"""Ed25519 signatures of bundles (by digest) and of deployment events.

A signature is one line of text, `ed25519:KEY-ID:SIGNATURE`: the first 16 hexadecimal digits of the sha256 of the public
key, and the signature in base64. Each signed statement begins with its type, so a signature of a bundle is never valid
for an event, or vice versa.
"""

import base64
import hashlib
import os
import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, NamedTuple

from schemas.decision import BundleReference
from scorer.errors import MisuseError, SettingsError
from scorer.extras import install_command

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_BUNDLE_PREFIX: Final = b"streaming-credit-scorer bundle 1\n"
_EVENT_PREFIX: Final = b"streaming-credit-scorer deployment event 1\n"
_KEY_BYTES: Final = 32
_KEY_FILE_BYTES_MAX: Final = 10_000
_split_signature = re.compile("ed25519:(?P<key>[0-9a-f]{16}):(?P<signature>[A-Za-z0-9+/]{86}==)").fullmatch


class Signature(NamedTuple):
    """A parsed signature, not verified."""

    key_id: str
    """The id of the key that claims to have made it."""
    signature: bytes

    def __str__(self) -> str:
        """The text form, as stored and published."""
        return f"ed25519:{self.key_id}:{base64.b64encode(self.signature).decode()}"


def parse_signature(text: str) -> Signature | None:
    """Parses a signature; None if it is malformed."""
    parts = _split_signature(text)
    return None if parts is None else Signature(parts["key"], base64.b64decode(parts["signature"]))


def bundle_statement(reference: BundleReference) -> bytes:
    """Returns the signed statement for a bundle: its name, version and digest, which covers all files."""
    return _BUNDLE_PREFIX + str(reference).encode()


def event_statement(cluster_id: str, topic: str, value: bytes) -> bytes:
    """Returns the signed statement for an event: its bytes, and the cluster and topic for which it is valid."""
    return _EVENT_PREFIX + f"{cluster_id}\n{topic}\n".encode() + value


class PublicKey:
    """A public key, which verifies signatures."""

    def __init__(self, raw: bytes) -> None:
        """Creates the key from its 32 bytes.

        Raises:
            SettingsError: `cryptography` is not installed.
        """
        self._key: Ed25519PublicKey = _ed25519().Ed25519PublicKey.from_public_bytes(raw)
        self.text = base64.b64encode(raw).decode()
        """Its bytes in base64."""
        self.key_id = hashlib.sha256(raw).hexdigest()[:16]

    def verifies(self, signature: Signature, statement: bytes) -> bool:
        """Whether this key signed this statement."""
        from cryptography.exceptions import InvalidSignature

        if signature.key_id != self.key_id:
            return False
        try:
            self._key.verify(signature.signature, statement)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """A private key, which signs statements."""

    def __init__(self, key: "Ed25519PrivateKey") -> None:
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes_raw())

    def sign(self, statement: bytes) -> Signature:
        """Signs a statement."""
        return Signature(self.public.key_id, self._key.sign(statement))


def make_key(path: Path) -> SigningKey:
    """Generates a key and writes it to a new file that only its owner can read.

    Raises:
        MisuseError: the file exists or cannot be written.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = _ed25519().Ed25519PrivateKey.generate()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise MisuseError(f"{path} already exists, and a key is never overwritten: choose another name") from None
    except OSError as error:
        raise MisuseError(f"{path} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return SigningKey(key)


def read_signing_key(path: Path) -> SigningKey:
    """Reads a private key: PEM in PKCS #8, as `scorer trust new-key` and `openssl genpkey` write it.

    Raises:
        MisuseError: it cannot be read, or is not such a key.
    """
    ed25519 = _ed25519()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read_key_file(path), None)
    except (ValueError, TypeError):  # do not show its text, which may quote the file
        raise MisuseError(f"{path} is not a PEM private key without a password") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise MisuseError(f"{path} is not an Ed25519 key: `scorer trust new-key FILE` creates one")
    return SigningKey(key)


def read_public_key(text: str) -> PublicKey:
    """Reads a public key: its 32 bytes in base64, or the path of a PEM file, as `openssl pkey -pubout` writes it.

    Raises:
        MisuseError: the text is neither.
    """
    raw = _decode_key(text)
    if raw is not None:
        return PublicKey(raw)
    ed25519 = _ed25519()
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_read_key_file(Path(text)))
    except ValueError:
        raise MisuseError(
            f"{text} is not a public key: use the 44 characters that `scorer trust new-key` prints, or a PEM file of a "
            "public key"
        ) from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise MisuseError(f"{text} is not an Ed25519 key")
    return PublicKey(key.public_bytes_raw())


def parse_public_key(text: str) -> PublicKey | None:
    """Parses a public key from its 32 bytes in base64; None if it is malformed."""
    raw = _decode_key(text)
    return None if raw is None else PublicKey(raw)


def _decode_key(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return raw if len(raw) == _KEY_BYTES else None


def _read_key_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_KEY_FILE_BYTES_MAX)
    except OSError as error:
        raise MisuseError(f"{path} cannot be read: {error.strerror}") from error


def _ed25519() -> ModuleType:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise SettingsError(f"signatures need the package cryptography: {install_command('signatures')}") from error
    return ed25519
