"""Bundles on the move: what was exported comes in again as it was, and nothing else comes in at all."""

import gzip
import json
import random
import tarfile
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
from tests.unit.store.hostile_archives import (
    HOSTILE,
    Files,
    Hostile,
    folder_entry,
    sealed,
    tar,
    zipped,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("opens_here")]


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


def import_bundle(store: BundleStore, source: object) -> bool:
    """What `scorer bundle import` does."""
    with unpacked(str(source)) as folder:
        return store.import_bundle(folder, str(source))


@pytest.mark.parametrize(
    "target",
    ["moved", "moved.tar.gz", "moved.TGZ", "moved.tar.xz", "moved.zip", "memory://x/moved", "memory://moved.txz"],
)
def test_an_exported_bundle_is_imported_unchanged(
    tmp_path: Path, store: BundleStore, bundle: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """As a folder or as any archive, here or at a URL: the same bytes, the same digest, nothing left behind."""
    monkeypatch.chdir(tmp_path)
    export_bundle(bundle, target)
    assert import_bundle(store, target)
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
    contents = everything_in(tmp_path), {path: file.getvalue() for path, file in MemoryFileSystem.store.items()}
    with pytest.raises(MisuseError, match=f"{target} already exists and is not overwritten"):
        export_bundle(PLAIN, target)
    assert (everything_in(tmp_path), {p: file.getvalue() for p, file in MemoryFileSystem.store.items()}) == contents


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
    for attempt in (lambda: export_bundle(bundle, f"{tmp_path}/{name}"), lambda: import_bundle(store, tmp_path / name)):
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
        import_bundle(store, source if "://" in source else tmp_path / source)


def test_the_same_again_is_nothing_to_do(tmp_path: Path, store: BundleStore, bundle: Path) -> None:
    """A second import of the same bundle changes nothing and is no error; of a shipped one the first."""
    export_bundle(bundle, f"{tmp_path}/moved.zip")
    assert import_bundle(store, tmp_path / "moved.zip")
    assert not import_bundle(store, tmp_path / "moved.zip")
    assert not import_bundle(store, PLAIN)
    assert [entry.reference for entry in store.entries() if not entry.shipped] == ["mine:2.0.0"]


def test_the_same_again_over_a_damaged_one(tmp_path: Path, store: BundleStore, bundle: Path) -> None:
    """Nothing to do would be a lie: the one that is there is checked too, and the message says how to replace it."""
    import_bundle(store, bundle)
    folder = tmp_path / "store" / "mine" / "2.0.0"
    (folder / "model.ubj").write_bytes(b"{")
    with pytest.raises(BundleError, match=r"model\.ubj was changed .* scorer bundle delete mine:2\.0\.0"):
        import_bundle(store, bundle)
    (folder / "bundle.json").write_bytes(b"{")
    with pytest.raises(BundleError, match=r"is not a valid manifest.* scorer bundle delete mine:2\.0\.0"):
        import_bundle(store, bundle)


@pytest.mark.parametrize("top", ["", "./", "folder/", "./folder/"])
def test_archives_that_others_packed(tmp_path: Path, store: BundleStore, bundle: Path, top: str) -> None:
    """With the files at the top or in one folder, with entries for folders: what tar makes of a bundle is taken."""
    folders = [folder_entry(top)] if top else []
    entries = [(tarfile.TarInfo(f"{top}{name}"), content) for name, content in everything_in(bundle).items()]
    (tmp_path / "moved.tar.gz").write_bytes(gzip.compress(tar(*folders, *entries)))
    assert import_bundle(store, tmp_path / "moved.tar.gz")


def test_the_page_shows_the_limits() -> None:
    """docs/bundles.md says how large a bundle may be, in the numbers that hold."""
    page = (Path(__file__).parents[3] / "docs" / "bundles.md").read_text(encoding="utf-8")
    sizes = f"{FILE_BYTES_MAX >> 20} MB per file, {MANIFEST_BYTES_MAX >> 20} MB for the manifest"
    assert f"at most {sizes}, {archive.ARCHIVE_BYTES_MAX >> 30} GB in total, {ENTRIES_MAX} entries" in page


# The hostile ones


def refuse(tmp_path: Path, store: BundleStore, hostile_content: bytes, ending: str, message: str) -> None:
    """It is refused with its reason and by its name, and nothing of it is kept anywhere."""
    source = tmp_path / f"hostile{ending}"
    source.write_bytes(hostile_content)
    before = everything_in(tmp_path)
    with pytest.raises(BundleError, match=message) as raised:
        import_bundle(store, source)
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
        ({"manifest_version": 4}, {}, "has manifest_version 4, but this release supports 1, 2 and 3"),
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
    import_bundle(store, bundle)
    before = everything_in(tmp_path / "store")
    other = remake(copy_bundle(tmp_path / "other", bundle), lambda manifest: manifest["labels"].update(by="mallory"))
    export_bundle(other, f"{tmp_path}/other.zip")
    digests = [read_manifest(folder).digest[:12] for folder in (other, bundle)]
    with pytest.raises(BundleError, match=rf"{digests[0]}.*{digests[1]}: two bundles with the same name and version"):
        import_bundle(store, tmp_path / "other.zip")
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
            import_bundle(store, source)
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
        import_bundle(store, folder)
    assert not (tmp_path / "store").exists()


def test_an_archive_at_a_url_that_has_no_end(store: BundleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is fetched than a bundle can be."""
    monkeypatch.setattr(archive, "ARCHIVE_BYTES_MAX", 1_000)
    MemoryFileSystem().pipe_file("/long.zip", bytes(1_001))
    with pytest.raises(BundleError, match=r"memory://long\.zip has more than 1000 bytes\. Nothing was kept"):
        import_bundle(store, "memory://long.zip")


def test_a_folder_at_a_url_with_more_in_it(store: BundleStore, bundle: Path) -> None:
    """A bucket's whole content is not taken for a bundle."""
    export_bundle(bundle, "memory://bucket/moved")
    files = MemoryFileSystem()
    files.pipe_file("/bucket/moved/sub/notes.txt", b"x")
    with pytest.raises(BundleError, match="in a different folder than the previous files"):
        import_bundle(store, "memory://bucket/moved")
    files.rm_file("/bucket/moved/sub/notes.txt")
    files.pipe_file("/bucket/moved/notes.txt", b"x")
    with pytest.raises(BundleError, match=r"notes\.txt is not part of the bundle"):
        import_bundle(store, "memory://bucket/moved")


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
