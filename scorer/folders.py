"""This user's folders: the default bundle store, and the cache for downloads."""

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_NAME: Final = "streaming-credit-scorer"


def bundles_folder() -> Path | None:
    """The default folder for bundles; None for a user without a home folder.

    A container's user may have only a numeric id, without HOME and without an entry in passwd, or another user's HOME:
    such a user cannot have stored a bundle there.
    """
    return _own_folder("XDG_DATA_HOME", Path(".local", "share"), "bundles")


def cache_folder() -> Path:
    """The folder for files that can be downloaded again.

    If this user's home folder is unknown or not writable, a temporary folder that is removed when the process exits.
    """
    folder = _own_folder("XDG_CACHE_HOME", Path(".cache"))
    if folder is not None and (Path(os.environ.get("XDG_CACHE_HOME", "")).is_absolute() or _can_create(folder)):
        return folder
    return Path(_temporary_folder().name)


def _own_folder(variable: str, below_home: Path, *below: str) -> Path | None:
    base = os.environ.get(variable, "")
    if Path(base).is_absolute():  # relative paths must be ignored (XDG Base Directory Specification)
        return Path(base, _NAME, *below)
    try:
        folder = Path.home().joinpath(below_home, _NAME, *below)
        folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return folder
    except (RuntimeError, OSError):  # the home folder is unknown or not readable
        return None
    return folder


def _can_create(folder: Path) -> bool:
    """Whether a folder exists or can be created."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and (existing == folder or os.access(existing, os.W_OK | os.X_OK))


@cache
def _temporary_folder() -> "TemporaryDirectory[str]":
    """Removed when the process exits; its name is unpredictable, so nobody can place bundles in it in advance."""
    return TemporaryDirectory(prefix=f"{_NAME}-")
