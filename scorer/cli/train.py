"""`scorer train`: train a bundle on labelled applications."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from scorer.cli.describe import describe, figures
from scorer.cli.model_options import ContractOption, read_contract
from scorer.cli.options import ConfigOption, JsonOption, SetOption, StoreOption, settings_of, show_hints
from scorer.cli.progress_bar import elapsed_time
from scorer.cli.tables import output_console, print_tables
from scorer.cli.train_options import (
    ApplicationsArgument,
    CategoriesOption,
    DeclinedAboveOption,
    DeriveOption,
    DropOption,
    LabelOption,
    MaybeAboveOption,
    MissingOption,
    MonotoneOption,
    NameOption,
    ParamOption,
    PlotsOption,
    ReasonsOption,
    RoundsOption,
    SkipInvalidOption,
    TargetOption,
    VersionOption,
    read_recipe,
    read_target,
)
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from scorer.author.train import Trained
    from scorer.bundle.manifest import Manifest
    from scorer.store.store import BundleStore


def train(
    applications: ApplicationsArgument,
    name: NameOption,
    version: VersionOption,
    contract: ContractOption = None,
    target: TargetOption = None,
    drop: DropOption = None,
    derive: DeriveOption = None,
    categories: CategoriesOption = "one-hot",
    missing: MissingOption = 0.0,
    maybe_above: MaybeAboveOption = 0.3,
    declined_above: DeclinedAboveOption = 0.5,
    monotone: MonotoneOption = None,
    reasons: ReasonsOption = None,
    param: ParamOption = None,
    rounds: RoundsOption = 175,
    plots: PlotsOption = None,
    label: LabelOption = None,
    skip_invalid: SkipInvalidOption = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model on applications with known outcomes, and add it to the store as a bundle.

    The rows are read, validated and encoded by the code that scores applications later. The metrics are computed on a
    fifth of the rows, which is held out; the model in the bundle is then trained on all rows. The same file gives the
    same model, byte for byte. Versions are never overwritten. Needs the package's extra "train".

    Examples:
    ```
    scorer train credit_scoring.csv --name credit-risk --version 1.2.0 --drop marital
    scorer train loans.jsonl --name credit-risk --version 2.0.0 --plots figures --label reason="new data"
    scorer train cars.csv --name car-loans --version 1.0.0 --contract cars.schema.json --target repaid=0 --missing nan
    ```
    """
    from schemas.rows import Hints
    from scorer.author.train import choose_fields, read_examples, require_libraries, train_model
    from scorer.store.store import BundleStore

    require_libraries("sklearn", *(["matplotlib"] if plots else []))
    labels = _read_labels(label or [])
    own_contract = read_contract(contract)
    encoding, thresholds = (drop or (), derive or (), categories), (maybe_above, declined_above)
    recipe = read_recipe(encoding, thresholds, missing, (param or (), monotone or ()), (rounds, reasons))
    choose_fields(own_contract, recipe.dropped)
    bundles = BundleStore(settings_of(config, None, assignments, store=store).settings.store)
    bundles.require_new(name, version)
    outcome, hints = read_target(target), Hints()
    examples = read_examples(applications, hints, skip_invalid=skip_invalid, contract=own_contract, outcome=outcome)
    show_hints(hints)
    identity = name, version, datetime.now(UTC).replace(microsecond=0)
    with elapsed_time(f"training on {len(examples.applications):,} applications"):
        manifest, uri, notes = _save(train_model(examples, recipe, identity, labels), bundles, plots)
    if as_json:
        typer.echo(json.dumps({"location": uri, **describe(manifest)}))
    else:
        _print(manifest, uri, notes)


def _save(trained: "Trained", bundles: "BundleStore", plots: Path | None) -> tuple["Manifest", str, list[str]]:
    """Builds the bundle, draws the plots, and adds the bundle to the store.

    Returns:
        Its manifest and location, and how it explains decisions.
    """
    from tempfile import TemporaryDirectory

    from scorer.author.build import build_bundle

    notes: list[str] = []
    with TemporaryDirectory() as folder:
        manifest = build_bundle(trained.draft, Path(folder), notes.append)
        if plots:
            from scorer.author.plots import draw_figures

            draw_figures(trained, plots)
        return manifest, bundles.put(Path(folder)), notes


def _read_labels(assignments: list[str]) -> dict[str, str]:
    from scorer.bundle.manifest import LABELS_MAX, SENTENCE_CHARACTERS_MAX, WORD_CHARACTERS_MAX

    labels = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not (equals and 0 < len(key) <= WORD_CHARACTERS_MAX and len(value) <= SENTENCE_CHARACTERS_MAX):
            raise MisuseError(
                f"--label {assignment[:80]}: write KEY=VALUE, up to {WORD_CHARACTERS_MAX} characters for the key and "
                f"{SENTENCE_CHARACTERS_MAX:,} for the value"
            )
        labels[key] = value
    if len(labels) > LABELS_MAX:
        raise MisuseError(f"--label: {len(labels)} labels; a bundle can have at most {LABELS_MAX}")
    return labels


def _print(manifest: "Manifest", uri: str, notes: list[str]) -> None:
    console = output_console()
    assert manifest.metrics is not None, "training computes metrics"
    dataset = manifest.metrics.dataset
    unlabelled = dataset.rows - dataset.rows_labelled - dataset.rows_refused
    console.print(
        f"{dataset.rows} rows read: {dataset.rows_labelled} labelled, {unlabelled} without a known outcome, "
        f"{dataset.rows_refused} invalid",
        highlight=False,
    )
    print_tables(*figures(manifest.metrics))
    for note in notes:
        console.print(note[:1].upper() + note[1:], highlight=False, soft_wrap=True)
    console.print(f"Saved {manifest.reference.short} to {uri}", highlight=False, soft_wrap=True)
    name = f"{manifest.name}:{manifest.version}"
    for command in (f"bundle lint {name}", f'deploy {name} --slot challenger --reason "…"'):
        console.print(f"Next: scorer {command}", highlight=False, soft_wrap=True)
