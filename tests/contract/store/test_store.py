"""The store, one suite for every place: a folder, a filesystem with folders behind a URL, memory, and a real S3 server.

A version is put once, whole or not at all; a reference finds exactly one bundle; tags move, and bundles do not.
"""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import fsspec
import pytest

from scorer.bundle.load import read_manifest
from scorer.bundle.manifest import Manifest
from scorer.errors import BundleError, MisuseError
from scorer.store.backends import FolderBackend
from scorer.store.remote import RemoteFolder
from scorer.store.store import BundleStore
from tests.contract.store.contents import own
from tests.unit.bundle.making import PLAIN, everything_in

pytestmark = pytest.mark.usefixtures("opens_here")


def test_empty(store: BundleStore) -> None:
    """Where nothing was put there is what is shipped."""
    assert own(store) == []
    assert store.notes.tags() == {}
    assert store.open("credit-risk:1.1.0").reference == read_manifest(PLAIN).reference
    with pytest.raises(BundleError, match="bundle mine:latest not found"):
        store.find("mine:latest")


def test_what_is_put_is_found(place: str, store: BundleStore, make: Callable[..., Path]) -> None:
    """The same bytes by every way to refer to it, in another process's store too."""
    made = make("mine", "2.0.0")
    where = store.put(made)
    assert where == f"{place}/mine/2.0.0"
    digest = read_manifest(made).digest
    store.put(make("mine", "1.10.0"))
    store.put(make("mine-too", "9.0.0"))
    other = BundleStore(place)
    for reference in (
        "mine:2.0.0",
        "mine:latest",
        f"mine@{digest[:6]}",
        f"mine:2.0.0@{digest}",
        f"mine:latest@{digest}",
    ):
        assert everything_in(other.find(reference)) == everything_in(made)
        assert other.open(reference).reference.digest == digest
    assert own(other) == ["mine:1.10.0", "mine:2.0.0", "mine-too:9.0.0"]
    assert {entry.location for entry in other.entries() if entry.name == "mine-too"} == {f"{place}/mine-too/9.0.0"}


def test_never_overwritten(place: str, store: BundleStore, make: Callable[..., Path]) -> None:
    """Neither by the same bundle nor by another, and what is there stays as it was."""
    first = make("mine", "2.0.0")
    store.put(first)
    for folder in (first, make("mine", "2.0.0", "another")):
        with pytest.raises(BundleError, match=r"mine:2\.0\.0 already exists in .*mine/2\.0\.0"):
            store.put(folder)
    with pytest.raises(BundleError, match=r"credit-risk:1\.1\.0 already exists"):
        store.put(PLAIN)
    assert everything_in(BundleStore(place).find("mine:2.0.0")) == everything_in(first)


def test_many_that_put_at_once(place: str, store: BundleStore, make: Callable[..., Path]) -> None:
    """All find the version free; at most one comes in, whole, and each other one is told."""
    folders = [make("mine", "2.0.0", f"by {number}") for number in range(4)]
    together = Barrier(len(folders))

    def put(folder: Path) -> str:
        mine = BundleStore(place)
        mine.require_new("mine", "2.0.0")
        together.wait()
        try:
            mine.put(folder)
        except BundleError:
            return ""
        return folder.name

    with ThreadPoolExecutor(len(folders)) as pool:
        came = [name for name in pool.map(put, folders) if name]
    if place.startswith(("disk:", "memory:")):  # they cannot create conditionally, and say so
        assert came
        return
    (name,) = came
    (winner,) = [folder for folder in folders if folder.name == name]
    assert everything_in(store.find("mine:2.0.0")) == everything_in(winner)


def test_s3_creates_conditionally(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the question whether a file is there and the answer it may come: then the server refuses."""
    folder = RemoteFolder(f"{bucket}/bundles")
    folder.create("x", b"first")
    monkeypatch.setattr(fsspec.get_filesystem_class("s3"), "exists", lambda *_: False)
    with pytest.raises(FileExistsError):
        folder.create("x", b"second")
    assert folder.read("x", 10) == b"first"


def test_delete(place: str, store: BundleStore, make: Callable[..., Path]) -> None:
    """It is gone with the tags that meant it, its neighbours are not, and it may be put again."""
    made = make("mine", "1.0.0")
    for folder in (made, make("mine", "1.0.1")):
        store.put(folder)
    entry = store.entry("mine:1.0.0")
    store.notes.set_tag(entry, "prod", "ana")
    store.notes.set_tag(store.entry("mine:latest"), "next", "ana")
    store.delete(entry)
    other = BundleStore(place)
    assert own(other) == ["mine:1.0.1"]
    assert list(other.notes.tags()) == [("mine", "next")]
    for gone in ("mine:1.0.0", "mine:prod"):
        with pytest.raises(BundleError, match=rf"bundle {gone} not found\."):
            other.find(gone)
    store.put(made)
    assert everything_in(other.find("mine:1.0.0")) == everything_in(made)


def test_what_is_shipped_is_not_deleted(store: BundleStore) -> None:
    """Neither is it in the store, nor could workers begin without it."""
    with pytest.raises(MisuseError, match="is shipped with this package and cannot be deleted"):
        store.delete(store.entry("credit-risk:1.1.0"))
    assert store.open("credit-risk:1.1.0")


def test_the_digest_decides(tmp_path: Path, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put in a bundle's place after it was found is not opened for it, however it was referred to.

    Of openings by digest, while somebody exchanged the folder, half were of the other bundle.
    """
    store, good = BundleStore(tmp_path / "store"), make("mine", "2.0.0")
    folder = Path(store.put(good))
    wanted, other = read_manifest(good).reference, make("mine", "2.0.0", "another")
    store.notes.set_tag(store.entry("mine:2.0.0"), "prod", "ana")
    find = FolderBackend.fetch

    def put_there(content: Path) -> None:
        shutil.rmtree(folder)
        shutil.copytree(content, folder)

    def exchange(place: FolderBackend, name: str, version: str, manifest: Manifest) -> Path:
        found = find(place, name, version, manifest)
        put_there(other)
        return found

    for reference in (str(wanted), "mine:2.0.0", "mine:latest", "mine:prod", f"mine@{wanted.digest[:12]}"):
        with monkeypatch.context() as patched:
            patched.setattr(FolderBackend, "fetch", exchange)
            with pytest.raises(BundleError, match=r"expected .*, but opened mine:2\.0\.0@.*: the bundle was replaced"):
                store.open(reference)
            put_there(good)
            with pytest.raises(BundleError, match="the bundle was replaced"):
                store.locate(wanted).open_in_child()
        put_there(good)
        assert store.open(reference).reference == store.locate(wanted).open().reference == wanted


def test_what_is_shipped_is_not_shadowed(tmp_path: Path, make: Callable[..., Path]) -> None:
    """Another bundle of a shipped name and version is an error that names both; the same one is the same."""
    store, shipped = BundleStore(tmp_path / "store"), read_manifest(PLAIN).reference
    folder = tmp_path / "store" / "credit-risk" / "1.1.0"
    shutil.copytree(PLAIN, folder)
    assert store.open("credit-risk:1.1.0").reference == shipped
    shutil.rmtree(folder)
    other = read_manifest(Path(shutil.copytree(make("credit-risk", "1.1.0", "another"), folder))).reference
    with pytest.raises(BundleError, match="two bundles are named") as refused:
        store.open("credit-risk:1.1.0")
    assert all(text in str(refused.value) for text in (shipped.digest[:12], other.digest[:12], str(folder)))
    for reference in (shipped, other):  # a digest says which one is meant
        assert store.open(str(reference)).reference == store.open(f"credit-risk@{reference.digest[:8]}").reference
        assert store.locate(reference).open().reference == reference
    with pytest.raises(BundleError, match="two bundles are named"):
        store.import_bundle(PLAIN, "shipped.tar.gz")
    (entry,) = (entry for entry in store.entries() if entry.reference == "credit-risk:1.1.0")
    assert (entry.manifest, entry.shipped) == (None, False)
    store.delete(entry)
    assert store.open("credit-risk:1.1.0").reference == shipped


def test_file_urls_are_folders(tmp_path: Path, make: Callable[..., Path]) -> None:
    """A folder may be given as a URL; it is the same store."""
    BundleStore(f"file://{tmp_path}/store").put(make("mine", "2.0.0"))
    assert BundleStore(tmp_path / "store").find("mine:2.0.0") == tmp_path / "store" / "mine" / "2.0.0"
