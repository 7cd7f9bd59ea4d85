"""A build context: complete, pinned, not root, and made whole or not at all."""

import json
import re
import stat
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scorer.author import container
from scorer.author.container import LOCK, build_image, write_context
from scorer.bundle.load import load_bundle, read_manifest
from scorer.errors import BundleError, EngineError, MisuseError, ScorerError
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


def _pinned(lock: Path) -> list[tuple[Requirement, set[str]]]:
    """What a lock pins: each requirement, and its digests."""
    pins = re.findall(r"^(\S.*?) \\\n((?: +--hash=\S+(?: \\)?\n)+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    return [(Requirement(line), set(re.findall(r"sha256:[0-9a-f]{64}", digests))) for line, digests in pins]


def test_it_is_complete(context: Path) -> None:
    """Dockerfile, lock, package, bundle, and what keeps all else out; nothing besides."""
    wheel = f"streaming_credit_scorer-{metadata.version('streaming-credit-scorer')}-py3-none-any.whl"
    found = {path.relative_to(context).as_posix() for path in context.rglob("*") if path.is_file()}
    bundle = {f"bundles/credit-risk/1.1.0/{name}" for name in ("bundle.json", *read_manifest(PLAIN).files)}
    assert found == {"Dockerfile", ".dockerignore", "requirements.lock", wheel} | bundle
    assert zipfile.is_zipfile(context / wheel)
    assert stat.S_IMODE(context.stat().st_mode) & 0o055 == 0o055  # another account may build it


def test_its_bundles_are_a_store(context: Path, tmp_path: Path) -> None:
    """With the bundle in it, to the byte, under the reference that the image's command gives."""
    store = BundleStore(context / "bundles", shipped=tmp_path)
    assert str(store.open(REFERENCE).reference) == REFERENCE


def test_only_what_is_named_is_built(context: Path) -> None:
    """Everything that the Dockerfile copies is let in, and nothing else."""
    ignored, *admitted = (context / ".dockerignore").read_text().split()
    assert ignored == "*"
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (context / "Dockerfile").read_text(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert all(any(Path(name).match(pattern.removeprefix("!")) for pattern in admitted) for name in names)
    assert all((context / name).exists() for name in names)


def test_the_image_is_not_root_and_says_how_it_is(context: Path) -> None:
    """Two stages, a user by number after the last step that needs root, a health check, exec form throughout."""
    text = (context / "Dockerfile").read_text()
    instructions = re.findall(r"^([A-Z]+) ", text, re.MULTILINE)
    assert instructions.count("FROM") == 2
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001"]
    assert instructions[instructions.index("USER") :] == [
        "USER", "RUN", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD",
    ]  # fmt: skip
    command = json.loads(re.findall(r"^CMD (.+)$", text, re.MULTILINE)[0])
    assert command == ["worker", "--bundle", REFERENCE]
    assert f'RUN ["scorer", "bundle", "verify", "{REFERENCE}"]' in text
    check = json.loads(re.findall(r"^    CMD (.+)$", text, re.MULTILINE)[0])
    compile(check[2], "check", "exec")
    assert "/healthz" in check[2]


def test_both_images_ask_a_worker_the_same(context: Path) -> None:
    """The health check of this project's own image is that of a bundle's, to the word."""
    images = (context / "Dockerfile", Path(__file__).parents[3] / "Dockerfile")
    asked = [re.findall(r"^HEALTHCHECK .+\n    CMD .+$", path.read_text(), re.MULTILINE) for path in images]
    assert len(asked[0]) == 1
    assert asked[0] == asked[1]


def test_the_base_is_pinned(context: Path, tmp_path: Path) -> None:
    """To this Python's version by default; to whatever is asked for."""
    version = ".".join(map(str, sys.version_info[:3]))
    assert f"ARG BASE=python:{version}" in (context / "Dockerfile").read_text()
    pinned = "registry.example:5000/python@sha256:" + "ab" * 32
    write_context(PLAIN, tmp_path / "context", pinned)
    assert f"ARG BASE={pinned}\n" in (tmp_path / "context" / "Dockerfile").read_text()


@pytest.mark.parametrize("base", ["", "python 3", "python\nRUN rm -rf /", "-v", "$(x)", "a" * 300])
def test_a_base_that_cannot_name_an_image(tmp_path: Path, base: str) -> None:
    """Nothing else than an image's name gets into the Dockerfile by it."""
    with pytest.raises(MisuseError, match="not a valid image name"):
        write_context(PLAIN, tmp_path / "context", base)
    assert list(tmp_path.iterdir()) == []


def test_every_library_is_pinned_by_version_and_digest(context: Path) -> None:
    """Exactly one version each, with digests, and no address of a registry."""
    assert (context / "requirements.lock").read_bytes() == LOCK.read_bytes()
    text = LOCK.read_text(encoding="utf-8")
    pinned = _pinned(LOCK)
    assert "://" not in text
    assert len(pinned) == len(re.findall(r"^\S", text, re.MULTILINE)) > 10
    assert all(str(requirement.specifier).startswith("==") and digests for requirement, digests in pinned)


def test_the_lock_covers_what_the_package_depends_on() -> None:
    """And what that depends on, to the end: installing without looking at dependencies leaves none out."""
    here = {
        canonicalize_name(requirement.name): requirement
        for requirement, _ in _pinned(LOCK)
        if requirement.marker is None or requirement.marker.evaluate()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    # What a worker may need, an ONNX model, a store in S3, traces, signatures; and the console: one image does for all.
    used = ("onnx", "s3", "otel", "signatures", "console")
    declared = [*project["dependencies"], *(line for extra in used for line in extras[extra])]
    wanted, seen = [Requirement(line) for line in declared], set[str]()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if (requirement.marker and not requirement.marker.evaluate({"extra": ""})) or name in seen:
            continue
        seen.add(name)
        (pin,) = here[name].specifier
        assert requirement.specifier.contains(pin.version)
        wanted += map(Requirement, metadata.requires(name) or ())
    assert seen == set(here)


def test_the_lock_is_the_one_that_is_tested_with() -> None:
    """The image has the versions that the tests have run with, from the same files."""
    tested = {
        f"{requirement.name}{requirement.specifier}": digests
        for requirement, digests in _pinned(ROOT / "requirements.lock")
    }
    for requirement, digests in _pinned(LOCK):
        assert digests <= tested[f"{requirement.name}{requirement.specifier}"]


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
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

    def fail(_: Path) -> Path:
        raise ScorerError("not installed")

    monkeypatch.setattr(container, "write_wheel", fail)
    with pytest.raises(ScorerError, match="not installed"):
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
    assert (
        f'CMD ["worker", "--bundle", "{read_manifest(bundle).reference}"]'
        in (tmp_path / "context/Dockerfile").read_text()
    )
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


def test_a_build_that_fails_is_said_to(context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the engine's own words on standard error."""
    _engine(tmp_path, "docker", 'test "$1" = info')
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="docker failed to build"):
        build_image(context, read_manifest(PLAIN))
