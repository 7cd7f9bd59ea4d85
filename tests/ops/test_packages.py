"""The packages, each installed in an environment: the scorer without the compiled engine, and with its package."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.integration.environments import install
from tests.integration.worker_process import WAIT_S

ROOT = Path(__file__).parents[2]
_VERIFY = ("bundle", "verify", "credit-risk:1.1.0", "--set")
_not_installed_by_us = re.compile(r"(?!_*(?:editable_impl_)?(?:streaming_credit_scorer|scorer_engine)|__pycache__)")


class Environment:
    """A virtual environment with the libraries of this one, and of the project only what is installed into it."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder)
        self._bin = folder / "bin"
        (self.packages,) = folder.glob("lib/python3*/site-packages")
        (libraries,) = Path(sys.prefix).glob("lib/python3*/site-packages")
        for library in filter(lambda path: _not_installed_by_us.match(path.name), libraries.iterdir()):
            (self.packages / library.name).symlink_to(library)

    def install(self, wheel: Path) -> None:
        """Installs a wheel, and nothing that it depends on."""
        pip = [sys.executable, "-m", "pip", "--python", str(self._bin / "python")]
        install(*pip, "install", "--no-deps", "--no-index", str(wheel))

    def scorer(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Runs the command `scorer` to its end."""
        own = {k: value for k, value in os.environ.items() if not k.startswith(("SCORER_", "PYTHONPATH"))}
        command = [str(self._bin / "scorer"), *arguments]
        return subprocess.run(
            command, env=own, cwd="/", capture_output=True, text=True, check=False, timeout=2 * WAIT_S
        )


def _wheel(source: Path, folder: Path, *options: str) -> Path:
    """Builds the wheel of a source folder."""
    install(sys.executable, "-m", "pip", "wheel", "--no-deps", *options, "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The main package's."""
    return _wheel(ROOT, tmp_path_factory.mktemp("wheel"), "--no-build-isolation")


@pytest.fixture
def environment(wheel: Path, tmp_path: Path) -> Environment:
    """With the main package's wheel alone."""
    environment = Environment(tmp_path / "environment")
    environment.install(wheel)
    return environment


def test_the_main_package_is_pure_python(wheel: Path) -> None:
    """One wheel serves every platform, and needs no compiler; the engine is not in it."""
    assert wheel.name.endswith("-py3-none-any.whl")
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"producer", "schemas", "scorer"}
    assert not [name for name in names if name.endswith((".so", ".rs"))]


def test_the_main_package_works_without_the_engine(environment: Environment) -> None:
    """The Python engine decides, and says why; only a setting that requires the compiled engine is an error."""
    verified = environment.scorer(*_VERIFY, "engine=auto")
    assert verified.returncode == 0, verified.stderr
    assert "engine: python; the compiled engine is not used: it is not installed" in verified.stdout
    required = environment.scorer(*_VERIFY, "engine=compiled")
    assert (required.returncode, "engine = compiled, but it is not installed" in required.stderr) == (2, True)


@pytest.mark.skipif(shutil.which("cargo") is None, reason="needs cargo")
def test_the_engines_package(environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pip install ./engine` builds one wheel for all versions of Python, with which the compiled engine decides."""
    monkeypatch.setenv("CARGO_TARGET_DIR", str(ROOT / "build" / "engine-wheel"))  # for the next run
    wheel = _wheel(ROOT / "engine", tmp_path)
    assert "-cp311-abi3-" in wheel.name
    environment.install(wheel)
    verified = environment.scorer(*_VERIFY, "engine=compiled")
    assert verified.returncode == 0, verified.stderr
    assert "engine: compiled" in verified.stdout
