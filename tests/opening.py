"""Opens a store's bundles in the process that asks: a child takes a second each time (tests of trial start one)."""

from pathlib import Path
from types import ModuleType
from typing import Final

from schemas.decision import BundleReference
from scorer.bundle import trial
from scorer.bundle.load import load_bundle
from scorer.store import entry, store

OPENING: Final[tuple[ModuleType, ...]] = (trial, entry, store)
"""The modules from which `open_in_child` is called."""


def open_here(folder: Path, called: str = "") -> BundleReference:
    """Does what `scorer.bundle.trial.open_in_child` does, without the child."""
    return load_bundle(folder, called=called).reference
