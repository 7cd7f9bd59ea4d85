"""`scorer bundle build`: build a bundle from a model trained elsewhere and a build file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.cli.describe import describe, figures
from scorer.cli.options import ConfigOption, JsonOption, SetOption, StoreOption, settings_of, show_hints
from scorer.cli.progress_bar import elapsed_time
from scorer.cli.tables import output_console, print_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scorer.author.train import Examples
    from scorer.bundle.manifest import Manifest


DescriptionArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="TOML build file that names the model and describes it.")
]


SkipInvalidOption = Annotated[
    bool, typer.Option("--skip-invalid", help="Skip invalid held-out rows instead of failing.")
]


def build(
    description: DescriptionArgument,
    skip_invalid: SkipInvalidOption = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a bundle from a model trained elsewhere, and add it to the store.

    The model is an XGBoost file (.ubj, .json), an ONNX file (.onnx), or a file that an installed runner opens. Golden
    examples and metrics are made by the command. Paths are relative to the build file:
    ```
    name = "vendor-risk"
    version = "1.0.0"
    model = "risk.onnx"
    contract = "application.schema.json"  # default: credit-application
    fields = ["age", "income", "home"]  # or columns, in the model's order
    missing = 0.0               # replaces unknown numbers; or nan
    rounds = "best"             # for XGBoost with early stopping only; or "all"
    holdout = "loans-2025.csv"  # labelled rows that were not used in training
    reasons = "reasons.toml"    # catalogue of reasons; or draft, none (scorer contract reasons)
    [policy]
    maybe_above = 0.3
    declined_above = 0.5
    second_review_when = "amount > 20000"  # optional: a MAYBE decision needs two reviewers then
    [[policy.rules]]            # optional: the first one that holds decides
    id = "low-income"
    when = "income < 1000"
    label = "DECLINED"
    [labels]
    licence = "as agreed on 2025-11-03"
    ```

    Examples:
    ```
    scorer bundle build vendor-risk.toml
    ```
    """
    from schemas.rows import Hints
    from scorer.author.describe import read_build_file
    from scorer.author.import_model import add_model
    from scorer.author.train import read_examples
    from scorer.store.store import BundleStore

    build_file = read_build_file(description)
    bundles = BundleStore(settings_of(config, None, assignments, store=store).settings.store)
    bundles.require_new(build_file.name, build_file.version)
    folder, hints, holdout = description.parent, Hints(), None
    if build_file.holdout:
        labelled = folder / build_file.holdout
        holdout = read_examples(labelled, hints, skip_invalid=skip_invalid, contract=build_file.contract)
    show_hints(hints)
    notes: list[str] = []
    with elapsed_time("building the bundle"):
        manifest, uri = add_model(folder / build_file.model, build_file, bundles, holdout, passed=notes.append)
    if as_json:
        typer.echo(json.dumps({"location": uri, **describe(manifest)}))
    else:
        _print(manifest, uri, [f"unknown numbers: {_explain_unknown(manifest, holdout)}", *notes])


def _print(manifest: "Manifest", uri: str, notes: "Sequence[str]") -> None:
    console = output_console()
    print_tables(*(figures(manifest.metrics) if manifest.metrics else ["No metrics: no holdout was given"]))
    lines = [f"Rounds: {manifest.labels['rounds']}"] if "rounds" in manifest.labels else []
    lines += [note[:1].upper() + note[1:] for note in notes]
    lines.append(f"Saved {manifest.reference.short} to {uri}")
    lines.append(f"Next: scorer bundle verify {manifest.name}:{manifest.version}")
    for line in lines:  # a store's path or a field's name may have brackets
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _explain_unknown(manifest: "Manifest", holdout: "Examples | None") -> str:
    """How the model treats unknown numbers, and how many held-out applications have any."""
    import numpy as np

    missing = manifest.features.missing
    treatment = "handled by the model" if missing is None else f"replaced by {missing:g}"
    if holdout is None:
        return treatment
    columns = holdout.applications.values
    numbers = [columns[field] for field in manifest.features.columns if field in columns]
    count = int(np.isnan(numbers).any(axis=0).sum()) if numbers else 0
    return f"{treatment}; {count:,} of {len(holdout.applications):,} held-out applications have unknown numbers"
