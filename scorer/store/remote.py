"""Reads, lists and writes files at a URL with fsspec; each failure becomes one error that names the URL."""

import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from schemas.confidential import STORE_LOGIN, URL_FAULT, has_url_credentials
from scorer.errors import BundleError, MisuseError
from scorer.extras import install_command

_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_CHUNK_BYTES: Final = 1 << 20
_protocol_of = re.compile(r"([a-z][a-z0-9+.-]*)(?:::.*)?://", re.DOTALL | re.IGNORECASE).match
# s3:/bucket and s3:bucket: most likely mistyped URLs, not a folder named `s3:`; a single letter is a Windows drive.
_misses_slashes = re.compile(r"([a-z][a-z0-9+.-]+):/(?!/)|(s3a?|gc?s|https?):(?!//)", re.IGNORECASE).match
_is_windows_path = re.compile(r"[a-z]:[\\/]", re.IGNORECASE).match
_is_file_url = re.compile(r"(?:file|local):(?://(?P<host>[^/]*))?(?P<path>/.*)", re.DOTALL | re.IGNORECASE).fullmatch


def local_path(location: str) -> Path | None:
    """Returns the local path that a path or URL refers to; None if it is remote.

    Raises:
        MisuseError: it is a mistyped URL, a URL with credentials, a Windows path, or in the home folder of an unknown
            user.
    """
    _forbid_credentials(location)
    file = _is_file_url(location)
    if file and file["host"] in {None, "", "localhost"}:
        return Path(file["path"])
    if file or location.lower().startswith(("file:", "local:")):
        raise MisuseError(f"{location}: is not a path on this machine: use file:/// and an absolute path")
    if _protocol_of(location):
        return None
    scheme = _misses_slashes(location)
    if scheme:
        name = (scheme[1] or scheme[2]).lower()
        raise MisuseError(
            f"{location}: a URL has two slashes: use {name}://…, or ./{location} for a folder with this name"
        )
    if os.name != "nt" and _is_windows_path(location):
        raise MisuseError(
            f"{location}: is a Windows path, but this is not Windows; use ./{location} for a folder with this name"
        )
    try:
        return Path(location).expanduser()
    except RuntimeError:  # `~` of a user without home folder, or `~name`
        raise MisuseError(f"{location}: the home folder is unknown: use an absolute path") from None


def _forbid_credentials(location: str) -> None:
    """Raises MisuseError if the place is a URL with credentials. The message does not contain the URL."""
    if has_url_credentials(location):
        raise MisuseError(f"this {URL_FAULT}: {STORE_LOGIN}")


def split_url(url: str) -> "tuple[RemoteFolder, str]":
    """Splits the URL of a file into its folder and its name.

    Raises:
        MisuseError: no installed filesystem supports the URL; the message says what to install.
    """
    path, mark, query = url.partition("?")
    folder, _, name = path.rpartition("/")
    return RemoteFolder(f"{folder}/" if folder.endswith("/") else folder), f"{name}{mark}{query}"


class RemoteFolder:
    """A folder at a URL, on any filesystem that fsspec supports. Nothing is cached between calls."""

    def __init__(self, url: str) -> None:
        """Creates the object. The folder need not exist; most filesystems do not connect yet.

        Raises:
            MisuseError: no installed filesystem supports the URL (the message says what to install), or the URL
                contains credentials.
            BundleError: the filesystem connects at once, and the server does not respond.
        """
        _forbid_credentials(url)
        scheme, separator, rest = url.partition("://")
        url = f"{scheme.lower()}{separator}{rest}"
        self.url = url if url.endswith("//") else url.rstrip("/")
        self._filesystem, self._root = _find_filesystem(url)

    def address(self, path: str) -> str:
        """Returns the URL of a path in this folder."""
        return f"{self.url}{'' if self.url.endswith('/') or not path else '/'}{path}"

    def list(self, below: str = "") -> list[str]:
        """Lists the files below a path, recursively, as paths relative to this folder; empty if the path is missing.

        Raises:
            BundleError: it cannot be read, or is not a folder.
        """
        with _converting_errors(f"{self.address(below)} cannot be read"):
            self._filesystem.invalidate_cache()  # listings may be cached, and other processes write, too
            try:
                paths = self._filesystem.find(self._path_of(below))
                if not paths:  # also if the folder cannot be listed: only ls raises the error
                    self._filesystem.ls(self._path_of(below))
            except (FileNotFoundError, NotADirectoryError):
                return []
        if paths == [self._root]:
            raise BundleError(f"{self.url} is not a folder, but a file or a page without links")
        return [path.removeprefix(self._root).lstrip("/") for path in paths]

    def read(self, path: str, bytes_max: int) -> bytes:
        """Reads a file.

        Raises:
            FileNotFoundError: it does not exist.
            BundleError: it cannot be read, or is larger than bytes_max.
        """
        target = io.BytesIO()
        self.download(path, target, bytes_max)
        return target.getvalue()

    def download(self, path: str, target: IO[bytes], bytes_max: int) -> None:
        """Copies a file in chunks.

        Raises:
            FileNotFoundError: it does not exist.
            BundleError: it cannot be read, or is larger than bytes_max.
        """
        remaining = bytes_max
        errors_converted = _converting_errors(f"{self.address(path)} cannot be read", FileNotFoundError)
        with errors_converted, self._filesystem.open(self._path_of(path), "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                remaining -= len(chunk)
                if remaining < 0:
                    raise BundleError(f"{self.address(path)} has more than {bytes_max} bytes")
                target.write(chunk)

    def create(self, path: str, content: bytes) -> None:
        """Creates a file, which must not exist.

        If two processes create it at the same time, one of them gets an error on filesystems with conditional writes
        (S3, GCS, Azure); on others both may succeed.

        Raises:
            FileExistsError: it exists; it was not changed.
            BundleError: it cannot be written.
        """
        with _converting_errors(f"{self.address(path)} cannot be written", FileExistsError):
            if self._filesystem.exists(self._path_of(path)):  # some filesystems ignore the mode and overwrite
                raise FileExistsError(path)
            self._put(path, content, mode="create")

    def write(self, path: str, content: bytes) -> None:
        """Writes a file, or replaces an existing one.

        Raises:
            BundleError: it cannot be written.
        """
        with _converting_errors(f"{self.address(path)} cannot be written"):
            self._put(path, content, mode="overwrite")

    def remove(self, paths: Iterable[str]) -> None:
        """Deletes files in this order; missing files are ignored.

        Raises:
            BundleError: a file cannot be deleted.
        """
        for path in paths:
            with _converting_errors(f"{self.address(path)} cannot be deleted"):
                try:
                    self._filesystem.rm_file(self._path_of(path))
                except FileNotFoundError:
                    continue

    def _path_of(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _put(self, path: str, content: bytes, mode: str) -> None:
        """Writes a file, and creates its parent folders if the filesystem has folders.

        The root folder itself is not created: in an object store, a mistyped name would create a bucket.
        """
        try:
            self._filesystem.pipe_file(self._path_of(path), content, mode=mode)
        except FileNotFoundError:
            if not self._filesystem.exists(self._root):
                raise
            self._filesystem.makedirs(self._path_of(path).rpartition("/")[0], exist_ok=True)
            self._filesystem.pipe_file(self._path_of(path), content, mode=mode)


def _find_filesystem(url: str) -> tuple[Any, str]:
    """Returns the filesystem of a URL, and the path on it."""
    from fsspec.core import url_to_fs

    try:
        with _converting_errors(f"{url} cannot be reached", ImportError, ValueError, TypeError):
            files, root = url_to_fs(url)
    except ImportError as error:
        extra = _EXTRAS.get(url.partition(":")[0])
        fix = install_command(extra) if extra else str(error)
        raise MisuseError(f"{url}: support for such URLs is not installed: {fix}") from None
    except (ValueError, TypeError) as error:
        raise MisuseError(f"{url}: is not a supported URL: {error}") from None
    return files, root.rstrip("/")


@contextmanager
def _converting_errors(message: str, *expected: type[Exception]) -> Iterator[None]:
    """Converts every exception of a filesystem to a BundleError, except those that the caller expects."""
    try:
        yield
    except BundleError:
        raise
    except expected:
        raise
    except Exception as error:  # filesystems raise their own exceptions, few of which are OSErrors
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BundleError(
            f"{message}: {reason}. Is the URL right, is the server up, and does this user have permission?"
        ) from error
