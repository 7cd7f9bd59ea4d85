"""A store behind a URL: copies of what was fetched, uploads that broke off, damage, and places out of reach."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import fsspec
import pytest

from scorer.bundle.load import read_manifest
from scorer.errors import BundleError, MisuseError
from scorer.store.remote import RemoteFolder
from scorer.store.store import BundleStore
from tests.contract.store.contents import own
from tests.unit.bundle.making import PLAIN, copy_bundle, everything_in, remake

pytestmark = pytest.mark.usefixtures("opens_here")


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
    with pytest.raises(MisuseError, match=r"gs://models: .* pip install '\.\[gcs\]'"):
        BundleStore("gs://models")
    with pytest.raises(MisuseError, match="nonsense://models: is not a supported URL: Protocol not known"):
        BundleStore("nonsense://models")
