"""The store: a version is put once, whole or not at all, and a reference finds exactly one bundle or says why not."""

import errno
import os
import re
import shutil
from functools import partial
from pathlib import Path

import pytest

from scorer.bundle.load import load_bundle, read_manifest
from scorer.bundle.manifest import Manifest
from scorer.errors import BundleError, BundleNotFoundError, MisuseError, SettingsError
from scorer.settings import load_settings
from scorer.store.archive import export_bundle
from scorer.store.remote import RemoteFolder, local_path
from scorer.store.store import BundleStore
from tests.unit.bundle.making import PLAIN, WITH_MARITAL, copy_bundle, everything_in, named, remake
from tests.unit.schemas.test_confidential import WITH_CREDENTIALS

SHIPPED = ("credit-risk:1.0.0", "credit-risk:1.1.0", "credit-risk:1.1.1")


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    """An empty store whose folder is not there yet."""
    return BundleStore(tmp_path / "store")


def test_the_shipped_bundles_always_exist(tmp_path: Path, store: BundleStore) -> None:
    """An empty store, or none, still has something to decide with, and reading makes no folder."""
    assert [(e.reference, e.shipped, e.fault) for e in store.entries()] == [(name, True, "") for name in SHIPPED]
    assert store.open("credit-risk:1.1.0").reference == read_manifest(PLAIN).reference
    assert not (tmp_path / "store").exists()


def test_a_stored_bundle_is_found(tmp_path: Path, store: BundleStore) -> None:
    """The copy has the same bytes, and every way to refer to it leads to it."""
    made = named(tmp_path / "made", "mine", "2.0.0")
    folder = Path(store.put(made))
    assert folder == tmp_path / "store" / "mine" / "2.0.0"
    assert everything_in(folder) == everything_in(made)
    digest = read_manifest(made).digest
    for reference in ("mine:2.0.0", "mine:latest", f"mine@{digest[:6]}", f"mine:2.0.0@{digest}", str(made)):
        assert store.open(reference).reference.digest == digest


def test_nothing_else_is_left_behind(tmp_path: Path, store: BundleStore) -> None:
    """After a put there is the bundle, and no trace of how it came."""
    store.put(named(tmp_path / "made", "mine", "2.0.0"))
    assert [p.name for p in (tmp_path / "store").iterdir()] == ["mine"]


def test_latest_is_the_highest_number(tmp_path: Path, store: BundleStore) -> None:
    """1.10.0 comes after 1.9.0, whatever the alphabet and the time of putting say."""
    for version in ("1.10.0", "1.9.0", "1.2.11"):
        store.put(named(tmp_path / version, "credit-risk", version))
    assert store.open("credit-risk:latest").reference.version == "1.10.0"
    assert [e.version for e in store.entries()] == ["1.0.0", "1.1.0", "1.1.1", "1.2.11", "1.9.0", "1.10.0"]


def test_the_next_version_is_free(tmp_path: Path, store: BundleStore) -> None:
    """1.0.0 at first, then the highest one with its last number raised, compared as numbers; shipped ones count."""
    assert store.next_version("mine") == "1.0.0"
    for number, version in enumerate(("1.0.0", "1.10.9", "1.9.99")):
        store.put(named(tmp_path / str(number), "mine", version))
    assert store.next_version("mine") == "1.10.10"
    assert store.next_version("credit-risk") == "1.1.2"
    store.require_new("mine", store.next_version("mine"))
    with pytest.raises(MisuseError, match="invalid bundle name 'My model'"):
        store.next_version("My model")


def test_a_version_is_never_overwritten(tmp_path: Path, store: BundleStore) -> None:
    """Not even by the same bundle; what is there stays as it was."""
    first = named(tmp_path / "first", "mine", "2.0.0")
    second = remake(copy_bundle(tmp_path / "second", WITH_MARITAL), lambda m: m.update(name="mine", version="2.0.0"))
    stored = Path(store.put(first))
    before = everything_in(stored)
    for folder in (first, second):
        with pytest.raises(BundleError, match="already exists"):
            store.put(folder)
    assert everything_in(stored) == before


def test_a_shipped_version_is_never_overwritten(tmp_path: Path, store: BundleStore) -> None:
    """A store cannot give the shipped versions another meaning."""
    with pytest.raises(BundleError, match=r"credit-risk:1\.1\.0 already exists"):
        store.put(copy_bundle(tmp_path / "copy"))


def test_two_that_put_the_same_version_at_once(
    tmp_path: Path, store: BundleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both find it free; one comes first, and the other fails without touching it."""
    folder = Path(store.put(named(tmp_path / "first", "mine", "2.0.0")))
    before = everything_in(folder)
    monkeypatch.setattr(BundleStore, "require_new", lambda *_: None)
    with pytest.raises(BundleError, match="cannot be copied to"):
        store.put(named(tmp_path / "second", "mine", "2.0.0"))
    assert everything_in(folder) == before
    assert [p.name for p in (tmp_path / "store").iterdir()] == ["mine"]


def test_a_damaged_bundle_is_not_imported(tmp_path: Path, store: BundleStore) -> None:
    """It is checked before anything is copied, and the message names the folder it came from."""
    made = named(tmp_path / "made", "mine", "2.0.0")
    (made / "model-card.md").write_text("better")
    with pytest.raises(BundleError, match=f"{made}: model-card.md was changed"):
        store.put(made)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("failing", ["the copying", "the check of the copy"])
def test_a_put_that_fails_leaves_nothing(
    tmp_path: Path, store: BundleStore, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """A full disk half way through, or a copy that is not the original: no half bundle, no litter."""
    made = named(tmp_path / "made", "mine", "2.0.0")
    copied: list[Path] = []

    def copy(source: Path, target: Path, *, follow_symlinks: bool) -> None:
        assert not follow_symlinks
        if failing == "the copying" and copied:
            raise OSError(28, "No space left on device")
        copied.append(target)
        target.write_bytes(b"x" if failing != "the copying" else source.read_bytes())

    monkeypatch.setattr("scorer.store.backends.shutil.copyfile", copy)
    with pytest.raises(BundleError, match="No space left" if failing == "the copying" else "is not a valid manifest"):
        store.put(made)
    assert copied
    assert list((tmp_path / "store").iterdir()) == []


def test_a_half_copied_bundle_is_in_no_list(tmp_path: Path, store: BundleStore) -> None:
    """What a killed process left behind is not taken for a bundle."""
    store.put(named(tmp_path / "made", "mine", "2.0.0"))
    shutil.copytree(tmp_path / "store" / "mine", tmp_path / "store" / ".incoming-0123")
    (tmp_path / "store" / "mine" / "notes").mkdir()
    ((tmp_path / "store") / "README").touch()
    assert [e.reference for e in store.entries()] == [*SHIPPED, "mine:2.0.0"]


def test_a_damaged_bundle_is_listed_as_such_and_does_not_hide_the_others(tmp_path: Path, store: BundleStore) -> None:
    """One bad manifest must not take the others away; asked for by name, it says what is wrong."""
    folder = Path(store.put(named(tmp_path / "made", "mine", "2.0.0")))
    (folder / "bundle.json").write_text("{}")
    entry = store.entries()[-1]
    assert (entry.reference, entry.manifest) == ("mine:2.0.0", None)
    assert "is not a valid manifest" in entry.fault
    for reference in ("mine:2.0.0", "mine:latest"):
        with pytest.raises(BundleError, match="is not a valid manifest"):
            store.open(reference)
    store.open("credit-risk:1.1.0")


@pytest.mark.parametrize("listed", [True, False])
def test_a_folder_that_cannot_be_read_is_listed_as_such(
    tmp_path: Path, store: BundleStore, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    """It ended the list in a traceback, or was left out of it without a word."""
    closed = Path(store.put(named(tmp_path / "made", "mine", "2.0.0"))).parent
    is_dir, scandir = Path.is_dir, os.scandir

    def refuse_dir(path: Path) -> bool:
        if path == closed or closed in path.parents:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return is_dir(path)

    def refuse_list(path: Path) -> object:
        if not listed and path == closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(Path, "is_dir", refuse_dir)
    monkeypatch.setattr(os, "scandir", refuse_list)
    entry = store.entries()[-1]
    assert (entry.reference, entry.manifest) == ("mine:2.0.0" if listed else "mine:unreadable", None)
    assert "cannot be read: Permission denied" in entry.fault
    with pytest.raises(BundleError, match="cannot be read: Permission denied"):
        store.find("mine:2.0.0")
    assert store.entry("credit-risk:1.1.0").manifest


def test_tags_that_cannot_be_read_are_not_missing(
    tmp_path: Path, store: BundleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were left out without a word."""
    store.put(named(tmp_path / "made", "mine", "2.0.0"))
    store.notes.set_tag(store.entry("mine:2.0.0"), "prod", "me")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "tags":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(BundleError, match="mine/tags cannot be read: Permission denied"):
        store.notes.tags()


def test_a_bundle_that_was_moved_is_rejected(tmp_path: Path, store: BundleStore) -> None:
    """A folder's name is no second opinion on what is in it."""
    folder = Path(store.put(named(tmp_path / "made", "mine", "2.0.0")))
    folder.rename(folder.parent / "3.0.0")
    with pytest.raises(BundleError, match=r"its manifest says mine:2\.0\.0; was it moved\?"):
        store.open("mine:3.0.0")


def test_what_is_shipped_later(tmp_path: Path) -> None:
    """A version that this package ships only later was somebody's own before: decisions refer to it by its digest."""
    store = BundleStore(tmp_path / "store", shipped=tmp_path / "shipped")
    store.put(named(tmp_path / "made", "mine", "2.0.0"))
    own = store.open("mine:2.0.0").reference
    named(tmp_path / "shipped" / "mine" / "2.0.0", "mine", "2.0.0")
    assert store.open("mine:2.0.0").reference == own  # the same one twice is one
    remake(tmp_path / "shipped" / "mine" / "2.0.0", lambda manifest: manifest["labels"].update(note="another"))
    with pytest.raises(BundleError, match=r"two bundles are named mine:2\.0\.0"):
        store.open("mine:2.0.0")
    assert store.find(str(own)) == tmp_path / "store" / "mine" / "2.0.0"
    assert store.locate(own).open().reference == own


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("credit-rsk:1.1.0", "Did you mean credit-risk:1.1.0"),
        ("credit-risk:9.9.9", "Available: credit-risk:1.0.0, credit-risk:1.1.0"),
        ("credit-risk", "name:version, name:latest"),
        ("credit-risk:", "Available:"),
        ("credit-risk@000000", "Available:"),
        ("credit-risk@12", "Available:"),
        ("nothing:latest", "Available:"),
        ("", "Available:"),
        ("../nowhere", "Available:"),
        ("a" * 5_000, "Available:"),
        ("a\0b", "Available:"),
        ("Robert'); DROP TABLE bundles", "Available:"),
        ("credit-risk:prod", "name:tag"),
    ],
)
def test_a_reference_to_nothing_lists_what_exists(store: BundleStore, reference: str, hint: str) -> None:
    """The message is enough to correct the call."""
    with pytest.raises(BundleNotFoundError, match=" not found") as raised:
        store.find(reference)
    assert hint in str(raised.value)


def test_a_digest_that_the_version_has_not(store: BundleStore) -> None:
    """Two bundles under one name and version: the message says which is here and which is wanted."""
    with pytest.raises(
        BundleNotFoundError, match=r"has digest 1581f37bfc6d, not the requested 000000: two bundles have the same name"
    ):
        store.find("credit-risk:1.1.0@000000")


def test_a_digest_that_fits_two_is_not_guessed(
    tmp_path: Path, store: BundleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two bundles, one beginning: the message names both, and with a version it is clear."""
    for version in ("1.0.0", "1.0.1"):
        store.put(named(tmp_path / version, "mine", version))
    monkeypatch.setattr(Manifest, "digest", "ab" * 32)
    with pytest.raises(BundleError, match=r"mine@ababab is ambiguous: mine:1\.0\.0 or mine:1\.0\.1"):
        store.find("mine@ababab")
    assert store.find("mine:1.0.1@ababab") == tmp_path / "store" / "mine" / "1.0.1"


@pytest.mark.parametrize(
    ("name", "version"), [("Mine", "1.0.0"), ("", "1.0.0"), ("a/b", "1.0.0"), ("mine", "1.0"), ("mine", "latest")]
)
def test_a_name_or_version_that_cannot_be_is_misuse(store: BundleStore, name: str, version: str) -> None:
    """Said before any work begins, with an example."""
    with pytest.raises(MisuseError, match="for example"):
        store.require_new(name, version)


def test_what_is_kept_can_be_read_by_others(tmp_path: Path, store: BundleStore) -> None:
    """A worker under another account reads the store: the folder has the ordinary rights, not a temporary one's."""
    folder = Path(store.put(named(tmp_path / "made", "mine", "2.0.0")))
    ordinary = tmp_path / "ordinary"
    ordinary.mkdir()
    assert folder.stat().st_mode == ordinary.stat().st_mode
    assert load_bundle(folder)


@pytest.mark.parametrize(
    ("location", "cure"),
    [
        ("s3:/bucket", "use s3://…"),
        ("GS:/bucket", "use gs://…"),
        ("s3:bucket", "use s3://…"),
        ("http:/host/b", "use http://…"),
        ("C:\\bundles", "is a Windows path"),
        ("c:/bundles", "is a Windows path"),
        ("file://host/bundles", "use file:///"),
        ("file:bundles", "use file:///"),
        ("~nobody-of-this-name/b", "use an absolute path"),
    ],
)
def test_a_mistyped_place_is_rejected(location: str, cure: str) -> None:
    """Each was taken for a folder below the current one: an empty store, and bundles put where nobody looks."""
    with pytest.raises(MisuseError, match=re.escape(cure)):
        BundleStore(location)


@pytest.mark.parametrize("url", WITH_CREDENTIALS)
def test_a_url_with_a_login_or_a_token_is_rejected(url: str, tmp_path: Path) -> None:
    """Only one form of many was; the others were shown in every message about a bundle. The URL is not shown here."""
    bundle = named(tmp_path / "b" / "1.0.0", "b", "1.0.0")
    for call in (BundleStore, RemoteFolder, local_path, partial(export_bundle, bundle)):
        with pytest.raises(MisuseError, match="a login or a token in it") as refused:
            call(url)
        assert url not in str(refused.value)
    with pytest.raises(SettingsError, match="store is a URL with a login or a token in it") as wrong:
        load_settings({"store": url}, environment={})
    assert url not in str(wrong.value)


def test_ways_to_write_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell expands `~` in a variable or a file, and schemes of URLs have no letter case."""
    monkeypatch.setenv("HOME", str(tmp_path))
    locations = ("~/b", f"file:{tmp_path}/b", f"file://{tmp_path}/b", f"FILE://localhost{tmp_path}/b")
    assert [local_path(location) for location in locations] == [tmp_path / "b"] * 4
    assert [local_path(location) for location in ("S3://b", "simplecache::s3://b")] == [None, None]
    assert local_path("./s3:/b") == Path("s3:/b")
    assert RemoteFolder("MEMORY://b").address("c") == "memory://b/c"


def test_a_file_is_not_an_empty_store(tmp_path: Path) -> None:
    """On this machine or at a URL it was listed as if nothing were in it."""
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(BundleError, match="file cannot be read: Not a directory"):
        BundleStore(tmp_path / "file").entries()
    remote = RemoteFolder("memory://a-file")
    remote.create("b", b"x")
    assert RemoteFolder("memory://a-file").list() == ["b"]
    with pytest.raises(BundleError, match="memory://a-file/b is not a folder, but a file"):
        RemoteFolder("memory://a-file/b").list()


@pytest.mark.parametrize("url", ["http://localhost:1/b", "ftp://localhost:1/b"])
def test_a_store_that_cannot_be_reached_is_not_empty(url: str) -> None:
    """Over HTTP fsspec leaves out what it cannot list, and over FTP it asks before anybody wants to know."""
    with pytest.raises(BundleError, match=f"{url} cannot be re"):
        BundleStore(url).entries()
