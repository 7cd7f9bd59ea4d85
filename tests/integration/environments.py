"""Environments with other people's packages, made once from a lock and kept in the user's cache."""

import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

_OFFLINE = re.compile("ConnectionError|ConnectTimeout|Failed to establish|name resolution|Name or service not known")


def python_with(lock: Path) -> Path:
    """The Python of an environment with what a lock pins; where no registry can be reached, the test skips.

    GPU libraries are left out: they are opened only where there is a GPU, and are larger than all else together.
    """
    pins = "".join(line for line in lock.read_text(encoding="utf-8").splitlines(True) if not line.startswith("nvidia-"))
    digest = hashlib.sha256(f"{sys.version}\n{pins}".encode()).hexdigest()[:16]
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streaming-credit-scorer" / "environments"
    )
    folder = cache / f"{lock.stem}-{digest}"
    if not folder.exists():
        making = cache / f".{secrets.token_hex(8)}"
        venv.create(making, with_pip=True)
        try:
            wanted = making / "pins.txt"
            wanted.write_text(pins, encoding="utf-8")
            install(str(making / "bin" / "python"), "-m", "pip", "install", "--no-deps", "-r", str(wanted))
            making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return folder / "bin" / "python"


def install(*command: str, cwd: Path | None = None) -> None:
    """Runs an installer; where no registry can be reached, the test skips with that reason."""
    ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, timeout=900)
    if ran.returncode and _OFFLINE.search(ran.stderr + ran.stdout):
        pytest.skip("needs a package registry, and none can be reached from here")
    assert ran.returncode == 0, ran.stderr[-2_000:]
