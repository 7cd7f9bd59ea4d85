"""A build context: complete, pinned, and made whole or not at all."""

import json
import re
import shutil
import stat
from errno import ENOSPC
from importlib.metadata import version
from pathlib import Path

import pytest

from scorer.author.container import build_image, write_context
from scorer.bundle.load import load_bundle, read_manifest
from scorer.errors import BundleError, EngineError, MisuseError
from scorer.store.store import BundleStore
from tests.unit.bundle.making import PLAIN, copy_bundle, named

ROOT = Path(__file__).parents[3]
REFERENCE = str(read_manifest(PLAIN).reference)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default bundle's."""
    folder = tmp_path_factory.mktemp("made") / "context"
    write_context(PLAIN, folder)
    return folder


def _dockerfile(folder: Path) -> str:
    return (folder / "Dockerfile").read_text()


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_complete(context: Path) -> None:
    """Dockerfile, bundle, and what keeps all else out; nothing besides."""
    bundle = {f"bundles/credit-risk/1.1.0/{name}" for name in ("bundle.json", *read_manifest(PLAIN).files)}
    assert set(_contents(context)) == {"Dockerfile", ".dockerignore"} | bundle
    assert stat.S_IMODE(context.stat().st_mode) & 0o055 == 0o055  # another account may build it


def test_the_same_bundle_makes_the_same_context(context: Path, tmp_path: Path) -> None:
    """To the byte, so that an image of a bundle can be made again."""
    write_context(PLAIN, tmp_path / "context")
    assert _contents(tmp_path / "context") == _contents(context)


def test_its_bundles_are_a_store(context: Path, tmp_path: Path) -> None:
    """With the bundle in it, to the byte, under the reference that the image's command gives."""
    store = BundleStore(context / "bundles", shipped=tmp_path)
    assert str(store.open(REFERENCE).reference) == REFERENCE


def test_only_what_is_named_is_built(context: Path) -> None:
    """Everything that the Dockerfile copies is let in, and nothing else."""
    ignored, *admitted = (context / ".dockerignore").read_text().split()
    assert ignored == "*"
    copied = re.findall(r"^COPY --chown=10001 (.+) \S+$", _dockerfile(context), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert all(any(Path(name).match(pattern.removeprefix("!")) for pattern in admitted) for name in names)
    assert all((context / name).exists() for name in names)


def test_it_adds_a_verified_bundle_and_pins_it(context: Path) -> None:
    """All else is inherited from the base: user, entry point, health check; a step that needs root has none here."""
    text = _dockerfile(context)
    assert re.findall(r"^([A-Z]+) ", text, re.MULTILINE) == ["ARG", "FROM", "LABEL", "COPY", "ENV", "RUN", "CMD"]
    assert f'RUN ["scorer", "bundle", "verify", "{REFERENCE}"]' in text
    assert json.loads(re.findall(r"^CMD (.+)$", text, re.MULTILINE)[0]) == ["worker", "--bundle", REFERENCE]


def test_the_base_image_is_not_root_and_has_a_health_check() -> None:
    """Three stages, a user by number after the last step that needs root, a health check, exec form throughout."""
    text = (ROOT / "Dockerfile").read_text()
    instructions = re.findall(r"^([A-Z]+) ", text, re.MULTILINE)
    assert instructions.count("FROM") == 3
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001"]
    assert instructions[instructions.index("USER") :] == [
        "USER", "RUN", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD",
    ]  # fmt: skip
    verify = 'RUN ["scorer", "bundle", "verify", "credit-risk:1.1.1", "--set", "engine=compiled"]'
    assert verify in text  # both engines decide the same, or there is no image
    check = json.loads(re.findall(r"^    CMD (.+)$", text, re.MULTILINE)[0])
    compile(check[2], "check", "exec")
    assert "/healthz" in check[2]


def test_the_base_is_pinned(context: Path, tmp_path: Path) -> None:
    """To this version of the scorer by default; to whatever is asked for."""
    assert f"ARG BASE=streaming-credit-scorer:{version('streaming-credit-scorer')}\n" in _dockerfile(context)
    pinned = "registry.example:5000/scorer@sha256:" + "ab" * 32
    write_context(PLAIN, tmp_path / "context", pinned)
    assert f"ARG BASE={pinned}\n" in _dockerfile(tmp_path / "context")


@pytest.mark.parametrize("base", ["", "python 3", "python\nRUN rm -rf /", "-v", "$(x)", "a" * 300])
def test_a_base_that_cannot_name_an_image(tmp_path: Path, base: str) -> None:
    """Nothing else than an image's name gets into the Dockerfile by it."""
    with pytest.raises(MisuseError, match="not a valid image name"):
        write_context(PLAIN, tmp_path / "context", base)
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_not_overwritten(tmp_path: Path) -> None:
    """Neither a folder nor a file; the context that is there stays as it was."""
    write_context(PLAIN, tmp_path / "context")
    (tmp_path / "file").touch()
    for name in ("context", "file"):
        with pytest.raises(MisuseError, match="already exists"):
            write_context(PLAIN, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["context", "file"]


def test_a_damaged_bundle_gets_no_context(tmp_path: Path) -> None:
    """It is opened and checked first, and nothing is left behind."""
    folder = copy_bundle(tmp_path / "bundle")
    (folder / "model.ubj").write_bytes(b"{")
    with pytest.raises(BundleError, match=r"model\.ubj was changed or damaged"):
        write_context(folder, tmp_path / "context")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_context_that_cannot_be_finished_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a context would build half an image."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(MisuseError, match="cannot be written: No space left on device"):
        write_context(PLAIN, tmp_path / "context")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A file in the way is named, without a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(MisuseError, match="cannot be written"):
        write_context(PLAIN, tmp_path / "file" / "context")


def test_any_bundle_gets_its_own(tmp_path: Path) -> None:
    """The image decides with the bundle that was asked for."""
    bundle = named(tmp_path / "bundle", "mine", "2.0.0")
    write_context(bundle, tmp_path / "context")
    assert f'CMD ["worker", "--bundle", "{read_manifest(bundle).reference}"]' in _dockerfile(tmp_path / "context")
    assert load_bundle(tmp_path / "context" / "bundles" / "mine" / "2.0.0")


def _engine(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_without_an_engine_the_context_stays(context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says so, and how to build it elsewhere; one that is installed and does not answer is none."""
    _engine(tmp_path, "docker", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        EngineError, match=f"no container engine is available.*docker build --tag credit-risk:1.1.0 {context}"
    ):
        build_image(context, read_manifest(PLAIN))
    assert (context / "Dockerfile").is_file()


def test_the_first_engine_that_answers_builds(context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker does not, Podman does: it is asked to build the folder under the bundle's name and version."""
    _engine(tmp_path, "docker", "exit 1")
    _engine(tmp_path, "podman", f'echo "$@" >> {tmp_path}/asked')
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build_image(context, read_manifest(PLAIN)) == "credit-risk:1.1.0"
    assert (tmp_path / "asked").read_text() == f"info\nbuild --tag credit-risk:1.1.0 {context}\n"


def test_a_failed_build_is_reported(context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the engine's own words on standard error."""
    _engine(tmp_path, "docker", 'test "$1" = info')
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="docker failed to build"):
        build_image(context, read_manifest(PLAIN))
