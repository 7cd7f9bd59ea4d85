"""A user's folders, and users who have none: a number without a name, somebody else's home, a file for a home."""

import json
import os
import pwd
import tempfile
from pathlib import Path

import pytest

from scorer.errors import BundleError, MisuseError
from scorer.folders import bundles_folder, cache_folder
from scorer.settings import load_settings
from scorer.store.backends import NO_STORE
from scorer.store.store import BundleStore
from tests.unit.bundle.making import named, write_loans
from tests.unit.cli.conftest import Run


@pytest.fixture(autouse=True)
def _no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the folders that this user may have named."""
    for variable in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user with a number alone, as a container may have: no HOME and no entry in passwd."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", lambda number: {}[number])


def test_the_folders_are_below_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no variable of XDG says otherwise; none of them is made by asking."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert bundles_folder() == tmp_path / ".local/share/streaming-credit-scorer/bundles"
    assert cache_folder() == tmp_path / ".cache/streaming-credit-scorer"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert (bundles_folder(), cache_folder()) == (
        Path("/data/streaming-credit-scorer/bundles"),
        Path("/cache/streaming-credit-scorer"),
    )
    monkeypatch.setenv("XDG_DATA_HOME", "data")  # relative ones are to be ignored, says XDG: each folder had its own
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert bundles_folder() == tmp_path / ".local/share/streaming-credit-scorer/bundles"
    assert cache_folder() == tmp_path / ".cache/streaming-credit-scorer"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("nobody")
def test_a_user_without_a_home_has_no_store_and_a_cache_for_a_while() -> None:
    """It used to be a traceback in every command, and a worker whose store was set needs no home."""
    assert bundles_folder() is None
    assert load_settings(environment={}).settings.store is None
    assert load_settings(environment={"SCORER_STORE": "s3://bucket"}).settings.store == "s3://bucket"
    assert cache_folder().parent == Path(tempfile.gettempdir())
    assert cache_folder() == cache_folder()
    assert cache_folder().stat().st_mode & 0o077 == 0


def test_a_home_that_may_not_be_looked_into_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HOME may be left over from another user, as /root is: nothing of this user's can be in it."""

    def refuse(path: Path, **_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(Path, "stat", refuse)
    assert bundles_folder() is None


def test_a_home_that_cannot_take_a_cache_has_it_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HOME may be a file, or a folder such as `/` that this user may not write; a cache that is there is used."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert cache_folder().parent == Path(tempfile.gettempdir())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert cache_folder().parent == Path(tempfile.gettempdir())
    (tmp_path / ".cache/streaming-credit-scorer").mkdir(parents=True)
    assert cache_folder() == tmp_path / ".cache/streaming-credit-scorer"


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("config",), 0, "store"),
        (("bundle", "list"), 0, "credit-risk"),
        (("bundle", "show", "credit-risk:latest"), 0, "credit-risk"),
        (("score", "loans.csv", "--summary"), 0, "300 rows"),
        (("score", "loans.csv", "--bundle", "mine:1.0.0"), 1, NO_STORE),
        (("bundle", "show", "credit-risk:prod"), 1, NO_STORE),
        (("bundle", "tag", "credit-risk:1.1.0", "prod"), 2, NO_STORE),
        (("train", "loans.csv", "--name", "mine", "--version", "1.0.0"), 2, NO_STORE),
        (("bundle", "import", "mine"), 2, NO_STORE),
        (("bundle", "list", "--store", "elsewhere"), 0, "credit-risk"),
        (("bundle", "tag", "credit-risk:1.1.0", "prod", "--store", "elsewhere"), 0, "prod"),
    ],
)
def test_commands_without_a_home(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, expected: str
) -> None:
    """What is shipped is all that there is, and only a command that needs a store asks for one, before it works."""
    monkeypatch.delenv("SCORER_STORE")
    write_loans(tmp_path / "loans.csv")
    named(tmp_path / "mine", "mine", "1.0.0")
    ended = run(*arguments)
    assert ended.code == code, ended.err
    assert expected in ended.out + ended.err


@pytest.mark.usefixtures("nobody")
def test_a_store_without_a_place_changes_nothing() -> None:
    """Nothing is in it, nothing goes into it, and each refusal says which setting is missing."""
    store = BundleStore(None)
    shipped = store.entry("credit-risk:1.1.0")
    assert [entry.shipped for entry in store.entries()] == [True, True, True]
    assert (store.notes.tags(), store.notes.tags_of(shipped)) == ({}, [])
    assert store.open("credit-risk:1.1.0").works()
    whole = f"credit-risk:1.1.0@{shipped.manifest.digest if shipped.manifest else ''}"
    assert store.find(whole) == Path(shipped.location)
    for refused in (
        lambda: store.put(Path(shipped.location)),
        lambda: store.require_new("mine", "1.0.0"),
        lambda: store.notes.set_tag(shipped, "prod", "me"),
    ):
        with pytest.raises((MisuseError, BundleError)):
            refused()


@pytest.mark.parametrize("home", ["file", "/proc"])
def test_homes_that_cannot_be_written(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    """A file, and a file system that takes no folders: reading finds what is shipped, and writing says what to set."""
    monkeypatch.delenv("SCORER_STORE")
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / home))
    shown = run("bundle", "list", "--json")
    assert [entry["shipped"] for entry in json.loads(shown.out)] == [True, True, True]
    write_loans(tmp_path / "loans.csv")
    for arguments in (
        ("bundle", "tag", "credit-risk:1.1.0", "prod"),
        ("train", "loans.csv", "--name", "mine", "--version", "1.0.0"),
    ):
        ended = run(*arguments)
        assert ended.code == 1
        assert "to use another folder or a URL, set SCORER_STORE (or the setting store)" in ended.err


def test_a_store_that_may_not_be_read_is_not_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It used to look like a store without bundles, or to be a traceback."""
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path == tmp_path:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for ask in (BundleStore(tmp_path).entries, BundleStore(tmp_path).notes.tags):
        with pytest.raises(BundleError, match=f"store {tmp_path} cannot be read: Permission denied; .*SCORER_STORE"):
            ask()
