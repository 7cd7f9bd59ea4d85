"""A library that cannot be imported is the cause that is reported, and never a damaged bundle."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scorer.bundle.libraries import import_library
from scorer.bundle.load import load_bundle
from scorer.errors import BundleError, RunnerMissingError
from tests.unit.bundle.making import copy_bundle, remake

pytestmark = pytest.mark.slow


def _verify(**environment: str) -> subprocess.CompletedProcess[str]:
    """`scorer bundle verify` of the shipped bundle, in a process of its own."""
    command = [sys.executable, "-m", "scorer", "bundle", "verify"]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_python_without_docstrings() -> None:
    """Under PYTHONOPTIMIZE=2 XGBoost fails to import, and that was told as a damaged bundle to be put here again."""
    ended = _verify(PYTHONOPTIMIZE="2")
    assert ended.returncode == 1
    assert "cannot import xgboost: AttributeError: 'NoneType' object has no attribute 'replace'" in ended.stderr
    assert "PYTHONOPTIMIZE=2" in ended.stderr
    assert "Do not repair" not in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("code", "cause", "advice"),
    [
        ("raise OSError('libgomp.so.1: cannot open shared object file')", "OSError: libgomp", "install libgomp1"),
        ("import a_module_that_is_nowhere", "No module named 'a_module_that_is_nowhere'", "--force-reinstall 'xgboost"),
        ("def broken(:", "SyntaxError", "--force-reinstall"),
        ("raise ValueError('Mismatched\\n\\nversion')", "ValueError: Mismatched version", "--force-reinstall"),
        ("raise RuntimeError()", "cannot import xgboost: RuntimeError", "--force-reinstall"),
        ("raise SystemExit(0)", "cannot import xgboost: SystemExit: 0", "--force-reinstall"),
        ("print('an experiment')", "xgboost.py has the library's name but is another module", "rename it"),
    ],
)  # fmt: skip
def test_a_broken_installation(tmp_path: Path, code: str, cause: str, advice: str) -> None:
    """The cause in one line, and what to install; the bundle is not blamed."""
    (tmp_path / "xgboost.py").write_text(code)
    ended = _verify(PYTHONPATH=str(tmp_path))
    assert ended.returncode == 1
    assert cause in ended.stderr
    assert advice in ended.stderr
    assert "Do not repair" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_folder_with_the_name_of_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without code is a module, too: it was a traceback."""
    folder = tmp_path / "a_library_in_name_only"
    folder.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RunnerMissingError, match=f"{re.escape(str(folder))} has the library's name but is another"):
        import_library(folder.name)


def test_a_library_that_is_not_installed() -> None:
    """Its name, and the extra that brings it."""
    with pytest.raises(RunnerMissingError, match=r"cannot import a_library_of_nobody: ModuleNotFoundError: .*\[skl"):
        import_library("a_library_of_nobody")


def test_another_version_of_the_library(tmp_path: Path) -> None:
    """A bundle whose examples come out differently is not damaged if another version of its library is installed."""
    folder = copy_bundle(tmp_path / "bundle")
    examples = (
        (folder / "golden.jsonl").read_text().replace('"probability_of_default":0.', '"probability_of_default":0.1')
    )
    (folder / "golden.jsonl").write_text(examples)
    remake(folder, lambda manifest: manifest["libraries"].update(xgboost="1.7.6"))
    with pytest.raises(
        BundleError, match=r"It was built with xgboost 1\.7\.6, but 3\.\S+ is installed: install xgboost 1"
    ):
        load_bundle(folder)
    remake(folder, lambda manifest: manifest["libraries"].pop("xgboost"))
    with pytest.raises(BundleError, match="Do not repair a bundle in place"):
        load_bundle(folder)


def _import_xgboost(folder: Path) -> str:
    """Prints whether a process that hides scikit-learn has it after importing XGBoost."""
    code = (
        "import sys; from scorer.bundle.libraries import hide_scikit_learn; hide_scikit_learn();"
        "import xgboost; print(sys.modules.get('sklearn') is not None)"
    )
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout


def test_scikit_learn_is_not_imported_for_xgboost_alone(tmp_path: Path) -> None:
    """A worker does without it, unless an installed package provides a runner, which may need XGBoost's wrappers."""
    assert _import_xgboost(tmp_path) == "False\n"
    package = tmp_path / "a_runner-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: a-runner\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[scorer.runners]\nmine = a_runner:open_model\n")
    assert _import_xgboost(tmp_path) == "True\n"
