"""`scorer bundle diff`: compare two bundles: their decisions on the same applications, and what they are."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from schemas.printable import printable
from scorer.cli.decisions import decisions_as_json, print_decisions
from scorer.cli.options import (
    ConfigOption,
    JsonOption,
    PageOption,
    SetOption,
    StoreOption,
    require_target,
    settings_of,
    show_hints,
    write_page,
)
from scorer.cli.progress_bar import elapsed_time
from scorer.cli.rows import FileRecord, name_source, read_batches
from scorer.cli.tables import output_console, print_tables
from scorer.errors import BundleError, MisuseError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scorer.author.diff import Change, Comparison
    from scorer.author.facts import Fact
    from scorer.bundle.manifest import Manifest
    from scorer.store.store import BundleStore

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
            metavar="FILE",
            help="Compare their decisions on this file of applications: .csv or .jsonl; - is stdin. Default: the "
            "golden examples of B, which are synthetic.",
        ),
    ] = None,
    ids: IdsOption = False,
    show_all: Annotated[bool, typer.Option("--all", help="Also list all manifest entries that differ.")] = False,
    html: PageOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two bundles: what they decide on the same applications, then fields, policy and figures.

    Both score a file of applications, or without --on the golden examples: how many decisions change from which label
    to which, and by how much the probability of default (PD) changes. No field of an application is shown; ids only
    with --ids.

    Examples:
    ```
    scorer bundle diff credit-risk:1.0.0 credit-risk:1.1.0 --on applications.csv
    scorer bundle diff credit-risk:1.0.0 credit-risk:1.1.0 --on applications.csv --html diff.html
    scorer bundle diff credit-risk:1.0.0 credit-risk:1.1.0 --all
    ```
    """
    from schemas.rows import Hints
    from scorer.author.diff import compare_decisions, compare_manifests
    from scorer.author.facts import compare_facts
    from scorer.bundle.load import read_manifest
    from scorer.store.store import BundleStore

    if ids and on is None:
        raise MisuseError("--ids lists applications: give a file of them with --on")
    settings = settings_of(config, None, assignments, store=store).settings
    require_target("--html", html)
    source, bundles, hints = None if on is None else name_source(on, None), BundleStore(settings.store), Hints()
    manifests = read_manifest(bundles.find(before)), read_manifest(bundles.find(after))
    with elapsed_time("comparing decisions"):
        if on is None or source is None:
            decisions, sample = _compare_on_golden(bundles, (before, after), settings.record_bytes_max)
        else:
            opened, sample = (bundles.open(before), bundles.open(after)), "the applications of the file"
            batches = read_batches(on, source, opened[1].encoding.contract, hints)
            decisions = compare_decisions(batches, opened, settings.record_bytes_max, keep_flips=ids)
    show_hints(hints)
    compared = _Compared(manifests, decisions, sample, compare_facts(*manifests), compare_manifests(*manifests))
    if html is not None:
        _write_page(compared, html)
    if as_json:
        typer.echo(json.dumps(_as_json(compared, ids=ids), indent=2))
        return
    _print_compared(compared, show_all=show_all)


class _Compared(NamedTuple):
    """Everything that two bundles were compared in."""

    manifests: "tuple[Manifest, Manifest]"
    decisions: "Comparison | None"
    """None if a bundle cannot be opened."""
    sample: str
    """Which applications they decided, or why they decided none."""
    facts: "list[Fact]"
    changes: "list[Change]"


def _compare_on_golden(
    bundles: "BundleStore", references: tuple[str, str], bytes_max: int
) -> "tuple[Comparison | None, str]":
    """Compares the decisions on the second bundle's golden examples; says which they are, or why there are none."""
    from scorer.author.diff import compare_decisions

    try:
        before, after = map(bundles.open, references)
    except BundleError as error:
        return None, f"Decisions are not compared, because a bundle cannot be opened: {error}"
    records = [FileRecord("golden", number, value) for number, value in enumerate(after.golden_values, 1)]
    decisions = compare_decisions([records], (before, after), bytes_max, keep_flips=False)
    return decisions, f"the {len(records)} golden examples of {after.reference.short}, which are synthetic"


def _as_json(compared: _Compared, *, ids: bool) -> dict[str, object]:
    before, after = compared.manifests
    return {
        "before": str(before.reference),
        "after": str(after.reference),
        "applications": compared.sample,
        "decisions": decisions_as_json(compared.decisions, ids=ids) if compared.decisions else None,
        "facts": [fact._asdict() for fact in compared.facts],
        "changes": [asdict(change) for change in compared.changes],
    }


def _write_page(compared: _Compared, path: "Path") -> None:
    from scorer.replay.diff_page import render

    names = (str(compared.manifests[0].reference), str(compared.manifests[1].reference))
    write_page(path, render(names, compared.decisions, compared.sample, compared.facts))
    typer.echo(f"Wrote {path}", err=True)


def _print_compared(compared: _Compared, *, show_all: bool) -> None:
    if compared.decisions is None:
        typer.echo(printable(f"{compared.sample}\n"))
    else:
        typer.echo(printable(f"On {compared.sample}:"))
        print_decisions(compared.decisions, "rows: A, columns: B")
        typer.echo()
    before, after = compared.manifests
    _print_facts(compared.facts, (before.reference.short, after.reference.short))
    if show_all:
        _print_changes(compared.changes)
    elif compared.changes:
        typer.echo(f"≠ differs. Entries in which the manifests differ: {len(compared.changes)}; --all lists them.")
    if not compared.changes:
        typer.echo("The manifests are identical, and so are the bundles.")


def _print_facts(facts: "Sequence[Fact]", names: tuple[str, str]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    is_terminal = output_console().is_terminal
    separator = "\n" if is_terminal else "; "
    titles = (name.replace("@", "\n@") if is_terminal else name for name in names)
    table = Table(box=box.SIMPLE)
    for title in ("", "", *titles):
        table.add_column(title, overflow="fold")
    for fact in facts:
        texts = (Text(separator.join(map(printable, lines))) for lines in (fact.before, fact.after))
        table.add_row("≠" if fact.differs else "", fact.name, *texts)
    print_tables(table)


def _print_changes(changes: "Sequence[Change]") -> None:
    for change in changes:
        if change.before is None:
            line = f"only B   {change.where}{_value_text(change.after)}"
        elif change.after is None:
            line = f"only A   {change.where}{_value_text(change.before)}"
        else:
            line = f"differs  {change.where}{_value_text(change.before)} →{_value_text(change.after).removeprefix(':')}"
        typer.echo(printable(line))


def _value_text(value: object) -> str:
    """A manifest value as it follows its name; a column has no value."""
    if value is True:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False).strip('"')
    return f": {text if len(text) <= _VALUE_CHARACTERS_MAX else f'{text[: _VALUE_CHARACTERS_MAX - 1]}…'}"
