"""What one column of a data file contains: forms of values, extremes and counts, in bounded memory."""

import math
import re
from bisect import insort
from collections import Counter
from enum import StrEnum
from functools import lru_cache
from typing import Final

from schemas.contract import NUMBER_MAX
from schemas.contract_values import read_date, read_date_time
from schemas.text import is_utf8

DISTINCT_MAX: Final = 20_000
"""Different values that are counted per column; a category has far fewer, and 1,000 columns still fit into memory."""
COUNTED_CHARACTERS_MAX: Final = 256
"""Characters by which texts are counted: a category's values are not longer, and other texts may be of any length."""
_NUMBER_CHARACTERS_MAX: Final = 64  # twice as many as any float64 needs
_EXTREMES_MAX: Final = 16  # more than the codes for unknown values of one column
MISSING_WORDS: Final = frozenset({"NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "?"})
"""Words that programs write into files for missing values."""

_is_json_number = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?").fullmatch
_is_decimal_comma = re.compile(r"-?[0-9]{1,3}(\.?[0-9]{3})*,[0-9]+").fullmatch
_is_local_date = re.compile(r"[0-9]{1,2}([./-])[0-9]{1,2}\1[0-9]{4}").fullmatch
_has_offset = re.compile(r".*([Zz]|[+-][0-9]{2}:[0-9]{2})").fullmatch


class Form(StrEnum):
    """How a value is written."""

    EMPTY = "empty"
    MISSING_WORD = "a word for a missing value"
    BOOLEAN = "true or false"
    INTEGER = "a number without a decimal point"
    NUMBER = "another number"
    DECIMAL_COMMA = "a number with a decimal comma"
    DATE = "a date"
    LOCAL_DATE = "a date that is not written as YYYY-MM-DD"
    DATE_TIME = "a date and time with an offset"
    LOCAL_DATE_TIME = "a date and time that is not RFC 3339"
    TEXT = "a text"
    UNSUPPORTED = "a list, an empty object or another value that is not a number, text or truth value"
    INVALID = "a text that is not UTF-8"


@lru_cache(maxsize=1 << 16)
def form_of_cell(cell: str) -> Form:
    """The form of a cell of a CSV file, in which everything is a text."""
    if not cell:
        return Form.EMPTY
    if cell in MISSING_WORDS:
        return Form.MISSING_WORD
    if cell.lower() in {"true", "false"}:
        return Form.BOOLEAN
    if len(cell) <= _NUMBER_CHARACTERS_MAX and _is_json_number(cell) and abs(float(cell)) <= NUMBER_MAX:
        return Form.NUMBER if set(".eE").intersection(cell) else Form.INTEGER
    return Form.DECIMAL_COMMA if _is_decimal_comma(cell) else form_of_text(cell)


@lru_cache(maxsize=1 << 16)
def form_of_text(text: str) -> Form:
    """The form of a text of a JSON file, in which numbers and truth values are not texts."""
    if not is_utf8(text):
        return Form.INVALID
    if read_date(text):
        return Form.DATE
    if _is_local_date(text):
        return Form.LOCAL_DATE
    if read_date_time(text):
        return Form.DATE_TIME
    written = f"{text[:10]}T{text[11:]}"
    if text[10:11] in {" ", "T"} and read_date_time(written if _has_offset(text) else f"{written}Z"):
        return Form.LOCAL_DATE_TIME
    return Form.TEXT


class ColumnProfile:
    """Counts the values of a column. All attributes change with each value that is added, and only then."""

    def __init__(self) -> None:
        self.forms: Counter[Form] = Counter()
        self.counts: Counter[str] = Counter()
        """By value, without missing ones: the first `DISTINCT_MAX` different values."""
        self.lowest: list[float] = []
        """The least different numbers, ascending."""
        self.highest: list[float] = []
        """The greatest different numbers, ascending."""
        self.longest = 0
        """Characters of the longest value."""

    def add(self, value: object) -> None:
        """Adds a value of a JSON or Parquet file; None is a missing one."""
        match value:
            case None:
                self.forms[Form.EMPTY] += 1
            case bool():
                self._count("true" if value else "false", Form.BOOLEAN)
            case int() | float():
                self._add_number(value)
            case str():
                self._count(value, form_of_text(value))
            case _:
                self.forms[Form.UNSUPPORTED] += 1

    def add_cell(self, cell: str) -> None:
        """Adds a cell of a CSV file, with spaces around it removed."""
        form = form_of_cell(cell)
        if form is Form.EMPTY:
            self.forms[form] += 1
        else:
            self._count(cell, form)

    def _add_number(self, number: float) -> None:
        try:
            as_float = float(number)
        except OverflowError:
            as_float = math.inf
        if abs(as_float) <= NUMBER_MAX:
            self._count(repr(number), Form.INTEGER if isinstance(number, int) else Form.NUMBER)
        else:  # NaN is how Parquet files and Python write a missing number
            self.forms[Form.EMPTY if math.isnan(as_float) else Form.UNSUPPORTED] += 1

    def _count(self, text: str, form: Form) -> None:
        self.forms[form] += 1
        if form is not Form.MISSING_WORD:
            self.longest = max(self.longest, len(text))
        if form in {Form.INTEGER, Form.NUMBER}:
            self._rank(float(text))
        counted = text[:COUNTED_CHARACTERS_MAX]
        if counted in self.counts or len(self.counts) < DISTINCT_MAX:
            self.counts[counted] += 1

    def _rank(self, number: float) -> None:
        """Keeps the number if it is among the extremes."""
        if (len(self.lowest) < _EXTREMES_MAX or number < self.lowest[-1]) and number not in self.lowest:
            insort(self.lowest, number)
            del self.lowest[_EXTREMES_MAX:]
        if (len(self.highest) < _EXTREMES_MAX or number > self.highest[0]) and number not in self.highest:
            insort(self.highest, number)
            del self.highest[:-_EXTREMES_MAX]

    @property
    def rows(self) -> int:
        """Number of values, missing ones included."""
        return self.forms.total()

    @property
    def present(self) -> int:
        """Number of values that are not missing."""
        return self.rows - self.forms[Form.EMPTY] - self.forms[Form.MISSING_WORD]

    @property
    def is_complete(self) -> bool:
        """Whether all different values were counted."""
        return len(self.counts) < DISTINCT_MAX

    @property
    def missing_words(self) -> list[str]:
        """The words for missing values that occur, sorted; JSON files have their own."""
        return sorted(MISSING_WORDS & self.counts.keys()) if self.forms[Form.MISSING_WORD] else []

    def distinct(self) -> dict[str, int]:
        """How often each different value occurs, without words for missing values."""
        words = set(self.missing_words)
        return {text: count for text, count in self.counts.items() if text not in words}

    def numbers(self) -> Counter[float]:
        """How often each different number occurs; `1` and `1.0` are one."""
        numbers: Counter[float] = Counter()
        for text, count in self.distinct().items():
            numbers[float(text)] += count
        return numbers
