"""`scorer bundle`: list, show, verify, tag, delete, export and import bundles."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from schemas.printable import printable
from scorer.cli.completion import ReferenceArgument, StoredArgument
from scorer.cli.describe import describe, figures
from scorer.cli.options import (
    DEFAULT_BUNDLE,
    ConfigOption,
    JsonOption,
    SetOption,
    StoreOption,
    default_actor,
    settings_of,
)
from scorer.cli.tables import output_console, print_tables

if TYPE_CHECKING:
    from scorer.bundle.engine import EngineSetting
    from scorer.core.score import Bundle
    from scorer.store.entry import Entry
    from scorer.store.store import BundleStore

app = typer.Typer(
    no_args_is_help=True,
    help="List, show, verify, tag, delete, export and import bundles: a model with its contract, policy and card.",
)


_TITLES: Final = ("bundle", "tags", "digest", "created", "AUC", "labels", "from")


@app.command("list")
def list_(
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY[=VALUE]", help="Only bundles with this label; may be repeated (all must match)."),
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the bundles in the store and those shipped with the package."""
    from rich import box
    from rich.table import Table

    bundles = _open_store(store, config, assignments)
    entries = [entry for entry in bundles.entries() if all(_has_label(entry, wanted) for wanted in label or [])]
    tags = bundles.notes.tags()
    if as_json:
        typer.echo(json.dumps([_as_json(entry, entry.tags_among(tags)) for entry in entries], indent=2))
        return
    rows = [_cells(entry, entry.tags_among(tags)) for entry in entries]
    # Terminals are narrow: empty columns are left out. References and digests do not wrap, so that they can be copied.
    shown = [title for title in _TITLES if title not in {"tags", "labels"} or any(row[title] for row in rows)]
    table = Table(box=box.SIMPLE)
    for title in shown:
        table.add_column(title, no_wrap=title in {"bundle", "digest"}, min_width=6, overflow="fold")
    for row in rows:
        table.add_row(*(row[title] for title in shown))
    print_tables(table)


@app.command()
def show(
    reference: ReferenceArgument = DEFAULT_BUNDLE,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a bundle's manifest: policy, fields, metrics, training. Nothing is verified: see `verify`."""
    from rich.markup import escape

    from scorer.bundle.facts import describe_manifest
    from scorer.bundle.load import read_manifest

    bundles = _open_store(store, config, assignments)
    folder = bundles.find(reference)
    manifest = read_manifest(folder)
    tags = {tag: to for (_, tag), to in bundles.notes.tags(manifest.name).items() if to.digest == manifest.digest}
    if as_json:
        tagged = {tag: to.model_dump(mode="json") for tag, to in tags.items()}
        typer.echo(json.dumps({"folder": str(folder), "tags": tagged, **describe(manifest)}, indent=2))
        return
    facts = dict(describe_manifest(manifest))
    first_facts = {name: facts.pop(name) for name in ("bundle", "digest", "created")}
    shown_tags = ", ".join(f"{tag} (since {to.at:%Y-%m-%d} by {to.by})" for tag, to in tags.items()) or "none"
    facts = {**first_facts, "folder": str(folder), **facts, "tags": shown_tags}
    console = output_console()
    for name, value in facts.items():
        first, *others = [value] if isinstance(value, str) else value
        console.print(f"[bold]{name:<10}[/bold]{escape(printable(first))}", highlight=False, soft_wrap=True)
        for line in others:
            console.print(f"{'':<10}{escape(printable(line))}", highlight=False, soft_wrap=True)
    console.print()
    print_tables(*(figures(manifest.metrics) if manifest.metrics else ["No metrics: the model was not evaluated"]))


@app.command()
def verify(
    reference: ReferenceArgument = DEFAULT_BUNDLE,
    keys: Annotated[
        Path | None,
        typer.Option("--keys", metavar="FILE", help="Require a signature by a key in this file of trusted keys."),
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a bundle as a worker does, and list the checks; exit 1 with the reason if a check fails.

    The last check compares the engines, and names the one that would decide. It fails only with --set engine=compiled,
    because otherwise the Python engine decides the same bytes. With --keys, also check that one of these keys has
    signed the bundle.
    """
    from scorer.bundle.load import load_bundle
    from scorer.errors import BundleError
    from scorer.store.store import BundleStore
    from scorer.store.trust import Trust, locate_trusted

    checks: list[str] = []
    mark = "" if as_json else "✓ "

    def passed(check: str) -> None:
        checks.append(check)
        if not as_json:
            typer.echo(f"{mark}{check}")

    try:
        settings = settings_of(config, None, assignments, store=store).settings
        bundles = BundleStore(settings.store)
        if keys is None:
            bundle = load_bundle(bundles.find(reference), passed)
        else:
            located = locate_trusted(bundles, reference, Trust(keys))
            bundle = located.open(passed)
            passed("signature: not required for a shipped bundle" if located.shipped else "signature: by a trusted key")
        passed(f"engine: {_check_engine(bundle, settings.engine)}")
    except BundleError as error:
        if not as_json:
            raise
        typer.echo(json.dumps({"ok": False, "checks": checks, "fault": str(error)}))
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({"ok": True, "checks": checks, "fault": None}))


@app.command()
def tag(
    reference: StoredArgument,
    tag: Annotated[str, typer.Argument(metavar="TAG", help="The tag, for example prod.")],
    remove: Annotated[bool, typer.Option("--remove", help="Remove the tag instead of setting it.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tag a bundle with a name that can move to another bundle later, such as prod.

    Tags are kept in the store and do not change the bundles. A deployment resolves the tag once, when it is made:
    moving the tag later does not change the champion.

    Examples:
    ```
    scorer bundle tag credit-risk:1.1.0 prod
    scorer deploy credit-risk:prod --reason "quarterly retraining"
    ```
    """
    bundles = _open_store(store, config, assignments)
    entry = bundles.entry(reference)
    if remove:
        bundles.notes.remove_tag(entry, tag)
        message, before = f"removed the tag {tag} from {entry.reference}", None
    else:
        before = bundles.notes.set_tag(entry, tag, default_actor())
        message = f"{entry.name}:{tag} now refers to {_short_reference(entry)}"
        if before is not None:
            message += f" (previously {entry.name}:{before.version}@{before.digest[:12]})"
    if as_json:
        previous = None if before is None else before.model_dump(mode="json")
        typer.echo(
            json.dumps({"tag": tag, **_as_json(entry, bundles.notes.tags_of(entry)), "before": previous}, indent=2)
        )
    else:
        typer.echo(message)


@app.command()
def delete(
    reference: StoredArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a bundle and its tags from the store.

    Decisions name the bundle that made them. Export a bundle that has made decisions before you delete it, or they can
    no longer be explained. Workers that have loaded it are not affected. Shipped bundles cannot be deleted.
    """
    from scorer.errors import MisuseError

    bundles = _open_store(store, config, assignments)
    entry = bundles.entry(reference)
    tags = bundles.notes.tags_of(entry)
    tagged = f" with its tags {', '.join(f'{entry.name}:{tag}' for tag in tags)}" if tags else ""
    if not yes and not entry.shipped:
        if as_json:
            raise MisuseError("--json cannot ask for confirmation: add --yes")
        typer.confirm(f"Delete {_short_reference(entry)}{tagged} from {entry.location}?", abort=True)
    bundles.delete(entry)
    if as_json:
        typer.echo(json.dumps(_as_json(entry, tags), indent=2))
    else:
        typer.echo(f"deleted {_short_reference(entry)}{tagged}")


@app.command()
def export(
    reference: ReferenceArgument,
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A new .tar.gz, .tar.xz, .zip or folder: a path or a URL.")
    ],
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export a bundle to a new file or folder, to be imported elsewhere. Existing files are not overwritten.

    The bundle is verified first. Exports of the same bundle have the same bytes.

    Examples:
    ```
    scorer bundle export credit-risk:1.1.0 credit-risk-1.1.0.tar.gz
    scorer bundle export credit-risk:latest s3://models/credit-risk.zip
    ```
    """
    from scorer.bundle.load import read_manifest
    from scorer.store.archive import export_bundle

    folder = _open_store(store, config, assignments).find(reference)
    export_bundle(folder, target)
    manifest = read_manifest(folder)
    if as_json:
        typer.echo(json.dumps({"target": target, **describe(manifest)}, indent=2))
    else:
        typer.echo(f"exported {manifest.reference.short} to {target}")


@app.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A .tar.gz, .tar.xz, .zip or folder: a path or a URL.")
    ],
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import a bundle into the store, from a file or folder written by `export`.

    Everything is verified before anything is stored: names, sizes, digests, the model, its golden examples. A bundle
    that already exists is left unchanged; a different bundle with the same name and version is an error.

    Examples:
    ```
    scorer bundle import credit-risk-1.1.0.tar.gz
    scorer bundle import s3://models/credit-risk.zip
    ```
    """
    from scorer.bundle.load import read_manifest
    from scorer.store.archive import unpacked

    bundles = _open_store(store, config, assignments)
    with unpacked(source) as folder:
        new = bundles.import_bundle(folder, source)
        manifest = read_manifest(folder, source)
    entry = bundles.entry(f"{manifest.name}:{manifest.version}")
    if as_json:
        typer.echo(json.dumps({"new": new, **_as_json(entry, bundles.notes.tags_of(entry))}, indent=2))
    elif new:
        typer.echo(f"imported {_short_reference(entry)} into {entry.location}")
    else:
        typer.echo(f"{_short_reference(entry)} already exists in {entry.location} with the same content: nothing to do")


def _open_store(store: str | None, config: "Path | None", assignments: list[str] | None) -> "BundleStore":
    from scorer.store.store import BundleStore

    return BundleStore(settings_of(config, None, assignments, store=store).settings.store)


def _check_engine(bundle: "Bundle", setting: "EngineSetting") -> str:
    """Describes the engine that would decide.

    Raises:
        BundleError: the setting is `compiled`, and the compiled engine does not decide the bundle's bytes.
        SettingsError: the setting is `compiled`, and the compiled engine is not installed.
    """
    from scorer.bundle.engine import with_engine
    from scorer.errors import BundleError

    checked = with_engine(bundle, setting)
    if checked.engine is not None:
        return "compiled, with the results of the Python engine for the golden examples and for drawn records"
    if setting == "python":
        return "python"
    if setting == "compiled":
        raise BundleError(f"engine = compiled, but the compiled engine is not used: {checked.engine_fault}")
    return f"python; the compiled engine is not used: {checked.engine_fault}"


def _short_reference(entry: "Entry") -> str:
    """`name:version@digest` with a shortened digest, or `name:version` if the manifest cannot be read."""
    return entry.reference if entry.manifest is None else entry.manifest.reference.short


def _cells(entry: "Entry", tags: list[str]) -> dict[str, str]:
    """A row of the table, by column title."""
    from rich.markup import escape

    origin = "shipped" if entry.shipped else "store"
    named = {"bundle": escape(printable(entry.reference)), "tags": escape(printable(", ".join(tags)))}
    row = dict.fromkeys(_TITLES, "") | named
    if entry.manifest is None:
        return row | {"digest": "[red]damaged[/red]", "from": f"{origin}; run scorer bundle verify"}
    manifest = entry.manifest
    default = " [dim](default)[/dim]" if entry.reference == DEFAULT_BUNDLE else ""
    return row | {
        "digest": manifest.digest[:12],
        "created": f"{manifest.created:%Y-%m-%d}",
        "AUC": f"{manifest.metrics.holdout.auc:.4f}" if manifest.metrics else "",
        "labels": escape(printable(", ".join(f"{key}={value}" for key, value in manifest.labels.items()))),
        "from": f"{origin}{default}",
    }


def _has_label(entry: "Entry", wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    labels = {} if entry.manifest is None else entry.manifest.labels
    return key in labels and (not equals or labels[key] == value)


def _as_json(entry: "Entry", tags: list[str]) -> dict[str, object]:
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
