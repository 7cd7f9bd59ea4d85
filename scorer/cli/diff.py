"""`scorer bundle diff`: compare two bundles, and their decisions on a file."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.printable import printable
from scorer.cli.options import ConfigOption, JsonOption, SetOption, StoreOption, settings_of, show_hints
from scorer.cli.rows import name_source, read_batches
from scorer.cli.tables import print_tables
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from scorer.author.diff import Change, Comparison

_VALUE_CHARACTERS_MAX = 44


def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="The first bundle, for example the champion.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The second bundle, for example the candidate.")],
    on: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Compare their decisions on this file of applications: .csv or .jsonl; - is stdin."
        ),
    ] = None,
    ids: Annotated[
        bool, typer.Option("--ids", help="With --on: list the ids of applications whose decision changes.")
    ] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two bundles, and optionally their decisions.

    Compares the manifests: fields, policy, libraries, metrics and everything else. With --on, both score a file of
    applications: how many decisions change from which label to which, and by how much the probability of default
    changes. No field of an application is shown; ids only with --ids.

    Examples:
    ```
    scorer bundle diff credit-risk:1.0.0 credit-risk:1.1.0
    scorer bundle diff credit-risk:1.0.0 credit-risk:1.1.0 --on applications.csv --json
    ```
    """
    from schemas.rows import Hints
    from scorer.author.diff import compare_decisions, compare_manifests
    from scorer.bundle.load import read_manifest
    from scorer.store.store import BundleStore

    if ids and on is None:
        raise MisuseError("--ids lists applications: give a file of them with --on")
    settings = settings_of(config, None, assignments, store=store).settings
    source = None if on is None else name_source(on, None)
    bundles = BundleStore(settings.store)
    manifests = [read_manifest(bundles.find(reference)) for reference in (before, after)]
    changes = compare_manifests(*manifests)
    decisions, hints = None, Hints()
    if on is not None and source is not None:
        opened = bundles.open(before), bundles.open(after)
        batches = read_batches(on, source, opened[1].encoding.contract, hints)
        decisions = compare_decisions(batches, opened, settings.record_bytes_max, keep_flips=ids)
    show_hints(hints)
    if as_json:
        report = {
            "before": str(manifests[0].reference),
            "after": str(manifests[1].reference),
            "changes": [asdict(change) for change in changes],
            "decisions": _as_json(decisions, ids) if decisions else None,
        }
        typer.echo(json.dumps(report, indent=2))
        return
    _print_changes(changes)
    if decisions:
        _print_decisions(decisions)


def _as_json(decisions: "Comparison", ids: bool) -> dict[str, object]:
    from scorer.core.policy import LABELS

    comparison: dict[str, object] = {
        "rows": decisions.rows,
        "compared": decisions.compared,
        "flipped": decisions.flipped,
        "flips": {old: {new: decisions.decided[old, new] for new in LABELS} for old in LABELS},
        "pd_shift": {
            "mean": decisions.shift_mean,
            "mean_distance": decisions.distance_mean,
            "max_distance": decisions.shift_max,
        },
    }
    return comparison | ({"flipped_applications": [asdict(flip) for flip in decisions.flips]} if ids else {})


def _print_changes(changes: "list[Change]") -> None:
    for change in changes:
        if change.before is None:
            line = f"only B   {change.where}{_value_text(change.after)}"
        elif change.after is None:
            line = f"only A   {change.where}{_value_text(change.before)}"
        else:
            line = f"differs  {change.where}{_value_text(change.before)} →{_value_text(change.after).removeprefix(':')}"
        typer.echo(printable(line))
    if not changes:
        typer.echo("The manifests are identical, and so are the bundles.")


def _value_text(value: object) -> str:
    """A manifest value as it follows its name; a column has no value."""
    if value is True:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False).strip('"')
    return f": {text if len(text) <= _VALUE_CHARACTERS_MAX else f'{text[: _VALUE_CHARACTERS_MAX - 1]}…'}"


def _print_decisions(decisions: "Comparison") -> None:
    from rich import box
    from rich.table import Table

    from scorer.core.policy import LABELS

    table = Table(box=box.SIMPLE, title="Decisions (rows: A, columns: B)", title_justify="left")
    table.add_column("")
    for label in LABELS:
        table.add_column(label, justify="right")
    for old in LABELS:
        cells = [str(decisions.decided[old, new]) for new in LABELS]
        table.add_row(old, *cells)
    print_tables(table)
    share = decisions.flipped / max(decisions.compared, 1)
    typer.echo(
        f"{decisions.flipped} of {decisions.compared} decisions change ({share:.2%}). Change in the probability of "
        f"default: mean {decisions.shift_mean:+.4f}, mean absolute {decisions.distance_mean:.4f}, maximum absolute "
        f"{decisions.shift_max:.4f}."
    )
    if decisions.compared < decisions.rows:
        typer.echo(
            f"Skipped: {decisions.rows - decisions.compared} of {decisions.rows} rows, "
            "which are invalid or which one of the models cannot score."
        )
    for flip in decisions.flips:
        typer.echo(printable(f"line {flip.offset}: {flip.application_id} {flip.before} → {flip.after}"))
