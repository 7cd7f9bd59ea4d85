"""Archives that an import must reject, and how they are packed."""

import bz2
import gzip
import io
import lzma
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorer.store.archive import ENTRIES_MAX
from tests.unit.bundle.making import everything_in, remake

Files = dict[str, bytes]


def sealed(files: Files, change: Callable[[dict[str, Any]], object], tmp_path: Path, **more: bytes) -> Files:
    """The files with another manifest, every digest in it right."""
    folder = tmp_path / "sealing"
    folder.mkdir()
    for name, content in {**files, **more}.items():
        (folder / name).write_bytes(content)
    return everything_in(remake(folder, change))


def tar(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar with these entries, whatever their names."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as file:
        for info, content in entries:
            if info.isreg():
                info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return made.getvalue()


def plain(files: Files) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Entries for files."""
    return [(tarfile.TarInfo(name), content) for name, content in files.items()]


def special_entry(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    """An entry that is no plain file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


def folder_entry(name: str) -> tuple[tarfile.TarInfo, bytes]:
    """An entry for a folder."""
    return special_entry(name, tarfile.DIRTYPE)


def without(files: Files, name: str) -> Files:
    """All files but one."""
    return {other: content for other, content in files.items() if other != name}


def renamed(files: Files, name: str) -> bytes:
    """A .tar.gz whose model has another name."""
    return gzip.compress(tar(*plain(without(files, "model.ubj")), (tarfile.TarInfo(name), files["model.ubj"])))


def with_special(files: Files, kind: bytes, link: str = "") -> bytes:
    """A .tar.gz whose model is no plain file."""
    return gzip.compress(tar(*plain(without(files, "model.ubj")), special_entry("model.ubj", kind, link)))


def zipped(files: Iterable[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A .zip with these entries, whatever their names."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as file:
        for info, content in files:
            file.writestr(info, content)
    return made.getvalue()


def zip_renamed(files: Files, name: str) -> bytes:
    """A .zip whose model has another name."""
    return zipped([*without(files, "model.ubj").items(), (name, files["model.ubj"])])


def zip_with_mode(files: Files, mode: int) -> bytes:
    """A .zip whose model is what a Unix mode says."""
    info = zipfile.ZipInfo("model.ubj")
    info.create_system, info.external_attr = 3, (mode | 0o777) << 16
    return zipped([*without(files, "model.ubj").items(), (info, b"/etc/passwd")])


def zip_twice(files: Files) -> bytes:
    """A .zip with two models: the second was called otherwise, and so were its headers."""
    return zip_renamed(files | {"twice.ubj": b"x"}, "model.ubj").replace(b"twice.ubj", b"model.ubj")


def encrypted(files: Files) -> bytes:
    """A .zip whose headers say that each file is encrypted."""
    content = bytearray(zipped(files.items()))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for match in re.finditer(re.escape(mark), bytes(content)):
            content[match.start() + offset] |= 1
    return bytes(content)


def two_names(files: Files) -> bytes:
    """A .zip whose directory calls a file otherwise than the file's own header."""
    content = zipped(files.items())
    head, mark, directory = content.partition(b"PK\x01\x02")
    return head.replace(b"golden.jsonl", b"gilded.jsonl") + mark + directory


def sparse(files: Files) -> bytes:
    """A .tar.gz whose model is mostly a hole of a terabyte."""
    info = tarfile.TarInfo("model.ubj")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1,1099511627776,0",
                        "GNU.sparse.size": "1099511627776", "GNU.sparse.name": "model.ubj"}  # fmt: skip
    return gzip.compress(tar(*plain(without(files, "model.ubj")), (info, b"x")))


def long_header(files: Files) -> bytes:
    """A .tar.xz with a header of two megabytes."""
    info = tarfile.TarInfo("model.ubj")
    info.pax_headers = {"comment": "x" * (2 << 20)}
    return lzma.compress(tar((info, files["model.ubj"])))


def nested_headers(_: Files) -> bytes:
    """A .tar.gz of headers for headers for headers, which a reader that calls itself follows till it breaks."""
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.XHDTYPE, 0
    return gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) * 1_500 + b"\0" * 1024)


def cut(content: bytes, count: int) -> bytes:
    """All but the last bytes."""
    assert len(content) > count
    return content[:-count]


def flipped(content: bytes, position: int) -> bytes:
    """With one bit of one byte the other way round."""
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


@dataclass(frozen=True)
class Hostile:
    """What somebody might send, made from the files of a sound bundle, and how it is refused."""

    what: str
    ending: str
    make: Callable[[Files], bytes]
    message: str


HOSTILE = [
    # where files would go
    Hostile("absolute path", ".tar.gz", lambda f: renamed(f, "/etc/model.ubj"), "'/etc/model.ubj' is an absolute path"),
    Hostile("climbing path", ".tar.gz", lambda f: renamed(f, "../model.ubj"), r"'\.\./model.ubj' leads outside"),
    Hostile("climbing later", ".tar.gz", lambda f: renamed(f, "a/../../model.ubj"), "leads outside of its folder"),
    Hostile("climbing folder", ".tar.gz", lambda f: gzip.compress(tar(folder_entry("../x"), *plain(f))), "outside"),
    Hostile("deep folder", ".tar.gz", lambda f: renamed(f, "a/b/model.ubj"), "is not a valid file name in a bundle"),
    Hostile("two folders", ".tar.gz", lambda f: renamed(f, "a/model.ubj"), "is in a different folder than"),
    Hostile("hidden name", ".tar.gz", lambda f: renamed(f, ".bashrc"), "'.bashrc' is not a valid file name"),
    Hostile("name for a terminal", ".tar.gz", lambda f: renamed(f, "\x1b[2J"), r"'\\x1b\[2J' is not a valid file name"),
    Hostile("zip: absolute path", ".zip", lambda f: zip_renamed(f, "/model.ubj"), "is an absolute path"),
    Hostile("zip: drive", ".zip", lambda f: zip_renamed(f, "C:model.ubj"), "'C:model.ubj' is an absolute path"),
    Hostile("zip: climbing path", ".zip", lambda f: zip_renamed(f, "../model.ubj"), "leads outside of its folder"),
    Hostile("zip: backslashes", ".zip", lambda f: zip_renamed(f, "..\\model.ubj"), "leads outside of its folder"),
    # what is no file
    Hostile("symbolic link", ".tar.gz", lambda f: with_special(f, tarfile.SYMTYPE, "/etc/passwd"), "a symbolic link"),
    Hostile("link to itself", ".tar.gz", lambda f: with_special(f, tarfile.SYMTYPE, "model.ubj"), "is a symbolic link"),
    Hostile("hard link", ".tar.gz", lambda f: with_special(f, tarfile.LNKTYPE, "golden.jsonl"), "is a hard link"),
    Hostile("device", ".tar.gz", lambda f: with_special(f, tarfile.CHRTYPE), "'model.ubj' is a device"),
    Hostile("block device", ".tar.xz", lambda _: lzma.compress(tar(special_entry("x", tarfile.BLKTYPE))), "a device"),
    Hostile("pipe", ".tar.gz", lambda f: with_special(f, tarfile.FIFOTYPE), "'model.ubj' is a pipe"),
    Hostile("unknown kind", ".tar.gz", lambda f: with_special(f, b"9"), "'model.ubj' is not a regular file"),
    Hostile("sparse file", ".tar.gz", sparse, "'model.ubj' is a sparse file"),
    Hostile("zip: symbolic link", ".zip", lambda f: zip_with_mode(f, stat.S_IFLNK), "is a symbolic link"),
    Hostile("zip: device", ".zip", lambda f: zip_with_mode(f, stat.S_IFCHR), "is not a regular file"),
    Hostile("zip: encrypted", ".zip", encrypted, "is encrypted"),
    Hostile("zip: bzip2", ".zip", lambda f: zipped(f.items(), zipfile.ZIP_BZIP2), "uses a compression method"),
    # too much, or one thing twice
    Hostile("twice", ".tar.gz", lambda f: gzip.compress(tar(*plain(f), *plain(f))), "'bundle.json' occurs twice"),
    Hostile("twice but for case", ".tar.gz", lambda f: gzip.compress(tar(*plain(f | {"Model.UBJ": b"x"}))), "twice"),
    Hostile("zip: twice", ".zip", zip_twice, "'model.ubj' occurs twice"),
    Hostile("large file", ".tar.gz", lambda f: gzip.compress(tar(*plain(f | {"x": bytes(3 << 20)}))), "x unpacks to"),
    Hostile("large file, xz", ".tar.xz", lambda _: lzma.compress(tar(*plain({"x": bytes(3 << 20)}))), "x unpacks to"),
    Hostile("large manifest", ".tar.gz", lambda _: gzip.compress(tar(*plain({"bundle.json": b" " * (2 << 20)}))),
            "bundle.json unpacks to more than 1048576 bytes"),
    Hostile("large in all", ".zip", lambda _: zipped((f"{n}", bytes(1 << 20)) for n in range(9)), "8 unpacks to more"),
    Hostile("zip: large file", ".zip", lambda _: zipped([("x", bytes(3 << 20))]), "x unpacks to more than 2097152"),
    Hostile("long header", ".tar.xz", long_header, "unpacks to more than a bundle can contain"),
    Hostile("much behind the end", ".tar.gz", lambda f: gzip.compress(tar(*plain(f)) + bytes(2 << 20)), "to more than"),
    Hostile("many entries", ".tar.gz", lambda _: gzip.compress(tar(*plain({f"f{n}": b"" for n in range(99)}))),
            f"more than {ENTRIES_MAX} entries"),
    Hostile("zip: many entries", ".zip", lambda _: zipped((f"f{n}", b"") for n in range(99)), "more than .* entries"),
    Hostile("zip: very many", ".zip", lambda _: zipped((f"{n:0>200}", b"") for n in range(5_000)), "to more than"),
    # damage
    Hostile("cut in half", ".tar.gz", lambda f: cut(gzip.compress(tar(*plain(f))), 9_000), "truncated"),
    Hostile("cut at its very end", ".tar.gz", lambda f: cut(gzip.compress(tar(*plain(f))), 4), "truncated"),
    Hostile("xz, cut", ".tar.xz", lambda f: cut(lzma.compress(tar(*plain(f))), 8), "damaged or not a .tar.xz"),
    Hostile("zip, cut", ".zip", lambda f: cut(zipped(f.items()), 30), "truncated, damaged or not a .zip"),
    Hostile("wrong checksum", ".tar.gz", lambda f: flipped(gzip.compress(tar(*plain(f))), -8), "CRC check failed"),
    Hostile("zip: wrong checksum", ".zip", lambda f: flipped(zipped(f.items(), zipfile.ZIP_STORED), 5_000), "Bad CRC"),
    Hostile("zip: two names", ".zip", two_names, "File name in directory 'golden.jsonl' and header"),
    Hostile("nested headers", ".tar.gz", nested_headers, "truncated, damaged or not a .tar.gz"),
    Hostile("no archive", ".tar.gz", lambda _: b"hello", "Not a gzipped file"),
    Hostile("nothing", ".zip", lambda _: b"", "File is not a zip file"),
    Hostile("another kind", ".tar.gz", lambda f: bz2.compress(tar(*plain(f))), "Not a gzipped file"),
    Hostile("no files", ".tar.gz", lambda _: gzip.compress(tar()), "bundle.json is missing"),
    # not the bundle that it says
    Hostile("no manifest", ".zip", lambda f: zipped(without(f, "bundle.json").items()), "bundle.json is missing"),
    Hostile("no model", ".zip", lambda f: zipped(without(f, "model.ubj").items()), "model.ubj is missing"),
    Hostile("a file more", ".zip", lambda f: zipped({**f, "run.sh": b"rm"}.items()), "run.sh is not part of"),
    Hostile("another model", ".zip", lambda f: zipped({**f, "model.ubj": b"{"}.items()), "model.ubj was changed"),
    Hostile("no JSON", ".zip", lambda f: zipped({**f, "bundle.json": b"{"}.items()), "json is not a valid manifest"),
]  # fmt: skip
