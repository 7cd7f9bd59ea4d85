"""`scorer bundle sign`: sign a bundle in the store."""

import typer

from scorer.cli.completion import StoredArgument
from scorer.cli.options import ConfigOption, SetOption, StoreOption, settings_of
from scorer.cli.signing import KeyOption, require_key


def sign(
    reference: StoredArgument,
    key: KeyOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Sign a bundle in the store, after opening and verifying it as a worker does.

    The signature covers the bundle's digest, and thus all of its files, and is kept in the store. A bundle can be
    signed with several keys. Workers with require_signatures open only bundles signed by a trusted key.

    Examples:
    ```
    scorer bundle sign my-risk:1.1.0 --key validation.pem
    ```
    """
    from scorer.bundle.signing import bundle_statement
    from scorer.store.store import BundleStore

    settings = settings_of(config, None, assignments, store=store).settings
    signing_key = require_key(settings, key)
    bundles = BundleStore(settings.store)
    located = bundles.locate(reference)
    located.open_in_child()
    bundles.notes.add_signature(located.reference, signing_key.sign(bundle_statement(located.reference)))
    typer.echo(f"signed {located.reference.short} with the key {signing_key.public.key_id}")
