"""`scorer trust`: create signing keys, and manage the file of trusted keys."""

import json
from pathlib import Path
from typing import Annotated

import typer

from scorer.cli.options import ConfigOption, JsonOption, SetOption, settings_of
from scorer.cli.tables import print_tables
from scorer.errors import MisuseError

app = typer.Typer(no_args_is_help=True, help="Create signing keys, and manage the keys that are trusted.")

FileOption = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="File of trusted keys; default: the setting trusted_keys."),
]


@app.command("new-key")
def new_key(path: Annotated[Path, typer.Argument(metavar="FILE", help="New file for the private key.")]) -> None:
    """Create a key pair: the private key is written to a file that only you can read, the public key is printed.

    Examples:
    ```
    scorer trust new-key ana.pem
    ```
    """
    from scorer.bundle.signing import make_key

    typer.echo(make_key(path).public.text)


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key's owner: a-z, 0-9 and dashes.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="Public key, as printed by `new-key`, or a PEM file.")],
    signs: Annotated[
        list[str] | None,
        typer.Option("--for", metavar="WHAT", help="bundles or deployments; may be repeated.", show_default="both"),
    ] = None,
    file: FileOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Trust a key. Workers reload the file within a second; no restart is needed.

    Examples:
    ```
    scorer trust add ana MCowBQYDK2VwAyEAo7T7SxP9b0zVGb1Cm3u1PpVWx1ZJzJg3m3Q= --for deployments
    scorer trust add model-validation validation.pub.pem --for bundles
    ```
    """
    from pydantic import ValidationError

    from schemas.fault_words import describe_faults
    from scorer.bundle.signing import read_public_key
    from scorer.store.trust import PURPOSES, TrustedKey, add_key

    public = read_public_key(key)
    try:
        trusted = TrustedKey.model_validate({"name": name, "key": public.text, "signs": tuple(signs or PURPOSES)})
    except ValidationError as error:
        raise MisuseError(f"invalid trusted key: {describe_faults(error)}") from None
    path = _trusted_keys_path(file, config, assignments)
    add_key(path, trusted)
    typer.echo(f"trusted {name} ({public.key_id}) for {' and '.join(trusted.signs)} in {path}")


@app.command("list")
def list_keys(
    file: FileOption = None, config: ConfigOption = None, assignments: SetOption = None, as_json: JsonOption = False
) -> None:
    """List trusted and revoked keys.

    Examples:
    ```
    scorer trust list --file trusted-keys.json
    ```
    """
    from rich.table import Table

    from scorer.bundle.signing import read_public_key
    from scorer.store.trust import Trust

    keys = Trust(_trusted_keys_path(file, config, assignments)).keys
    if as_json:
        rows = [key.model_dump(mode="json") | {"id": read_public_key(key.key).key_id} for key in keys]
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("name", "id", "signs", "state", box=None)
    for key in keys:
        state = "revoked" if key.revoked else "trusted"
        table.add_row(key.name, read_public_key(key.key).key_id, " and ".join(key.signs), state)
    print_tables(table)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key's owner.")],
    file: FileOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Revoke a key: all of its signatures, past and future, become invalid.

    Workers read the history again without it. If it alone signed the current deployment, they return to the last
    deployment signed by another key; if it alone signed the bundle, they stop. To rotate a key that was not stolen,
    sign and deploy with the new key first.

    Examples:
    ```
    scorer trust revoke ana --file trusted-keys.json
    ```
    """
    from scorer.store.trust import revoke_key

    path = _trusted_keys_path(file, config, assignments)
    revoke_key(path, name)
    typer.echo(f"revoked {name} in {path}: all of its signatures are invalid")


def _trusted_keys_path(file: Path | None, config: Path | None, assignments: list[str] | None) -> Path:
    path = file or settings_of(config, None, assignments).settings.trusted_keys
    if path is None:
        raise MisuseError("which file of trusted keys? Give --file, or the setting trusted_keys")
    return Path(path)
