"""A machine with nothing on it, and programs that play Java and Maven."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from scorer.local.running import free_ports


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No Java, no Maven, no Docker engine, an empty cache; returns the one folder of the PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return programs


@pytest.fixture
def install(bare_machine: Path) -> Callable[[str, str], Path]:
    """Puts a program on the PATH, written in Python."""

    def write(name: str, code: str) -> Path:
        program = bare_machine / name
        program.write_text(f"#!{sys.executable}\nimport sys\n{code}\n", encoding="utf-8")
        program.chmod(0o755)
        return program

    return write


@pytest.fixture
def closed_port() -> Callable[[], int]:
    """Finds a port on which nobody listens."""
    return lambda: free_ports(1)[0]
