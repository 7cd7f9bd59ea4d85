"""This user's folders: where bundles live unless a setting says otherwise, and what can be downloaded again."""

import os
from pathlib import Path
from typing import Final

_NAME: Final = "streaming-credit-scorer"


def bundles_folder() -> Path:
    """Where bundles live unless a setting says otherwise."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / _NAME / "bundles"


def cache_folder() -> Path:
    """Where this project keeps what it can download again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / _NAME
