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
    """Where this project keeps what it can download again; for a user without a home folder as long as the process."""
    return _own_folder("XDG_CACHE_HOME", Path(".cache")) or Path(_temporary_folder().name)


def _own_folder(variable: str, below_home: Path, *below: str) -> Path | None:
    base = os.environ.get(variable)
    if base:
        return Path(base, _NAME, *below)
    try:
        folder = Path.home().joinpath(below_home, _NAME, *below)
        folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return folder
    except (RuntimeError, OSError):  # no home is known, or it may not be looked into
        return None
    return folder


@cache
def _temporary_folder() -> "TemporaryDirectory[str]":
    """Removed when the process ends; its name cannot be known before, so nobody else's bundles can be in it."""
    return TemporaryDirectory(prefix=f"{_NAME}-")
