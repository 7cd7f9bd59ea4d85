"""The image, and a bundle's on top of it, built by buildah on a Debian and run as in a cluster: unprivileged, sealed.

What it does not show are the base images that the Dockerfile names: those come from a registry of images. Here the base
is Debian bookworm with its own Python 3.11, and Rust is this machine's on Debian bookworm with its own C compiler; both
are given by the Dockerfile's arguments.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.decision import Decision
from scorer.author.container import write_context
from scorer.bundle.load import read_manifest
from scorer.folders import cache_folder
from scorer.local.broker import Broker
from scorer.local.running import free_ports
from tests.fakes import application
from tests.integration.environments import install
from tests.integration.worker_process import WAIT_S, Topics, wait_until
from tests.tools import tool
from tests.unit.bundle.making import EXPLAINED, WITH_MARITAL

ROOT = Path(__file__).parents[2]
_BASE = "localhost/base:bookworm"
_RUST = "localhost/rust:bookworm"
_PACKAGES = {
    _BASE: "python3,python3-venv,python3-pip,python-is-python3,ca-certificates",
    _RUST: "gcc,libc6-dev,ca-certificates",
}
"""What each base image has."""
_ENVIRONMENT = {
    _BASE: ["--env=LANG=C.UTF-8"],
    _RUST: ["--env=PATH=/usr/local/rust/bin:/usr/bin:/bin", "--env=CARGO_HOME=/usr/local/cargo"],
}
"""What the official images set, as far as it matters."""
_TAG = "localhost/streaming-credit-scorer:test"
_BUNDLE_TAG = "localhost/bundle:test"
_TAGS = {"scorer": _TAG, "bundle": _BUNDLE_TAG}
_BUNDLES = {"scorer": EXPLAINED, "bundle": WITH_MARITAL}
_USER = 10001
_OURS_BYTES_MAX = 360_000_000  # of 500 MB; python:3.11-slim has some 130
_BUILD_S = 900

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a root filesystem is made, and sealed, by root alone")


class Buildah:
    """buildah with images of its own, which nobody else sees."""

    def __init__(self, folder: Path) -> None:
        self._command = [str(tool("buildah")), "--root", str(folder / "images"), "--runroot", str(folder / "run")]

    def __call__(self, *arguments: str | Path) -> str:
        """What it says; the test fails with what it complains of."""
        command = [*self._command, *map(str, arguments)]
        ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_BUILD_S)
        assert ran.returncode == 0, f"{command}: {ran.stdout[-2_000:]}{ran.stderr[-2_000:]}"
        return ran.stdout.strip()


def _debian(debootstrap: Path, name: str, packages: str) -> Path:
    """A Debian with some packages, as a folder that is made once and kept in the user's cache."""
    made = cache_folder() / "tools" / name
    if not made.exists():
        making = made.with_name(f"{made.name}-{os.getpid()}")
        try:
            # In mounts of its own, for debootstrap mounts /proc in there and leaves it when it fails.
            private = ["unshare", "--mount", "--propagation=private"]
            install(*private, str(debootstrap), "--variant=minbase", f"--include={packages}", "bookworm", str(making))
            making.rename(made)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return made


def _pip_settings(folder: Path) -> Path:
    """How this machine reaches its registry of packages, for the pip in the build."""
    names = ("PIP_CERT", "PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT")
    lines = [f"{name[4:].lower().replace('_', '-')} = {os.environ[name]}" for name in names if name in os.environ]
    file = folder / "pip.conf"
    file.write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
    return file


def _rust_of_this_machine() -> list[str]:
    """The volumes with this machine's compiler and crates, where the image `rust` has its own."""
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("needs cargo: the image has the compiled engine")
    install(cargo, "fetch", "--locked", "--manifest-path", str(ROOT / "engine" / "Cargo.toml"))
    command = [cargo.removesuffix("cargo") + "rustc", "--print", "sysroot"]
    toolchain = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_BUILD_S).stdout.strip()
    crates = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo") / "registry"
    return [f"--volume={toolchain}:/usr/local/rust:ro", f"--volume={crates}:/usr/local/cargo/registry"]


class Container:
    """The image's root filesystem, read-only, entered as the image's user with the image's environment."""

    def __init__(self, root: Path, config: dict[str, Any]) -> None:
        self.root = root
        self.config = config

    def start(self, command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Starts a command in it."""
        inside = [f"{name}={value}" for name, value in environment.items()]
        # What an engine does for --read-only --tmpfs /tmp --user: only mounts that end with the process.
        script = """
            set -e
            mount --make-rprivate /
            mount --bind "$0" "$0"
            mount -o remount,ro,bind "$0"
            mount -t tmpfs tmpfs "$0/tmp"
            mount --rbind /dev "$0/dev"
            mount -t proc proc "$0/proc"
            exec chroot --userspec="$1" "$0" env --chdir="$2" -i "${@:3}"
        """
        user, folder = self.config["User"], self.config["WorkingDir"]
        sealed = ["unshare", "--mount", "bash", "-c", script, str(self.root), f"{user}:{user}", folder]
        with log.open("wb") as output:
            return subprocess.Popen([*sealed, *self.config["Env"], *inside, *command], stdout=output, stderr=output)

    def run(self, command: list[str], environment: dict[str, str], log: Path) -> int:
        """Runs a command in it to its end; its exit code."""
        return self.start(command, environment, log).wait(WAIT_S)


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Container]]:
    """By kind, the image that the Dockerfile builds, and that of a bundle which is not the default."""
    debians = {
        _BASE: _debian(tool("debootstrap"), "debian-bookworm", _PACKAGES[_BASE]),
        _RUST: _debian(tool("debootstrap"), "debian-bookworm-gcc", _PACKAGES[_RUST]),
    }
    rust = _rust_of_this_machine()
    folder = tmp_path_factory.mktemp("buildah")
    buildah = Buildah(folder)
    try:
        for tag, debian in debians.items():
            base = buildah("from", "scratch")
            buildah("add", base, debian, "/")
            buildah("config", *_ENVIRONMENT[tag], base)
            buildah("commit", "--rm", base, tag)
        certificates = Path(os.environ.get("PIP_CERT", "/etc/ssl/certs/ca-certificates.crt"))
        host = [f"--volume={_pip_settings(folder)}:/etc/pip.conf:ro", f"--volume={certificates}:{certificates}:ro"]
        how = ("--isolation=chroot", "--pull-never", "--format=docker", "--layers=false")
        bases = [f"--build-arg={name}={tag}" for name, tag in (("BASE", _BASE), ("RUST", _RUST))]
        buildah("bud", *how, *host, *rust, *bases, "--tag", _TAG, ROOT)
        write_context(WITH_MARITAL, folder / "context", _TAG)
        buildah("bud", *how, "--tag", _BUNDLE_TAG, folder / "context")
        running = {kind: buildah("from", "--pull-never", tag) for kind, tag in _TAGS.items()}
        yield {
            kind: Container(
                Path(buildah("mount", running[kind])),
                json.loads(buildah("inspect", "--type=image", tag))["Docker"]["config"],
            )
            for kind, tag in _TAGS.items()
        }
        buildah("umount", *running.values())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def container(containers: dict[str, Container]) -> Container:
    """The Dockerfile's image."""
    return containers["scorer"]


@pytest.mark.parametrize("kind", _TAGS)
def test_the_images_labels(containers: dict[str, Container], kind: str) -> None:
    """A numbered user who is not root, a health check, a signal that drains; a bundle's image inherits them."""
    config = containers[kind].config
    assert config["User"] == str(_USER)
    assert config["Entrypoint"] == ["scorer"]
    pin = {"scorer": [], "bundle": ["--bundle", str(read_manifest(WITH_MARITAL).reference)]}
    assert config["Cmd"] == ["worker", *pin[kind]]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][0] == "CMD"


def test_it_weighs_less_than_it_may(container: Container) -> None:
    """The scorer and its libraries, without the base image."""
    ours = sum(file.lstat().st_size for file in (container.root / "opt" / "scorer").rglob("*"))
    assert 50_000_000 < ours < _OURS_BYTES_MAX, f"the scorer and its libraries: {ours / 1e6:.0f} MB"


def test_there_is_no_installer_in_it(container: Container) -> None:
    """Neither pip nor what builds packages is beside the scorer."""
    packages = {path.name for path in (container.root / "opt" / "scorer").glob("lib/python3*/site-packages/*")}
    assert "scorer" in packages
    assert not packages & {"pip", "setuptools", "hatchling", "pytest"}


def test_nothing_can_be_written(container: Container, tmp_path: Path) -> None:
    """The root filesystem is sealed and the user is nobody of note, but /tmp is there."""
    log = tmp_path / "log"
    program = "import os; assert os.getuid() == 10001; open('/tmp/x', 'w'); open('/opt/scorer/x', 'w')"
    assert container.run(["python", "-c", program], {}, log) == 1
    assert "Read-only file system" in log.read_text(encoding="utf-8")


def _events(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]


@pytest.mark.broker
@pytest.mark.parametrize("kind", _TAGS)
def test_it_decides(containers: dict[str, Container], kind: str, broker: Broker, tmp_path: Path) -> None:
    """Sealed and unprivileged it decides by the compiled engine, answers its own health check, and stops well."""
    container = containers[kind]
    topics = Topics(broker.bootstrap_servers, 1)
    environment = {name: value for name, value in topics.environment().items() if name.startswith("SCORER_")}
    environment["SCORER_HTTP_PORT"] = str(free_ports(1)[0])

    def healthy() -> bool:
        check = container.config["Healthcheck"]["Test"][1:]
        return container.run(check, environment, tmp_path / "check") == 0

    assert not healthy()
    command = [*container.config["Entrypoint"], *container.config["Cmd"]]
    worker = container.start(command, environment, tmp_path / "log")
    try:
        topics.publish(application())
        wait_until(lambda: topics.count(topics.decisions) == 1, "the decision")
        wait_until(healthy, "the health check")
        assert Path(f"/proc/{worker.pid}").stat().st_uid == _USER
        worker.terminate()
        assert worker.wait(WAIT_S) == 0, (tmp_path / "log").read_text(encoding="utf-8")
    finally:
        worker.kill()
        worker.wait(WAIT_S)
    (started,) = (event for event in _events(tmp_path / "log") if event["event"] == "worker_started")
    assert started["engine"] == "compiled"
    (record,) = topics.read(topics.decisions)
    assert Decision.model_validate_json(record.value() or b"").bundle == read_manifest(_BUNDLES[kind]).reference
    assert not healthy()
