"""How `scorer explain` prints an explanation: lines, and the contributions as a bar chart."""

import json
from typing import TYPE_CHECKING, Final

import typer

from schemas.printable import printable
from scorer.cli.tables import print_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scorer.core.explanation import Contribution
    from scorer.replay.explained import Explained

_BAR_CHARACTERS: Final = 24
_VALUE_CHARACTERS_MAX: Final = 40
_OTHERS_MAX: Final = 20  # an id that all applications have is a mistake of a publisher


def print_explained(explained: "Explained", *, as_json: bool) -> None:
    """Prints an explanation for people, or as JSON for scripts."""
    if as_json:
        typer.echo(json.dumps(explained.as_json(), indent=2))
        return
    explanation = explained.explanation
    lines = {
        "application": explained.application_id,
        "decision": f"{explanation.label}, PD {explanation.probability_of_default:.4f}",
        **({"review": explained.reviewed()} if explanation.label == "MAYBE" and explained.lookup else {}),
        "decision id": explained.decision_id,
        "bundle": explanation.bundle.short,
        "decided by": explained.basis(),
        "to differ": explained.change(),
        "proof": explained.proof(),
    }
    for name, text in lines.items():
        typer.echo(f"{name:<13}{printable(text)}")
    _print_reasons(explained)
    _print_contributions(explanation.contributions)
    _print_others(explained)


def _print_reasons(explained: "Explained") -> None:
    if explained.sentences is None:
        typer.echo("\nNo reasons: the bundle has no catalogue of reasons")
        return
    if explained.sentences:
        typer.echo("\nReasons")
    for number, (code, text) in enumerate(explained.sentences, 1):
        typer.echo(printable(f"{number}. {code}: {text}"))


def _print_contributions(contributions: "Sequence[Contribution] | None") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from scorer.replay.explained import show

    if contributions is None:
        typer.echo("\nNo contributions: only models of the runner xgboost can be explained")
        return
    table = Table(box=box.SIMPLE, title="Contributions to the log-odds of default", title_justify="left")
    for title, justify in (("field", "left"), ("value", "left"), ("lowers the PD", "right"), ("raises it", "left")):
        table.add_column(title, justify="right" if justify == "right" else "left")
    table.add_column("log-odds", justify="right")
    largest = max((abs(one.log_odds) for one in contributions), default=0) or 1
    for one in contributions:
        bar = "█" * round(_BAR_CHARACTERS * abs(one.log_odds) / largest)
        lowers, raises = (bar, "") if one.log_odds < 0 else ("", bar)
        name = f"{one.field} (prohibited basis: {', '.join(one.prohibited)})" if one.prohibited else one.field
        table.add_row(
            Text(printable(name)),
            Text(printable(show(one.value), _VALUE_CHARACTERS_MAX)),
            Text(lowers, "green"),
            Text(raises, "red"),
            f"{one.log_odds:+.3f}",
        )
    print_tables(table)


def _print_others(explained: "Explained") -> None:
    if explained.lookup is None:
        return
    if explained.lookup.current_id != explained.decision_id:
        typer.echo(printable(f"This is not the current decision, which is {explained.lookup.current_id}"))
    if explained.lookup.others:
        typer.echo("Other decisions on this application:")
    omitted = len(explained.lookup.others) - _OTHERS_MAX
    if omitted > 0:
        typer.echo(f"  {omitted:,} more, which --json lists")
    for one in explained.lookup.others[-_OTHERS_MAX:]:
        kind = f"correction of {one.supersedes}" if one.supersedes else "decision"
        typer.echo(printable(f"  {one.decision_id}  {one.decision}  {kind}"))
