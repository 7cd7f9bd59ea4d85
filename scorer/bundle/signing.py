"""Ed25519 signatures of what decides: of a bundle's digest, and of an event of the history of deployments.

A signature is one line of text, `ed25519:KEY-ID:SIGNATURE`: the first 16 hexadecimal digits of the sha256 of the public
key, and the signature in base64. What is signed begins with what it is, so that a signature of one kind is none of the
other kind.
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

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_BUNDLE: Final = b"streaming-credit-scorer bundle 1\n"
_EVENT: Final = b"streaming-credit-scorer deployment event 1\n"
_KEY_BYTES: Final = 32
_KEY_FILE_BYTES_MAX: Final = 10_000
_split_signature = re.compile("ed25519:(?P<key>[0-9a-f]{16}):(?P<signature>[A-Za-z0-9+/]{86}==)").fullmatch


class Signature(NamedTuple):
    """A signature, not verified yet."""

    key_id: str
    """Of the key that is said to have made it."""
    signature: bytes

    def __str__(self) -> str:
        """As it is kept and sent."""
        return f"ed25519:{self.key_id}:{base64.b64encode(self.signature).decode()}"


def parse_signature(text: str) -> Signature | None:
    """Reads a signature; None if it is none."""
    found = _split_signature(text)
    return None if found is None else Signature(found["key"], base64.b64decode(found["signature"]))


def bundle_statement(reference: BundleReference) -> bytes:
    """What is signed of a bundle: its name, version and digest, which covers all its files."""
    return _BUNDLE + str(reference).encode()


def event_statement(cluster_id: str, topic: str, value: bytes) -> bytes:
    """What is signed of an event: its bytes, and where it counts, so that it counts nowhere else."""
    return _EVENT + f"{cluster_id}\n{topic}\n".encode() + value


class PublicKey:
    """A key that verifies."""

    def __init__(self, raw: bytes) -> None:
        """Takes its 32 bytes.

        Raises:
            SettingsError: `cryptography` is not installed.
        """
        self._key: Ed25519PublicKey = _ed25519().Ed25519PublicKey.from_public_bytes(raw)
        self.text = base64.b64encode(raw).decode()
        """Its bytes in base64."""
        self.key_id = hashlib.sha256(raw).hexdigest()[:16]

    def verifies(self, signature: Signature, statement: bytes) -> bool:
        """Whether the signature is this key's, and of this statement."""
        from cryptography.exceptions import InvalidSignature

        if signature.key_id != self.key_id:
            return False
        try:
            self._key.verify(signature.signature, statement)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """A private key."""

    def __init__(self, key: "Ed25519PrivateKey") -> None:
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes_raw())

    def sign(self, statement: bytes) -> Signature:
        """Signs."""
        return Signature(self.public.key_id, self._key.sign(statement))


def make_key(path: Path) -> SigningKey:
    """Makes a key and writes it into a new file that its owner alone may read.

    Raises:
        MisuseError: there is such a file, or it cannot be written.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = _ed25519().Ed25519PrivateKey.generate()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise MisuseError(f"{path} is there already, and a key is never overwritten: choose another name") from None
    except OSError as error:
        raise MisuseError(f"{path} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return SigningKey(key)


def read_signing_key(path: Path) -> SigningKey:
    """Reads a private key: PEM in PKCS #8, as `scorer trust new-key` and `openssl genpkey` write it.

    Raises:
        MisuseError: it cannot be read, or is no such key.
    """
    ed25519 = _ed25519()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read_key_file(path), None)
    except (ValueError, TypeError):  # not its text: it may quote the file
        raise MisuseError(f"{path} is no private key in PEM without a password") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise MisuseError(f"{path} is no Ed25519 key: `scorer trust new-key FILE` makes one")
    return SigningKey(key)


def read_public_key(text: str) -> PublicKey:
    """Reads a public key: its 32 bytes in base64, or the path of a PEM file, as `openssl pkey -pubout` writes it.

    Raises:
        MisuseError: it is neither.
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
            f"{text} is no public key: give the 44 characters that `scorer trust new-key` prints, or a PEM file of a "
            "public key"
        ) from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise MisuseError(f"{text} is no Ed25519 key")
    return PublicKey(key.public_bytes_raw())


def parse_public_key(text: str) -> PublicKey | None:
    """Reads a public key from its 32 bytes in base64; None if it is none."""
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
        raise SettingsError(
            'signatures need the package cryptography: pip install "streaming-credit-scorer[signatures]"'
        ) from error
    return ed25519
