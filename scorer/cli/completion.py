"""Arguments that name a bundle, and their shell completion from the names of files alone: fast, as none is opened."""

from pathlib import Path
from typing import Annotated, Final

import typer

import scorer.store
from scorer.cli.options import read_settings
from scorer.errors import MisuseError
from scorer.store.remote import local_path

_SHIPPED: Final = Path(scorer.store.__file__).parent / "shipped"


def complete_reference(ctx: typer.Context) -> list[str]:
    """Returns the shipped bundles, and the bundles and tags of the store if it is a folder; a URL would be too slow."""
    parameters = ctx.params
    try:
        store = read_settings(
            parameters.get("config"), None, parameters.get("assignments"), store=parameters.get("store")
        ).settings.store
        store_folder = None if store is None else local_path(store)
    except MisuseError:  # reported by the command itself
        folders = [_SHIPPED]
    else:
        folders = [_SHIPPED, *([] if store_folder is None else [store_folder])]
    versions = {f"{path.parts[-3]}:{path.parts[-2]}" for f in folders for path in f.glob("*/*/bundle.json")}
    tags = {f"{path.parts[-3]}:{path.parts[-1]}" for f in folders for path in f.glob("*/tags/[!.]*")}
    latest = {f"{version.partition(':')[0]}:latest" for version in versions}
    return sorted(versions | tags | latest)


ReferenceArgument = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="name:version, name:latest, name:tag, name@digest, or a bundle's folder.",
        autocompletion=complete_reference,
    ),
]
StoredArgument = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="name:version, name:latest, name:tag or name@digest.",
        autocompletion=complete_reference,
    ),
]
