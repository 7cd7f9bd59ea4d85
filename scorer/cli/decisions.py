"""How commands print a comparison of two bundles' decisions: as a table for people, and as JSON for scripts."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from schemas.printable import printable
from scorer.cli.tables import print_tables

if TYPE_CHECKING:
    from scorer.author.diff import Comparison


def decisions_as_json(decisions: "Comparison", *, ids: bool = False) -> dict[str, object]:
    """The comparison for scripts; with the ids of the applications whose decision changes if they were kept."""
    return decisions.as_json() | ({"flipped_applications": [asdict(flip) for flip in decisions.flips]} if ids else {})


def print_decisions(decisions: "Comparison", axes: str) -> None:
    """Prints the comparison: how many decisions change from which label to which, and by how much probabilities do.

    Args:
        decisions: the comparison.
        axes: which bundle the rows and the columns are of.
    """
    from rich import box
    from rich.table import Table

    from scorer.core.policy import LABELS

    table = Table(box=box.SIMPLE)
    table.add_column("")
    for label in LABELS:
        table.add_column(label, justify="right")
    for old in LABELS:
        cells = [str(decisions.decided[old, new]) for new in LABELS]
        table.add_row(old, *cells)
    typer.echo(printable(f"Decisions ({axes})"))
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
