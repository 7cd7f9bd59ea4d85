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
_SEPARATORS = ",;\t"
"""Of cells, by a spreadsheet's country and settings."""
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

    A text that begins like a formula is prefixed with an apostrophe; so is one after a semicolon, by which spreadsheets
    of many countries separate cells. Each invisible character becomes a replacement character.
    """
    quoted = ";".join(_quote_formula(part) for part in text.split(";"))
    return "".join(_REPLACEMENT if unicodedata.category(character) in _INVISIBLE else character for character in quoted)


def keep_from_evaluation(cell: str, delimiter: str) -> str:
    """Returns a cell of another file, with an apostrophe before it if a spreadsheet would evaluate it as a formula.

    The same applies within the cell after a character by which a spreadsheet may separate cells although the file does
    not. Nothing else changes, and no number does, in any notation.

    Args:
        cell: the cell's text.
        delimiter: separates the file's cells.
    """
    parts = re.split(f"([{_SEPARATORS.replace(delimiter, '')}])", cell)
    parts[2::2] = [part if _is_number(part) else _quote_formula(part) for part in parts[2::2]]
    return cell if _is_number(cell) else _quote_formula("".join(parts))


def _quote_formula(text: str) -> str:
    """The text, with an apostrophe before it if it begins like a formula.

    Spaces and quotes before the formula may be dropped when the file is opened.
    """
    begins_like_a_formula = text.lstrip(" \xa0\u3000\"'`\ufeff\0").startswith(_FORMULA_STARTS)
    return f"'{text}" if begins_like_a_formula else text
