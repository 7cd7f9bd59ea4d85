"""Lookup results of a store: entries of its list, and located bundles with their expected digest."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from schemas.decision import NAME_PATTERN, VERSION_PATTERN, BundleReference
from scorer.bundle.load import load_bundle
from scorer.bundle.manifest import Manifest
from scorer.bundle.trial import open_in_child
from scorer.core.score import Bundle
from scorer.errors import BundleError, BundleNotFoundError
from scorer.store.backends import UNREADABLE
from scorer.store.tags import Tag

Key = tuple[str, str]
"""A bundle's name, and a version or a tag."""
CONCURRENT_READS: Final = 16
"""Reading a manifest or tag from a bucket takes a moment; not too many for the server."""
is_name: Final = re.compile(NAME_PATTERN).fullmatch
is_version: Final = re.compile(VERSION_PATTERN).fullmatch


class ParsedReference(NamedTuple):
    """A parsed reference; the version may be `latest`."""

    shown_name: str
    """The bundle's name in messages."""
    name: str
    version: str | None
    digest: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A bundle in the store; `manifest` is None if it cannot be read, and `fault` is the reason."""

    name: str
    version: str
    location: str
    """The bundle's folder, as a path or a URL."""
    shipped: bool
    manifest: Manifest | None
    fault: str = ""

    @property
    def reference(self) -> str:
        """`name:version`."""
        return f"{self.name}:{self.version}"

    def tags_among(self, tags: Mapping[Key, Tag]) -> list[str]:
        """Returns the tags that refer to this bundle; if it is damaged, those that refer to its version."""
        digest = self.manifest and self.manifest.digest
        return [
            tag
            for (name, tag), target in tags.items()
            if (name, target.version) == (self.name, self.version) and digest in {None, target.digest}
        ]


class Located(NamedTuple):
    """A located bundle: its folder on this machine, and the reference that it must have when it is opened."""

    folder: Path
    reference: BundleReference
    shipped: bool

    def open_in_child(self) -> None:
        """Opens the bundle in a separate process.

        Raises:
            BundleError: it is damaged, it is another bundle, or the process crashed or took too long.
        """
        self._require(open_in_child(self.folder))

    def open(self, passed: Callable[[str], None] = lambda _: None) -> Bundle:
        """Opens the bundle. It may have been replaced since it was located, so its digest is compared.

        Args:
            passed: called with a line of text for each passed check.

        Raises:
            BundleError: it is damaged, or it is another bundle.
        """
        bundle = load_bundle(self.folder, passed)
        self._require(bundle.reference)
        return bundle

    def _require(self, opened: BundleReference) -> None:
        if opened != self.reference:
            raise BundleError(
                f"bundle {self.folder}: expected {self.reference.short}, but opened {opened.short}: the bundle was "
                "replaced in the meantime. It is not used"
            )


def sort_key(key: Key) -> tuple[str, tuple[int, ...]]:
    """Sort key: by name, then by version as numbers."""
    name, version = key
    return name, () if version == UNREADABLE else tuple(int(part) for part in version.split("."))


def digest_error(entry: Entry, digest: str) -> BundleError:
    """Returns the error for an existing version that does not have the requested digest, or whose digest is unknown."""
    if entry.manifest is None:
        return BundleError(entry.fault)
    return BundleNotFoundError(
        f"{entry.reference} in {entry.location} has digest {entry.manifest.digest[:12]}, not the requested "
        f"{digest[:12]}: two bundles have the same name and version. Copy the requested one from where it was built, "
        "or deploy this one"
    )
