"""The places where bundles lie as `name/version/`, with tags and signatures beside them; a folder is one."""

import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, Protocol

from scorer.bundle.load import load_bundle, read_manifest
from scorer.bundle.manifest import MANIFEST_FILE, Manifest
from scorer.errors import BundleError, MisuseError

TAGS: Final = "tags"
SIGNATURES: Final = "signatures"
Notes = Literal["tags", "signatures"]
"""What is kept of bundles beside them, below their name: a file for each tag, and for each digest and key."""
UNREADABLE: Final = "unreadable"
"""Stands for the versions of a name whose folder cannot be listed; its manifest says why."""
NOTE_BYTES_MAX: Final = 1 << 16  # a hundred times what one has


NO_STORE: Final = (
    "this user has no home folder to keep bundles in; set SCORER_STORE (or the setting store) to a folder or URL"
)
_ANOTHER_STORE: Final = "; SCORER_STORE (or the setting store) names another folder or a URL"


class Place(Protocol):
    """Somewhere that keeps bundles. What is put there never changes; it is read by name and version."""

    def where(self, name: str, version: str) -> str:
        """A bundle's folder, as a path or a URL."""
        ...

    def versions(self, name: str | None = None) -> Iterable[tuple[str, str]]:
        """What looks like a bundle, all or those of a name: name and version. Raises BundleError: out of reach."""
        ...

    def manifest(self, name: str, version: str) -> Manifest:
        """Raises BundleError: there is none, it is wrong, or out of reach."""
        ...

    def fetch(self, name: str, version: str, manifest: Manifest) -> Path:
        """A bundle's folder on this machine. Raises BundleError: it cannot be brought here as the manifest says."""
        ...

    def kept(self, digest: str) -> Path | None:
        """A bundle of this place that was fetched before and is as it was, without asking the place."""
        ...

    def put(self, folder: Path, manifest: Manifest) -> None:
        """Takes a copy of a bundle. Raises BundleError: the version is there, or it cannot be written."""
        ...

    def delete(self, name: str, version: str) -> None:
        """Raises BundleError: it cannot be removed."""
        ...

    def tags(self, name: str | None = None) -> Iterable[tuple[str, str]]:
        """All tags, or those of a name: name and tag. Raises BundleError: out of reach."""
        ...

    def read_note(self, name: str, kind: Notes, key: str) -> bytes | None:
        """What was written, if anything was. Raises BundleError: out of reach."""
        ...

    def write_note(self, name: str, kind: Notes, key: str, content: bytes) -> None:
        """Over what was written before. Raises BundleError: it cannot be written."""
        ...

    def delete_note(self, name: str, kind: Notes, key: str) -> None:
        """Raises BundleError: it cannot be removed."""
        ...


class FolderPlace(Place):
    """A folder, which need not be there before something is put into it.

    A bundle comes and goes by one rename: it is there whole or not at all, and of two that put the same version at the
    same moment one is refused.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def where(self, name: str, version: str) -> str:
        """The path of the bundle's folder."""
        return str(self._folder / name / version)

    def versions(self, name: str | None = None) -> Iterable[tuple[str, str]]:
        """By the names of folders in folders; of one that cannot be listed `UNREADABLE`, so that it is not missed."""
        found: list[tuple[str, str]] = []
        for folder in self._folders(name):
            try:
                found += [(folder.name, version) for version in _list(folder)]
            except NotADirectoryError:
                continue
            except OSError:
                found.append((folder.name, UNREADABLE))
        return found

    def manifest(self, name: str, version: str) -> Manifest:
        """Read from its file."""
        if version == UNREADABLE:
            return read_manifest(self._folder / name)
        return read_manifest(self._folder / name / version)

    def fetch(self, name: str, version: str, _: Manifest) -> Path:
        """The bundle's folder itself."""
        return self._folder / name / version

    def kept(self, _: str) -> Path | None:
        """None: of a folder there is no second copy."""
        return None

    def put(self, folder: Path, manifest: Manifest) -> None:
        """Copies the bundle beside its place, checks the copy, and moves it there."""
        target = self._folder / manifest.name / manifest.version
        # The dot keeps a half-copied one out of every list.
        incoming = self._folder / f".incoming-{secrets.token_hex(8)}"
        try:
            incoming.mkdir(parents=True)
            for name in (MANIFEST_FILE, *manifest.files):
                shutil.copyfile(folder / name, incoming / name, follow_symlinks=False)
            load_bundle(incoming)  # the copy too: what is checked is what is kept
            target.parent.mkdir(exist_ok=True)
            incoming.rename(target)  # fails if the version came meanwhile: a folder is never renamed over a full one
        except OSError as error:
            raise BundleError(
                f"bundle {folder} cannot be put into {target}: {error.strerror}{_ANOTHER_STORE}"
            ) from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def delete(self, name: str, version: str) -> None:
        """Moves it out of every list, then removes it."""
        outgoing = self._folder / f".outgoing-{secrets.token_hex(8)}"
        try:
            (self._folder / name / version).rename(outgoing)
            shutil.rmtree(outgoing)
            with suppress(OSError):  # it was the last of its name, or it was not
                (self._folder / name).rmdir()
        except OSError as error:
            raise BundleError(f"{self.where(name, version)} cannot be removed: {error.strerror}") from error

    def tags(self, name: str | None = None) -> Iterable[tuple[str, str]]:
        """By the names of files."""
        found: list[tuple[str, str]] = []
        for folder in self._folders(name):
            if not os.path.isdir(folder / TAGS):  # noqa: PTH112  (False where it may not be asked: `versions` says so)
                continue
            try:
                found += [(folder.name, tag) for tag in _list(folder / TAGS) if not tag.startswith(".")]
            except OSError as error:
                raise BundleError(f"{folder / TAGS} cannot be read: {error.strerror}") from None
        return found

    def _folders(self, name: str | None) -> list[Path]:
        """The folders of all names, or that of one, where it is there."""
        try:
            return [self._folder / there for there in _list(self._folder) if name in {None, there}]
        except OSError as error:
            if isinstance(error, FileNotFoundError | NotADirectoryError) and not os.path.lexists(self._folder):
                return []
            raise BundleError(f"store {self._folder} cannot be read: {error.strerror}{_ANOTHER_STORE}") from None

    def read_note(self, name: str, kind: Notes, key: str) -> bytes | None:
        """Read from its file."""
        path = self._folder / name / kind / key
        try:
            with path.open("rb") as file:
                return file.read(NOTE_BYTES_MAX)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror}") from error

    def write_note(self, name: str, kind: Notes, key: str, content: bytes) -> None:
        """Written beside its place and moved there, so that a reader has the old one or the new one."""
        path = self._folder / name / kind / key
        incoming = path.with_name(f".incoming-{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            incoming.write_bytes(content)
            incoming.replace(path)
        except OSError as error:
            with suppress(OSError):
                incoming.unlink()
            raise BundleError(f"{path} cannot be written: {error.strerror}{_ANOTHER_STORE}") from error

    def delete_note(self, name: str, kind: Notes, key: str) -> None:
        """Removes its file."""
        path = self._folder / name / kind / key
        try:
            path.unlink(missing_ok=True)
            for folder in (path.parent, path.parent.parent):
                folder.rmdir()
        except OSError as error:
            if os.path.lexists(path):
                raise BundleError(f"{path} cannot be removed: {error.strerror}") from error


def _list(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


class NoPlace(Place):
    """The place of a user without a home folder who named none: nothing is in it, and nothing can be put there."""

    def where(self, _: str, __: str) -> str:
        """Raises MisuseError: there is no such place."""
        raise MisuseError(NO_STORE)

    def versions(self, _: str | None = None) -> Iterable[tuple[str, str]]:
        """None."""
        return []

    def manifest(self, name: str, version: str) -> Manifest:
        """Raises BundleError: there is none."""
        raise BundleError(f"there is no bundle {name}:{version}: {NO_STORE}")

    def fetch(self, name: str, version: str, _: Manifest) -> Path:
        """Raises BundleError: there is none."""
        raise BundleError(f"there is no bundle {name}:{version}: {NO_STORE}")

    def kept(self, _: str) -> Path | None:
        """None."""
        return None

    def put(self, _: Path, __: Manifest) -> None:
        """Raises MisuseError: there is no such place."""
        raise MisuseError(NO_STORE)

    def delete(self, name: str, version: str) -> None:
        """Raises BundleError: there is none."""
        raise BundleError(f"there is no bundle {name}:{version}: {NO_STORE}")

    def tags(self, _: str | None = None) -> Iterable[tuple[str, str]]:
        """None."""
        return []

    def read_note(self, _: str, __: Notes, ___: str) -> bytes | None:
        """None."""
        return None

    def write_note(self, _: str, __: Notes, ___: str, ____: bytes) -> None:
        """Raises MisuseError: there is no such place."""
        raise MisuseError(NO_STORE)

    def delete_note(self, _: str, __: Notes, ___: str) -> None:
        """Raises MisuseError: there is no such place."""
        raise MisuseError(NO_STORE)
