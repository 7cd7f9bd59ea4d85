"""Files as spreadsheets save them: delimiters, encodings, headers and numbers."""

import json
from pathlib import Path

import pytest

from schemas.application import CreditApplication
from schemas.contracts import shipped_contract
from schemas.files import read_applications
from schemas.rows import Hints
from tests.unit.schemas.made_files import (
    APPLICATION,
    CODED,
    HEADER,
    SPELLED_OUT,
    error_of,
    faults_of,
    read_rows,
    write,
)


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    """A CSV file that begins with a byte order mark, as spreadsheets write it, reads like any other."""
    assert len(read_rows(write(tmp_path, "a.csv", b"\xef\xbb\xbf" + HEADER.encode(), CODED))) == 1


def test_bytes_that_are_not_utf8_cost_one_row(tmp_path: Path) -> None:
    """A row of CSV that is not UTF-8 stays so for the contract to refuse, and its neighbours are untouched."""
    path = write(tmp_path, "a.csv", HEADER, CODED, SPELLED_OUT.encode().replace(b"rent", b"r\xe9nt"), CODED)
    before, bad, after = read_applications(path, shipped_contract())
    assert b'"r\xe9nt"' in bad.value
    CreditApplication.model_validate_json(before.value)
    CreditApplication.model_validate_json(after.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_reads_the_same_from_every_spreadsheet(tmp_path: Path, delimiter: str, end: str, encoding: str) -> None:
    """Delimiter, line ends and encoding are a matter of the program and country that a file was saved in.

    Semicolons, tabs and UTF-16 used to be a header that lacks every column, and CR a message about Python.
    """
    text = f"\n{HEADER}\n{CODED}\n\n{SPELLED_OUT}\n".replace(",", delimiter).replace("\n", end)
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    assert read_rows(tmp_path / "a.csv") == [
        row._replace(line=line, value=row.value.replace(b":2-", b":%d-" % line))
        for line in (3, 5)
        for row in read_applications(write(tmp_path, "b/a.csv", HEADER, CODED), shipped_contract())
    ]


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "sep=; ", "SEP=;", "Sep=;"])
def test_excels_line_about_the_delimiter_is_not_the_header(tmp_path: Path, line: str) -> None:
    """Excel reads and writes `sep=;` above the header; the rows keep their lines."""
    (row,) = read_applications(
        write(tmp_path, "a.csv", line, HEADER.replace(",", ";"), CODED.replace(",", ";")), shipped_contract()
    )
    assert row.line == 3
    CreditApplication.model_validate_json(row.value)


@pytest.mark.parametrize(
    ("separator", "code", "escaped"),
    [
        ("\x85", "U+0085", r"\xc2\x85"),
        ("\u2028", "U+2028", r"\xe2\x80\xa8"),
        ("\v", "U+000B", r"\x0b"),
        ("\x1e", "U+001E", r"\x1e"),
    ],
    ids=["next line", "line separator", "vertical tab", "record separator"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_lines_that_end_in_another_way_are_no_header(
    tmp_path: Path, separator: str, code: str, escaped: str, encoding: str
) -> None:
    """A file from a mainframe was one header of unknown columns: no row was read, and values were shown as names."""
    path = tmp_path / "a.csv"
    path.write_bytes(separator.join([HEADER, SPELLED_OUT, SPELLED_OUT, ""]).encode(encoding))
    error = error_of(path)
    assert f"line 1: the header has {code}" in error
    assert f"`sed 's/{escaped}/\\n/g' < {path} > " in error
    assert "rent" not in error


def test_a_header_is_found_whatever_its_spelling(tmp_path: Path) -> None:
    """Spaces around and within names, dashes and letter case: a column of ids was left out, and ids were made up."""
    header = '" APPLICATION  id",' + HEADER.replace("Age", " AGE\t").replace("Home", '"home"')
    (row,) = read_applications(write(tmp_path, "a.csv", header, f"a-7,{CODED}"), shipped_contract())
    assert json.loads(row.value) == {"application_id": "a-7", **APPLICATION}


@pytest.mark.parametrize(
    "column", ["ApplicationID", "\u200bapplication_id", '"\ufeffapplication_id"', "Application \u00ad-ID"]
)
def test_a_column_is_known_by_its_letters_alone(tmp_path: Path, column: str) -> None:
    """Without separators, or with characters that cannot be seen, a column of ids was dropped and ids were made up."""
    (row,) = read_applications(write(tmp_path, "a.csv", f"{column},{HEADER}", f"a-7,{CODED}"), shipped_contract())
    assert json.loads(row.value) == {"application_id": "a-7", **APPLICATION}


@pytest.mark.parametrize("mark", ["\u00ef\u00bb\u00bf", "\ufeff\u00ef\u00bb\u00bf"])
def test_a_mark_that_was_encoded_twice_is_no_part_of_the_header(tmp_path: Path, mark: str) -> None:
    """It became part of the first column's name, and the outcomes in that column were lost."""
    (row,) = read_applications(write(tmp_path, "a.csv", mark + HEADER, CODED), shipped_contract())
    assert row.status == "ok"


@pytest.mark.parametrize(
    ("replaced", "column", "field"),
    [
        ("Income", "Monthly Income", "income"),
        ("Income", "monthlyIncome", "income"),
        ("Income", "incme", "income"),
        ("Debt", "total_debts", "debt"),
        ("Assets", "Asset (EUR)", "assets"),
        ("Marital", "Marital Status", "marital"),
        ("Status", "id", "application_id"),
        ("Status", "Application No.", "application_id"),
    ],
)
def test_a_column_near_a_field_that_is_missing_is_refused(
    tmp_path: Path, replaced: str, column: str, field: str
) -> None:
    """A `Monthly Income` was dropped without a word, and everybody decided as if the income were unknown."""
    message = error_of(write(tmp_path, "a.csv", HEADER.replace(replaced, column), CODED))
    assert message.endswith(
        f'a.csv, line 1: columns with names similar to fields of the contract: "{column}" '
        f"({field}?). Rename those that are these fields, and remove the others"
    )


def test_a_required_field_that_is_missing_may_be_under_another_name(tmp_path: Path) -> None:
    """The message lists all the names; which of the file's columns is meant is said where it is a header at all."""
    header = HEADER.replace("Expenses", "Monthly Expenses").replace("Age", "Ages")
    message = error_of(write(tmp_path, "a.csv", header, CODED))
    assert message.endswith('Other columns are ignored: is it one of "Ages" (age?), "Monthly Expenses" (expenses?)')
    assert error_of(write(tmp_path, "a.csv", "s3cret age,Home", CODED)).endswith("Other columns are ignored")


def test_columns_that_nothing_reads_are_named_once(tmp_path: Path) -> None:
    """And so are fields that the whole file lacks; neither is a reason to refuse the file."""
    header = HEADER.replace("Status", "Debt Ratio").replace("Income", "No\u200bte") + ",,b,Income"
    path, hints = write(tmp_path, "a.csv", header, CODED + ",,,", CODED + ",,,"), Hints()
    assert len(list(read_applications(path, shipped_contract(), hints))) == 2
    assert hints.texts() == [
        'line 1: ignored columns: "Debt Ratio", "No\N{REPLACEMENT CHARACTER}te", one without a name, "b"'
    ]
    path, hints = write(tmp_path, "a.csv", HEADER.replace("Income,Assets,", ""), CODED.replace("182,0,", "")), Hints()
    assert len(list(read_applications(path, shipped_contract(), hints))) == 1
    assert hints.texts() == ["line 1: no column income or assets: unknown in every row"]


def test_rows_of_delimiters_alone_are_empty(tmp_path: Path) -> None:
    """A spreadsheet writes the rows below a table as delimiters: they are blank lines, not rejected applications."""
    empty = "," * CODED.count(",")
    assert [
        row.line
        for row in read_applications(write(tmp_path, "a.csv", HEADER, CODED, empty, CODED, empty), shipped_contract())
    ] == [
        2,
        4,
    ]


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ('"1490,50"', "price has a comma, which may be a decimal or a thousands separator"),
        ('"1,490"', "price has a comma, which may be a decimal or a thousands separator"),
        ('"1.490,50"', "price has a comma, which may be a decimal or a thousands separator"),
        ("1 490", "price is not a plain number: write digits with a decimal point"),
        ("1'490", "price is not a plain number"),
        ("1490 €", "price is not a plain number"),
        ("+1490", "price is not a plain number"),
        ("n/a", "price is not a plain number"),
        (" 1490", "price has spaces around its number: remove them"),
        ("1490\0", "price has a NUL byte: remove it"),
    ],
)
def test_a_number_that_can_be_read_in_two_ways_is_left_to_the_contract(tmp_path: Path, cell: str, hint: str) -> None:
    """`1,490` is 1.49 or 1490: it is passed on as text, which the contract rejects, and a hint says what to change."""
    (row,) = read_applications(write(tmp_path, "a.csv", HEADER, CODED.replace("1490", cell)), shipped_contract())
    assert faults_of(row.value) == [("price", "float_type")]
    assert row.hint.startswith(hint)
    assert "'490" not in row.hint


@pytest.mark.parametrize(
    ("cell", "is_number"),
    [("1490", True), ("1490.5", True), ("0.125", True), ("1490.500", True), ("1.490", False), ("1.490.000", False)],
)
def test_dots_between_thousands_are_not_taken_for_decimals(tmp_path: Path, cell: str, is_number: bool) -> None:
    """A file with semicolons may come from where 1.490 is 1490: it is not read as 1.49 without a word."""
    header, row = HEADER.replace(",", ";"), CODED.replace("1490", cell).replace(",", ";")
    (found,) = read_applications(write(tmp_path, "a.csv", header, row), shipped_contract())
    assert isinstance(json.loads(found.value)["price"], float | int) == is_number
    assert bool(found.hint) != is_number


def test_spaces_around_a_category_are_named(tmp_path: Path) -> None:
    """They cannot be seen in a message about an unknown category."""
    (row,) = read_applications(
        write(tmp_path, "a.csv", HEADER, SPELLED_OUT.replace("rent", " rent")), shipped_contract()
    )
    assert row.hint == "home has spaces around it: remove them"


def test_another_encoding_is_named_for_its_rows_alone(tmp_path: Path) -> None:
    """A row that is not UTF-8 where the contract looks says what the file may be; elsewhere it is nobody's business."""
    header, note = f"application_id,{HEADER},Note", "José".encode("latin-1")
    rows = [b"%b,%b,%b" % (i, CODED.encode(), n) for i, n in ((b"a-1", note), (note, b""), (b"a-3", b""))]
    found = read_rows(write(tmp_path, "a.csv", header, *rows))
    assert [bool(row.hint) for row in found] == [False, True, False]
    assert "the file is not UTF-8, probably Windows-1252 or Latin-1: `iconv -f WINDOWS-1252" in found[1].hint
    (line,) = read_applications(write(tmp_path, "a.jsonl", b'{"application_id":"' + note + b'"}'), shipped_contract())
    assert "`iconv -f WINDOWS-1252" in line.hint
