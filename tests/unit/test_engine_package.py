"""The compiled engine's package: of the same version as the scorer, for the same versions of Python."""

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


CRATE = _read("engine/Cargo.toml")
PACKAGE = _read("engine/pyproject.toml")
SCORER = _read("pyproject.toml")["project"]


def test_the_versions_are_in_step() -> None:
    """The scorer, the crate and its lock have one version; the engine's package takes the crate's."""
    (locked,) = (each for each in _read("engine/Cargo.lock")["package"] if each["name"] == CRATE["package"]["name"])
    assert {SCORER["version"], CRATE["package"]["version"], locked["version"]} == {SCORER["version"]}
    assert "version" in PACKAGE["project"]["dynamic"]
    assert PACKAGE["project"]["name"] == CRATE["package"]["name"]


def test_it_supports_the_same_versions_of_python() -> None:
    """One wheel for the oldest supported version and all newer ones."""
    (oldest,) = re.fullmatch(r">=3\.(\d+)", SCORER["requires-python"]).groups()  # type: ignore[union-attr]
    assert PACKAGE["project"]["requires-python"] == SCORER["requires-python"]
    assert f"abi3-py3{oldest}" in CRATE["dependencies"]["pyo3"]["features"]


def test_its_build_is_pinned() -> None:
    """One version of the build tool, and the crates of the lock file; the module is the one that the scorer imports."""
    (builder,) = PACKAGE["build-system"]["requires"]
    assert re.fullmatch(r"maturin==\d+\.\d+\.\d+", builder)
    settings = PACKAGE["tool"]["maturin"]
    assert settings == {"module-name": CRATE["lib"]["name"], "features": ["python"], "locked": True}


def test_one_oldest_version_of_rust() -> None:
    """Everything that names the oldest version of Rust names the one that cargo requires."""
    for name in ("Makefile", "docs/engines.md"):
        named = re.findall(r"Rust (?:older than )?(\d+\.\d+)", (ROOT / name).read_text(encoding="utf-8"))
        assert set(named) == {CRATE["package"]["rust-version"]}, name
