"""`scorer bundle`: what is in the store and what it is called, whether a bundle holds, and bundles on the move."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from schemas.printable import printable
from scorer.cli.completion import complete_reference
from scorer.cli.options import ConfigOption, JsonOption, SetOption, settings_of, user_here
from scorer.cli.train import StoreOption, describe, figures
from scorer.cli.worker import DEFAULT_BUNDLE

if TYPE_CHECKING:
    from scorer.bundle.entry import Entry
    from scorer.bundle.manifest import Manifest
    from scorer.bundle.store import BundleStore

app = typer.Typer(
    no_args_is_help=True,
    help="Bundles: the models with all that belongs to them. List, show and verify, tag and delete, export and import.",
)

ReferenceArgument = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="name:version, name:latest, name:tag, name@digest, or a bundle's folder.",
        autocompletion=complete_reference,
    ),
]
StoredArgument = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="name:version, name:latest, name:tag or name@digest.",
        autocompletion=complete_reference,
    ),
]


_TITLES: Final = ("bundle", "tags", "digest", "created", "AUC", "labels", "from")


@app.command("list")
def list_(
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY[=VALUE]", help="Only those with this label; may be repeated, and all must hold."),
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the bundles: those in the store and those shipped with the package."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    bundles = _open_store(store, config, assignments)
    entries = [entry for entry in bundles.entries() if all(_has_label(entry, wanted) for wanted in label or [])]
    tags = bundles.tags()
    if as_json:
        typer.echo(json.dumps([_row(entry, entry.tags_among(tags)) for entry in entries], indent=2))
        return
    rows = [_cells(entry, entry.tags_among(tags)) for entry in entries]
    # What nobody has takes no room, for a terminal is narrow; what is copied from here to a command stays in one piece.
    shown = [title for title in _TITLES if title not in {"tags", "labels"} or any(row[title] for row in rows)]
    table = Table(box=box.SIMPLE)
    for title in shown:
        table.add_column(title, no_wrap=title in {"bundle", "digest"}, min_width=6, overflow="fold")
    for row in rows:
        table.add_row(*(row[title] for title in shown))
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

    bundles = _open_store(store, config, assignments)
    folder = bundles.find(reference)
    manifest = read_manifest(folder)
    tags = {tag: to for (_, tag), to in bundles.tags(manifest.name).items() if to.digest == manifest.digest}
    if as_json:
        tagged = {tag: to.model_dump(mode="json") for tag, to in tags.items()}
        typer.echo(json.dumps({"folder": str(folder), "tags": tagged, **describe(manifest)}, indent=2))
        return
    policy = manifest.policy
    facts = {
        "bundle": f"{manifest.name}:{manifest.version}",
        "digest": manifest.digest,
        "created": f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC",
        "folder": str(folder),
        "policy": f"above {policy.declined_above:g} DECLINED, above {policy.maybe_above:g} MAYBE, else APPROVED",
        "fields": f"{', '.join(manifest.features.fields)} ({len(manifest.features.columns)} columns)",
        **_describe_model(manifest),
        "libraries": ", ".join(f"{name} {version}" for name, version in manifest.libraries.items()),
        "contract": manifest.contract_version,
        "labels": ", ".join(f"{key}={value}" for key, value in manifest.labels.items()) or "none",
        "tags": ", ".join(f"{tag} (since {to.at:%Y-%m-%d} by {to.by})" for tag, to in tags.items()) or "none",
    }
    console = Console()
    for name, value in facts.items():
        console.print(f"[bold]{name:<10}[/bold]{escape(printable(value))}", highlight=False, soft_wrap=True)
    console.print()
    for renderable in figures(manifest.metrics) if manifest.metrics else ["No figures: nobody measured it"]:
        console.print(renderable, highlight=False)


@app.command()
def verify(
    reference: ReferenceArgument = DEFAULT_BUNDLE,
    keys: Annotated[
        Path | None, typer.Option("--keys", metavar="FILE", help="The file of trusted keys that must have signed it.")
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a bundle as a worker does, and say what was checked; exit 1 with the reason if one fails.

    With --keys, also that one of these keys has signed it.
    """
    from scorer.bundle.load import load_bundle
    from scorer.bundle.trust import Trust, locate_trusted
    from scorer.errors import BundleError

    checks: list[str] = []
    mark = "" if as_json else "✓ "

    def passed(check: str) -> None:
        checks.append(check)
        if not as_json:
            typer.echo(f"{mark}{check}")

    try:
        bundles = _open_store(store, config, assignments)
        if keys is None:
            load_bundle(bundles.find(reference), passed)
        else:
            located = locate_trusted(bundles, reference, Trust(keys))
            located.open(passed)
            passed("signature: shipped, which needs none" if located.shipped else "signature: by a trusted key")
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
    tag: Annotated[str, typer.Argument(metavar="TAG", help="The tag, such as prod.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take the tag away from the bundle.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a bundle a name that can move to another one later, such as prod.

    A tag is kept in the store beside the bundles and changes none of them. A deployment names the bundle that the tag
    means at that moment: moving a tag changes nothing of what decides.

    Examples:
    ```
    scorer bundle tag credit-risk:1.1.0 prod
    scorer deploy credit-risk:prod --reason "quarterly retraining"
    ```
    """
    bundles = _open_store(store, config, assignments)
    entry = bundles.entry(reference)
    if remove:
        bundles.remove_tag(entry, tag)
        said, before = f"{entry.reference} has no tag {tag} any more", None
    else:
        before = bundles.set_tag(entry, tag, user_here())
        said = f"{entry.name}:{tag} is {_spell(entry)} now"
        if before is not None:
            said += f"; it was {entry.name}:{before.version}@{before.digest[:12]}"
    if as_json:
        was = None if before is None else before.model_dump(mode="json")
        typer.echo(json.dumps({"tag": tag, **_row(entry, bundles.tags_of(entry)), "before": was}, indent=2))
    else:
        typer.echo(said)


@app.command()
def delete(
    reference: StoredArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a bundle from the store, with the tags that mean it.

    Decisions name the bundle that made them: export one that has decided before you delete it, or they cannot be
    explained any more. Workers that have it loaded go on. What is shipped with the package cannot be deleted.
    """
    from scorer.errors import MisuseError

    bundles = _open_store(store, config, assignments)
    entry = bundles.entry(reference)
    tags = bundles.tags_of(entry)
    tagged = f", and with it: {', '.join(f'{entry.name}:{tag}' for tag in tags)}" if tags else ""
    if not yes and not entry.shipped:
        if as_json:
            raise MisuseError("--json does not ask: say --yes")
        typer.confirm(f"Delete {_spell(entry)} from {entry.where}{tagged}?", abort=True)
    bundles.delete(entry)
    if as_json:
        typer.echo(json.dumps(_row(entry, tags), indent=2))
    else:
        typer.echo(f"deleted: {_spell(entry)}{tagged}")


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
    """Write a bundle to a file or folder, to be imported elsewhere. Nothing is overwritten.

    The bundle is checked first. The same bundle gives the same bytes.

    Examples:
    ```
    scorer bundle export credit-risk:1.1.0 credit-risk-1.1.0.tar.gz
    scorer bundle export credit-risk:latest s3://models/credit-risk.zip
    ```
    """
    from scorer.bundle.archive import export_bundle
    from scorer.bundle.load import read_manifest

    folder = _open_store(store, config, assignments).find(reference)
    export_bundle(folder, target)
    manifest = read_manifest(folder)
    if as_json:
        typer.echo(json.dumps({"target": target, **describe(manifest)}, indent=2))
    else:
        typer.echo(f"{manifest.reference.short} is in {target}")


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
    """Take a bundle into the store, from a file or folder that `export` wrote.

    Everything is checked before anything is kept: names, sizes, digests, the model, its golden examples. A bundle that
    is there already is left as it is; another one of the same name and version is refused.

    Examples:
    ```
    scorer bundle import credit-risk-1.1.0.tar.gz
    scorer bundle import s3://models/credit-risk.zip
    ```
    """
    from scorer.bundle.archive import unpacked
    from scorer.bundle.load import read_manifest

    bundles = _open_store(store, config, assignments)
    with unpacked(source) as folder:
        new = bundles.take_in(folder, source)
        manifest = read_manifest(folder, source)
    entry = bundles.entry(f"{manifest.name}:{manifest.version}")
    if as_json:
        typer.echo(json.dumps({"new": new, **_row(entry, bundles.tags_of(entry))}, indent=2))
    elif new:
        typer.echo(f"{_spell(entry)} is in {entry.where}")
    else:
        typer.echo(f"{_spell(entry)} is in {entry.where} already, with the same content: nothing to do")


def _open_store(store: str | None, config: "Path | None", assignments: list[str] | None) -> "BundleStore":
    from scorer.bundle.store import BundleStore

    return BundleStore(settings_of(config, None, assignments, store=store).settings.store)


def _spell(entry: "Entry") -> str:
    """`name:version` with the head of the digest, where it can be read."""
    return entry.reference if entry.manifest is None else entry.manifest.reference.short


def _cells(entry: "Entry", tags: list[str]) -> dict[str, str]:
    """A bundle as a row of the list, by the columns' titles."""
    from rich.markup import escape

    place = "shipped" if entry.shipped else "store"
    named = {"bundle": escape(printable(entry.reference)), "tags": escape(printable(", ".join(tags)))}
    found = dict.fromkeys(_TITLES, "") | named
    if entry.manifest is None:
        return found | {"digest": "[red]damaged[/red]", "from": f"{place}; scorer bundle verify says why"}
    manifest = entry.manifest
    used = " [dim](default)[/dim]" if entry.reference == DEFAULT_BUNDLE else ""
    return found | {
        "digest": manifest.digest[:12],
        "created": f"{manifest.created:%Y-%m-%d}",
        "AUC": f"{manifest.metrics.holdout.auc:.4f}" if manifest.metrics else "",
        "labels": escape(printable(", ".join(f"{key}={value}" for key, value in manifest.labels.items()))),
        "from": f"{place}{used}",
    }


def _has_label(entry: "Entry", wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    labels = {} if entry.manifest is None else entry.manifest.labels
    return key in labels and (not equals or labels[key] == value)


def _describe_model(manifest: "Manifest") -> dict[str, str]:
    """Where the model comes from, as far as the manifest knows."""
    training, metrics = manifest.training, manifest.metrics
    told = training.parameters.items() if training else manifest.runner_settings.items()
    rounds = [f"{training.rounds} rounds"] if training else []
    facts = {"recipe" if training else "runner": ", ".join([manifest.runner, *rounds, *(f"{k} {v}" for k, v in told)])}
    if training:
        facts = {"left out": ", ".join(training.dropped_fields) or "nothing", **facts}
    if metrics:
        facts["data"] = f"{metrics.dataset.rows} rows, sha256 {metrics.dataset.sha256}"
    return facts


def _row(entry: "Entry", tags: list[str]) -> dict[str, object]:
    found = {
        "name": entry.name,
        "version": entry.version,
        "where": entry.where,
        "shipped": entry.shipped,
        "default": entry.reference == DEFAULT_BUNDLE,
        "tags": tags,
    }
    if entry.manifest is None:
        return found | {"fault": entry.fault}
    return found | describe(entry.manifest)
