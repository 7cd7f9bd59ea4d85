"""The places where bundles lie as `name/version/`, with tags beside them: a folder, or what fsspec reaches by a URL."""

import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from scorer.bundle.load import load_bundle, read_files, read_manifest
from scorer.bundle.manifest import FILE_BYTES_MAX, MANIFEST_BYTES_MAX, MANIFEST_FILE, Manifest, parse_manifest
from scorer.bundle.remote import RemoteFolder
from scorer.errors import BundleError, MisuseError
from scorer.folders import cache_folder

TAGS: Final = "tags"
UNREADABLE: Final = "unreadable"
"""Stands for the versions of a name whose folder cannot be listed; its manifest says why."""
_TAG_BYTES_MAX: Final = 1 << 16  # a hundred times what one has


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

    def read_tag(self, name: str, tag: str) -> bytes | None:
        """What was written of a tag, if there is one. Raises BundleError: out of reach."""
        ...

    def write_tag(self, name: str, tag: str, content: bytes) -> None:
        """Over what was written before. Raises BundleError: it cannot be written."""
        ...

    def delete_tag(self, name: str, tag: str) -> None:
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

    def read_tag(self, name: str, tag: str) -> bytes | None:
        """Read from its file."""
        path = self._folder / name / TAGS / tag
        try:
            with path.open("rb") as file:
                return file.read(_TAG_BYTES_MAX)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror}") from error

    def write_tag(self, name: str, tag: str, content: bytes) -> None:
        """Written beside its place and moved there, so that a reader has the old one or the new one."""
        path = self._folder / name / TAGS / tag
        incoming = path.with_name(f".incoming-{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            incoming.write_bytes(content)
            incoming.replace(path)
        except OSError as error:
            with suppress(OSError):
                incoming.unlink()
            raise BundleError(f"{path} cannot be written: {error.strerror}{_ANOTHER_STORE}") from error

    def delete_tag(self, name: str, tag: str) -> None:
        """Removes its file."""
        path = self._folder / name / TAGS / tag
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

    def read_tag(self, _: str, __: str) -> bytes | None:
        """None."""
        return None

    def write_tag(self, _: str, __: str, ___: bytes) -> None:
        """Raises MisuseError: there is no such place."""
        raise MisuseError(NO_STORE)

    def delete_tag(self, _: str, __: str) -> None:
        """Raises MisuseError: there is no such place."""
        raise MisuseError(NO_STORE)


class UrlPlace(Place):
    """A folder at a URL; bundles are opened from a cache of this user's own on this machine, by digest.

    A bundle's files are written first and its manifest last, and a bundle without manifest is not there: a reader finds
    it whole or not at all, and one whose put was broken off can be put again. No file is written over another. Of two
    that put the same version at the same moment one is refused where the filesystem can create conditionally (S3, GCS,
    Azure); elsewhere what both wrote may be mixed, which a reader finds by the digests and does not open.
    """

    def __init__(self, url: str) -> None:
        """Takes the URL; the place is not asked yet.

        Raises:
            MisuseError: nothing here can reach such a URL; the message says what to install.
        """
        self._remote = RemoteFolder(url)
        self._cache = cache_folder() / "bundles"

    def where(self, name: str, version: str) -> str:
        """The URL of the bundle's folder."""
        return self._remote.address(f"{name}/{version}")

    def versions(self, name: str | None = None) -> Iterable[tuple[str, str]]:
        """By the manifests that are there."""
        return [(parts[0], parts[1]) for parts in self._list(name) if parts[2] == MANIFEST_FILE]

    def manifest(self, name: str, version: str) -> Manifest:
        """Read from the place, every time."""
        try:
            return parse_manifest(self._remote.read(f"{name}/{version}/{MANIFEST_FILE}", MANIFEST_BYTES_MAX))
        except FileNotFoundError:
            raise BundleError(f"bundle {self.where(name, version)}: it has no {MANIFEST_FILE}") from None
        except BundleError as error:
            raise BundleError(f"bundle {self.where(name, version)}: {error}") from error

    def fetch(self, name: str, version: str, manifest: Manifest) -> Path:
        """From the cache; brought there first, and checked, where it is not."""
        kept = self.kept(manifest.digest)
        if kept is not None:
            return kept
        target = self._cache / manifest.digest
        incoming = self._cache / f".incoming-{secrets.token_hex(8)}"
        try:
            incoming.mkdir(parents=True)
            self._download(f"{name}/{version}", manifest, incoming)
            incoming.rename(target)
        except OSError as error:
            if self.kept(manifest.digest) is None:  # else another process was quicker
                raise BundleError(
                    f"{target} cannot be written: {error.strerror}; XDG_CACHE_HOME moves the cache"
                ) from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return target

    def kept(self, digest: str) -> Path | None:
        """From the cache, if every file of it is what it was; what was damaged there is removed."""
        folder = self._cache / digest
        if not folder.is_dir():
            return None
        try:
            manifest = read_manifest(folder)
            read_files(folder, manifest)
        except BundleError:
            shutil.rmtree(folder, ignore_errors=True)
            return None
        return folder if manifest.digest == digest else None

    def put(self, folder: Path, manifest: Manifest) -> None:
        """Writes the files, then the manifest."""
        at = f"{manifest.name}/{manifest.version}"
        for name, content in read_files(folder, manifest).items():
            self._create(f"{at}/{name}", content)
        try:
            self._remote.create(f"{at}/{MANIFEST_FILE}", (folder / MANIFEST_FILE).read_bytes())
        except FileExistsError:
            raise BundleError(
                f"{manifest.name}:{manifest.version} came into {self._remote.url} meanwhile, and a bundle is never "
                "overwritten. Choose the next version"
            ) from None

    def delete(self, name: str, version: str) -> None:
        """Removes its manifest first: from then on it is not there."""
        files = self._remote.list(f"{name}/{version}")
        self._remote.remove(sorted(files, key=lambda path: not path.endswith(f"/{MANIFEST_FILE}")))

    def tags(self, name: str | None = None) -> Iterable[tuple[str, str]]:
        """By the names of files."""
        return [(parts[0], parts[2]) for parts in self._list(name) if parts[1] == TAGS]

    def read_tag(self, name: str, tag: str) -> bytes | None:
        """Read from the place, every time."""
        try:
            return self._remote.read(f"{name}/{TAGS}/{tag}", _TAG_BYTES_MAX)
        except FileNotFoundError:
            return None

    def write_tag(self, name: str, tag: str, content: bytes) -> None:
        """Over what was there; the later of two that do it at the same moment stays."""
        self._remote.write(f"{name}/{TAGS}/{tag}", content)

    def delete_tag(self, name: str, tag: str) -> None:
        """Removes its file."""
        self._remote.remove([f"{name}/{TAGS}/{tag}"])

    def _list(self, name: str | None) -> list[list[str]]:
        """The paths of all files that are where a bundle's or a tag's are, in their three parts."""
        return [parts for path in self._remote.list(name or "") if len(parts := path.split("/")) == 3]

    def _download(self, at: str, manifest: Manifest, incoming: Path) -> None:
        """Brings a bundle's files into an empty folder, and makes sure that they are the manifest's."""
        for name in (MANIFEST_FILE, *manifest.files):
            with (incoming / name).open("xb") as file:
                try:
                    self._remote.download(f"{at}/{name}", file, FILE_BYTES_MAX)
                except FileNotFoundError:
                    raise BundleError(f"bundle {self._remote.address(at)}: {name} is missing") from None
        called = self._remote.address(at)
        if read_manifest(incoming, called) != manifest:
            raise BundleError(f"bundle {called}: {MANIFEST_FILE} changed while it was read")
        try:
            read_files(incoming, manifest)
        except BundleError as error:
            raise BundleError(f"bundle {called}: {error}") from None

    def _create(self, path: str, content: bytes) -> None:
        """Writes a file of a bundle whose manifest is not there yet; the same one may be there from a broken put."""
        try:
            self._remote.create(path, content)
        except FileExistsError:
            try:
                there = self._remote.read(path, len(content))
            except (BundleError, FileNotFoundError):
                there = None
            if there != content:
                raise BundleError(
                    f"{self._remote.address(path)} is there with other content, and without a manifest beside it: "
                    "somebody else puts this version at this moment, or a put of it was broken off; in that case "
                    "remove what is in that folder"
                ) from None
