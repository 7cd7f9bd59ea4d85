"""`scorer train`: labelled applications to a bundle in the store."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.cli.options import ConfigOption, JsonOption, SetOption, require_texts, settings_of, show_hints
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from scorer.bundle.manifest import Manifest, Metrics

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="PLACE", help="Where bundles live: a folder or URL; else the setting of this name."
    ),
]


def train(
    applications: Annotated[
        Path, typer.Argument(metavar="DATA", help="A .csv or .jsonl file of applications with a column `status`.")
    ],
    name: Annotated[str, typer.Option(help="The bundle's name, such as credit-risk.")],
    version: Annotated[str, typer.Option(help="The bundle's version, such as 1.2.0; it must be new.")],
    drop: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="A field that the model must not see; may be repeated.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the figures there as pictures (PNG).")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", callback=require_texts, help="A note that the bundle carries; may be repeated."
        ),
    ] = None,
    skip_refused: Annotated[
        bool, typer.Option("--skip-refused", help="Leave out rows that are no applications, instead of stopping.")
    ] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model on applications whose outcome is known, and put it into the store as a bundle.

    The rows are read, checked and encoded by the code that scores them later.
    The figures come from a fifth of the rows that is held out; the model in
    the bundle is then trained on all of them. The same file gives the same
    model, byte for byte. A version is never overwritten.
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
    from scorer.bundle.build import build_bundle
    from scorer.bundle.store import BundleStore
    from scorer.bundle.train import choose_fields, read_examples, require_libraries, train_model
    from scorer.core.policy import Policy

    require_libraries("sklearn", *(["matplotlib"] if plots else []))
    labels = _read_labels(label or [])
    fields_dropped = tuple(drop or ())
    choose_fields(fields_dropped)
    bundles = BundleStore(settings_of(config, None, assignments, store=store).settings.store)
    bundles.require_new(name, version)
    created = datetime.now(UTC).replace(microsecond=0)
    hints = Hints()
    examples = read_examples(applications, hints, skip_refused=skip_refused)
    show_hints(hints)
    trained = train_model(examples, fields_dropped, Policy(), (name, version, created), labels)
    with TemporaryDirectory() as folder:
        manifest = build_bundle(trained.draft, Path(folder))
        if plots:
            from scorer.bundle.plots import draw_figures

            draw_figures(trained, plots)
        place = bundles.put(Path(folder))
    if as_json:
        typer.echo(json.dumps({"where": place, **describe(manifest)}))
    else:
        _print(manifest, place)


def describe(manifest: "Manifest") -> dict[str, object]:
    """A bundle for scripts: its manifest and its digest."""
    return {"digest": manifest.digest, "manifest": manifest.model_dump(mode="json")}


def figures(metrics: "Metrics") -> "list[RenderableType]":
    """A bundle's figures for people: decisions against outcomes, and predicted against observed."""
    from rich import box
    from rich.table import Table

    decisions = Table(box=box.SIMPLE, title="The policy on the held-out rows", title_justify="left")
    decisions.add_column("decision")
    for title in ("paid", "defaulted", "share that defaulted"):
        decisions.add_column(title, justify="right")
    for outcome, by in metrics.decisions.by_decision.items():
        total = by.ok + by.default
        decisions.add_row(outcome, str(by.ok), str(by.default), f"{by.default / total:.1%}" if total else "")
    calibration = Table(box=box.SIMPLE, title="Predicted and observed on the held-out rows", title_justify="left")
    calibration.add_column("predicted")
    for title in ("rows", "mean predicted", "share that defaulted"):
        calibration.add_column(title, justify="right")
    for place, found in enumerate(metrics.calibration.bins):
        shares = ["" if share is None else f"{share:.3f}" for share in (found.predicted_mean, found.observed_share)]
        calibration.add_row(metrics.calibration.label(place), str(found.rows), *shares)
    summary = (
        f"AUC [bold]{metrics.holdout.auc:.4f}[/bold], Brier score [bold]{metrics.calibration.brier:.4f}[/bold], "
        f"on {metrics.holdout.rows} rows held out of {metrics.dataset.rows_labelled}"
    )
    return [summary, decisions, calibration]


def _read_labels(assignments: list[str]) -> dict[str, str]:
    labels = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not (equals and 0 < len(key) <= 64 and len(value) <= 1_000):
            raise MisuseError(
                f"--label {assignment[:80]}: write KEY=VALUE, up to 64 characters for the key and 1,000 for the value"
            )
        labels[key] = value
    if len(labels) > 64:
        raise MisuseError(f"--label: {len(labels)} are more than the 64 that a bundle may carry")
    return labels


def _print(manifest: "Manifest", place: str) -> None:
    from rich.console import Console

    console = Console()
    assert manifest.metrics is not None, "training measures"
    dataset = manifest.metrics.dataset
    unlabelled = dataset.rows - dataset.rows_labelled - dataset.rows_refused
    console.print(
        f"{dataset.rows} rows read: {dataset.rows_labelled} to learn from, {unlabelled} without a known outcome, "
        f"{dataset.rows_refused} refused",
        highlight=False,
    )
    for renderable in figures(manifest.metrics):
        console.print(renderable, highlight=False)
    console.print(f"{manifest.reference.short} is in {place}", highlight=False, soft_wrap=True)
    console.print(f"Next: scorer bundle verify {manifest.name}:{manifest.version}", highlight=False)
