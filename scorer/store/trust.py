"""The trusted keys file: the public keys that may sign bundles and deployments, and revoked keys."""

import json
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.decision import BundleReference
from schemas.fault_words import describe_faults
from scorer.bundle.manifest import Name
from scorer.bundle.signing import PublicKey, bundle_statement, parse_public_key, parse_signature
from scorer.errors import MisuseError, SettingsError, UnsignedError
from scorer.logs import TRUST_UNREADABLE, log
from scorer.store.entry import Located
from scorer.store.store import BundleStore

Purpose = Literal["bundles", "deployments"]
PURPOSES: Final[tuple[Purpose, ...]] = ("bundles", "deployments")
_FILE_BYTES_MAX: Final = 1 << 20


class TrustedKey(BaseModel):
    """A key in the file."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    name: Name
    key: Annotated[str, Field(min_length=44, max_length=44)]
    """The 32 bytes of the public key in base64."""
    signs: Annotated[tuple[Purpose, ...], Field(min_length=1)]
    revoked: bool = False
    """All signatures of a revoked key are invalid; the key stays in the file, so that it cannot be added again."""


class _File(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    keys: tuple[TrustedKey, ...]


class Trust:
    """The keys in the trusted keys file; `reloaded` reads it again."""

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            SettingsError: it is unreadable or invalid; the message says where.
        """
        self._path = path
        self._content = _read(path)
        self.keys = _parse(self._content, path)
        publics = [_public(key, path) for key in self.keys]
        self._by_id = {public.key_id: (key, public) for key, public in zip(self.keys, publics, strict=True)}
        if len(self._by_id) < len(self.keys):  # base64 can spell the same bytes in several ways
            raise SettingsError(f"trusted keys file {path} is invalid: it contains a key twice")
        self._logged_error = ""
        """The last logged error of reloading the file."""

    def signers(self, purpose: Purpose, statement: bytes, signatures: Iterable[str]) -> list[str]:
        """Returns the names of the trusted keys that signed a statement, each once, in order of the signatures.

        Malformed signatures, and signatures by other keys or of other statements, are ignored.
        """
        names: dict[str, None] = {}
        for text in signatures:
            signature = parse_signature(text)
            if signature is None or signature.key_id not in self._by_id:
                continue
            key, public = self._by_id[signature.key_id]
            if not key.revoked and purpose in key.signs and public.verifies(signature, statement):
                names[key.name] = None
        return list(names)

    def name_of(self, key_id: str) -> str | None:
        """Returns the name of a key; None if it is not in the file."""
        entry = self._by_id.get(key_id)
        return None if entry is None else entry[0].name

    def key_ids(self, purpose: Purpose) -> list[str]:
        """Returns the ids of the keys that are trusted for a purpose."""
        return [key_id for key_id, (key, _) in self._by_id.items() if purpose in key.signs and not key.revoked]

    def reloaded(self) -> "Trust":
        """Reloads the file if it changed; keeps the previous keys while it is unreadable or invalid."""
        try:
            return self if _read(self._path) == self._content else Trust(self._path)
        except SettingsError as error:
            if str(error) != self._logged_error:  # workers read it twice per second
                self._logged_error = str(error)
                log(TRUST_UNREADABLE, error=self._logged_error)
            return self


def locate_trusted(store: BundleStore, wanted: BundleReference | str, trust: Trust | None) -> Located:
    """Locates a bundle and checks its signature. Shipped bundles need no signature.

    Args:
        store: the bundle store.
        wanted: the reference in an event, or one of a user; paths are not allowed.
        trust: the trusted keys, one of which must have signed it; None requires no signature.

    Raises:
        UnsignedError: no trusted key signed it.
        BundleError: the bundle is not found, or the store is unreachable.
    """
    located = store.locate(wanted)
    if trust is not None and not located.shipped:
        require_signed(store, located.reference, trust)
    return located


def require_signed(store: BundleStore, reference: BundleReference, trust: Trust) -> None:
    """Checks that a trusted key signed a bundle, which need not be in the store any more.

    Raises:
        UnsignedError: no trusted key signed it.
        BundleError: the store is unreachable.
    """
    signatures = store.notes.signatures(reference, trust.key_ids("bundles"))
    if not trust.signers("bundles", bundle_statement(reference), signatures):
        raise UnsignedError(
            f"{reference.short} is not signed by a trusted key, and require_signatures is on: its owner must sign it "
            f"with scorer bundle sign {reference.name}:{reference.version}"
        )


def add_key(path: Path, key: TrustedKey) -> None:
    """Adds a key to the file, which is created if it does not exist.

    Raises:
        MisuseError: the file has a key with this name, or this key; or it cannot be written.
        SettingsError: the file is invalid.
    """
    keys = Trust(path).keys if path.exists() else ()
    for existing in keys:
        if existing.key == key.key:
            state = "revoked" if existing.revoked else "trusted"
            raise MisuseError(f"this key is already in {path}, as {existing.name} ({state})")
        if existing.name == key.name:
            raise MisuseError(f"{path} already has a key named {key.name}: choose another name")
    _write(path, (*keys, key))


def revoke_key(path: Path, name: str) -> None:
    """Revokes a key: all its signatures become invalid.

    Raises:
        MisuseError: the key is not in the file, or the file cannot be written.
        SettingsError: the file is invalid.
    """
    keys = Trust(path).keys
    if name not in {key.name for key in keys}:
        raise MisuseError(f"{path} has no key named {name}; it has: {', '.join(key.name for key in keys) or 'none'}")
    _write(path, tuple(key.model_copy(update={"revoked": True}) if key.name == name else key for key in keys))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(
            f"trusted keys file {path} cannot be read: {error.strerror}; `scorer trust add` creates one"
        ) from error
    if len(content) > _FILE_BYTES_MAX:
        raise SettingsError(f"trusted keys file {path} has more than {_FILE_BYTES_MAX} bytes")
    return content


def _parse(content: bytes, path: Path) -> tuple[TrustedKey, ...]:
    try:
        keys = _File.model_validate_json(content).keys
    except ValidationError as error:
        raise SettingsError(f"trusted keys file {path} is invalid: {describe_faults(error)}") from None
    if len({key.name for key in keys}) < len(keys):
        raise SettingsError(f"trusted keys file {path} is invalid: it contains a name twice")
    return keys


def _public(key: TrustedKey, path: Path) -> PublicKey:
    public = parse_public_key(key.key)
    if public is None:
        raise SettingsError(f"trusted keys file {path} is invalid: the key of {key.name} is not an Ed25519 key")
    return public


def _write(path: Path, keys: tuple[TrustedKey, ...]) -> None:
    """Writes a temporary file and renames it, so that workers read either the old or the new content."""
    text = json.dumps({"keys": [key.model_dump(mode="json") for key in keys]}, indent=2)
    incoming = path.with_name(f".incoming-{secrets.token_hex(8)}")
    try:
        incoming.write_text(text + "\n", encoding="utf-8")
        incoming.replace(path)
    except OSError as error:
        with suppress(OSError):
            incoming.unlink()
        raise MisuseError(f"{path} cannot be written: {error.strerror}") from error
