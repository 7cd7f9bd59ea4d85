"""Storage backends of the bundle store: the interface, and the backend for a local folder."""

import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, Protocol

from scorer.bundle.load import read_files, read_manifest
from scorer.bundle.manifest import MANIFEST_FILE, Manifest
from scorer.errors import BundleError, BundleNotFoundError, MisuseError

TAGS: Final = "tags"
SIGNATURES: Final = "signatures"
Notes = Literal["tags", "signatures"]
"""Notes: files stored under a bundle's name, next to its versions: one per tag, and one per digest and signing key."""
UNREADABLE: Final = "unreadable"
"""Pseudo-version of a name whose folder cannot be listed; reading its manifest raises the reason."""
NOTE_BYTES_MAX: Final = 1 << 16  # a hundred times the size of one


NO_STORE: Final = (
    "this user has no home folder and so no default store; set SCORER_STORE (or the setting store) to a folder or URL"
)
_STORE_HINT: Final = "; to use another folder or a URL, set SCORER_STORE (or the setting store)"


class Backend(Protocol):
    """A storage backend. Bundles in it are immutable and addressed by name and version."""

    def uri(self, name: str, version: str) -> str:
        """Returns the path or URL of a bundle's folder."""
        ...

    def versions(self, name: str | None = None) -> Iterable[tuple[str, str]]:
        """Lists potential bundles, all or those with a name, as name and version. Raises BundleError if unreachable."""
        ...

    def manifest(self, name: str, version: str) -> Manifest:
        """Reads a manifest. Raises BundleError if it is missing, invalid or unreachable."""
        ...

    def fetch(self, name: str, version: str, manifest: Manifest) -> Path:
        """Returns a local folder with the bundle. Raises BundleError if it cannot be fetched as in the manifest."""
        ...

    def cached(self, digest: str) -> Path | None:
        """Returns an intact cached copy of a bundle, without accessing the backend."""
        ...

    def put(self, folder: Path, manifest: Manifest) -> None:
        """Stores a copy of a bundle. Raises BundleError if the version exists, or it cannot be written."""
        ...

    def delete(self, name: str, version: str) -> None:
        """Deletes a bundle. Raises BundleError if it cannot be deleted."""
        ...

    def tags(self, name: str | None = None) -> Iterable[tuple[str, str]]:
        """Lists tags, all or those of a name, as name and tag. Raises BundleError if unreachable."""
        ...

    def read_note(self, name: str, kind: Notes, key: str) -> bytes | None:
        """Returns a note's content; None if it does not exist. Raises BundleError if unreachable."""
        ...

    def write_note(self, name: str, kind: Notes, key: str, content: bytes) -> None:
        """Writes or replaces a note. Raises BundleError if it cannot be written."""
        ...

    def delete_note(self, name: str, kind: Notes, key: str) -> None:
        """Deletes a note. Raises BundleError if it cannot be deleted."""
        ...


class FolderBackend(Backend):
    """The backend for a local folder, which is created by the first write.

    A bundle is added and deleted by one atomic rename. If two processes add the same version at the same time, one of
    them gets an error.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def uri(self, name: str, version: str) -> str:
        """Returns the path of a bundle's folder."""
        return str(self._folder / name / version)

    def versions(self, name: str | None = None) -> Iterable[tuple[str, str]]:
        """Lists the subfolders; a name whose folder cannot be listed is reported with the version `UNREADABLE`."""
        versions: list[tuple[str, str]] = []
        for folder in self._folders(name):
            try:
                versions += [(folder.name, version) for version in _list(folder)]
            except NotADirectoryError:
                continue
            except OSError:
                versions.append((folder.name, UNREADABLE))
        return versions

    def manifest(self, name: str, version: str) -> Manifest:
        """Reads the manifest from the bundle's folder."""
        if version == UNREADABLE:
            return read_manifest(self._folder / name)
        return read_manifest(self._folder / name / version)

    def fetch(self, name: str, version: str, _: Manifest) -> Path:
        """Returns the bundle's folder itself."""
        return self._folder / name / version

    def cached(self, _: str) -> Path | None:
        """Returns None: local folders are not cached."""
        return None

    def put(self, folder: Path, manifest: Manifest) -> None:
        """Copies the bundle to a temporary folder, checks the copy, and renames it."""
        target = self._folder / manifest.name / manifest.version
        # The leading dot hides incomplete copies from listings.
        incoming = self._folder / f".incoming-{secrets.token_hex(8)}"
        try:
            incoming.mkdir(parents=True)
            for name in (MANIFEST_FILE, *manifest.files):
                shutil.copyfile(folder / name, incoming / name, follow_symlinks=False)
            read_files(incoming, read_manifest(incoming))  # the copy has the bytes that were checked
            target.parent.mkdir(exist_ok=True)
            incoming.rename(target)  # fails if the version was added meanwhile: the target folder is not empty
        except OSError as error:
            raise BundleError(f"bundle {folder} cannot be copied to {target}: {error.strerror}{_STORE_HINT}") from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def delete(self, name: str, version: str) -> None:
        """Renames the folder, which hides it from listings, then deletes it."""
        outgoing = self._folder / f".outgoing-{secrets.token_hex(8)}"
        try:
            (self._folder / name / version).rename(outgoing)
            shutil.rmtree(outgoing)
            with suppress(OSError):  # fails while other versions exist
                (self._folder / name).rmdir()
        except OSError as error:
            raise BundleError(f"{self.uri(name, version)} cannot be deleted: {error.strerror}") from error

    def tags(self, name: str | None = None) -> Iterable[tuple[str, str]]:
        """Lists the files in the tags' folders."""
        tags: list[tuple[str, str]] = []
        for folder in self._folders(name):
            if not os.path.isdir(folder / TAGS):  # noqa: PTH112  (False without permission: `versions` reports it)
                continue
            try:
                tags += [(folder.name, tag) for tag in _list(folder / TAGS) if not tag.startswith(".")]
            except OSError as error:
                raise BundleError(f"{folder / TAGS} cannot be read: {error.strerror}") from None
        return tags

    def _folders(self, name: str | None) -> list[Path]:
        """Returns the folders of all names, or that of one name if it exists."""
        try:
            return [self._folder / existing for existing in _list(self._folder) if name in {None, existing}]
        except OSError as error:
            if isinstance(error, FileNotFoundError | NotADirectoryError) and not os.path.lexists(self._folder):
                return []
            raise BundleError(f"store {self._folder} cannot be read: {error.strerror}{_STORE_HINT}") from None

    def read_note(self, name: str, kind: Notes, key: str) -> bytes | None:
        """Reads the note's file."""
        path = self._folder / name / kind / key
        try:
            with path.open("rb") as file:
                return file.read(NOTE_BYTES_MAX)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror}") from error

    def write_note(self, name: str, kind: Notes, key: str, content: bytes) -> None:
        """Writes a temporary file and renames it, so that readers get either the old or the new content."""
        path = self._folder / name / kind / key
        incoming = path.with_name(f".incoming-{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            incoming.write_bytes(content)
            incoming.replace(path)
        except OSError as error:
            with suppress(OSError):
                incoming.unlink()
            raise BundleError(f"{path} cannot be written: {error.strerror}{_STORE_HINT}") from error

    def delete_note(self, name: str, kind: Notes, key: str) -> None:
        """Deletes the note's file, and then its folders if they are empty."""
        path = self._folder / name / kind / key
        try:
            path.unlink(missing_ok=True)
            for folder in (path.parent, path.parent.parent):
                folder.rmdir()
        except OSError as error:
            if os.path.lexists(path):
                raise BundleError(f"{path} cannot be deleted: {error.strerror}") from error


def _list(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


class NoBackend(Backend):
    """The backend of a user who has no home folder and configured no store: always empty, and not writable."""

    def uri(self, _: str, __: str) -> str:
        """Raises MisuseError: no store is configured."""
        raise MisuseError(NO_STORE)

    def versions(self, _: str | None = None) -> Iterable[tuple[str, str]]:
        """Returns nothing."""
        return []

    def manifest(self, name: str, version: str) -> Manifest:
        """Raises BundleNotFoundError: the bundle does not exist."""
        raise BundleNotFoundError(f"bundle {name}:{version} not found: {NO_STORE}")

    def fetch(self, name: str, version: str, _: Manifest) -> Path:
        """Raises BundleNotFoundError: the bundle does not exist."""
        raise BundleNotFoundError(f"bundle {name}:{version} not found: {NO_STORE}")

    def cached(self, _: str) -> Path | None:
        """Returns None."""
        return None

    def put(self, _: Path, __: Manifest) -> None:
        """Raises MisuseError: no store is configured."""
        raise MisuseError(NO_STORE)

    def delete(self, name: str, version: str) -> None:
        """Raises BundleNotFoundError: the bundle does not exist."""
        raise BundleNotFoundError(f"bundle {name}:{version} not found: {NO_STORE}")

    def tags(self, _: str | None = None) -> Iterable[tuple[str, str]]:
        """Returns nothing."""
        return []

    def read_note(self, _: str, __: Notes, ___: str) -> bytes | None:
        """Returns None."""
        return None

    def write_note(self, _: str, __: Notes, ___: str, ____: bytes) -> None:
        """Raises MisuseError: no store is configured."""
        raise MisuseError(NO_STORE)

    def delete_note(self, _: str, __: Notes, ___: str) -> None:
        """Raises MisuseError: no store is configured."""
        raise MisuseError(NO_STORE)
