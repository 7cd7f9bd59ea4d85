"""What commands that deploy share about signatures: the key, and the file of a proposal that somebody else approves."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.errors import MisuseError

if TYPE_CHECKING:
    from schemas.decision import BundleReference
    from schemas.deployment import Slot
    from scorer.bundle.signing import Signature, SigningKey
    from scorer.bundle.store import BundleStore
    from scorer.settings import Settings
    from scorer.stream.deployments import State

KeyOption = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="The private key to sign with; otherwise the setting signing_key."),
]
ProposeOption = Annotated[
    Path | None,
    typer.Option(
        "--propose",
        metavar="FILE",
        help="Change nothing: write the signed event into a file, for somebody else to `scorer approve`.",
    ),
]


class Signing:
    """With which key a command signs, if with any."""

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
            settings: the default key, and the trusted keys.
            key: the file of the private key; None uses the setting.
            propose: the file to write a proposal to; None deploys.
            proposed: the signatures of a proposal that is approved; None: there is none.

        Raises:
            MisuseError: the key cannot be read, or a proposal is written or approved without one.
        """
        self.propose = propose
        self._proposed = proposed or ()
        self._trusted_keys, self._requires = settings.trusted_keys, settings.require_signatures
        must_sign = propose is not None or proposed is not None
        self._key = require_key(settings, key) if must_sign else key_of(settings, key)

    def sign(self, statement: bytes) -> "Iterable[str | Signature]":
        """All signatures of a statement: those of the proposal, and this key's."""
        return [*self._proposed, *([] if self._key is None else [self._key.sign(statement)])]

    def require_signed(self, bundles: "BundleStore", bundle: "BundleReference") -> None:
        """Makes sure, where signatures are required, that workers may open a bundle.

        Raises:
            BundleError: no trusted key has signed it, or it is not in the store.
        """
        if self._requires and self._trusted_keys is not None:
            from scorer.bundle.trust import Trust, locate_trusted

            locate_trusted(bundles, bundle, Trust(Path(self._trusted_keys)))

    def renews(self, state: "State", slot: "Slot") -> bool:
        """Whether what is in the slot was signed by other keys alone: then it may be deployed again, by this one."""
        if self._key is None or self._trusted_keys is None:
            return False
        from scorer.bundle.trust import Trust

        name = Trust(Path(self._trusted_keys)).name_of(self._key.public.key_id)
        return name is not None and name not in state.signers.get(slot, ())


def key_of(settings: "Settings", key: Path | None) -> "SigningKey | None":
    """The private key of an option or of the settings; None if neither names one.

    Raises:
        MisuseError: it cannot be read, or is none.
    """
    from scorer.bundle.signing import read_signing_key

    path = key or (None if settings.signing_key is None else Path(settings.signing_key))
    return None if path is None else read_signing_key(path)


def require_key(settings: "Settings", key: Path | None) -> "SigningKey":
    """The same where there must be one.

    Raises:
        MisuseError: neither names one, or it cannot be read, or is none.
    """
    signing_key = key_of(settings, key)
    if signing_key is None:
        raise MisuseError("a private key is required: give --key, or the setting signing_key")
    return signing_key
