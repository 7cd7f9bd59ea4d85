"""Runners that crash their process, end it or never return, as an installed package of somebody else."""

from pathlib import Path

from tests.unit.bundle.making import named, remake

_CODE = """
import os
import signal
import time


def crash(*_):
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(*_):
    os._exit(7)


def vanish(*_):
    os._exit(0)


def hang(*_):
    time.sleep(600)


def grow(*_):
    return bytearray(8 << 30)
"""


def install_crashing_runners(folder: Path) -> Path:
    """Puts the package into a folder, which a process has to have in its PYTHONPATH."""
    info = folder / "crashing-1.0.0.dist-info"
    info.mkdir(parents=True)
    (folder / "crashing.py").write_text(_CODE, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crashing\nVersion: 1.0.0\n", encoding="utf-8")
    names = ("crash", "leave", "vanish", "hang", "grow")
    lines = "".join(f"{name} = crashing:{name}\n" for name in names)
    (info / "entry_points.txt").write_text(f"[scorer.runners]\n{lines}", encoding="utf-8")
    return folder


def crashing_bundle(folder: Path, runner: str) -> Path:
    """A bundle `crashing:1.0.0` with one of these runners, every digest right."""
    return remake(named(folder, "crashing", "1.0.0"), lambda manifest: manifest.update(runner=runner))
