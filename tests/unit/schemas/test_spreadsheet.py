"""CSV that we write: a spreadsheet finds text where text was meant, and numbers where numbers were."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.spreadsheet import SpreadsheetWriter, keep_from_evaluation, neutralise


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ('=HYPERLINK("http://x","y")', '\'=HYPERLINK("http://x","y")'),
        ("+1", "'+1"),
        ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"),
        ("@SUM(1)", "'@SUM(1)"),
        (" =1", "' =1"),
        ("\xa0=1", "'\xa0=1"),
        ("'=1", "''=1"),
        ('"=1', "'\"=1"),
        ("\t=1", "'\ufffd=1"),
        ("\r=1", "'\ufffd=1"),
        ("\0=1", "'\ufffd=1"),
        ("\ufeff=1", "'\ufffd=1"),
        ("\tx", "'\ufffdx"),
        ("＝1", "'＝1"),
        ("\n=1", "\ufffd=1"),
        ("a=1", "a=1"),
        ("a;=1+1", "a;'=1+1"),
        ('a;"=1+1', "a;'\"=1+1"),
        ("=1;-2", "'=1;'-2"),
        ("a;b", "a;b"),
        ("a;\t@x", "a;'\ufffd@x"),
        ("a\0b\x1b[31m\nc\u202e", "a\ufffdb\ufffd[31m\ufffdc\ufffd"),
        ("O'Brien 7", "O'Brien 7"),
        ("é-ü", "é-ü"),
        ("", ""),
    ],
)
def test_a_text_is_a_text(text: str, cell: str) -> None:
    """An id such as `=1+1` used to be written as it was, and was a formula to whoever opened the file."""
    assert neutralise(text) == cell


@pytest.mark.parametrize(
    ("delimiter", "cell", "kept"),
    [
        (",", "x;=1+1", "x;'=1+1"),
        (",", "x\t=1+1", "x\t'=1+1"),
        (",", "x,=1+1", "x,=1+1"),
        (";", "x,=1+1", "x,'=1+1"),
        ("\t", "x,=1;=2", "x,'=1;'=2"),
        ("|", "x;+a", "x;'+a"),
        (";", "-1,490.50", "-1,490.50"),
        (",", "3;-5", "3;-5"),
        (",", "a\tb;c", "a\tb;c"),
        (",", "\tb", "'\tb"),
        (",", "=1", "'=1"),
        (",", "", ""),
    ],
)
def test_a_cell_that_another_spreadsheet_would_divide(delimiter: str, cell: str, kept: str) -> None:
    """Spreadsheets divide lines at their country's separator: the rest of a text was a formula in the next cell."""
    assert keep_from_evaluation(cell, delimiter) == kept


def test_numbers_stay_numbers() -> None:
    """A negative number is no formula: it is written as the number that it is."""
    file = io.StringIO(newline="")
    SpreadsheetWriter(file, ("id", "n", "x")).write(("-5", -5, -0.25))
    assert file.getvalue() == "id,n,x\r\n'-5,-5,-0.25\r\n"


@given(st.lists(st.text(), min_size=2, max_size=2))
def test_no_text_breaks_the_table(texts: list[str]) -> None:
    """Whatever the texts, the file has its two rows of two cells, of which none begins as a formula does."""
    file = io.StringIO(newline="")
    SpreadsheetWriter(file, ("a", "b")).write(texts)
    header, row = csv.reader(io.StringIO(file.getvalue(), newline=""), strict=True)
    assert (len(header), len(row)) == (2, 2)
    begins = [cell.lstrip(" \"'\xa0")[:1] for cell in row if not cell.startswith("'")]
    assert not {*"=+-@\t\r"} & {*begins}
    assert "\0" not in file.getvalue()
