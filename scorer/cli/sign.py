"""`scorer bundle sign`: somebody answers for a bundle."""

import typer

from scorer.cli.bundle import StoredArgument
from scorer.cli.options import ConfigOption, SetOption, settings_of
from scorer.cli.signing import KeyOption, require_key
from scorer.cli.train import StoreOption


def sign(
    reference: StoredArgument,
    key: KeyOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Sign a bundle of the store, after it was opened and checked here as a worker does.

    The signature is of its digest, which covers all its files, and is kept beside it. A bundle can have those of
    several keys. Workers with require_signatures open only what a trusted key has signed.

    Examples:
    ```
    scorer bundle sign my-risk:1.1.0 --key validation.pem
    ```
    """
    from scorer.bundle.signing import bundle_statement
    from scorer.bundle.store import BundleStore

    settings = settings_of(config, None, assignments, store=store).settings
    signing_key = require_key(settings, key)
    bundles = BundleStore(settings.store)
    located = bundles.locate(reference)
    located.try_to_open()
    bundles.add_signature(located.reference, signing_key.sign(bundle_statement(located.reference)))
    typer.echo(f"{located.reference.short} is signed by the key {signing_key.public.key_id}")
