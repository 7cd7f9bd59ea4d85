"""Signatures in the commands that deploy: the signing key, and proposals that another operator approves."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.errors import MisuseError

if TYPE_CHECKING:
    from schemas.decision import BundleReference
    from schemas.deployment import Slot
    from scorer.bundle.signing import Signature, SigningKey
    from scorer.settings import Settings
    from scorer.store.store import BundleStore
    from scorer.stream.history import State

KeyOption = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="Private key to sign with; default: the setting signing_key."),
]
ProposeOption = Annotated[
    Path | None,
    typer.Option(
        "--propose",
        metavar="FILE",
        help="Deploy nothing: write the signed event to this file, for a second person to `scorer approve`.",
    ),
]


class Signing:
    """Signs what a command deploys, if a key is given."""

    def __init__(
        self,
        settings: "Settings",
        key: Path | None,
        *,
        propose: Path | None = None,
        proposed: tuple[str, ...] | None = None,
    ) -> None:
        """Reads the key.

        Args:
            settings: name the default key and the trusted keys.
            key: the file of the private key; None uses the setting.
            propose: the file to write a proposal to; None deploys.
            proposed: the signatures of the proposal to approve; None if no proposal is approved.

        Raises:
            MisuseError: the key cannot be read, or a proposal is written or approved without a key.
        """
        self.propose = propose
        self._proposed = proposed or ()
        self._trusted_keys, self._requires = settings.trusted_keys, settings.require_signatures
        must_sign = propose is not None or proposed is not None
        self._key = require_key(settings, key) if must_sign else read_key(settings, key)

    def sign(self, statement: bytes) -> "Iterable[str | Signature]":
        """All signatures of a statement: those of the proposal, and this key's."""
        return [*self._proposed, *([] if self._key is None else [self._key.sign(statement)])]

    def require_signed(self, bundles: "BundleStore", bundle: "BundleReference") -> None:
        """Verifies, if signatures are required, that workers may open a bundle.

        Raises:
            BundleError: no trusted key has signed it, or it is not in the store.
        """
        if self._requires and self._trusted_keys is not None:
            from scorer.store.trust import Trust, locate_trusted

            locate_trusted(bundles, bundle, Trust(Path(self._trusted_keys)))

    def renews(self, state: "State", slot: "Slot") -> bool:
        """Whether only other keys have signed the slot's deployment, so that this key may deploy the bundle again."""
        if self._key is None or self._trusted_keys is None:
            return False
        from scorer.store.trust import Trust

        name = Trust(Path(self._trusted_keys)).name_of(self._key.public.key_id)
        return name is not None and name not in state.signers.get(slot, ())


def read_key(settings: "Settings", key: Path | None) -> "SigningKey | None":
    """Reads the private key named by the option or the settings; None if neither names one.

    Raises:
        MisuseError: it cannot be read, or is not a private key.
    """
    from scorer.bundle.signing import read_signing_key

    path = key or (None if settings.signing_key is None else Path(settings.signing_key))
    return None if path is None else read_signing_key(path)


def require_key(settings: "Settings", key: Path | None) -> "SigningKey":
    """Reads the private key like `read_key`, and requires one.

    Raises:
        MisuseError: neither names one, it cannot be read, or it is not a private key.
    """
    signing_key = read_key(settings, key)
    if signing_key is None:
        raise MisuseError("a private key is required: give --key, or the setting signing_key")
    return signing_key
