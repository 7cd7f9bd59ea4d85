"""Tags of bundles, in every place: they move, bundles do not, and a damaged one hides nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scorer.bundle.load import read_manifest
from scorer.errors import BundleError, MisuseError
from scorer.store.store import BundleStore
from tests.contract.store.contents import own

pytestmark = pytest.mark.usefixtures("opens_here")


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
