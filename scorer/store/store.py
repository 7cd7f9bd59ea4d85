"""The bundle store: adds, opens and deletes bundles."""

import os
from pathlib import Path
from typing import Final

from schemas.decision import BundleReference
from scorer.bundle.load import load_bundle, read_manifest
from scorer.bundle.trial import open_in_child
from scorer.core.score import Bundle
from scorer.errors import BundleError, MisuseError
from scorer.store.backends import TAGS, Backend, FolderBackend, NoBackend
from scorer.store.catalogue import Catalogue, parse_reference
from scorer.store.entry import Entry, Located, is_name, is_version
from scorer.store.notes import BundleNotes
from scorer.store.remote import local_path
from scorer.store.url_backend import UrlBackend

SHIPPED: Final = Path(__file__).parent / "shipped"
_FIRST_VERSION: Final = "1.0.0"


class BundleStore:
    """Bundles as `name/version/` in a folder or at a URL, plus the shipped bundles, which are read-only.

    Stored bundles are immutable: a version is written once. For concurrent writes of the same version, the guarantee
    depends on the backend: see `scorer.store.backends`.
    """

    def __init__(self, location: Path | str | None, shipped: Path = SHIPPED) -> None:
        """Creates the store for a folder or URL, which the first write creates; None means that there is no store.

        Raises:
            MisuseError: no installed filesystem supports the URL; the message says what to install.
        """
        folder = None if location is None else local_path(str(location))
        self._stored: Backend
        if location is None:
            self._stored = NoBackend()
        else:
            self._stored = UrlBackend(str(location)) if folder is None else FolderBackend(folder)
        self._shipped: Backend = FolderBackend(shipped)
        self.notes = BundleNotes(self._stored)
        self._catalogue = Catalogue(self._shipped, self._stored, self.notes)

    def entries(self) -> list[Entry]:
        """Lists all bundles by name and version, including damaged ones.

        A version that is both shipped and in the store with different digests is ambiguous: its entry has a fault that
        names both.

        Raises:
            BundleError: the store is unreachable.
        """
        return self._catalogue.read(self._catalogue.keys())

    def entry(self, reference: str) -> Entry:
        """Resolves a reference to a bundle, which may be damaged.

        Args:
            reference: `name:version`, `name:latest` (the highest version), `name:tag`, `name@digest` (at least 6
                digits), or one of the others with a digest.

        Raises:
            BundleNotFoundError: it is not found.
            BundleError: it is ambiguous (the message lists the candidates), or the store is unreachable.
        """
        return self._catalogue.entry(reference)

    def find(self, reference: str) -> Path:
        """Returns the local folder of a bundle: in the store, or a cached copy that was fetched and checked.

        With a version and a full digest, shipped and cached bundles are found without accessing the store, since the
        digest identifies them. So deployed bundles can be opened again while the store is unreachable.

        Args:
            reference: as for `entry`, or the path of a bundle's folder.

        Raises:
            BundleError: it is not found, ambiguous or damaged, or the store is unreachable.
        """
        return _as_folder(reference) or self.locate(reference).folder

    def open(self, reference: str) -> Bundle:
        """Finds, checks and opens a bundle.

        Args:
            reference: as for `find`.

        Raises:
            BundleError: it is not found or damaged, or the store is unreachable; the message says how to fix it. Or it
                was replaced after it was located.
        """
        folder = _as_folder(reference)
        return load_bundle(folder) if folder else self.locate(reference).open()

    def locate(self, reference: BundleReference | str) -> Located:
        """Finds a bundle of this store. The reference is never a path, so events from a topic cannot name one.

        Raises:
            BundleNotFoundError: it is not found.
            BundleError: it is damaged, or the store is unreachable.
        """
        text = str(reference)
        return self._catalogue.find_locally(text) or self._fetch(self.entry(text))

    def put(self, folder: Path) -> str:
        """Adds a bundle to the store, after checking it. It is added completely or not at all.

        Args:
            folder: the bundle's folder; it is copied.

        Returns:
            Its path or URL in the store.

        Raises:
            BundleError: it is damaged, the version exists already, or the store is unreachable.
        """
        load_bundle(folder)
        manifest = read_manifest(folder)
        self.require_new(manifest.name, manifest.version)
        self._stored.put(folder, manifest)
        return self._stored.uri(manifest.name, manifest.version)

    def require_new(self, name: str, version: str) -> None:
        """Checks that this version can be added.

        Raises:
            MisuseError: the name or version is invalid, or there is no store.
            BundleError: the version exists, or the store is unreachable.
        """
        _require_name(name)
        if not is_version(version):
            raise MisuseError(f"invalid version {version!r}: use three numbers, for example 1.2.0")
        backends = self._catalogue.keys(name).get((name, version))
        if backends:
            raise BundleError(
                f"{name}:{version} already exists in {backends[0].uri(name, version)}, and a bundle is never "
                "overwritten because decisions refer to it. Choose the next version"
            )
        self._stored.uri(name, version)  # raises MisuseError without a store, before the caller builds the bundle

    def next_version(self, name: str) -> str:
        """Returns the next free version of a name: 1.0.0, or the highest one with its last number raised by one.

        A cell of a notebook that builds a bundle with it can be run again. It reserves nothing: if two processes build
        the same version, one of them gets an error.

        Raises:
            MisuseError: the name is invalid.
            BundleError: the store is unreachable.
        """
        _require_name(name)
        versions = [version for _, version in self._catalogue.keys(name) if is_version(version)]
        if not versions:
            return _FIRST_VERSION
        *first, last = versions[-1].split(".")
        return ".".join([*first, str(int(last) + 1)])

    def import_bundle(self, folder: Path, source: str) -> bool:
        """Imports a bundle, unless the store has the same one.

        Args:
            folder: the bundle's folder; it is copied.
            source: name of the bundle in messages.

        Returns:
            Whether it was added.

        Raises:
            BundleError: it is damaged, the store has a different or damaged bundle with this name and version, or the
                store is unreachable.
        """
        new = open_in_child(folder, source)
        backends = self._catalogue.keys(new.name).get((new.name, new.version))
        if backends is None:
            self.put(folder)
            return True
        (existing,) = self._catalogue.read({(new.name, new.version): backends})
        if existing.manifest and existing.manifest.digest != new.digest:
            raise BundleError(
                f"{source} is {new.short}, but {existing.location} is {existing.manifest.reference.short}: two bundles "
                "with the same name and version. Neither can replace the other, because decisions refer to them. Give "
                "one of them another version"
            )
        try:
            self._fetch(existing).open()
        except BundleError as error:
            raise BundleError(
                f"{error}. To replace it, delete it first: scorer bundle delete {existing.reference}"
            ) from error
        return False

    def delete(self, entry: Entry) -> None:
        """Deletes a bundle and its tags.

        Raises:
            MisuseError: it is shipped with this package.
            BundleError: it cannot be deleted, or the store is unreachable.
        """
        if entry.shipped:
            raise MisuseError(f"{entry.reference} is shipped with this package and cannot be deleted")
        tags = self.notes.tags_of(entry)
        self._stored.delete(entry.name, entry.version)
        for tag in tags:
            self._stored.delete_note(entry.name, TAGS, tag)

    def _fetch(self, entry: Entry) -> Located:
        if entry.manifest is None:
            raise BundleError(entry.fault)
        backend = self._shipped if entry.shipped else self._stored
        folder = backend.fetch(entry.name, entry.version, entry.manifest)
        return Located(folder, entry.manifest.reference, entry.shipped)


def _require_name(name: str) -> None:
    if not is_name(name):
        raise MisuseError(f"invalid bundle name {name!r}: use 1 to 64 of a-z, 0-9 and dashes, for example credit-risk")


def _as_folder(reference: str) -> Path | None:
    """Returns the folder if the reference is the path of one."""
    if not parse_reference(reference) and os.path.isdir(reference):  # noqa: PTH112  (accepts any string)
        return Path(reference)
    return None
