"""The store, one suite for every place: a folder, a filesystem with folders behind a URL, memory, and a real S3 server.

A version is put once, whole or not at all; a reference finds exactly one bundle; tags move, and bundles do not.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from threading import Barrier

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from scorer.bundle.load import read_manifest
from scorer.bundle.manifest import Manifest
from scorer.errors import BundleError, MisuseError
from scorer.store.backends import FolderBackend
from scorer.store.remote import RemoteFolder
from scorer.store.store import BundleStore
from tests.unit.bundle.making import PLAIN, copy_bundle, everything_in, named, remake

pytestmark = pytest.mark.usefixtures("opens_here")


class DiskFileSystem(LocalFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A filesystem with folders that must be made before files are put into them, as SFTP's or SMB's are."""

    protocol = "disk"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("disk://")))


fsspec.register_implementation("disk", DiskFileSystem, clobber=True)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where bundles are kept that were fetched: of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "streaming-credit-scorer" / "bundles"


@pytest.fixture(params=["folder", "disk", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every place in turn; nothing is in it."""
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/bundles"
    (tmp_path / "store").mkdir()
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    places = {"folder": f"{tmp_path}/store", "disk": f"disk://{tmp_path}/store", "memory": "memory://models/bundles"}
    return places[request.param]


@pytest.fixture
def store(place: str) -> BundleStore:
    """The store in that place."""
    return BundleStore(place)


@pytest.fixture(params=["disk", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place behind a URL."""
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/bundles"
    (tmp_path / "store").mkdir()
    return {"disk": f"disk://{tmp_path}/store", "memory": f"memory://{tmp_path.name}"}[request.param]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Makes bundles, each in a folder of its own."""
    numbers = iter(range(100))

    def make_named(name: str, version: str, note: str = "") -> Path:
        folder = named(tmp_path / f"made-{next(numbers)}", name, version)
        return remake(folder, lambda manifest: manifest["labels"].update(note=note)) if note else folder

    return make_named


def own(store: BundleStore) -> list[str]:
    """What is in the store and not shipped."""
    return [entry.reference for entry in store.entries() if not entry.shipped]


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
    assert {entry.where for entry in other.entries() if entry.name == "mine-too"} == {f"{place}/mine-too/9.0.0"}


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


def test_tags_move(place: str, store: BundleStore, make: Callable[..., Path]) -> None:
    """A tag means one bundle, then another; it is found by its name, and no bundle changes for it."""
    for version in ("1.0.0", "2.0.0"):
        store.put(make("mine", version))
    first, second = (store.entry(f"mine:{version}") for version in ("1.0.0", "2.0.0"))
    assert store.notes.set_tag(first, "prod", "ana") is None
    assert store.find("mine:prod") == store.find("mine:1.0.0")
    before = store.notes.set_tag(second, "prod", "bob")
    assert before is not None
    assert (before.version, before.by) == ("1.0.0", "ana")
    other = BundleStore(place)
    assert other.open("mine:prod").reference == other.open("mine:2.0.0").reference
    assert {key: (tag.version, tag.by) for key, tag in other.notes.tags().items()} == {
        ("mine", "prod"): ("2.0.0", "bob")
    }
    assert [entry.tags_among(other.notes.tags("mine")) for entry in (first, second)] == [[], ["prod"]]
    assert own(other) == ["mine:1.0.0", "mine:2.0.0"]
    assert other.open(f"mine:prod@{read_manifest(other.find('mine:2.0.0')).digest[:8]}")
    with pytest.raises(BundleError, match=r"mine:prod@000000 not found: mine:prod is now mine:2\.0\.0@"):
        other.find("mine:prod@000000")


def test_tags_of_shipped_bundles(store: BundleStore) -> None:
    """What is shipped can have a tag too; it is kept in the store."""
    entry = store.entry("credit-risk:1.0.0")
    store.notes.set_tag(entry, "before", "ana")
    assert store.open("credit-risk:before").reference.version == "1.0.0"
    store.notes.remove_tag(entry, "before")
    assert store.notes.tags() == {}
    with pytest.raises(BundleError, match=r"credit-risk:1\.0\.0 has no tag before\. Its tags: none"):
        store.notes.remove_tag(entry, "before")


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


def test_a_tag_whose_bundle_is_gone(place: str, store: BundleStore, make: Callable[..., Path]) -> None:
    """Whoever refers to it is told what it means and that this is not there, or is another one now."""
    store.put(make("mine", "1.0.0"))
    entry = store.entry("mine:1.0.0")
    assert store.open("mine:1.0.0")  # where it is fetched a copy is kept, which makes no difference
    store.delete(entry)
    store.notes.set_tag(entry, "prod", "ana")
    with pytest.raises(BundleError, match=r"bundle mine:1\.0\.0@\w{12} \(tag mine:prod\) not found"):
        BundleStore(place).find("mine:prod")
    store.put(make("mine", "1.0.0", "another"))
    with pytest.raises(BundleError, match="two bundles have the same name and version"):
        BundleStore(place).entry("mine:prod")


_LONG_NAME = json.dumps(
    {"version": "1.0.0", "digest": "0" * 64, "at": "2026-01-31T00:00:00Z", "by": "x" * 201}
).encode()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"version": "latest"}', _LONG_NAME])
def test_a_damaged_tag(tmp_path: Path, make: Callable[..., Path], content: bytes) -> None:
    """It hides no bundle and no other tag, and whoever refers to it is told how to mend it."""
    store = BundleStore(tmp_path / "store")
    store.put(make("mine", "1.0.0"))
    entry = store.entry("mine:1.0.0")
    for tag in ("prod", "next"):
        store.notes.set_tag(entry, tag, "ana")
    (tmp_path / "store" / "mine" / "tags" / "prod").write_bytes(content)
    assert list(store.notes.tags()) == [("mine", "next")]
    with pytest.raises(BundleError, match=r"the tag mine:prod is damaged: .* Set it again"):
        store.find("mine:prod")
    store.notes.set_tag(entry, "prod", "ana")
    assert store.open("mine:prod")


@pytest.mark.parametrize("tag", ["latest", "Prod", "1.0.0", "a b", "../x", "", "x" * 65])
def test_what_may_not_be_a_tag(store: BundleStore, tag: str) -> None:
    """What would hide a version, or lead out of the store, is misuse."""
    expected = "latest is always the highest version and cannot be set as a tag" if tag == "latest" else "invalid tag"
    with pytest.raises(MisuseError, match=expected):
        store.notes.set_tag(store.entry("credit-risk:1.1.0"), tag, "ana")
    assert store.notes.tags() == {}


def test_a_put_that_broke_off(url: str, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its manifest a bundle is not there; the same one can be put again, and another one is told why not."""
    store, made = BundleStore(url), make("mine", "2.0.0")
    create = RemoteFolder.create

    def break_off(self: RemoteFolder, path: str, content: bytes) -> None:
        if path.endswith("bundle.json"):
            raise BundleError("the line is dead")
        create(self, path, content)

    with monkeypatch.context() as patched:
        patched.setattr(RemoteFolder, "create", break_off)
        with pytest.raises(BundleError, match="the line is dead"):
            store.put(made)
    assert own(BundleStore(url)) == []
    other = remake(
        copy_bundle(make("mine", "2.0.0").with_name("other")), lambda m: m.update(name="mine", version="2.0.0")
    )
    (other / "model-card.md").write_text("another card")
    with pytest.raises(BundleError, match=r"mine/2\.0\.0/model-card\.md exists with different content"):
        store.put(remake(other))
    store.put(made)
    assert everything_in(BundleStore(url).find("mine:2.0.0")) == everything_in(made)


def test_fetched_once(url: str, make: Callable[..., Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was fetched is kept by its digest and opened from there, without the store where its digest is known."""
    store, made = BundleStore(url), make("mine", "2.0.0")
    store.put(made)
    digest = read_manifest(made).digest
    assert store.find("mine:2.0.0") == cache / digest
    assert [path.name for path in cache.iterdir()] == [digest]
    for method in ("list", "read", "download"):
        monkeypatch.setattr(RemoteFolder, method, lambda *_: pytest.fail("the store was asked"))
    assert store.open(f"mine:2.0.0@{digest}").reference.digest == digest
    shipped = read_manifest(PLAIN).reference
    assert store.open(str(shipped)).reference == shipped


def test_a_digest_is_of_one_name_and_version(url: str, make: Callable[..., Path]) -> None:
    """A copy that is kept is not taken for a bundle of another name, which has another digest."""
    store, made = BundleStore(url), make("mine", "2.0.0")
    store.put(made)
    digest = read_manifest(store.find("mine:2.0.0")).digest
    for reference in (f"other:2.0.0@{digest}", f"mine:3.0.0@{digest}"):
        with pytest.raises(BundleError, match=f"bundle {reference} not found"):
            store.find(reference)


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


def test_a_copy_that_was_damaged_here(url: str, make: Callable[..., Path]) -> None:
    """It is fetched again: what is kept here is nobody's only copy."""
    store, made = BundleStore(url), make("mine", "2.0.0")
    store.put(made)
    digest = read_manifest(made).digest
    for name in ("model.ubj", "bundle.json"):
        (store.find("mine:2.0.0") / name).write_bytes(b"{")
        assert everything_in(store.find(f"mine:2.0.0@{digest}")) == everything_in(made)


def test_damaged_in_the_store(url: str, make: Callable[..., Path], cache: Path) -> None:
    """What does not have the digests that its manifest says is not kept, and the message names the place."""
    store = BundleStore(url)
    where = store.put(make("mine", "2.0.0"))
    files = RemoteFolder(where)
    files.write("model.ubj", b"{")
    with pytest.raises(BundleError, match=r"mine/2\.0\.0: model\.ubj was changed or damaged"):
        store.find("mine:2.0.0")
    files.remove(["model.ubj"])
    with pytest.raises(BundleError, match=r"mine/2\.0\.0: model\.ubj is missing"):
        store.find("mine:2.0.0")
    files.write("bundle.json", b"{")
    assert "is not a valid manifest" in store.entry("mine:2.0.0").fault
    with pytest.raises(BundleError, match=r"mine/2\.0\.0: bundle\.json is not a valid manifest"):
        store.find("mine:2.0.0")
    assert list(cache.iterdir()) == []
    store.delete(store.entry("mine:2.0.0"))
    assert own(store) == []


def test_a_cache_that_cannot_be_written(url: str, make: Callable[..., Path], cache: Path) -> None:
    """The message says which folder it is and how to choose another."""
    store = BundleStore(url)
    store.put(make("mine", "2.0.0"))
    cache.parent.mkdir(parents=True)
    cache.touch()
    with pytest.raises(BundleError, match=r"cannot be written: .*; set XDG_CACHE_HOME to move the cache"):
        store.find("mine:2.0.0")


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 store whose server does not answer."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    yield "s3://nowhere/bundles"
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_out_of_reach(unreachable: str, make: Callable[..., Path]) -> None:
    """Each command has one message, with the place and what the place's own library says."""
    store = BundleStore(unreachable)
    for attempt in (store.entries, lambda: store.find("mine:2.0.0"), lambda: store.put(make("mine", "2.0.0"))):
        with pytest.raises(
            BundleError, match=r"s3://nowhere/bundles.* cannot be read: .*127\.0\.0\.1:1.*\. Is the URL"
        ):
            attempt()


def test_a_bucket_that_is_not_there(bucket: str, make: Callable[..., Path]) -> None:
    """Reading finds nothing; writing says so, and creates no bucket for a mistyped name."""
    store = BundleStore(f"{bucket}-mistyped/bundles")
    assert own(store) == []
    with pytest.raises(BundleError, match=r"-mistyped/bundles/mine/2\.0\.0/.* cannot be written: .*bucket"):
        store.put(make("mine", "2.0.0"))
    assert own(store) == []


def test_what_a_url_needs_and_is_not_installed() -> None:
    """The message names the extra; it is said before anything is asked of the place."""
    if find_spec("gcsfs"):
        pytest.skip("gcsfs is installed here")
    with pytest.raises(MisuseError, match=r"gs://models: .* pip install 'streaming-credit-scorer\[gcs\]'"):
        BundleStore("gs://models")
    with pytest.raises(MisuseError, match="nonsense://models: is not a supported URL: Protocol not known"):
        BundleStore("nonsense://models")


def test_file_urls_are_folders(tmp_path: Path, make: Callable[..., Path]) -> None:
    """A folder may be given as a URL; it is the same store."""
    BundleStore(f"file://{tmp_path}/store").put(make("mine", "2.0.0"))
    assert BundleStore(tmp_path / "store").find("mine:2.0.0") == tmp_path / "store" / "mine" / "2.0.0"
