"""The package as a wheel of itself: what the build tool would make, without it."""

import csv
import email
import hashlib
import io
import zipfile
from base64 import urlsafe_b64encode
from importlib import metadata
from pathlib import Path

import pytest

from scorer.author import wheel
from scorer.author.wheel import PACKAGES, write_wheel
from scorer.errors import ScorerError

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel."""
    return write_wheel(tmp_path_factory.mktemp("wheel"))


def _contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_it_holds_what_the_build_tool_puts_into_one(made: Path, tmp_path: Path) -> None:
    """The same files with the same bytes as hatchling's, and the same description of them."""
    from hatchling.builders.wheel import WheelBuilder

    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    theirs, ours = _contents(Path(built)), _contents(made)
    assert Path(built).name == made.name
    assert set(ours) == set(theirs)
    differing = {name.rpartition("/")[2] for name in ours if ours[name] != theirs[name]}
    # METADATA has the README too, as it was when the package was installed here.
    assert {"WHEEL", "RECORD"} <= differing <= {"WHEEL", "RECORD", "METADATA"}
    (metadata_file,) = (name for name in ours if name.endswith("/METADATA"))
    assert _headers(ours[metadata_file]) == _headers(theirs[metadata_file])


def _headers(described: bytes) -> list[tuple[str, str]]:
    return email.message_from_bytes(described).items()


def test_every_file_is_recorded_with_its_digest(made: Path) -> None:
    """As installers check it."""
    contents = _contents(made)
    (record,) = (name for name in contents if name.endswith("/RECORD"))
    rows = {name: (digest, size) for name, digest, size in csv.reader(io.StringIO(contents[record].decode()))}
    assert set(rows) == set(contents)
    for name, content in contents.items():
        if name != record:
            digest = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert rows[name] == (f"sha256={digest}", str(len(content)))


def test_it_says_what_it_is(made: Path) -> None:
    """Name, version and dependencies are the installed distribution's; the command is there."""
    contents = _contents(made)
    (described,) = (content for name, content in contents.items() if name.endswith(".dist-info/METADATA"))
    message = email.message_from_bytes(described)
    assert message["Version"] == metadata.version("streaming-credit-scorer")
    assert message.get_all("Requires-Dist") == metadata.requires("streaming-credit-scorer")
    assert any(b"scorer = scorer.cli:main" in content for content in contents.values())


def test_the_same_files_make_the_same_bytes(made: Path, tmp_path: Path) -> None:
    """So that an image of a bundle can be made again."""
    assert write_wheel(tmp_path).read_bytes() == made.read_bytes()


def test_it_holds_every_package_and_no_leavings(made: Path) -> None:
    """The three packages with the shipped bundles; nothing compiled."""
    names = set(_contents(made))
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)
    assert "scorer/store/shipped/credit-risk/1.1.0/model.ubj" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_without_an_installation_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run from a source tree that was never installed, nothing says what it depends on."""
    monkeypatch.setattr(wheel, "DISTRIBUTION", "streaming-credit-scorer-of-somebody-else")
    with pytest.raises(ScorerError, match="is not installed: pip install it"):
        write_wheel(tmp_path)
