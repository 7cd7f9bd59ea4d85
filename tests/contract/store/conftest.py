"""Every place that a store can be in, empty, and bundles to put there."""

from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from scorer.store.store import BundleStore
from tests.unit.bundle.making import named, remake


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
