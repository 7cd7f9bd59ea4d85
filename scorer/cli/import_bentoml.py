"""`scorer bundle import-bentoml`: build a bundle from a model exported by BentoML."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from scorer.cli.describe import describe
from scorer.cli.model_options import ContractOption, read_contract, read_missing, read_policy
from scorer.cli.options import ConfigOption, JsonOption, SetOption, StoreOption, settings_of

MaybeAboveOption = Annotated[
    float,
    typer.Option(metavar="PD", help="MAYBE above this probability of default (see the BentoML service's code)."),
]


def import_bentoml(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A .bentomodel file written by `bentoml models export`.")
    ],
    name: Annotated[str, typer.Option(help="Name of the bundle, for example credit-risk.")],
    version: Annotated[str, typer.Option(help="Version of the bundle, for example 1.2.0; it must not exist yet.")],
    maybe_above: MaybeAboveOption = 0.3,
    declined_above: Annotated[
        float, typer.Option(metavar="PD", help="DECLINED above this probability of default.")
    ] = 0.5,
    missing: Annotated[
        float, typer.Option(metavar="NUMBER", help="Number that stood for unknown values in training; nan if none did.")
    ] = 0.0,
    rounds: Annotated[
        Literal["best", "all"] | None,
        typer.Option(help="Rounds to use of a booster trained with early stopping: up to the best iteration, or all."),
    ] = None,
    contract: ContractOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a bundle from an XGBoost model exported by BentoML, with the columns of its DictVectorizer.

    No code from the file is run: a pickle in it is read as data, and must not refer to anything but the vectorizer. The
    export contains neither thresholds nor metrics. Needs the package's extra "bentoml".

    Examples:
    ```
    bentoml models export credit_risk_model:latest "$PWD/credit_risk.bentomodel"
    scorer bundle import-bentoml credit_risk.bentomodel --name credit-risk --version 2.0.0
    ```
    """
    from datetime import UTC, datetime
    from tempfile import TemporaryDirectory

    from scorer.author.bentoml import draft_bundle, read_bentomodel
    from scorer.author.build import build_bundle
    from scorer.store.store import BundleStore

    policy = read_policy(maybe_above, declined_above)
    read_missing(missing)
    bundles = BundleStore(settings_of(config, None, assignments, store=store).settings.store)
    bundles.require_new(name, version)
    identity = name, version, datetime.now(UTC).replace(microsecond=0)
    draft = draft_bundle(read_bentomodel(path), identity, policy, missing, rounds, read_contract(contract))
    with TemporaryDirectory() as folder:
        manifest = build_bundle(draft, Path(folder))
        uri = bundles.put(Path(folder))
    if as_json:
        typer.echo(json.dumps({"folder": str(uri), **describe(manifest)}))
        return
    if "rounds" in manifest.labels:
        typer.echo(f"Rounds: {manifest.labels['rounds']}")
    reference = f"{manifest.name}:{manifest.version}"
    typer.echo(f"Saved {manifest.reference.short} to {uri}")
    typer.echo(f"Next: scorer bundle lint {reference}; scorer score applications.csv --bundle {reference}")
