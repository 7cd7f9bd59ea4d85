"""This user's folders: where bundles are kept unless a setting says otherwise, and what can be downloaded again."""

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_NAME: Final = "streaming-credit-scorer"


def bundles_folder() -> Path | None:
    """Where bundles are kept unless a setting says otherwise; None for a user without a home folder.

    A container's user may have a number alone, without HOME and without an entry in passwd, or a HOME that is somebody
    else's: such a user cannot have put a bundle there.
    """
    return _own_folder("XDG_DATA_HOME", Path(".local", "share"), "bundles")


def cache_folder() -> Path:
    """Where this project keeps what it can download again.

    Where this user's home folder is not known or cannot take it, a folder that is gone when the process ends.
    """
    folder = _own_folder("XDG_CACHE_HOME", Path(".cache"))
    if folder is not None and (Path(os.environ.get("XDG_CACHE_HOME", "")).is_absolute() or _can_be(folder)):
        return folder
    return Path(_temporary_folder().name)


def _own_folder(variable: str, below_home: Path, *below: str) -> Path | None:
    base = os.environ.get(variable, "")
    if Path(base).is_absolute():  # any other is to be ignored, says the XDG Base Directory Specification
        return Path(base, _NAME, *below)
    try:
        folder = Path.home().joinpath(below_home, _NAME, *below)
        folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return folder
    except (RuntimeError, OSError):  # no home is known, or it may not be looked into
        return None
    return folder


def _can_be(folder: Path) -> bool:
    """Whether a folder is there or may be made."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and (existing == folder or os.access(existing, os.W_OK | os.X_OK))


@cache
def _temporary_folder() -> "TemporaryDirectory[str]":
    """Removed when the process ends; its name cannot be known before, so nobody else's bundles can be in it."""
    return TemporaryDirectory(prefix=f"{_NAME}-")
