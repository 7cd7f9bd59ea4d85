"""What lies at a URL, by fsspec: read, listed and written, each fault told in one message that names the place."""

import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from schemas.confidential import STORE_LOGIN, URL_FAULT, has_url_credentials
from scorer.errors import BundleError, MisuseError

_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_CHUNK_BYTES: Final = 1 << 20
_protocol_of = re.compile(r"([a-z][a-z0-9+.-]*)(?:::.*)?://", re.DOTALL | re.IGNORECASE).match
# s3:/bucket and s3:bucket, of which nobody means a folder that is called `s3:`; one letter is a drive of Windows.
_misses_slashes = re.compile(r"([a-z][a-z0-9+.-]+):/(?!/)|(s3a?|gc?s|https?):(?!//)", re.IGNORECASE).match
_is_windows_path = re.compile(r"[a-z]:[\\/]", re.IGNORECASE).match
_is_file_url = re.compile(r"(?:file|local):(?://(?P<host>[^/]*))?(?P<path>/.*)", re.DOTALL | re.IGNORECASE).fullmatch


def local_path(place: str) -> Path | None:
    """The path on this machine that a place means; None if it is elsewhere.

    Raises:
        MisuseError: it is a URL that is mistyped or has a login or a token in it, a path of Windows, or below the home
            folder of an unknown user.
    """
    _refuse_credentials(place)
    file = _is_file_url(place)
    if file and file["host"] in {None, "", "localhost"}:
        return Path(file["path"])
    if file or place.lower().startswith(("file:", "local:")):
        raise MisuseError(f"{place}: is not a path on this machine: write file:///, then the path from the root on")
    if _protocol_of(place):
        return None
    scheme = _misses_slashes(place)
    if scheme:
        name = (scheme[1] or scheme[2]).lower()
        raise MisuseError(f"{place}: a URL has two slashes: write {name}://…, or ./{place} for a folder of this name")
    if os.name != "nt" and _is_windows_path(place):
        raise MisuseError(f"{place}: is a path of Windows, and this is not Windows; write ./{place} if it is meant so")
    try:
        return Path(place).expanduser()
    except RuntimeError:  # of `~` for a user without home folder, or `~name`
        raise MisuseError(f"{place}: no home folder is known for it: write the whole path") from None


def _refuse_credentials(place: str) -> None:
    """Raises MisuseError if a place is a URL with a login or a token in it. The message does not show the place."""
    if has_url_credentials(place):
        raise MisuseError(f"this {URL_FAULT}: {STORE_LOGIN}")


def split_url(url: str) -> "tuple[RemoteFolder, str]":
    """A file at a URL, as the folder it is in and its name there.

    Raises:
        MisuseError: nothing here can reach such a URL; the message says what to install.
    """
    path, mark, query = url.partition("?")
    folder, _, name = path.rpartition("/")
    return RemoteFolder(f"{folder}/" if folder.endswith("/") else folder), f"{name}{mark}{query}"


class RemoteFolder:
    """A folder at a URL, by any filesystem that fsspec knows. Nothing is remembered: each call asks anew."""

    def __init__(self, url: str) -> None:
        """Takes the folder's URL, which need not be there; most filesystems ask nothing yet.

        Raises:
            MisuseError: nothing here can reach such a URL; the message says what to install. Or there is a login or a
                token in the URL.
            BundleError: its server was asked at once, and does not answer.
        """
        _refuse_credentials(url)
        scheme, separator, rest = url.partition("://")
        url = f"{scheme.lower()}{separator}{rest}"
        self.url = url if url.endswith("//") else url.rstrip("/")
        self._files, self._root = _find_filesystem(url)

    def address(self, path: str) -> str:
        """A path of this folder as a URL."""
        return f"{self.url}{'' if self.url.endswith('/') or not path else '/'}{path}"

    def list(self, below: str = "") -> list[str]:
        """The files below a path of this folder, at any depth, as paths of this folder; none if there is none.

        Raises:
            BundleError: it cannot be asked, or it is not a folder.
        """
        with _telling(f"{self.address(below)} cannot be read"):
            self._files.invalidate_cache()  # a listing may be kept, and others put bundles too
            try:
                found = self._files.find(self._at(below))
                if not found:  # also where a folder could not be listed: the fault comes of asking for it alone
                    self._files.ls(self._at(below))
            except (FileNotFoundError, NotADirectoryError):
                return []
        if found == [self._root]:
            raise BundleError(f"{self.url} is a file, or a page without links, and not a folder")
        return [path.removeprefix(self._root).lstrip("/") for path in found]

    def read(self, path: str, bytes_max: int) -> bytes:
        """The bytes of a file.

        Raises:
            FileNotFoundError: it is not there.
            BundleError: it cannot be read, or has more bytes than that.
        """
        target = io.BytesIO()
        self.download(path, target, bytes_max)
        return target.getvalue()

    def download(self, path: str, target: IO[bytes], bytes_max: int) -> None:
        """Copies a file, in pieces.

        Raises:
            FileNotFoundError: it is not there.
            BundleError: it cannot be read, or has more bytes than that.
        """
        left = bytes_max
        told = _telling(f"{self.address(path)} cannot be read", FileNotFoundError)
        with told, self._files.open(self._at(path), "rb") as file:
            while piece := file.read(_CHUNK_BYTES):
                left -= len(piece)
                if left < 0:
                    raise BundleError(f"{self.address(path)} has more than {bytes_max} bytes")
                target.write(piece)

    def create(self, path: str, content: bytes) -> None:
        """Writes a file that is not there yet.

        Of two that create it at the same moment one is refused where the filesystem can create conditionally (S3, GCS,
        Azure); elsewhere both may believe that they were the first.

        Raises:
            FileExistsError: it is there; it is as it was.
            BundleError: it cannot be written.
        """
        with _telling(f"{self.address(path)} cannot be written", FileExistsError):
            if self._files.exists(self._at(path)):  # there are filesystems that know no mode and overwrite
                raise FileExistsError(path)
            self._put(path, content, mode="create")

    def write(self, path: str, content: bytes) -> None:
        """Writes a file, over the one that is there.

        Raises:
            BundleError: it cannot be written.
        """
        with _telling(f"{self.address(path)} cannot be written"):
            self._put(path, content, mode="overwrite")

    def remove(self, paths: Iterable[str]) -> None:
        """Removes files, in this order; one that is not there is none to remove.

        Raises:
            BundleError: one cannot be removed.
        """
        for path in paths:
            with _telling(f"{self.address(path)} cannot be removed"):
                try:
                    self._files.rm_file(self._at(path))
                except FileNotFoundError:
                    continue

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _put(self, path: str, content: bytes, mode: str) -> None:
        """Writes a file, and makes the folders on the way to it where the filesystem has such.

        Not where this folder itself is missing: in an object store that would create a bucket for a mistyped name.
        """
        try:
            self._files.pipe_file(self._at(path), content, mode=mode)
        except FileNotFoundError:
            if not self._files.exists(self._root):
                raise
            self._files.makedirs(self._at(path).rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(self._at(path), content, mode=mode)


def _find_filesystem(url: str) -> tuple[Any, str]:
    """The filesystem that reaches a URL, and the URL's path there."""
    from fsspec.core import url_to_fs

    try:
        with _telling(f"{url} cannot be reached", ImportError, ValueError, TypeError):
            files, root = url_to_fs(url)
    except ImportError as error:
        extra = _EXTRAS.get(url.partition(":")[0])
        cure = f"pip install 'streaming-credit-scorer[{extra}]'" if extra else str(error)
        raise MisuseError(f"{url}: what reaches such URLs is not installed: {cure}") from None
    except (ValueError, TypeError) as error:
        raise MisuseError(f"{url}: is no URL that can be reached: {error}") from None
    return files, root.rstrip("/")


@contextmanager
def _telling(what: str, *awaited: type[Exception]) -> Iterator[None]:
    """Whatever a filesystem raises, but for what its caller awaits, becomes a BundleError."""
    try:
        yield
    except BundleError:
        raise
    except awaited:
        raise
    except Exception as error:  # each filesystem has errors of its own, and few of them are OSErrors
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BundleError(f"{what}: {reason}. Is the address right, does it answer, may this user do it?") from error
