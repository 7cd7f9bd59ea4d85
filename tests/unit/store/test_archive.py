"""Bundles on the move: what was exported comes in again as it was, and nothing else comes in at all."""

import bz2
import gzip
import io
import json
import lzma
import random
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from scorer.bundle.load import read_manifest
from scorer.bundle.manifest import FILE_BYTES_MAX, MANIFEST_BYTES_MAX
from scorer.errors import BundleError, MisuseError
from scorer.store import archive
from scorer.store.archive import ENTRIES_MAX, export_bundle, unpacked
from scorer.store.store import BundleStore
from tests.unit.bundle.making import PLAIN, copy_bundle, everything_in, named, remake

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("opens_here")]

Files = dict[str, bytes]


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, so that a test can see that none is left; and memory:// of each test's own."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    return folder


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    """An empty store whose folder is not there yet."""
    return BundleStore(tmp_path / "store")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `mine:2.0.0`, to be read only."""
    return named(tmp_path_factory.mktemp("made") / "bundle", "mine", "2.0.0")


def take_in(store: BundleStore, source: object) -> bool:
    """What `scorer bundle import` does."""
    with unpacked(str(source)) as folder:
        return store.take_in(folder, str(source))


@pytest.mark.parametrize(
    "target",
    ["moved", "moved.tar.gz", "moved.TGZ", "moved.tar.xz", "moved.zip", "memory://x/moved", "memory://moved.txz"],
)
def test_what_was_exported_comes_in_as_it_was(
    tmp_path: Path, store: BundleStore, bundle: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """As a folder or as any archive, here or at a URL: the same bytes, the same digest, nothing left behind."""
    monkeypatch.chdir(tmp_path)
    export_bundle(bundle, target)
    assert take_in(store, target)
    assert everything_in(tmp_path / "store" / "mine" / "2.0.0") == everything_in(bundle)
    assert store.open("mine:2.0.0").reference == read_manifest(bundle).reference
    assert list(scratch.iterdir()) == []
    assert list(tmp_path.rglob(".*")) == []


@pytest.mark.parametrize("ending", [".tar.gz", ".tar.xz", ".zip"])
def test_an_export_gives_the_same_bytes(tmp_path: Path, bundle: Path, ending: str) -> None:
    """Whoever exports it, whenever, from a folder of any date: two archives can be compared byte by byte."""
    export_bundle(bundle, f"{tmp_path}/first{ending}")
    other = tmp_path / "copy"
    other.mkdir()
    for name in sorted((path.name for path in bundle.iterdir()), reverse=True):
        (other / name).write_bytes((bundle / name).read_bytes())
        (other / name).chmod(0o600)
    export_bundle(other, f"{tmp_path}/second{ending}")
    assert (tmp_path / f"first{ending}").read_bytes() == (tmp_path / f"second{ending}").read_bytes()


def test_an_archive_holds_one_folder_of_plain_files(tmp_path: Path, bundle: Path) -> None:
    """Whoever unpacks it by hand finds a folder that says what it is, and nothing of who made it."""
    export_bundle(bundle, f"{tmp_path}/moved.tar.gz")
    with tarfile.open(tmp_path / "moved.tar.gz") as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == [
        f"mine-2.0.0/{name}" for name in ("bundle.json", "golden.jsonl", "model-card.md", "model.ubj")
    ]
    assert {(member.uid, member.uname, member.mode, member.isreg()) for member in members} == {(0, "", 0o644, True)}


@pytest.mark.parametrize("target", ["moved", "moved.zip", "memory://moved", "memory://moved.zip"])
def test_an_export_overwrites_nothing(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """What is there stays as it was, and the message says so."""
    monkeypatch.chdir(tmp_path)
    export_bundle(bundle, target)
    there = everything_in(tmp_path), {path: file.getvalue() for path, file in MemoryFileSystem.store.items()}
    with pytest.raises(MisuseError, match=f"{target} already exists and is not overwritten"):
        export_bundle(PLAIN, target)
    assert (everything_in(tmp_path), {p: file.getvalue() for p, file in MemoryFileSystem.store.items()}) == there


@pytest.mark.parametrize("target", [".", "..", "/", "link", "file.txt"])
def test_an_export_replaces_neither_folder_nor_link(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """A folder that is there, a file, or a link to nowhere is no place for an export."""
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file.txt").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MisuseError, match="already exists"):
        export_bundle(bundle, target)


def test_a_damaged_bundle_is_not_exported(tmp_path: Path) -> None:
    """It would only travel; the message says what is wrong, and there is no file."""
    folder = copy_bundle(tmp_path / "bundle")
    (folder / "model-card.md").write_text("better")
    with pytest.raises(BundleError, match=r"model-card\.md was changed"):
        export_bundle(folder, f"{tmp_path}/moved.zip")
    assert not (tmp_path / "moved.zip").exists()


@pytest.mark.parametrize("target", ["nowhere/moved.zip", "nowhere/moved"])
def test_an_export_to_nowhere(tmp_path: Path, bundle: Path, target: str) -> None:
    """A folder that is not there is not made for a mistyped name."""
    with pytest.raises(BundleError, match=f"{target} cannot be written: No such file or directory"):
        export_bundle(bundle, f"{tmp_path}/{target}")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["x.tar", "x.tar.bz2", "x.7z", "x.rar", "x.gz", "x.tar.zst", "x.bentomodel"])
def test_other_kinds_of_archive_are_named(tmp_path: Path, bundle: Path, store: BundleStore, name: str) -> None:
    """An ending that looks like an archive is never taken for a folder's name."""
    for attempt in (lambda: export_bundle(bundle, f"{tmp_path}/{name}"), lambda: take_in(store, tmp_path / name)):
        with pytest.raises(MisuseError, match=r"unsupported archive type: use \.tar\.gz, .*, or a folder"):
            attempt()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing", "no such folder or archive"),
        ("nothing.zip", "no such archive"),
        ("memory://nothing.tar.gz", "no such archive"),
        ("file.txt", "unknown archive type"),
    ],
)
def test_a_source_that_is_none(tmp_path: Path, store: BundleStore, source: str, message: str) -> None:
    """What is not there, or no bundle's form, is a mistake in the call."""
    (tmp_path / "file.txt").touch()
    with pytest.raises(MisuseError, match=f"{source}: {message}"):
        take_in(store, source if "://" in source else tmp_path / source)


def test_the_same_again_is_nothing_to_do(tmp_path: Path, store: BundleStore, bundle: Path) -> None:
    """A second import of the same bundle changes nothing and is no error; of a shipped one the first."""
    export_bundle(bundle, f"{tmp_path}/moved.zip")
    assert take_in(store, tmp_path / "moved.zip")
    assert not take_in(store, tmp_path / "moved.zip")
    assert not take_in(store, PLAIN)
    assert [entry.reference for entry in store.entries() if not entry.shipped] == ["mine:2.0.0"]


def test_the_same_again_over_a_damaged_one(tmp_path: Path, store: BundleStore, bundle: Path) -> None:
    """Nothing to do would be a lie: the one that is there is checked too, and the message says how to replace it."""
    take_in(store, bundle)
    place = tmp_path / "store" / "mine" / "2.0.0"
    (place / "model.ubj").write_bytes(b"{")
    with pytest.raises(BundleError, match=r"model\.ubj was changed .* scorer bundle delete mine:2\.0\.0"):
        take_in(store, bundle)
    (place / "bundle.json").write_bytes(b"{")
    with pytest.raises(BundleError, match=r"is not a valid manifest.* scorer bundle delete mine:2\.0\.0"):
        take_in(store, bundle)


@pytest.mark.parametrize("top", ["", "./", "folder/", "./folder/"])
def test_archives_that_others_packed(tmp_path: Path, store: BundleStore, bundle: Path, top: str) -> None:
    """With the files at the top or in one folder, with entries for folders: what tar makes of a bundle is taken."""
    folders = [folder_entry(top)] if top else []
    entries = [(tarfile.TarInfo(f"{top}{name}"), content) for name, content in everything_in(bundle).items()]
    (tmp_path / "moved.tar.gz").write_bytes(gzip.compress(tar(*folders, *entries)))
    assert take_in(store, tmp_path / "moved.tar.gz")


def test_the_page_tells_the_limits() -> None:
    """docs/bundles.md says how large a bundle may be, in the numbers that hold."""
    page = (Path(__file__).parents[3] / "docs" / "bundles.md").read_text(encoding="utf-8")
    sizes = f"{FILE_BYTES_MAX >> 20} MB per file, {MANIFEST_BYTES_MAX >> 20} MB for the manifest"
    assert f"at most {sizes}, {archive.ARCHIVE_BYTES_MAX >> 30} GB in total, {ENTRIES_MAX} entries" in page


# The hostile ones


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
        for found in re.finditer(re.escape(mark), bytes(content)):
            content[found.start() + offset] |= 1
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


def flipped(content: bytes, place: int) -> bytes:
    """With one bit of one byte the other way round."""
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


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


def refuse(tmp_path: Path, store: BundleStore, hostile_content: bytes, ending: str, message: str) -> None:
    """It is refused with its reason and by its name, and nothing of it is kept anywhere."""
    source = tmp_path / f"hostile{ending}"
    source.write_bytes(hostile_content)
    before = everything_in(tmp_path)
    with pytest.raises(BundleError, match=message) as raised:
        take_in(store, source)
    assert str(source) in str(raised.value)
    assert "\x1b" not in str(raised.value)
    assert everything_in(tmp_path) == before
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.what)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_archives(
    tmp_path: Path, store: BundleStore, bundle: Path, monkeypatch: pytest.MonkeyPatch, hostile: Hostile
) -> None:
    """Whatever somebody sends: one reason that names it, and nothing is kept. Limits are lowered, to be quick."""
    monkeypatch.setattr(archive, "FILE_BYTES_MAX", 2 << 20)
    monkeypatch.setattr(archive, "ARCHIVE_BYTES_MAX", 8 << 20)
    refuse(tmp_path, store, hostile.make(everything_in(bundle)), hostile.ending, hostile.message)


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        ({"manifest_version": 3}, {}, "has manifest_version 3, but this release supports 1 and 2"),
        ({"contract_version": "9.0.0"}, {}, "built for contract 9.0.0"),
        ({"runner": "torch"}, {}, "runner 'torch' not found"),
        ({"model": "../model.ubj"}, {}, "is not a valid manifest: model"),
        ({"model": "model.pkl"}, {"model.pkl": b"{i"}, "model.pkl is a pickle, and pickles are never opened"),
        ({}, {"helper.joblib": b"harmless"}, "helper.joblib is a pickle"),
        ({}, {"model-card.md": b"\x80\x04."}, "model-card.md is a pickle"),
        (
            {"policy": {"maybe_above": 0.01, "declined_above": 0.02}},
            {},
            "policy's decisions on the golden examples differ",
        ),
    ],
    ids=lambda value: "-".join(value)[:24] if isinstance(value, dict) else "",
)
def test_hostile_manifests(
    tmp_path: Path, store: BundleStore, bundle: Path, change: dict[str, Any], more: Files, message: str
) -> None:
    """An archive that is sound, with every digest right, of a bundle that is not."""

    def spoil(manifest: dict[str, Any]) -> None:
        manifest["files"].update(dict.fromkeys(more, ""))
        manifest.update(change)

    files = sealed(everything_in(bundle), spoil, tmp_path, **more)
    refuse(tmp_path, store, zipped(files.items()), ".zip", message)


def test_another_bundle_of_one_name_and_version(tmp_path: Path, store: BundleStore, bundle: Path) -> None:
    """Neither takes the other's place: the message names both by digest, and the one that is there stays."""
    take_in(store, bundle)
    before = everything_in(tmp_path / "store")
    other = remake(copy_bundle(tmp_path / "other", bundle), lambda manifest: manifest["labels"].update(by="mallory"))
    export_bundle(other, f"{tmp_path}/other.zip")
    digests = [read_manifest(folder).digest[:12] for folder in (other, bundle)]
    with pytest.raises(BundleError, match=rf"{digests[0]}.*{digests[1]}: two bundles with the same name and version"):
        take_in(store, tmp_path / "other.zip")
    assert everything_in(tmp_path / "store") == before


@pytest.mark.parametrize("ending", [".tar.gz", ".tar.xz", ".zip"])
def test_any_damage_is_noticed_or_harmless(tmp_path: Path, store: BundleStore, bundle: Path, ending: str) -> None:
    """Bytes changed or missing anywhere: one message, or the same bundle. Never another error, never another bundle."""
    export_bundle(bundle, f"{tmp_path}/sound{ending}")
    sound = (tmp_path / f"sound{ending}").read_bytes()
    chance = random.Random(ending)
    refused = 0
    for _ in range(25):
        spoiled = bytearray(sound)
        for _ in range(chance.choice([1, 1, 2, 8])):
            spoiled[chance.randrange(len(spoiled))] = chance.randrange(256)
        source = tmp_path / f"spoiled{ending}"
        source.write_bytes(bytes(spoiled[: chance.choice([len(sound), len(sound), chance.randrange(len(sound))])]))
        try:
            take_in(store, source)
        except BundleError:
            refused += 1
    assert refused > 10
    digest = read_manifest(bundle).digest
    assert {e.manifest and e.manifest.digest for e in store.entries() if not e.shipped} <= {digest}


def test_a_folder_with_a_link(tmp_path: Path, store: BundleStore) -> None:
    """A folder is checked as an archive is."""
    folder = named(tmp_path / "bundle", "mine", "2.0.0")
    (folder / "model.ubj").rename(tmp_path / "model.ubj")
    (folder / "model.ubj").symlink_to(tmp_path / "model.ubj")
    with pytest.raises(BundleError, match=r"model\.ubj is a link"):
        take_in(store, folder)
    assert not (tmp_path / "store").exists()


def test_an_archive_at_a_url_that_has_no_end(store: BundleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is fetched than a bundle can be."""
    monkeypatch.setattr(archive, "ARCHIVE_BYTES_MAX", 1_000)
    MemoryFileSystem().pipe_file("/long.zip", bytes(1_001))
    with pytest.raises(BundleError, match=r"memory://long\.zip has more than 1000 bytes\. Nothing was kept"):
        take_in(store, "memory://long.zip")


def test_a_folder_at_a_url_with_more_in_it(store: BundleStore, bundle: Path) -> None:
    """A bucket's whole content is not taken for a bundle."""
    export_bundle(bundle, "memory://bucket/moved")
    files = MemoryFileSystem()
    files.pipe_file("/bucket/moved/sub/notes.txt", b"x")
    with pytest.raises(BundleError, match="in a different folder than the previous files"):
        take_in(store, "memory://bucket/moved")
    files.rm_file("/bucket/moved/sub/notes.txt")
    files.pipe_file("/bucket/moved/notes.txt", b"x")
    with pytest.raises(BundleError, match=r"notes\.txt is not part of the bundle"):
        take_in(store, "memory://bucket/moved")


def test_the_manifest_of_a_folder_at_a_url_comes_last(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that breaks off half way leaves nothing that could be taken for a bundle."""
    written: list[str] = []
    pipe_file = MemoryFileSystem.pipe_file

    def write(self: MemoryFileSystem, path: str, value: bytes, mode: str) -> None:
        written.append(path.rpartition("/")[2])
        pipe_file(self, path, value, mode)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", write)
    export_bundle(bundle, "memory://bucket/moved")
    assert written[-1] == "bundle.json"
    assert sorted(written) == sorted(["bundle.json", *json.loads((bundle / "bundle.json").read_bytes())["files"]])
