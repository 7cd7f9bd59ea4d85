"""The file of trusted keys: whose signatures of bundles and of deployments count, and whose do not any more."""

import json
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.decision import BundleReference
from scorer.bundle.entry import Located
from scorer.bundle.manifest import Name, explain
from scorer.bundle.signing import PublicKey, bundle_statement, parse_public_key, parse_signature
from scorer.bundle.store import BundleStore
from scorer.errors import MisuseError, SettingsError, UnsignedError
from scorer.logs import TRUST_UNREADABLE, log

Purpose = Literal["bundles", "deployments"]
PURPOSES: Final[tuple[Purpose, ...]] = ("bundles", "deployments")
_FILE_BYTES_MAX: Final = 1 << 20


class TrustedKey(BaseModel):
    """A key of the file."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    name: Name
    key: Annotated[str, Field(min_length=44, max_length=44)]
    """The 32 bytes of the public key in base64."""
    signs: Annotated[tuple[Purpose, ...], Field(min_length=1)]
    revoked: bool = False
    """Nothing that it has signed counts any more; it stays in the file, so that nobody adds it again."""


class _File(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    keys: tuple[TrustedKey, ...]


class Trust:
    """The trusted keys of the file; `renewed` reads it again."""

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            SettingsError: it cannot be read, or is wrong; the message says where.
        """
        self._path = path
        self._content = _read(path)
        self.keys = _parse(self._content, path)
        publics = [_public(key, path) for key in self.keys]
        self._by_id = {public.key_id: (key, public) for key, public in zip(self.keys, publics, strict=True)}
        if len(self._by_id) < len(self.keys):  # base64 can spell the same bytes in several ways
            raise SettingsError(f"the file of trusted keys {path} is wrong: it contains a key twice")
        self._fault = ""
        """Why the file could not be read again, as it was logged."""

    def signers(self, purpose: Purpose, statement: bytes, signatures: Iterable[str]) -> list[str]:
        """The names of the trusted keys that have signed a statement, each once, in order of the signatures.

        What is no signature, is made by another key, or is of another statement, counts for nothing.
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
        """The name of a key of the file; None if it is not in it."""
        found = self._by_id.get(key_id)
        return None if found is None else found[0].name

    def key_ids(self, purpose: Purpose) -> list[str]:
        """The ids of the keys that are trusted for this."""
        return [key_id for key_id, (key, _) in self._by_id.items() if purpose in key.signs and not key.revoked]

    def renewed(self) -> "Trust":
        """What the file says now; while it cannot be read, or is wrong, what it said before."""
        try:
            return self if _read(self._path) == self._content else Trust(self._path)
        except SettingsError as error:
            if str(error) != self._fault:  # workers read it twice a second
                self._fault = str(error)
                log(TRUST_UNREADABLE, error=self._fault)
            return self


def locate_trusted(store: BundleStore, wanted: BundleReference | str, trust: Trust | None) -> Located:
    """Finds a bundle that may be opened. What is shipped with this package needs no signature.

    Args:
        store: where it is.
        wanted: what an event names, or a reference, which may be no path where signatures are required.
        trust: the keys of which one must have signed it; None requires no signature.

    Raises:
        UnsignedError: none of them has.
        BundleError: the bundle does not exist, or the store is unreachable.
    """
    located = store.locate(wanted)
    if trust is not None and not located.shipped:
        require_signed(store, located.reference, trust)
    return located


def require_signed(store: BundleStore, reference: BundleReference, trust: Trust) -> None:
    """Checks that a trusted key has signed a bundle, which need not be in the store any more.

    Raises:
        UnsignedError: none has.
        BundleError: the store is out of reach.
    """
    kept = store.signatures(reference, trust.key_ids("bundles"))
    if not trust.signers("bundles", bundle_statement(reference), kept):
        raise UnsignedError(
            f"{reference.short} is signed by none of the trusted keys, and require_signatures is on: whoever answers "
            f"for it signs it with scorer bundle sign {reference.name}:{reference.version}"
        )


def add_key(path: Path, key: TrustedKey) -> None:
    """Adds a key to the file, which is made where there is none.

    Raises:
        MisuseError: the file has a key of this name, or this key; or it cannot be written.
        SettingsError: the file is wrong.
    """
    keys = Trust(path).keys if path.exists() else ()
    for there in keys:
        if there.key == key.key:
            state = "revoked" if there.revoked else "trusted"
            raise MisuseError(f"this key is in {path} already, as {there.name}, {state}")
        if there.name == key.name:
            raise MisuseError(f"{path} has a key called {key.name} already: choose another name")
    _write(path, (*keys, key))


def revoke_key(path: Path, name: str) -> None:
    """Lets nothing that a key has signed count any more.

    Raises:
        MisuseError: there is no such key, or the file cannot be written.
        SettingsError: the file is wrong.
    """
    keys = Trust(path).keys
    if name not in {key.name for key in keys}:
        raise MisuseError(f"{path} has no key called {name}; it has: {', '.join(key.name for key in keys) or 'none'}")
    _write(path, tuple(key.model_copy(update={"revoked": True}) if key.name == name else key for key in keys))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(
            f"the file of trusted keys {path} cannot be read: {error.strerror}; `scorer trust add` makes one"
        ) from error
    if len(content) > _FILE_BYTES_MAX:
        raise SettingsError(f"the file of trusted keys {path} has more than {_FILE_BYTES_MAX} bytes")
    return content


def _parse(content: bytes, path: Path) -> tuple[TrustedKey, ...]:
    try:
        keys = _File.model_validate_json(content).keys
    except ValidationError as error:
        raise SettingsError(f"the file of trusted keys {path} is wrong: {explain(error)}") from None
    if len({key.name for key in keys}) < len(keys):
        raise SettingsError(f"the file of trusted keys {path} is wrong: it contains a name twice")
    return keys


def _public(key: TrustedKey, path: Path) -> PublicKey:
    public = parse_public_key(key.key)
    if public is None:
        raise SettingsError(f"the file of trusted keys {path} is wrong: the key of {key.name} is no Ed25519 key")
    return public


def _write(path: Path, keys: tuple[TrustedKey, ...]) -> None:
    """Written beside its place and moved there, so that a worker reads the old one or the new one."""
    text = json.dumps({"keys": [key.model_dump(mode="json") for key in keys]}, indent=2)
    incoming = path.with_name(f".incoming-{secrets.token_hex(8)}")
    try:
        incoming.write_text(text + "\n", encoding="utf-8")
        incoming.replace(path)
    except OSError as error:
        with suppress(OSError):
            incoming.unlink()
        raise MisuseError(f"{path} cannot be written: {error.strerror}") from error
