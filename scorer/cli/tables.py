"""Prints tables: fitted to a terminal, with a rule below the titles; to pipes and files whole lines without any."""

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# Wider than any line, so that a program that reads the output gets each row as one line.
_COLUMNS: Final = 100_000


def output_console() -> "Console":
    """The console of standard output, which folds nothing if that is not a terminal."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=_COLUMNS)


def print_tables(*tables: "RenderableType") -> None:
    """Prints tables, and texts between them."""
    from rich.table import Table

    console = output_console()
    for table in tables:
        if isinstance(table, Table) and not console.is_terminal:
            table.box, table.pad_edge = None, False
            if table.title:  # which would be folded to the table's width
                console.print(table.title, highlight=False)
                table.title = None
        console.print(table, highlight=False)
