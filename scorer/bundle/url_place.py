"""A place of bundles at a URL, of which what was fetched is kept on this machine by its digest."""

import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from scorer.bundle.load import read_files, read_manifest
from scorer.bundle.manifest import FILE_BYTES_MAX, MANIFEST_BYTES_MAX, MANIFEST_FILE, Manifest, parse_manifest
from scorer.bundle.places import NOTE_BYTES_MAX, SIGNATURES, TAGS, Notes, Place
from scorer.bundle.remote import RemoteFolder
from scorer.errors import BundleError
from scorer.folders import cache_folder


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

    def read_note(self, name: str, kind: Notes, key: str) -> bytes | None:
        """Read from the place, every time; a signature from the cache while the place is out of reach."""
        kept = self._cache / f"{key}.{kind}"
        try:
            content = self._remote.read(f"{name}/{kind}/{key}", NOTE_BYTES_MAX)
        except FileNotFoundError:
            return None
        except BundleError:
            if kind != SIGNATURES or not kept.is_file():
                raise
            return kept.read_bytes()
        if kind == SIGNATURES:
            with suppress(OSError):  # the next one may be luckier
                self._cache.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(content)
        return content

    def write_note(self, name: str, kind: Notes, key: str, content: bytes) -> None:
        """Over what was there; the later of two that do it at the same moment stays."""
        self._remote.write(f"{name}/{kind}/{key}", content)

    def delete_note(self, name: str, kind: Notes, key: str) -> None:
        """Removes its file."""
        self._remote.remove([f"{name}/{kind}/{key}"])

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
