"""`scorer train`: train a bundle on labelled applications."""

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from schemas.printable import printable
from scorer.cli.describe import describe, figures
from scorer.cli.model_options import ContractOption, read_contract
from scorer.cli.options import (
    DEFAULT_BUNDLE,
    ConfigOption,
    JsonOption,
    SetOption,
    StoreOption,
    settings_of,
    show_hints,
)
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
from scorer.errors import BundleError, MisuseError, ModelError

if TYPE_CHECKING:
    from scorer.author.baseline import Baseline
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
    fifth of the rows, which is held out, and compared with those of an earlier bundle; the model in the bundle is then
    trained on all rows. The same file gives the same model, byte for byte. Needs the package's extra "train".

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
    outcome, hints = read_target(target, own_contract), Hints()
    examples = read_examples(applications, hints, skip_invalid=skip_invalid, contract=own_contract, outcome=outcome)
    show_hints(hints)
    identity = name, version, datetime.now(UTC).replace(microsecond=0)
    with elapsed_time(f"training on {len(examples.applications):,} applications"):
        saved = _save(train_model(examples, recipe, identity, labels), bundles, plots)
    if as_json:
        typer.echo(json.dumps(saved.as_json()))
    else:
        _print(saved, applications)


class _Saved(NamedTuple):
    """A bundle that was trained and added to the store.

    Attributes:
        manifest: its manifest.
        uri: its location.
        notes: how it explains decisions.
        baseline: an earlier bundle on the same held-out rows, or why it was not compared.
    """

    manifest: "Manifest"
    uri: str
    notes: list[str]
    baseline: "Baseline | str"

    def as_json(self) -> dict[str, object]:
        """The result for scripts."""
        baseline = None if isinstance(self.baseline, str) else self.baseline.as_json()
        return {"location": self.uri, "baseline": baseline, **describe(self.manifest)}


def _save(trained: "Trained", bundles: "BundleStore", plots: Path | None) -> _Saved:
    """Builds the bundle, draws the plots, and adds the bundle to the store."""
    from tempfile import TemporaryDirectory

    from scorer.author.build import build_bundle

    notes: list[str] = []
    baseline = _measure_baseline(trained, bundles)
    with TemporaryDirectory() as folder:
        manifest = build_bundle(trained.draft, Path(folder), notes.append)
        if plots:
            from scorer.author.plots import draw_figures

            draw_figures(trained, plots)
        return _Saved(manifest, bundles.put(Path(folder)), notes, baseline)


def _measure_baseline(trained: "Trained", bundles: "BundleStore") -> "Baseline | str":
    """Measures the latest bundle of this name, or the default one; returns a sentence if that is impossible."""
    from scorer.author.baseline import measure_baseline
    from scorer.bundle.load import read_manifest

    try:
        reference = bundles.entry(f"{trained.draft.name}:latest").reference
    except BundleError:  # the first one with this name
        reference = DEFAULT_BUNDLE
    try:
        located = bundles.locate(reference)
        baseline = measure_baseline(trained, read_manifest(located.folder), located.open())
    except (BundleError, ModelError) as error:
        return f"Not compared with {reference}: {error}"
    return baseline or f"Not compared with {reference}: its contract differs"


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
        if key in labels:
            raise MisuseError(f"--label {printable(key)}: is given twice; remove one of them")
        labels[key] = value
    if len(labels) > LABELS_MAX:
        raise MisuseError(f"--label: {len(labels)} labels; a bundle can have at most {LABELS_MAX}")
    return labels


def _print(saved: _Saved, applications: Path) -> None:
    console, manifest = output_console(), saved.manifest
    assert manifest.metrics is not None, "training computes metrics"
    dataset = manifest.metrics.dataset
    unlabelled = dataset.rows - dataset.rows_labelled - dataset.rows_refused
    console.print(
        f"{dataset.rows} rows read: {dataset.rows_labelled} labelled, {unlabelled} without a known outcome, "
        f"{dataset.rows_refused} invalid",
        highlight=False,
    )
    print_tables(*figures(manifest.metrics))
    lines = [*(note[:1].upper() + note[1:] for note in saved.notes), *_comparison(saved)]
    lines.append(f"Saved {manifest.reference.short} to {saved.uri}")
    name = f"{manifest.name}:{manifest.version}"
    commands = [f"bundle lint {name}", f'deploy {name} --slot challenger --reason "…"', f'deploy {name} --reason "…"']
    if not isinstance(saved.baseline, str):
        commands.insert(1, f"bundle diff {_name(saved.baseline)} {name} --on {shlex.quote(str(applications))}")
    lines += [f"Next: scorer {command}" for command in commands]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _comparison(saved: _Saved) -> list[str]:
    """The lines that compare the bundle with the baseline."""
    baseline, metrics = saved.baseline, saved.manifest.metrics
    if isinstance(baseline, str):
        return [baseline]
    assert metrics is not None, "training computes metrics"
    name, labels = _name(baseline), ", ".join(map(str, baseline.shifts))
    note = "" if baseline.is_held_out else f" ({name} may have been trained on some of these rows)"
    return [
        f"AUC on the held-out rows: {name} {baseline.auc:.4f}, this bundle {metrics.holdout.auc:.4f}{note}",
        f"Labels of the held-out rows, by {name} → by this bundle: {labels}",
    ]


def _name(baseline: "Baseline") -> str:
    return f"{baseline.reference.name}:{baseline.reference.version}"
