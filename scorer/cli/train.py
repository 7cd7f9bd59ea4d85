"""`scorer train`: train a bundle on labelled applications."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.cli.describe import describe, figures
from scorer.cli.options import ConfigOption, JsonOption, SetOption, StoreOption, require_texts, settings_of, show_hints
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from scorer.bundle.manifest import Manifest


LabelOption = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", callback=require_texts, help="Label to store in the bundle; may be repeated."),
]


ApplicationsArgument = Annotated[
    Path, typer.Argument(metavar="DATA", help="A .csv or .jsonl file of applications with the column `status`.")
]


DropOption = Annotated[
    list[str] | None, typer.Option(metavar="FIELD", help="Field to leave out of the model; may be repeated.")
]


def train(
    applications: ApplicationsArgument,
    name: Annotated[str, typer.Option(help="Name of the bundle, for example credit-risk.")],
    version: Annotated[str, typer.Option(help="Version of the bundle, for example 1.2.0; it must not exist yet.")],
    drop: DropOption = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the plots to this folder, as PNG.")
    ] = None,
    label: LabelOption = None,
    skip_invalid: Annotated[bool, typer.Option("--skip-invalid", help="Skip invalid rows instead of failing.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model on applications with known outcomes, and add it to the store as a bundle.

    The rows are read, validated and encoded by the code that scores applications later. The metrics are computed on a
    fifth of the rows, which is held out; the model in the bundle is then trained on all rows. The same file gives the
    same model, byte for byte. Versions are never overwritten.
    Needs the package's extra "train".

    Examples:
    ```
    scorer train credit_scoring.csv --name credit-risk --version 1.2.0 --drop marital
    scorer train loans.jsonl --name credit-risk --version 2.0.0 --plots figures --label reason="new data"
    ```
    """
    from datetime import UTC, datetime
    from tempfile import TemporaryDirectory

    from schemas.rows import Hints
    from scorer.author.build import build_bundle
    from scorer.author.train import choose_fields, read_examples, require_libraries, train_model
    from scorer.core.policy import Policy
    from scorer.store.store import BundleStore

    require_libraries("sklearn", *(["matplotlib"] if plots else []))
    labels = _read_labels(label or [])
    fields_dropped = tuple(drop or ())
    choose_fields(fields_dropped)
    bundles = BundleStore(settings_of(config, None, assignments, store=store).settings.store)
    bundles.require_new(name, version)
    created = datetime.now(UTC).replace(microsecond=0)
    hints = Hints()
    examples = read_examples(applications, hints, skip_invalid=skip_invalid)
    show_hints(hints)
    trained = train_model(examples, fields_dropped, Policy(), (name, version, created), labels)
    with TemporaryDirectory() as folder:
        manifest = build_bundle(trained.draft, Path(folder))
        if plots:
            from scorer.author.plots import draw_figures

            draw_figures(trained, plots)
        uri = bundles.put(Path(folder))
    if as_json:
        typer.echo(json.dumps({"where": uri, **describe(manifest)}))
    else:
        _print(manifest, uri)


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


def _print(manifest: "Manifest", uri: str) -> None:
    from rich.console import Console

    console = Console()
    assert manifest.metrics is not None, "training computes metrics"
    dataset = manifest.metrics.dataset
    unlabelled = dataset.rows - dataset.rows_labelled - dataset.rows_refused
    console.print(
        f"{dataset.rows} rows read: {dataset.rows_labelled} labelled, {unlabelled} without a known outcome, "
        f"{dataset.rows_refused} invalid",
        highlight=False,
    )
    for renderable in figures(manifest.metrics):
        console.print(renderable, highlight=False)
    console.print(f"Saved {manifest.reference.short} to {uri}", highlight=False, soft_wrap=True)
    console.print(f"Next: scorer bundle verify {manifest.name}:{manifest.version}", highlight=False)
