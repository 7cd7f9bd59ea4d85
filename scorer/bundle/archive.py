"""Bundles on the move, as a folder, .tar.gz, .tar.xz or .zip, here or at a URL; nothing unsafe is ever unpacked."""

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
from scorer.bundle.remote import RemoteFolder, local_path, split_url
from scorer.errors import BundleError, MisuseError

ARCHIVE_BYTES_MAX: Final = 1 << 30  # four of the largest files that a bundle may have, packed or not
ENTRIES_MAX: Final = FILES_MAX + 8  # the files, the manifest, and folders around them
_HEADERS_BYTES_MAX: Final = 1 << 20  # what an archive says of its files: a thousand times what a bundle's needs
_PIECE_BYTES: Final = 1 << 16
# The first moment that a zip can tell: the same bundle gives the same bytes whenever it is exported.
_MOMENT: Final = (1980, 1, 1, 0, 0, 0)
_MOMENT_S: Final = 315_532_800

_KINDS: Final = {".tar.gz": ".tar.gz", ".tgz": ".tar.gz", ".tar.xz": ".tar.xz", ".txz": ".tar.xz", ".zip": ".zip"}
_is_packed_otherwise = re.compile(
    r".+\.(tar|tar\.[a-z0-9]+|tbz2?|bz2|gz|xz|zst|7z|rar|bentomodel)", re.IGNORECASE
).fullmatch
_is_file_name = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}").fullmatch
_is_absolute = re.compile(r"[/\\]|[A-Za-z]:").match

# What the readers of Python's library raise at damage, or at headers that are nested without end.
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
    """Writes a bundle to where it can be taken in from: checked, whole or not at all, and never over something.

    The same bundle gives the same bytes, with the same release of Python.

    Args:
        bundle: the bundle's folder.
        target: a path or a URL. Its ending says whether it becomes a .tar.gz, .tar.xz or .zip, with the bundle in a
            folder of its own; without one of them it becomes a folder.

    Raises:
        MisuseError: there is something at the target, or its ending is that of another kind of archive.
        BundleError: the bundle is damaged, or the target cannot be written.
    """
    kind = _kind(target)
    load_bundle(bundle)
    manifest = read_manifest(bundle)
    # The manifest last: where files come one by one, a bundle without it is not there.
    contents = {**read_files(bundle, manifest), MANIFEST_FILE: (bundle / MANIFEST_FILE).read_bytes()}
    if kind:
        packed = _pack(kind, f"{manifest.name}-{manifest.version}", contents)
    path = local_path(target)
    try:
        if path and os.path.lexists(path):
            raise FileExistsError(target)
        if path is None and kind:
            remote, name = split_url(target)
            remote.create(name, packed)
        elif path is None:
            _write_remote_folder(target, contents)
        elif kind:
            _write_file(path, packed)
        else:
            _write_folder(path, contents)
    except FileExistsError:
        raise MisuseError(f"{target} is there already, and nothing is overwritten: name something new") from None
    except OSError as error:
        raise BundleError(f"{target} cannot be written: {error.strerror}") from error


@contextmanager
def unpacked(source: str) -> Iterator[Path]:
    """A bundle's folder, from what it came in; it is gone afterwards, unless it is the source itself.

    What comes out is plain files with plain names, in numbers and sizes that a bundle may have. Whether they are a
    bundle is for `load_bundle` to say.

    Args:
        source: the path or URL of a .tar.gz, .tar.xz or .zip, or of a folder.

    Raises:
        MisuseError: there is no such thing, or its ending is that of another kind of archive.
        BundleError: it is damaged, holds what no bundle may, or cannot be reached; nothing was kept.
    """
    kind = _kind(source)
    path = local_path(source)
    if path and not kind:
        if path.is_file():
            raise MisuseError(f"{source}: its ending says no kind of archive: {', '.join(_KINDS)} are taken")
        if not path.is_dir():
            raise MisuseError(f"{source}: there is no such folder or archive; is the path right?")
        yield path
        return
    with TemporaryDirectory(prefix="scorer-import-") as scratch:
        folder = Path(scratch)
        try:
            _unpack(source, kind, _Incoming(folder))
        except BundleError as error:
            raise BundleError(f"{source}: {error}. Nothing was kept") from error
        except _DAMAGE as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise BundleError(f"{source}: it is truncated, damaged or no {kind}: {reason}. Nothing was kept") from error
        except FileNotFoundError:
            raise MisuseError(f"{source}: there is no such archive; is the address right?") from None
        except OSError as error:
            raise BundleError(f"{source} cannot be unpacked: {error.strerror}. Nothing was kept") from error
        yield folder


class _Limited:
    """A file of which no more is read than allowed, whatever its headers say."""

    def __init__(self, file: IO[bytes], allowed: int) -> None:
        self._file = file
        self._left = allowed

    def allow(self, count: int) -> None:
        """Sets how many bytes may be read from here on."""
        self._left = count

    def read(self, count: int = -1) -> bytes:
        """As a file does. Raises BundleError when that is more than allowed."""
        content = self._file.read(self._left + 1 if count < 0 else min(count, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise BundleError("it unpacks to far more than a bundle's files and their names can be")
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As a file does."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As a file does."""
        return self._file.tell()

    def seekable(self) -> bool:
        """As a file does."""
        return self._file.seekable()


class _Incoming:
    """An empty folder that takes a bundle's files in, one by one, by their plain names and up to the limits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries = 0
        self._names: set[str] = set()
        self._top: list[str] | None = None
        self._left = ARCHIVE_BYTES_MAX

    def look_at(self, entry: str) -> list[str]:
        """The parts of an entry's path; raises BundleError if it leads out, or is one too many."""
        self._entries += 1
        if self._entries > ENTRIES_MAX:
            raise BundleError(f"it has more than {ENTRIES_MAX} entries, and a bundle's archive has fewer")
        if _is_absolute(entry):
            raise BundleError(f"{_shown(entry)} is an absolute path")
        if ".." in re.split(r"[/\\]", entry):
            raise BundleError(f"{_shown(entry)} climbs out of its folder")
        return [part for part in entry.split("/") if part not in {"", "."}]

    def take(self, entry: str, content: IO[bytes]) -> None:
        """Takes a file in; raises BundleError if it is none that a bundle may have."""
        *top, name = self.look_at(entry) or [""]
        if not _is_file_name(name) or len(top) > 1:
            raise BundleError(f"{_shown(entry)} is no name that a bundle's file may have")
        if self._top not in (None, top):
            raise BundleError(f"{_shown(entry)} is in another folder than the files before it")
        if name.lower() in self._names:
            raise BundleError(f"{_shown(entry)} is in it twice")
        self._top = top
        self._names.add(name.lower())
        bytes_max = min(self._left, MANIFEST_BYTES_MAX if name == MANIFEST_FILE else FILE_BYTES_MAX)
        with (self._folder / name).open("xb") as file:
            while piece := content.read(_PIECE_BYTES):
                if file.tell() + len(piece) > bytes_max:
                    raise BundleError(f"{name} unpacks to more than {bytes_max} bytes")
                file.write(piece)
            self._left -= file.tell()


def _kind(place: str) -> str:
    """The kind of archive that an ending says: .tar.gz, .tar.xz, .zip, or nothing for a folder."""
    path = place if local_path(place) else urlsplit(place).path or place
    for ending, kind in _KINDS.items():
        if path.lower().endswith(ending):
            return kind
    if _is_packed_otherwise(path):
        raise MisuseError(f"{place}: {', '.join(_KINDS)} and folders are what bundles travel as")
    return ""


def _shown(entry: str) -> str:
    """A name that somebody else chose, fit for a terminal."""
    return ascii(entry[:80])


def _unpack(source: str, kind: str, incoming: _Incoming) -> None:
    path = local_path(source)
    if not kind:
        _unpack_remote_folder(RemoteFolder(source), incoming)
    elif path:
        with path.open("rb") as file:
            _unpack_archive(file, kind, incoming)
    else:
        with TemporaryFile() as file:
            remote, name = split_url(source)
            remote.download(name, file, ARCHIVE_BYTES_MAX)
            file.seek(0)
            _unpack_archive(file, kind, incoming)


def _unpack_archive(file: IO[bytes], kind: str, incoming: _Incoming) -> None:
    if kind == ".zip":
        _unpack_zip(file, incoming)
    elif kind == ".tar.gz":
        with gzip.open(file) as tar:
            _unpack_tar(cast("IO[bytes]", tar), incoming)
    else:
        with lzma.open(file) as tar:
            _unpack_tar(cast("IO[bytes]", tar), incoming)


def _unpack_tar(file: IO[bytes], incoming: _Incoming) -> None:
    limited = _Limited(file, _HEADERS_BYTES_MAX)
    with tarfile.open(fileobj=cast("IO[bytes]", limited), mode="r|") as tar:
        for member in tar:
            if member.isdir():
                incoming.look_at(member.name)
                continue
            content = tar.extractfile(member) if member.isreg() and not member.issparse() else None
            if content is None:
                raise BundleError(f"{_shown(member.name)} is {_strange_kind(member)}; a bundle holds plain files only")
            limited.allow(FILE_BYTES_MAX + _HEADERS_BYTES_MAX)
            incoming.take(member.name, content)
            limited.allow(_HEADERS_BYTES_MAX)
    while limited.read(_PIECE_BYTES):  # to its very end, where the packing's own checksum is
        pass


def _strange_kind(member: tarfile.TarInfo) -> str:
    kinds = {
        "a symbolic link": member.issym(),
        "a hard link": member.islnk(),
        "a device": member.ischr() or member.isblk(),
        "a pipe": member.isfifo(),
        "a sparse file": member.issparse(),
    }
    return next((kind for kind, holds in kinds.items() if holds), "no plain file")


def _unpack_zip(file: IO[bytes], incoming: _Incoming) -> None:
    limited = _Limited(file, _HEADERS_BYTES_MAX)
    with zipfile.ZipFile(cast("IO[bytes]", limited)) as archive:
        for info in archive.infolist():
            shown, mode = _shown(info.orig_filename), stat.S_IFMT(info.external_attr >> 16)
            if info.orig_filename.endswith("/"):
                incoming.look_at(info.orig_filename)
                continue
            if mode == stat.S_IFLNK:
                raise BundleError(f"{shown} is a symbolic link; a bundle holds plain files only")
            if mode not in {0, stat.S_IFREG}:
                raise BundleError(f"{shown} is no plain file; a bundle holds plain files only")
            if info.flag_bits & 1:
                raise BundleError(f"{shown} is encrypted")
            if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise BundleError(f"{shown} is packed in another way than every reader of .zip knows")
            limited.allow(FILE_BYTES_MAX + _HEADERS_BYTES_MAX)
            with archive.open(info) as content:
                incoming.take(info.orig_filename, content)


def _unpack_remote_folder(remote: RemoteFolder, incoming: _Incoming) -> None:
    paths = remote.list()
    if not paths:
        raise BundleError("there is no such folder, or nothing is in it")
    for path in paths:
        incoming.take(path, io.BytesIO(remote.read(path, FILE_BYTES_MAX)))


def _pack(kind: str, top: str, contents: Mapping[str, bytes]) -> bytes:
    """An archive with the files in one folder, in the order of their names, and nothing of who made it or when."""
    files = {f"{top}/{name}": contents[name] for name in sorted(contents)}
    packed = io.BytesIO()
    if kind == ".zip":
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                info = zipfile.ZipInfo(name, _MOMENT)
                info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16  # as on Unix, wherever made
                archive.writestr(info, content, zipfile.ZIP_DEFLATED)
        return packed.getvalue()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), _MOMENT_S
            tar.addfile(member, io.BytesIO(content))
    if kind == ".tar.gz":
        return gzip.compress(packed.getvalue(), mtime=0)
    return lzma.compress(packed.getvalue())


def _write_file(path: Path, content: bytes) -> None:
    """Raises FileExistsError, OSError."""
    incoming = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        incoming.write_bytes(content)
        path.open("xb").close()  # from here on the name is ours
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
        path.mkdir()  # from here on the name is ours
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
