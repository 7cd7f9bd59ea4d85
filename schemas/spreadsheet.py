"""CSV files that we write: in a spreadsheet no cell is a formula, and none holds a character that cannot be seen.

Anyone who may publish an application chooses its id, and a spreadsheet runs a cell that begins like a formula.
"""

import csv
import unicodedata
from collections.abc import Iterable
from typing import TextIO

# What spreadsheets take for the beginning of a formula; the wide forms because some convert them on the way in.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, directions and zero widths, half pairs, line separators
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class SpreadsheetWriter:
    """Writes rows of CSV to an open file."""

    def __init__(self, file: TextIO, columns: Iterable[str]) -> None:
        """Writes the header.

        Args:
            file: opened with `newline=""`.
            columns: the columns' names.
        """
        self._write = csv.writer(file).writerow
        self._write(columns)

    def write(self, cells: Iterable[str | float]) -> None:
        """Writes a row; a number stays a number, whatever its sign, and a text is made a text that does nothing."""
        self._write([neutralise(cell) if isinstance(cell, str) else cell for cell in cells])


def neutralise(text: str) -> str:
    """A text as a cell that no spreadsheet takes for a formula, without characters that cannot be seen.

    An apostrophe goes in front of a text that begins like a formula, also where spaces or quotes come first: those may
    be dropped when the file is opened. Each character that cannot be seen becomes a replacement character.
    """
    bare = text.lstrip(" \xa0\u3000\"'`\ufeff\0")
    seen = "".join(_REPLACEMENT if unicodedata.category(character) in _UNSEEN else character for character in text)
    return f"'{seen}" if bare.startswith(_FORMULA_STARTS) else seen
