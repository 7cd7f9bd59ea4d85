"""Writes CSV files that are safe in spreadsheets: no cell is a formula or has invisible characters.

Anyone who can publish an application chooses its id, and a spreadsheet evaluates a cell that begins like a formula.
"""

import csv
import re
import unicodedata
from collections.abc import Iterable
from typing import TextIO

# Characters that begin a formula in spreadsheets; some convert the full-width forms on import.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_INVISIBLE = frozenset(
    {"Cc", "Cf", "Cs", "Zl", "Zp"}
)  # controls, directions and zero widths, half pairs, line separators
_is_number = re.compile(r"[+-]?[0-9][0-9., ]*([eE][+-]?[0-9]+)?", re.ASCII).fullmatch
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
        """Writes a row; numbers stay numbers, whatever their sign, and texts are neutralised."""
        self._write([neutralise(cell) if isinstance(cell, str) else cell for cell in cells])


def neutralise(text: str) -> str:
    """Converts a text to a cell that no spreadsheet evaluates as a formula, without invisible characters.

    A text that begins like a formula is prefixed with an apostrophe. Each invisible character becomes a replacement
    character.
    """
    visible = "".join(
        _REPLACEMENT if unicodedata.category(character) in _INVISIBLE else character for character in text
    )
    return f"'{visible}" if _begins_like_a_formula(text) else visible


def keep_from_evaluation(cell: str) -> str:
    """Returns a cell of another file, with an apostrophe before it if a spreadsheet would evaluate it as a formula.

    Nothing else changes, and no number does, in any notation.
    """
    return f"'{cell}" if _begins_like_a_formula(cell) and not _is_number(cell) else cell


def _begins_like_a_formula(text: str) -> bool:
    """Whether it does so after leading spaces or quotes, which may be dropped when the file is opened."""
    return text.lstrip(" \xa0\u3000\"'`\ufeff\0").startswith(_FORMULA_STARTS)
