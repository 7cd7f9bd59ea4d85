"""Exports and unpacks bundles as folders, .tar.gz, .tar.xz or .zip, local or at a URL; rejects unsafe archives."""

import gzip
import io
import lzma
import os
import re
import secrets
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Final, cast
from urllib.parse import urlsplit

from scorer.bundle.load import load_bundle, read_files, read_manifest
from scorer.bundle.manifest import FILE_BYTES_MAX, FILES_MAX, MANIFEST_BYTES_MAX, MANIFEST_FILE
from scorer.errors import BundleError, MisuseError
from scorer.store.remote import RemoteFolder, local_path, split_url

ARCHIVE_BYTES_MAX: Final = 1 << 30  # four files of the maximum size, compressed or not
ENTRIES_MAX: Final = FILES_MAX + 8  # the files, the manifest, and parent folders
_HEADERS_BYTES_MAX: Final = 1 << 20  # an archive's headers: a thousand times what a bundle needs
_CHUNK_BYTES: Final = 1 << 16
# The earliest timestamp of a zip. It is constant, so that exports of a bundle are reproducible.
_TIMESTAMP: Final = (1980, 1, 1, 0, 0, 0)
_TIMESTAMP_S: Final = 315_532_800

_ARCHIVE_TYPES: Final = {
    ".tar.gz": ".tar.gz",
    ".tgz": ".tar.gz",
    ".tar.xz": ".tar.xz",
    ".txz": ".tar.xz",
    ".zip": ".zip",
}
_is_other_archive = re.compile(
    r".+\.(tar|tar\.[a-z0-9]+|tbz2?|bz2|gz|xz|zst|7z|rar|bentomodel)", re.IGNORECASE
).fullmatch
_is_file_name = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}").fullmatch
_is_absolute = re.compile(r"[/\\]|[A-Za-z]:").match

# Raised by the standard library's readers on damaged archives, or on endlessly nested headers.
_DAMAGE: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    LookupError,
    NotImplementedError,
    RecursionError,
    OverflowError,
    gzip.BadGzipFile,
)


def export_bundle(bundle: Path, target: str) -> None:
    """Exports a bundle, after checking it. The target is written atomically, and an existing target is not overwritten.

    The same bundle gives the same bytes with the same Python version.

    Args:
        bundle: the bundle's folder.
        target: a path or a URL. The extension selects .tar.gz, .tar.xz or .zip, with the bundle in one top folder;
            without one of these extensions, a folder is written.

    Raises:
        MisuseError: the target exists, or its extension is that of an unsupported archive type.
        BundleError: the bundle is damaged, or the target cannot be written.
    """
    archive_type = _archive_type(target)
    load_bundle(bundle)
    manifest = read_manifest(bundle)
    # The manifest last: until it is written, a bundle that is copied file by file does not exist.
    contents = {**read_files(bundle, manifest), MANIFEST_FILE: (bundle / MANIFEST_FILE).read_bytes()}
    if archive_type:
        archive = _pack(archive_type, f"{manifest.name}-{manifest.version}", contents)
    path = local_path(target)
    try:
        if path and os.path.lexists(path):
            raise FileExistsError(target)
        if path is None and archive_type:
            remote, name = split_url(target)
            remote.create(name, archive)
        elif path is None:
            _write_remote_folder(target, contents)
        elif archive_type:
            _write_file(path, archive)
        else:
            _write_folder(path, contents)
    except FileExistsError:
        raise MisuseError(f"{target} already exists and is not overwritten: choose another target") from None
    except OSError as error:
        raise BundleError(f"{target} cannot be written: {error.strerror}") from error


@contextmanager
def unpacked(source: str) -> Iterator[Path]:
    """Unpacks a bundle into a temporary folder, which is deleted on exit; a local folder is yielded as it is.

    The folder contains regular files with plain names, within the limits of a bundle. `load_bundle` checks whether they
    are a valid bundle.

    Args:
        source: the path or URL of a .tar.gz, .tar.xz or .zip, or of a folder.

    Raises:
        MisuseError: the source does not exist, or its extension is that of an unsupported archive type.
        BundleError: it is damaged, contains entries that a bundle must not have, or is unreachable; nothing was kept.
    """
    archive_type = _archive_type(source)
    path = local_path(source)
    if path and not archive_type:
        if path.is_file():
            raise MisuseError(f"{source}: unknown archive type: use {', '.join(_ARCHIVE_TYPES)}, or a folder")
        if not path.is_dir():
            raise MisuseError(f"{source}: no such folder or archive; is the path right?")
        yield path
        return
    with TemporaryDirectory(prefix="scorer-import-") as temporary:
        folder = Path(temporary)
        try:
            _unpack(source, archive_type, _Unpacker(folder))
        except BundleError as error:
            raise BundleError(f"{source}: {error}. Nothing was kept") from error
        except _DAMAGE as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise BundleError(
                f"{source}: it is truncated, damaged or not a {archive_type}: {reason}. Nothing was kept"
            ) from error
        except FileNotFoundError:
            raise MisuseError(f"{source}: no such archive; is the URL right?") from None
        except OSError as error:
            raise BundleError(f"{source} cannot be unpacked: {error.strerror}. Nothing was kept") from error
        yield folder


class _LimitedReader:
    """A file reader with a limit on the bytes that may be read, whatever the file's headers say."""

    def __init__(self, file: IO[bytes], allowed: int) -> None:
        self._file = file
        self._left = allowed

    def allow(self, count: int) -> None:
        """Sets how many more bytes may be read."""
        self._left = count

    def read(self, count: int = -1) -> bytes:
        """Reads like a file. Raises BundleError beyond the limit."""
        content = self._file.read(self._left + 1 if count < 0 else min(count, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise BundleError("it unpacks to more than a bundle can contain")
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Behaves like a file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Behaves like a file."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Behaves like a file."""
        return self._file.seekable()


class _Unpacker:
    """Writes unpacked files into an empty folder, and enforces plain file names and the limits of a bundle."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries = 0
        self._names: set[str] = set()
        self._top: list[str] | None = None
        self._left = ARCHIVE_BYTES_MAX

    def check_path(self, entry: str) -> list[str]:
        """Splits an entry's path. Raises BundleError if the path is unsafe, or there are too many entries."""
        self._entries += 1
        if self._entries > ENTRIES_MAX:
            raise BundleError(f"it has more than {ENTRIES_MAX} entries, the maximum for a bundle")
        if _is_absolute(entry):
            raise BundleError(f"{_printable_entry(entry)} is an absolute path")
        if ".." in re.split(r"[/\\]", entry):
            raise BundleError(f"{_printable_entry(entry)} leads outside of its folder")
        return [part for part in entry.split("/") if part not in {"", "."}]

    def write(self, entry: str, content: IO[bytes]) -> None:
        """Writes a file. Raises BundleError if a bundle must not have it."""
        *top, name = self.check_path(entry) or [""]
        if not _is_file_name(name) or len(top) > 1:
            raise BundleError(f"{_printable_entry(entry)} is not a valid file name in a bundle")
        if self._top not in (None, top):
            raise BundleError(f"{_printable_entry(entry)} is in a different folder than the previous files")
        if name.lower() in self._names:
            raise BundleError(f"{_printable_entry(entry)} occurs twice")
        self._top = top
        self._names.add(name.lower())
        bytes_max = min(self._left, MANIFEST_BYTES_MAX if name == MANIFEST_FILE else FILE_BYTES_MAX)
        with (self._folder / name).open("xb") as file:
            while chunk := content.read(_CHUNK_BYTES):
                if file.tell() + len(chunk) > bytes_max:
                    raise BundleError(f"{name} unpacks to more than {bytes_max} bytes")
                file.write(chunk)
            self._left -= file.tell()


def _archive_type(source: str) -> str:
    """Returns the archive type by extension: .tar.gz, .tar.xz, .zip, or an empty string for a folder."""
    path = source if local_path(source) else urlsplit(source).path or source
    for extension, archive_type in _ARCHIVE_TYPES.items():
        if path.lower().endswith(extension):
            return archive_type
    if _is_other_archive(path):
        raise MisuseError(f"{source}: unsupported archive type: use {', '.join(_ARCHIVE_TYPES)}, or a folder")
    return ""


def _printable_entry(entry: str) -> str:
    """Escapes and shortens an untrusted name for display."""
    return ascii(entry[:80])


def _unpack(source: str, archive_type: str, unpacker: _Unpacker) -> None:
    path = local_path(source)
    if not archive_type:
        _unpack_remote_folder(RemoteFolder(source), unpacker)
    elif path:
        with path.open("rb") as file:
            _unpack_archive(file, archive_type, unpacker)
    else:
        with TemporaryFile() as file:
            remote, name = split_url(source)
            remote.download(name, file, ARCHIVE_BYTES_MAX)
            file.seek(0)
            _unpack_archive(file, archive_type, unpacker)


def _unpack_archive(file: IO[bytes], archive_type: str, unpacker: _Unpacker) -> None:
    if archive_type == ".zip":
        _unpack_zip(file, unpacker)
    elif archive_type == ".tar.gz":
        with gzip.open(file) as tar:
            _unpack_tar(cast("IO[bytes]", tar), unpacker)
    else:
        with lzma.open(file) as tar:
            _unpack_tar(cast("IO[bytes]", tar), unpacker)


def _unpack_tar(file: IO[bytes], unpacker: _Unpacker) -> None:
    limited = _LimitedReader(file, _HEADERS_BYTES_MAX)
    with tarfile.open(fileobj=cast("IO[bytes]", limited), mode="r|") as tar:
        for member in tar:
            if member.isdir():
                unpacker.check_path(member.name)
                continue
            content = tar.extractfile(member) if member.isreg() and not member.issparse() else None
            if content is None:
                raise BundleError(
                    f"{_printable_entry(member.name)} is {_describe_type(member)}; a bundle contains regular files only"
                )
            limited.allow(FILE_BYTES_MAX + _HEADERS_BYTES_MAX)
            unpacker.write(member.name, content)
            limited.allow(_HEADERS_BYTES_MAX)
    while limited.read(_CHUNK_BYTES):  # to the end, so that the checksum of the compression is verified
        pass


def _describe_type(member: tarfile.TarInfo) -> str:
    kinds = {
        "a symbolic link": member.issym(),
        "a hard link": member.islnk(),
        "a device": member.ischr() or member.isblk(),
        "a pipe": member.isfifo(),
        "a sparse file": member.issparse(),
    }
    return next((kind for kind, matches in kinds.items() if matches), "not a regular file")


def _unpack_zip(file: IO[bytes], unpacker: _Unpacker) -> None:
    limited = _LimitedReader(file, _HEADERS_BYTES_MAX)
    with zipfile.ZipFile(cast("IO[bytes]", limited)) as archive:
        for info in archive.infolist():
            shown, mode = _printable_entry(info.orig_filename), stat.S_IFMT(info.external_attr >> 16)
            if info.orig_filename.endswith("/"):
                unpacker.check_path(info.orig_filename)
                continue
            if mode == stat.S_IFLNK:
                raise BundleError(f"{shown} is a symbolic link; a bundle contains regular files only")
            if mode not in {0, stat.S_IFREG}:
                raise BundleError(f"{shown} is not a regular file; a bundle contains regular files only")
            if info.flag_bits & 1:
                raise BundleError(f"{shown} is encrypted")
            if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise BundleError(f"{shown} uses a compression method other than stored or deflate")
            limited.allow(FILE_BYTES_MAX + _HEADERS_BYTES_MAX)
            with archive.open(info) as content:
                unpacker.write(info.orig_filename, content)


def _unpack_remote_folder(remote: RemoteFolder, unpacker: _Unpacker) -> None:
    paths = remote.list()
    if not paths:
        raise BundleError("the folder does not exist or is empty")
    for path in paths:
        unpacker.write(path, io.BytesIO(remote.read(path, FILE_BYTES_MAX)))


def _pack(archive_type: str, top: str, contents: Mapping[str, bytes]) -> bytes:
    """Returns an archive with the files in one folder, sorted by name, without owners or timestamps."""
    files = {f"{top}/{name}": contents[name] for name in sorted(contents)}
    packed = io.BytesIO()
    if archive_type == ".zip":
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                info = zipfile.ZipInfo(name, _TIMESTAMP)
                info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16  # Unix, on all platforms
                archive.writestr(info, content, zipfile.ZIP_DEFLATED)
        return packed.getvalue()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), _TIMESTAMP_S
            tar.addfile(member, io.BytesIO(content))
    if archive_type == ".tar.gz":
        return gzip.compress(packed.getvalue(), mtime=0)
    return lzma.compress(packed.getvalue())


def _write_file(path: Path, content: bytes) -> None:
    """Raises FileExistsError, OSError."""
    incoming = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        incoming.write_bytes(content)
        path.open("xb").close()  # reserves the name
        incoming.replace(path)
    finally:
        incoming.unlink(missing_ok=True)


def _write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """Raises FileExistsError, OSError."""
    incoming = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        incoming.mkdir()
        for name, content in contents.items():
            (incoming / name).write_bytes(content)
        path.mkdir()  # reserves the name
        incoming.rename(path)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _write_remote_folder(url: str, contents: Mapping[str, bytes]) -> None:
    """Raises FileExistsError, BundleError."""
    remote = RemoteFolder(url)
    if remote.list():
        raise FileExistsError(url)
    for name, content in contents.items():
        remote.create(name, content)
