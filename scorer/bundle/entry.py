"""What is found in a store: an entry of its list, and a bundle's folder with the digest that has to be in it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from schemas.decision import BundleReference
from scorer.bundle.load import load_bundle
from scorer.bundle.manifest import Manifest
from scorer.bundle.places import UNREADABLE
from scorer.bundle.tags import Tag
from scorer.bundle.trial import open_in_child
from scorer.core.score import Bundle
from scorer.errors import BundleError

Key = tuple[str, str]
"""A name, and a version or tag of it."""


class Wanted(NamedTuple):
    """What a reference asks for; a version may be `latest`."""

    called: str
    """What messages call it."""
    name: str
    version: str | None
    digest: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A bundle in the store; `manifest` is None where it cannot be read, and `fault` says why."""

    name: str
    version: str
    where: str
    """Its folder, as a path or a URL."""
    shipped: bool
    manifest: Manifest | None
    fault: str = ""

    @property
    def reference(self) -> str:
        """`name:version`."""
        return f"{self.name}:{self.version}"

    def tags_among(self, tags: Mapping[Key, Tag]) -> list[str]:
        """Those tags that mean this bundle; of a damaged one, those that mean its version."""
        digest = self.manifest and self.manifest.digest
        return [
            tag
            for (name, tag), means in tags.items()
            if (name, means.version) == (self.name, self.version) and digest in {None, means.digest}
        ]


class Located(NamedTuple):
    """A bundle that was found: its folder on this machine, and which bundle has to be in it when it is opened."""

    folder: Path
    reference: BundleReference
    shipped: bool

    def try_to_open(self) -> None:
        """Opens the folder in a process of its own.

        Raises:
            BundleError: it is damaged, or it is another bundle, or the process crashed or took too long.
        """
        self._require(open_in_child(self.folder))

    def open(self, passed: Callable[[str], None] = lambda _: None) -> Bundle:
        """Opens the folder. What is there may have been replaced since it was found: the digest decides.

        Args:
            passed: called with each check that passed.

        Raises:
            BundleError: it is damaged, or it is another bundle.
        """
        bundle = load_bundle(self.folder, passed)
        self._require(bundle.reference)
        return bundle

    def _require(self, opened: BundleReference) -> None:
        if opened != self.reference:
            raise BundleError(
                f"bundle {self.folder}: {self.reference.short} is wanted, and {opened.short} was there when it was "
                "opened: somebody replaced it. Nothing was taken from it"
            )


def order_of(key: Key) -> tuple[str, tuple[int, ...]]:
    """By name, then by version as numbers."""
    name, version = key
    return name, () if version == UNREADABLE else tuple(int(part) for part in version.split("."))


def explain_digest(entry: Entry, wanted: str) -> str:
    """Why a version that is there is not the one that is wanted."""
    if entry.manifest is None:
        return entry.fault
    return (
        f"{entry.reference} in {entry.where} has digest {entry.manifest.digest[:12]}, and {wanted[:12]} is wanted: "
        "two bundles of one name and version. Get the one that is wanted from where it was made, or deploy this one"
    )
