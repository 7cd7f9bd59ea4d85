"""`scorer bundle diff`: two bundles, and their decisions, side by side."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.printable import printable
from scorer.cli.options import ConfigOption, JsonOption, SetOption, settings_of, show_hints
from scorer.cli.score import name_source, read_batches
from scorer.cli.train import StoreOption
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from scorer.bundle.diff import Change, Comparison

_VALUE_CHARACTERS_MAX = 44


def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A bundle, such as the one that decides now.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Another one, such as the one that is to decide.")],
    on: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Compare their decisions on these applications: .csv or .jsonl; - is stdin."),
    ] = None,
    ids: Annotated[
        bool, typer.Option("--ids", help="With --on: list the applications whose decision flips, by id.")
    ] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what two bundles say, and decide, differently.

    The manifests: fields, policy, libraries, figures, and all else that differs. With --on, both score a file of
    applications: how many decisions flip from what to what, and how far the probability of default moves. Nothing of
    the applications is shown; their ids only with --ids.

    Examples:
    ```
    scorer bundle diff credit-risk:1.0.0 credit-risk:1.1.0
    scorer bundle diff credit-risk:1.0.0 credit-risk:1.1.0 --on applications.csv --json
    ```
    """
    from schemas.rows import Hints
    from scorer.bundle.diff import compare_decisions, compare_manifests
    from scorer.bundle.load import read_manifest
    from scorer.bundle.store import BundleStore

    if ids and on is None:
        raise MisuseError("--ids: lists applications, and none are given: name a file of them with --on")
    settings = settings_of(config, None, assignments, store=store).settings
    bundles = BundleStore(settings.store)
    manifests = [read_manifest(bundles.find(reference)) for reference in (before, after)]
    changes = compare_manifests(*manifests)
    decisions, hints = None, Hints()
    if on is not None:
        opened = bundles.open(before), bundles.open(after)
        decisions = compare_decisions(
            read_batches(on, name_source(on, None), hints), opened, settings.record_bytes_max, keep_flips=ids
        )
    show_hints(hints)
    if as_json:
        found = {
            "before": str(manifests[0].reference),
            "after": str(manifests[1].reference),
            "changes": [asdict(change) for change in changes],
            "decisions": _as_json(decisions, ids) if decisions else None,
        }
        typer.echo(json.dumps(found, indent=2))
        return
    _print_changes(changes)
    if decisions:
        _print_decisions(decisions)


def _as_json(decisions: "Comparison", ids: bool) -> dict[str, object]:
    from scorer.core.policy import OUTCOMES

    found: dict[str, object] = {
        "rows": decisions.rows,
        "compared": decisions.compared,
        "flipped": decisions.flipped,
        "flips": {old: {new: decisions.decided[old, new] for new in OUTCOMES} for old in OUTCOMES},
        "pd_shift": {
            "mean": decisions.shift_mean,
            "mean_distance": decisions.distance_mean,
            "max_distance": decisions.shift_max,
        },
    }
    return found | ({"flipped_applications": [asdict(flip) for flip in decisions.flips]} if ids else {})


def _print_changes(changes: "list[Change]") -> None:
    for change in changes:
        if change.before is None:
            line = f"only B   {change.where}{_write(change.after)}"
        elif change.after is None:
            line = f"only A   {change.where}{_write(change.before)}"
        else:
            line = f"differs  {change.where}{_write(change.before)} →{_write(change.after).removeprefix(':')}"
        typer.echo(printable(line))
    if not changes:
        typer.echo("The manifests are the same, and so are the bundles.")


def _write(value: object) -> str:
    """A value of a manifest after its name; a column is there or not, and has none."""
    if value is True:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False).strip('"')
    return f": {text if len(text) <= _VALUE_CHARACTERS_MAX else f'{text[: _VALUE_CHARACTERS_MAX - 1]}…'}"


def _print_decisions(decisions: "Comparison") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from scorer.core.policy import OUTCOMES

    table = Table(box=box.SIMPLE, title="Decisions: A's by row, B's by column", title_justify="left")
    table.add_column("")
    for outcome in OUTCOMES:
        table.add_column(outcome, justify="right")
    for old in OUTCOMES:
        cells = [str(decisions.decided[old, new]) for new in OUTCOMES]
        table.add_row(old, *cells)
    Console().print(table)
    share = decisions.flipped / max(decisions.compared, 1)
    typer.echo(
        f"{decisions.flipped} of {decisions.compared} decisions flip ({share:.2%}). "
        f"The probability of default moves by {decisions.shift_mean:+.4f} on average; "
        f"an application's by {decisions.distance_mean:.4f} on average and {decisions.shift_max:.4f} at most."
    )
    if decisions.compared < decisions.rows:
        typer.echo(
            f"Left out: {decisions.rows - decisions.compared} of {decisions.rows} rows, "
            "which are no applications or which one of the models cannot score."
        )
    for flip in decisions.flips:
        typer.echo(printable(f"line {flip.offset}: {flip.application_id} {flip.before} → {flip.after}"))
