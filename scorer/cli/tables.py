"""Prints tables and lines: fitted to a terminal, with a rule below titles; whole lines to pipes and files."""

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Final, TextIO

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
                print_trimmed(console, table.title)
                table.title = None
        print_trimmed(console, table)


def print_trimmed(console: "Console", content: "RenderableType") -> None:
    """Prints a table or a text; to pipes and files without the spaces that fill its last column."""
    if console.is_terminal:
        console.print(content, highlight=False)
        return
    with console.capture() as capture:
        console.print(content, highlight=False)
    console.file.write("\n".join(line.rstrip(" ") for line in capture.get().split("\n")))


def fit_line(line: str, indent: int = 0, output: TextIO | None = None) -> str:
    """Breaks a line between words if it is longer than the terminal is wide.

    Args:
        line: the line.
        indent: columns by which the lines after the first are indented.
        output: where it will be printed (default: standard output); for pipes and files the line stays whole.
    """
    if not (output or sys.stdout).isatty():
        return line
    columns = max(shutil.get_terminal_size().columns, 2 * indent, 1)
    wrap = textwrap.TextWrapper(columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
    return wrap.fill(line)
