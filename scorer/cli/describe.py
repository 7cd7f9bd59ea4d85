"""How commands print a bundle: its manifest as JSON, and its metrics as text."""

from typing import TYPE_CHECKING

from scorer.cli.options import DEFAULT_BUNDLE

if TYPE_CHECKING:
    from rich.console import RenderableType

    from scorer.bundle.manifest import Manifest, Metrics
    from scorer.store.entry import Entry


def describe(manifest: "Manifest") -> dict[str, object]:
    """A bundle as JSON: its digest and manifest."""
    return {"digest": manifest.digest, "manifest": manifest.model_dump(mode="json")}


def describe_entry(entry: "Entry", tags: list[str]) -> dict[str, object]:
    """A bundle in a store as JSON: where it is, and its manifest or what is wrong with it."""
    description = {
        "name": entry.name,
        "version": entry.version,
        "location": entry.location,
        "shipped": entry.shipped,
        "default": entry.reference == DEFAULT_BUNDLE,
        "tags": tags,
    }
    if entry.manifest is None:
        return description | {"fault": entry.fault}
    return description | describe(entry.manifest)


def figures(metrics: "Metrics") -> "list[RenderableType]":
    """A bundle's metrics as text: a summary, decisions by outcome, and calibration."""
    from rich import box
    from rich.table import Table

    decisions = Table(box=box.SIMPLE, title="Policy on the held-out rows", title_justify="left")
    decisions.add_column("decision")
    for title in ("paid", "defaulted", "default rate"):
        decisions.add_column(title, justify="right")
    for label, by in metrics.decisions.by_decision.items():
        total = by.ok + by.default
        decisions.add_row(label, str(by.ok), str(by.default), f"{by.default / total:.1%}" if total else "")
    calibration = Table(box=box.SIMPLE, title="Calibration on the held-out rows", title_justify="left")
    calibration.add_column("predicted")
    for title in ("rows", "mean predicted", "default rate"):
        calibration.add_column(title, justify="right")
    for index, bin_ in enumerate(metrics.calibration.bins):
        shares = ["" if share is None else f"{share:.3f}" for share in (bin_.predicted_mean, bin_.observed_share)]
        calibration.add_row(metrics.calibration.label(index), str(bin_.rows), *shares)
    summary = (
        f"AUC [bold]{metrics.holdout.auc:.4f}[/bold], Brier score [bold]{metrics.calibration.brier:.4f}[/bold], on "
        f"{metrics.holdout.rows} held-out rows of {metrics.dataset.rows_labelled}"
    )
    return [summary, decisions, calibration]
