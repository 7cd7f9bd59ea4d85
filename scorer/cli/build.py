"""`scorer bundle build`: a model that was trained elsewhere, with a description of it, to a bundle in the store."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.cli.options import ConfigOption, JsonOption, SetOption, settings_of, show_hints
from scorer.cli.train import StoreOption, describe, figures

if TYPE_CHECKING:
    from scorer.bundle.manifest import Manifest
    from scorer.bundle.train import Examples


def build(
    description: Annotated[
        Path, typer.Argument(metavar="FILE", help="A TOML file that names the model and says all about it.")
    ],
    skip_refused: Annotated[
        bool, typer.Option("--skip-refused", help="Leave out held-out rows that are no applications, not stop.")
    ] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a model that was trained elsewhere a bundle, and put it into the store.

    The model is a file of XGBoost (.ubj, .json), an ONNX model (.onnx), or whatever an installed runner opens. Its
    golden examples are made and its figures measured here. Paths are relative to the description:
    ```
    name = "vendor-risk"
    version = "1.0.0"
    model = "risk.onnx"
    fields = ["age", "income", "home"]  # or columns, in the model's order
    missing = 0.0               # stands for an unknown number; or nan
    rounds = "best"             # only of XGBoost after early stopping; or "all"
    holdout = "loans-2025.csv"  # labelled, and not seen by the model
    [policy]
    maybe_above = 0.3
    declined_above = 0.5
    [labels]
    licence = "as agreed on 2025-11-03"
    ```

    Examples:
    ```
    scorer bundle build vendor-risk.toml
    ```
    """
    from schemas.rows import Hints
    from scorer.bundle.adopt import add_model
    from scorer.bundle.describe import read_build_file
    from scorer.bundle.store import BundleStore
    from scorer.bundle.train import read_examples

    told = read_build_file(description)
    bundles = BundleStore(settings_of(config, None, assignments, store=store).settings.store)
    bundles.require_new(told.name, told.version)
    beside = description.parent
    hints = Hints()
    holdout = read_examples(beside / told.holdout, hints, skip_refused=skip_refused) if told.holdout else None
    show_hints(hints)
    manifest, place = add_model(beside / told.model, told, bundles, holdout)
    if as_json:
        typer.echo(json.dumps({"where": place, **describe(manifest)}))
        return
    from rich.console import Console

    console = Console()
    for renderable in figures(manifest.metrics) if manifest.metrics else ["No figures: no holdout was given"]:
        console.print(renderable, highlight=False)
    if "rounds" in manifest.labels:
        console.print(f"Rounds: {manifest.labels['rounds']}", highlight=False, soft_wrap=True)
    console.print(f"Unknown numbers: {_explain_unknown(manifest, holdout)}", highlight=False, soft_wrap=True)
    reference = f"{manifest.name}:{manifest.version}"
    console.print(f"{manifest.reference.short} is in {place}", highlight=False, soft_wrap=True)
    console.print(f"Next: scorer bundle verify {reference}", highlight=False)


def _explain_unknown(manifest: "Manifest", holdout: "Examples | None") -> str:
    """What the model gets for an unknown number, and how many of the held-out applications have one."""
    from scorer.core.features import NUMBERS

    missing = manifest.features.missing
    taken = "left to the model" if missing is None else f"taken as {missing:g}"
    if holdout is None:
        return taken
    numbers = [field for field in NUMBERS if field in manifest.features.fields]
    count = sum(any(getattr(one, field) is None for field in numbers) for one in holdout.applications)
    return f"{taken}; {count:,} of {len(holdout.applications):,} held-out applications have one"
