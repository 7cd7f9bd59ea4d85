"""`scorer bundle diff`: compare two bundles, and their decisions on a file."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.printable import printable
from scorer.cli.decisions import decisions_as_json, print_decisions
from scorer.cli.options import ConfigOption, JsonOption, SetOption, StoreOption, settings_of, show_hints
from scorer.cli.progress_bar import elapsed_time
from scorer.cli.rows import name_source, read_batches
from scorer.errors import MisuseError

if TYPE_CHECKING:
    from scorer.author.diff import Change

IdsOption = Annotated[
    bool, typer.Option("--ids", help="With --on: list the ids of applications whose decision changes.")
]

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
    ids: IdsOption = False,
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
        with elapsed_time("comparing decisions"):
            opened = bundles.open(before), bundles.open(after)
            batches = read_batches(on, source, opened[1].encoding.contract, hints)
            decisions = compare_decisions(batches, opened, settings.record_bytes_max, keep_flips=ids)
    show_hints(hints)
    if as_json:
        report = {
            "before": str(manifests[0].reference),
            "after": str(manifests[1].reference),
            "changes": [asdict(change) for change in changes],
            "decisions": decisions_as_json(decisions, ids=ids) if decisions else None,
        }
        typer.echo(json.dumps(report, indent=2))
        return
    if decisions:
        print_decisions(decisions, "rows: A, columns: B")
        typer.echo()
    _print_changes(changes)


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
