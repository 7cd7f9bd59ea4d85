"""The storage backend for a URL; fetched bundles are cached on this machine by digest."""

import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from scorer.bundle.load import read_files, read_manifest
from scorer.bundle.manifest import FILE_BYTES_MAX, MANIFEST_BYTES_MAX, MANIFEST_FILE, Manifest, parse_manifest
from scorer.errors import BundleError
from scorer.folders import cache_folder
from scorer.store.backends import NOTE_BYTES_MAX, SIGNATURES, TAGS, Backend, Notes
from scorer.store.remote import RemoteFolder


class UrlBackend(Backend):
    """The backend for a folder at a URL; bundles are opened from the user's cache on this machine, by digest.

    The manifest is written after all other files, and a bundle without manifest does not exist: readers see either the
    complete bundle or none, and an interrupted upload can be repeated. Files are never overwritten. If two processes
    add the same version at the same time, one of them gets an error on filesystems with conditional writes (S3, GCS,
    Azure); on others their files may be mixed, which readers detect by the digests and report as an error.
    """

    def __init__(self, url: str) -> None:
        """Creates the backend, without connecting.

        Raises:
            MisuseError: no installed filesystem supports the URL; the message says what to install.
        """
        self._remote = RemoteFolder(url)
        self._cache = cache_folder() / "bundles"

    def uri(self, name: str, version: str) -> str:
        """Returns the URL of a bundle's folder."""
        return self._remote.address(f"{name}/{version}")

    def versions(self, name: str | None = None) -> Iterable[tuple[str, str]]:
        """Lists the existing manifests."""
        return [(parts[0], parts[1]) for parts in self._list(name) if parts[2] == MANIFEST_FILE]

    def manifest(self, name: str, version: str) -> Manifest:
        """Reads the manifest from the URL, every time."""
        try:
            return parse_manifest(self._remote.read(f"{name}/{version}/{MANIFEST_FILE}", MANIFEST_BYTES_MAX))
        except FileNotFoundError:
            raise BundleError(f"bundle {self.uri(name, version)}: {MANIFEST_FILE} is missing") from None
        except BundleError as error:
            raise BundleError(f"bundle {self.uri(name, version)}: {error}") from error

    def fetch(self, name: str, version: str, manifest: Manifest) -> Path:
        """Returns the cached folder; downloads and checks the bundle first if it is not cached."""
        cached = self.cached(manifest.digest)
        if cached is not None:
            return cached
        target = self._cache / manifest.digest
        incoming = self._cache / f".incoming-{secrets.token_hex(8)}"
        try:
            incoming.mkdir(parents=True)
            self._download(f"{name}/{version}", manifest, incoming)
            incoming.rename(target)
        except OSError as error:
            if self.cached(manifest.digest) is None:  # otherwise another process was faster
                raise BundleError(
                    f"{target} cannot be written: {error.strerror}; set XDG_CACHE_HOME to move the cache"
                ) from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return target

    def cached(self, digest: str) -> Path | None:
        """Returns the cached folder if it is intact; a damaged one is deleted."""
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
        """Uploads the files, then the manifest."""
        base = f"{manifest.name}/{manifest.version}"
        for name, content in read_files(folder, manifest).items():
            self._create(f"{base}/{name}", content)
        try:
            self._remote.create(f"{base}/{MANIFEST_FILE}", (folder / MANIFEST_FILE).read_bytes())
        except FileExistsError:
            raise BundleError(
                f"{manifest.name}:{manifest.version} was added to {self._remote.url} in the meantime, and a bundle is "
                "never overwritten. Choose the next version"
            ) from None

    def delete(self, name: str, version: str) -> None:
        """Deletes the manifest first: from then on the bundle does not exist."""
        files = self._remote.list(f"{name}/{version}")
        self._remote.remove(sorted(files, key=lambda path: not path.endswith(f"/{MANIFEST_FILE}")))

    def tags(self, name: str | None = None) -> Iterable[tuple[str, str]]:
        """Lists the tags' files."""
        return [(parts[0], parts[2]) for parts in self._list(name) if parts[1] == TAGS]

    def read_note(self, name: str, kind: Notes, key: str) -> bytes | None:
        """Reads the note from the URL, every time; signatures from the cache while the URL is unreachable."""
        cached = self._cache / f"{key}.{kind}"
        try:
            content = self._remote.read(f"{name}/{kind}/{key}", NOTE_BYTES_MAX)
        except FileNotFoundError:
            return None
        except BundleError:
            if kind != SIGNATURES or not cached.is_file():
                raise
            return cached.read_bytes()
        if kind == SIGNATURES:
            with suppress(OSError):  # caching is optional
                self._cache.mkdir(parents=True, exist_ok=True)
                cached.write_bytes(content)
        return content

    def write_note(self, name: str, kind: Notes, key: str, content: bytes) -> None:
        """Writes or replaces the note; of two concurrent writes, the last one wins."""
        self._remote.write(f"{name}/{kind}/{key}", content)

    def delete_note(self, name: str, kind: Notes, key: str) -> None:
        """Deletes the note's file."""
        self._remote.remove([f"{name}/{kind}/{key}"])

    def _list(self, name: str | None) -> list[list[str]]:
        """Lists all files at the depth of bundles' and tags' files, with their paths split into three parts."""
        return [parts for path in self._remote.list(name or "") if len(parts := path.split("/")) == 3]

    def _download(self, base: str, manifest: Manifest, incoming: Path) -> None:
        """Downloads a bundle into an empty folder, and checks it against the manifest."""
        for name in (MANIFEST_FILE, *manifest.files):
            with (incoming / name).open("xb") as file:
                try:
                    self._remote.download(f"{base}/{name}", file, FILE_BYTES_MAX)
                except FileNotFoundError:
                    raise BundleError(f"bundle {self._remote.address(base)}: {name} is missing") from None
        url = self._remote.address(base)
        if read_manifest(incoming, url) != manifest:
            raise BundleError(f"bundle {url}: {MANIFEST_FILE} changed while it was read")
        try:
            read_files(incoming, manifest)
        except BundleError as error:
            raise BundleError(f"bundle {url}: {error}") from None

    def _create(self, path: str, content: bytes) -> None:
        """Uploads a file of a bundle that has no manifest yet; an interrupted upload may have created the same file."""
        try:
            self._remote.create(path, content)
        except FileExistsError:
            try:
                existing = self._remote.read(path, len(content))
            except (BundleError, FileNotFoundError):
                existing = None
            if existing != content:
                raise BundleError(
                    f"{self._remote.address(path)} exists with different content, but its bundle has no manifest: "
                    "either another process is adding this version, or adding it was interrupted; in that case delete "
                    "the files in that folder"
                ) from None
