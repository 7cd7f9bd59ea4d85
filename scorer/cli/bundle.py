"""`scorer bundle`: what is in the store, what a bundle says of itself, and whether it holds."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.cli.options import ConfigOption, JsonOption, SetOption, settings_of
from scorer.cli.train import StoreOption, describe, figures
from scorer.cli.worker import DEFAULT_BUNDLE

if TYPE_CHECKING:
    from scorer.bundle.store import Entry

app = typer.Typer(no_args_is_help=True, help="Bundles: the models with all that belongs to them. List, show, verify.")

ReferenceArgument = Annotated[
    str, typer.Argument(metavar="REF", help="name:version, name:latest, name@digest, or a bundle's folder.")
]


@app.command("list")
def list_(
    store: StoreOption = None, config: ConfigOption = None, assignments: SetOption = None, as_json: JsonOption = False
) -> None:
    """List the bundles: those in the store and those shipped with the package."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from scorer.bundle.store import BundleStore

    entries = BundleStore(settings_of(config, None, assignments, store=store).settings.store).entries()
    if as_json:
        typer.echo(json.dumps([_row(entry) for entry in entries], indent=2))
        return
    table = Table(box=box.SIMPLE)
    for title in ("bundle", "digest", "created", "AUC", "from"):
        table.add_column(title)
    for entry in entries:
        place = "shipped" if entry.shipped else "store"
        if entry.manifest is None:
            table.add_row(entry.reference, "[red]damaged[/red]", "", "", f"{place}; scorer bundle verify says why")
        else:
            manifest = entry.manifest
            auc = f"{manifest.metrics.holdout.auc:.4f}"
            used = " [dim](default)[/dim]" if entry.reference == DEFAULT_BUNDLE else ""
            table.add_row(entry.reference + used, manifest.digest[:12], f"{manifest.created:%Y-%m-%d}", auc, place)
    Console().print(table)


@app.command()
def show(
    reference: ReferenceArgument = DEFAULT_BUNDLE,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a bundle says of itself: policy, fields, figures, recipe. It is read, not checked: see `verify`."""
    from rich.console import Console
    from rich.markup import escape

    from scorer.bundle.load import read_manifest
    from scorer.bundle.store import BundleStore

    folder = BundleStore(settings_of(config, None, assignments, store=store).settings.store).find(reference)
    manifest = read_manifest(folder)
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), **describe(manifest)}, indent=2))
        return
    training = manifest.training
    policy = manifest.policy
    facts = {
        "bundle": f"{manifest.name}:{manifest.version}",
        "digest": manifest.digest,
        "created": f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC",
        "folder": str(folder),
        "policy": f"above {policy.declined_above:g} DECLINED, above {policy.maybe_above:g} MAYBE, else APPROVED",
        "fields": f"{', '.join(manifest.features.fields)} ({len(manifest.features.columns)} columns)",
        "left out": ", ".join(training.dropped_fields) or "nothing",
        "recipe": f"{manifest.runner}, {training.rounds} rounds, "
        + ", ".join(f"{name} {value}" for name, value in training.parameters.items()),
        "libraries": ", ".join(f"{name} {version}" for name, version in manifest.libraries.items()),
        "contract": manifest.contract_version,
        "data": f"{manifest.metrics.dataset.rows} rows, sha256 {manifest.metrics.dataset.sha256}",
        "labels": ", ".join(f"{key}={value}" for key, value in manifest.labels.items()) or "none",
    }
    console = Console()
    for name, value in facts.items():
        console.print(f"[bold]{name:<10}[/bold]{escape(value)}", highlight=False, soft_wrap=True)
    console.print()
    for renderable in figures(manifest.metrics):
        console.print(renderable, highlight=False)


@app.command()
def verify(
    reference: ReferenceArgument = DEFAULT_BUNDLE,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a bundle as a worker does, and say what was checked; exit 1 with the reason if one fails."""
    from scorer.bundle.load import load_bundle
    from scorer.bundle.store import BundleStore
    from scorer.errors import BundleError

    checks: list[str] = []
    mark = "" if as_json else "✓ "

    def passed(check: str) -> None:
        checks.append(check)
        if not as_json:
            typer.echo(f"{mark}{check}")

    try:
        load_bundle(
            BundleStore(settings_of(config, None, assignments, store=store).settings.store).find(reference), passed
        )
    except BundleError as error:
        if not as_json:
            raise
        typer.echo(json.dumps({"ok": False, "checks": checks, "fault": str(error)}))
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({"ok": True, "checks": checks, "fault": None}))


def _row(entry: "Entry") -> dict[str, object]:
    found = {
        "name": entry.name,
        "version": entry.version,
        "folder": str(entry.folder),
        "shipped": entry.shipped,
        "default": entry.reference == DEFAULT_BUNDLE,
    }
    if entry.manifest is None:
        return found | {"fault": entry.fault}
    return found | describe(entry.manifest)
