"""References for the shell's completion, by the names of folders and files alone: nothing is opened, so it is quick."""

from pathlib import Path
from typing import Final

import typer

import scorer.bundle
from scorer.bundle.remote import local_path
from scorer.cli.options import read_settings
from scorer.errors import MisuseError

_SHIPPED: Final = Path(scorer.bundle.__file__).parent / "shipped"


def complete_reference(ctx: typer.Context) -> list[str]:
    """The shipped bundles, and the bundles and tags of a store that is a folder; a URL would take too long to ask."""
    given = ctx.params
    try:
        store = read_settings(
            given.get("config"), None, given.get("assignments"), store=given.get("store")
        ).settings.store
        own = None if store is None else local_path(store)
    except MisuseError:  # the shell is no place to say so: the command will
        folders = [_SHIPPED]
    else:
        folders = [_SHIPPED, *([] if own is None else [own])]
    versions = {f"{path.parts[-3]}:{path.parts[-2]}" for f in folders for path in f.glob("*/*/bundle.json")}
    tags = {f"{path.parts[-3]}:{path.parts[-1]}" for f in folders for path in f.glob("*/tags/[!.]*")}
    latest = {f"{version.partition(':')[0]}:latest" for version in versions}
    return sorted(versions | tags | latest)
