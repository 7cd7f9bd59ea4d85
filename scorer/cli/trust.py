"""`scorer trust`: keys that sign, and the file of those that are trusted."""

import json
from pathlib import Path
from typing import Annotated

import typer

from scorer.cli.options import ConfigOption, JsonOption, SetOption, settings_of
from scorer.errors import MisuseError

app = typer.Typer(no_args_is_help=True, help="Keys that sign bundles and deployments, and which of them are trusted.")

FileOption = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="The file of trusted keys; otherwise the setting trusted_keys."),
]


@app.command("new-key")
def new_key(path: Annotated[Path, typer.Argument(metavar="FILE", help="A new file for the private key.")]) -> None:
    """Make a key: the private one into a file that only you may read, the public one onto the screen.

    Examples:
    ```
    scorer trust new-key ana.pem
    ```
    """
    from scorer.bundle.signing import make_key

    typer.echo(make_key(path).public.text)


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is: a-z, 0-9 and dashes.")],
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The public key as `new-key` prints it, or a PEM file of it.")
    ],
    signs: Annotated[
        list[str] | None,
        typer.Option("--for", metavar="WHAT", help="bundles or deployments; may be repeated.", show_default="both"),
    ] = None,
    file: FileOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Trust a key: what it signs counts. Workers read the file again within a second; nothing has to be restarted.

    Examples:
    ```
    scorer trust add ana MCowBQYDK2VwAyEAo7T7SxP9b0zVGb1Cm3u1PpVWx1ZJzJg3m3Q= --for deployments
    scorer trust add model-validation validation.pub.pem --for bundles
    ```
    """
    from pydantic import ValidationError

    from scorer.bundle.manifest import explain
    from scorer.bundle.signing import read_public_key
    from scorer.bundle.trust import PURPOSES, TrustedKey, add_key

    public = read_public_key(key)
    try:
        trusted = TrustedKey.model_validate({"name": name, "key": public.text, "signs": tuple(signs or PURPOSES)})
    except ValidationError as error:
        raise MisuseError(f"this cannot be a trusted key: {explain(error)}") from None
    path = _path(file, config, assignments)
    add_key(path, trusted)
    typer.echo(f"{name} ({public.key_id}) is trusted for {' and '.join(trusted.signs)}, in {path}")


@app.command("list")
def list_keys(
    file: FileOption = None, config: ConfigOption = None, assignments: SetOption = None, as_json: JsonOption = False
) -> None:
    """List the trusted keys, and those that were revoked."""
    from rich.console import Console
    from rich.table import Table

    from scorer.bundle.signing import read_public_key
    from scorer.bundle.trust import Trust

    keys = Trust(_path(file, config, assignments)).keys
    if as_json:
        rows = [key.model_dump(mode="json") | {"id": read_public_key(key.key).key_id} for key in keys]
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("name", "id", "signs", "state", box=None)
    for key in keys:
        state = "revoked" if key.revoked else "trusted"
        table.add_row(key.name, read_public_key(key.key).key_id, " and ".join(key.signs), state)
    Console().print(table)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")],
    file: FileOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Let nothing count any more that a key has signed: not what it signs from now on, nor what it has signed before.

    Workers read the history again without it. Where it alone has signed what decides, they go back to what the other
    keys have signed; where it alone has signed the bundle, they stop. Before you retire a key that nobody stole, deploy
    and sign with the new one.
    """
    from scorer.bundle.trust import revoke_key

    path = _path(file, config, assignments)
    revoke_key(path, name)
    typer.echo(f"nothing counts any more that {name} has signed or will sign, in {path}")


def _path(file: Path | None, config: Path | None, assignments: list[str] | None) -> Path:
    named = file or settings_of(config, None, assignments).settings.trusted_keys
    if named is None:
        raise MisuseError("which file of trusted keys? Give --file, or the setting trusted_keys")
    return Path(named)
