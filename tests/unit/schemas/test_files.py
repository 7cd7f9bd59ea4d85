"""Files of applications: every row comes out for the contract to judge; every broken file is refused by name."""

import gzip
import io
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.application import CreditApplication
from schemas.files import dump_application, read_applications
from schemas.rows import ApplicationsFileError, Hints, Row
from tests import real_data

HEADER = "Status,Seniority,Home,Time,Age,Marital,Records,Job,Expenses,Income,Assets,Debt,Amount,Price"
CODED = "1,9,1,60,30,2,1,3,61,182,0,0,1150,1490"
SPELLED_OUT = "ok,9,rent,60,30,married,no,freelance,61,182,0,0,1150,1490"
APPLICATION: dict[str, object] = {
    "seniority": 9, "home": "rent", "time": 60, "age": 30, "marital": "married", "records": "no", "job": "freelance",
    "expenses": 61, "income": 182, "assets": 0, "debt": 0, "amount": 1150, "price": 1490,
}  # fmt: skip


def _write(folder: Path, name: str, *lines: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
    return path


def _read_rows(path: Path | str) -> list[Row]:
    return list(read_applications(path))


def _read_one(path: Path | str) -> dict[str, Any]:
    (row,) = read_applications(path)
    found: dict[str, Any] = json.loads(row.value)
    return found


def _error_of(path: Path | str) -> str:
    with pytest.raises(ApplicationsFileError) as caught:
        _read_rows(path)
    return str(caught.value)


def _faults_of(value: bytes) -> list[tuple[object, str]]:
    with pytest.raises(ValidationError) as caught:
        CreditApplication.model_validate_json(value)
    return [(fault["loc"][0], fault["type"]) for fault in caught.value.errors()]


def test_the_codes_of_the_course_read_as_names(tmp_path: Path) -> None:
    """The course's numeric codes become the contract's categories, and the row says what became of the loan."""
    (row,) = read_applications(_write(tmp_path, "a.csv", HEADER, CODED))
    assert row.status == "ok"
    assert json.loads(row.value) == {"application_id": "a.csv:2-20b22178", **APPLICATION}


def test_codes_and_names_read_the_same(tmp_path: Path) -> None:
    """The same file with the categories spelled out gives the same bytes, row for row."""
    coded = _read_rows(_write(tmp_path, "a.csv", HEADER, CODED))
    assert _read_rows(_write(tmp_path, "a.csv", HEADER, SPELLED_OUT)) == coded


@pytest.mark.parametrize(
    ("column", "names"),
    [
        ("Home", ["unk", "rent", "owner", "private", "ignore", "parents", "other"]),
        ("Marital", ["unk", "single", "married", "widow", "separated", "divorced"]),
        ("Records", ["unk", "no", "yes"]),
        ("Job", ["unk", "fixed", "partime", "freelance", "others"]),
    ],
)
def test_every_code_has_its_name(tmp_path: Path, column: str, names: list[str]) -> None:
    """Every code of the data's description reads as its name, and the contract takes each of them."""
    place = HEADER.split(",").index(column)
    rows = [",".join([*(cells := CODED.split(","))[:place], str(n), *cells[place + 1 :]]) for n in range(len(names))]
    values = [row.value for row in read_applications(_write(tmp_path, "a.csv", HEADER, *rows))]
    assert [json.loads(value)[column.lower()] for value in values] == names
    for value in values:
        CreditApplication.model_validate_json(value)


@pytest.mark.parametrize(
    ("cell", "status"),
    [
        ("1", "ok"), ("1.0", "ok"), ("OK", "ok"), (" ok", "ok"), ("2", "default"), ("2.00", "default"),
        ("Default ", "default"), ("0", None), ("0.0", None), ("", None), (" ", None), ("unk", None),
        ("3", "unreadable"), ("01", "unreadable"), ("1.5", "unreadable"), ("good", "unreadable"), ("NA", "unreadable"),
    ],
)  # fmt: skip
def test_status(tmp_path: Path, cell: str, status: str | None) -> None:
    """It is "ok", "default", None where the file does not say, else unreadable: `OK` and 1.0 were taken for unsaid."""
    (row,) = read_applications(_write(tmp_path, "a.csv", HEADER, cell + CODED[1:]))
    assert row.status == status
    assert b"status" not in row.value


def test_columns_in_any_order_and_case(tmp_path: Path) -> None:
    """Columns are found by name, whatever their order and letter case, and others are left out."""
    header, row = ",".join(reversed(HEADER.upper().split(","))), ",".join(reversed(CODED.split(",")))
    path = _write(tmp_path, "a.csv", header + ",Note", row + ",x")
    assert _read_one(path) == {"application_id": "a.csv:2-20b22178", **APPLICATION}


def test_99999999_is_missing_where_it_may_be(tmp_path: Path) -> None:
    """The data's sentinel reads as null in income, assets and debt; elsewhere it stays and the contract refuses it."""
    missing = "99999999"
    (row,) = read_applications(
        _write(tmp_path, "a.csv", HEADER, f"1,9,1,60,30,2,1,3,61,{missing},{missing},{missing},{missing},1490")
    )
    read = json.loads(row.value)
    assert (read["income"], read["assets"], read["debt"]) == (None, None, None)
    assert _faults_of(row.value) == [("amount", "less_than_equal")]


def test_an_empty_cell_is_absent(tmp_path: Path) -> None:
    """An empty cell is a field that is not there: fine where the contract allows it, missing elsewhere."""
    (row,) = read_applications(_write(tmp_path, "a.csv", HEADER, "1,9,1,60,,2,1,3,61,,0,0,1150,1490"))
    assert "income" not in json.loads(row.value)
    assert _faults_of(row.value) == [("age", "missing")]


@pytest.mark.parametrize(
    ("column", "cell", "kind"),
    [
        ("Home", "7", "literal_error"),
        ("Home", "RENT", "literal_error"),
        ("Job", "03", "literal_error"),
        ("Age", "thirty", "float_type"),
        ("Age", " 30", "float_type"),
        ("Age", "NaN", "float_type"),
        ("Age", "٣٠", "float_type"),
        ("Age", "1e400", "finite_number"),
        ("Income", "-1", "greater_than_equal"),
    ],
)
def test_what_the_contract_does_not_know_is_left_for_it_to_refuse(
    tmp_path: Path, column: str, cell: str, kind: str
) -> None:
    """Unknown categories and text for numbers are handed on unchanged, and the contract refuses that row by name."""
    cells = CODED.split(",")
    cells[HEADER.split(",").index(column)] = cell
    first, second = read_applications(_write(tmp_path, "a.csv", HEADER, ",".join(cells), CODED))
    assert _faults_of(first.value) == [(column.lower(), kind)]
    CreditApplication.model_validate_json(second.value)


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    """A number is written as it stands in the cell, so that reading it changes no bit of it."""
    (row,) = read_applications(_write(tmp_path, "a.csv", HEADER, "1,9.50,1,60,30,2,1,3,61,1.29e2,0,0,1150.10,1490"))
    assert b'"seniority":9.50,' in row.value
    assert b'"income":1.29e2,' in row.value
    assert b'"amount":1150.10,' in row.value


@pytest.mark.parametrize("end", ["\x1a", "\x1a\r\n", "\n\x1a", "\n\x1a\x1a\n"])
@pytest.mark.parametrize("chunk_bytes", [1, 65_536])
def test_a_ctrl_z_ends_a_file(tmp_path: Path, end: str, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of DOS write it; it was a row with one cell. Elsewhere it is a character like any other."""
    monkeypatch.setattr("schemas.text._CHUNK_BYTES", chunk_bytes)
    (tmp_path / "a.csv").write_text(f"{HEADER},Note\n{CODED},a\x1a\n{CODED},b{end}")
    rows = _read_rows(tmp_path / "a.csv")
    assert [json.loads(row.value)["price"] for row in rows] == [1490, 1490]
    (tmp_path / "a.jsonl").write_text('{"application_id":"a"}' + end)
    assert [row.value for row in read_applications(tmp_path / "a.jsonl")] == [b'{"application_id":"a"}']


@pytest.mark.parametrize("after", ["", f"{CODED}\n"])
@pytest.mark.parametrize("nuls", [3, 200_000])
def test_nuls_where_a_line_begins_are_not_passed_over(tmp_path: Path, after: str, nuls: int) -> None:
    """A file system fills up with them what was never written; the row after them kept its place in silence."""
    (tmp_path / "a.csv").write_text(f"{HEADER}\n" + f"{CODED}\n" * 2_000 + "\0" * nuls + after)
    assert "a.csv: line 2002 begins with NUL bytes: was the file cut off" in _error_of(tmp_path / "a.csv")
    assert "`tr -d '\\000' < " in _error_of(tmp_path / "a.csv")


def test_a_document_is_not_called_json(tmp_path: Path) -> None:
    """RTF begins with a brace, and the advice was to name it .jsonl."""
    path = _write(tmp_path, "a.csv", "{\\rtf1\\ansi x}")
    assert "a.csv: is a document in RTF, not text; save it as CSV in UTF-8" in _error_of(path)


def test_rows_that_bring_an_id_keep_it(tmp_path: Path) -> None:
    """An application_id of the file's own is kept; an empty one is replaced by the file's name and line."""
    path = _write(tmp_path, "a.csv", f"Application_ID,{HEADER}", f'"a ""1"", é",{CODED}', f",{CODED}")
    assert [json.loads(row.value)["application_id"] for row in read_applications(path)] == [
        'a "1", é',
        "a.csv:3-20b22178",
    ]


def test_made_up_ids_fit_the_contract(tmp_path: Path) -> None:
    """The id of a row without one keeps to 64 characters and keeps its line number, however long the file's name."""
    value = _read_one(_write(tmp_path, "é" * 100 + ".csv", HEADER, CODED))
    assert value["application_id"] == "é" * 53 + ":2-2030cebd"
    CreditApplication.model_validate_json(json.dumps(value))


@pytest.mark.parametrize(
    "other",
    [("m2/a.csv", CODED.replace("1490", "1491")), ("m1/a.jsonl.csv", CODED), ("x" * 70 + "2.csv", CODED)],
)
def test_made_up_ids_of_two_files_differ(tmp_path: Path, other: tuple[str, str]) -> None:
    """They were the file's name, cut, and the line: applications of two folders or months had one id."""
    name, row = other
    first = _write(tmp_path, "m1/a.csv" if len(name) < 60 else "x" * 70 + "1.csv", HEADER, CODED)
    ids = [_read_one(path)["application_id"] for path in (first, _write(tmp_path, name, HEADER, row), first)]
    assert ids[0] != ids[1]
    assert ids[0] == ids[2]


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    """Blank lines and cells with line breaks count as the lines that they are in the file."""
    path = _write(tmp_path, "a.csv", "", HEADER + ",Note", CODED + ',"two\r\nlines"', "", CODED + ",\r", CODED + ",")
    assert [row.line for row in read_applications(path)] == [3, 6, 7]


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    """A CSV file that begins with a byte order mark, as spreadsheets write it, reads like any other."""
    assert len(_read_rows(_write(tmp_path, "a.csv", b"\xef\xbb\xbf" + HEADER.encode(), CODED))) == 1


def test_bytes_that_are_not_utf8_cost_one_row(tmp_path: Path) -> None:
    """A row of CSV that is not UTF-8 stays so for the contract to refuse, and its neighbours are untouched."""
    path = _write(tmp_path, "a.csv", HEADER, CODED, SPELLED_OUT.encode().replace(b"rent", b"r\xe9nt"), CODED)
    before, bad, after = read_applications(path)
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
    assert _read_rows(tmp_path / "a.csv") == [
        row._replace(line=line, value=row.value.replace(b":2-", b":%d-" % line))
        for line in (3, 5)
        for row in read_applications(_write(tmp_path, "b/a.csv", HEADER, CODED))
    ]


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "sep=; ", "SEP=;", "Sep=;"])
def test_excels_line_about_the_delimiter_is_not_the_header(tmp_path: Path, line: str) -> None:
    """Excel reads and writes `sep=;` above the header; the rows keep their lines."""
    (row,) = read_applications(_write(tmp_path, "a.csv", line, HEADER.replace(",", ";"), CODED.replace(",", ";")))
    assert row.line == 3
    CreditApplication.model_validate_json(row.value)


def test_a_header_is_found_whatever_its_spelling(tmp_path: Path) -> None:
    """Spaces around and within names, dashes and letter case: a column of ids was left out, and ids were made up."""
    header = '" APPLICATION  id",' + HEADER.replace("Age", " AGE\t").replace("Home", '"home"')
    (row,) = read_applications(_write(tmp_path, "a.csv", header, f"a-7,{CODED}"))
    assert json.loads(row.value) == {"application_id": "a-7", **APPLICATION}


@pytest.mark.parametrize(
    "column", ["ApplicationID", "\u200bapplication_id", '"\ufeffapplication_id"', "Application \u00ad-ID"]
)
def test_a_column_is_known_by_its_letters_alone(tmp_path: Path, column: str) -> None:
    """Without separators, or with characters that cannot be seen, a column of ids was dropped and ids were made up."""
    (row,) = read_applications(_write(tmp_path, "a.csv", f"{column},{HEADER}", f"a-7,{CODED}"))
    assert json.loads(row.value) == {"application_id": "a-7", **APPLICATION}


@pytest.mark.parametrize("mark", ["\u00ef\u00bb\u00bf", "\ufeff\u00ef\u00bb\u00bf"])
def test_a_mark_that_was_encoded_twice_is_no_part_of_the_header(tmp_path: Path, mark: str) -> None:
    """It became part of the first column's name, and the outcomes in that column were lost."""
    (row,) = read_applications(_write(tmp_path, "a.csv", mark + HEADER, CODED))
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
    message = _error_of(_write(tmp_path, "a.csv", HEADER.replace(replaced, column), CODED))
    assert message.endswith(
        f'a.csv, line 1: columns with names similar to fields of the contract: "{column}" '
        f"({field}?). Rename those that are these fields, and remove the others"
    )


def test_a_required_field_that_is_missing_may_be_under_another_name(tmp_path: Path) -> None:
    """The message lists all the names; which of the file's columns is meant is said where it is a header at all."""
    header = HEADER.replace("Expenses", "Monthly Expenses").replace("Age", "Ages")
    message = _error_of(_write(tmp_path, "a.csv", header, CODED))
    assert message.endswith('Other columns are ignored: is it one of "Ages" (age?), "Monthly Expenses" (expenses?)')
    assert _error_of(_write(tmp_path, "a.csv", "s3cret age,Home", CODED)).endswith("Other columns are ignored")


def test_columns_that_nothing_reads_are_named_once(tmp_path: Path) -> None:
    """And so are fields that the whole file lacks; neither is a reason to refuse the file."""
    header = HEADER.replace("Status", "Debt Ratio").replace("Income", "No\u200bte") + ",,b,Income"
    path, hints = _write(tmp_path, "a.csv", header, CODED + ",,,", CODED + ",,,"), Hints()
    assert len(list(read_applications(path, hints))) == 2
    assert hints.texts() == [
        'line 1: ignored columns: "Debt Ratio", "No\N{REPLACEMENT CHARACTER}te", one without a name, "b"'
    ]
    path, hints = _write(tmp_path, "a.csv", HEADER.replace("Income,Assets,", ""), CODED.replace("182,0,", "")), Hints()
    assert len(list(read_applications(path, hints))) == 1
    assert hints.texts() == ["line 1: no column income or assets: unknown in every row"]


def test_fields_of_json_lines_that_nothing_reads_are_named_once(tmp_path: Path) -> None:
    """A misspelt optional field was dropped without a word."""
    line = json.dumps({"application_id": "a", "status": "ok", "Income": 1, "note": 2})
    path, hints = _write(tmp_path, "a.jsonl", line, line, '{"application_id":"b","income":1,"Income":2}'), Hints()
    assert len(list(read_applications(path, hints))) == 3
    assert hints.texts() == ['line 1: ignored fields: "Income" (income?), "note"']


def test_rows_of_delimiters_alone_are_empty(tmp_path: Path) -> None:
    """A spreadsheet writes the rows below a table as delimiters: they are blank lines, not rejected applications."""
    empty = "," * CODED.count(",")
    assert [row.line for row in read_applications(_write(tmp_path, "a.csv", HEADER, CODED, empty, CODED, empty))] == [
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
    (row,) = read_applications(_write(tmp_path, "a.csv", HEADER, CODED.replace("1490", cell)))
    assert _faults_of(row.value) == [("price", "float_type")]
    assert row.hint.startswith(hint)
    assert "'490" not in row.hint


@pytest.mark.parametrize(
    ("cell", "is_number"),
    [("1490", True), ("1490.5", True), ("0.125", True), ("1490.500", True), ("1.490", False), ("1.490.000", False)],
)
def test_dots_between_thousands_are_not_taken_for_decimals(tmp_path: Path, cell: str, is_number: bool) -> None:
    """A file with semicolons may come from where 1.490 is 1490: it is not read as 1.49 without a word."""
    header, row = HEADER.replace(",", ";"), CODED.replace("1490", cell).replace(",", ";")
    (found,) = read_applications(_write(tmp_path, "a.csv", header, row))
    assert isinstance(json.loads(found.value)["price"], float | int) == is_number
    assert bool(found.hint) != is_number


def test_spaces_around_a_category_are_named(tmp_path: Path) -> None:
    """They cannot be seen in a message about an unknown category."""
    (row,) = read_applications(_write(tmp_path, "a.csv", HEADER, SPELLED_OUT.replace("rent", " rent")))
    assert row.hint == "home has spaces around it: remove them"


def test_another_encoding_is_named_for_its_rows_alone(tmp_path: Path) -> None:
    """A row that is not UTF-8 where the contract looks says what the file may be; elsewhere it is nobody's business."""
    header, note = f"application_id,{HEADER},Note", "José".encode("latin-1")
    rows = [b"%b,%b,%b" % (i, CODED.encode(), n) for i, n in ((b"a-1", note), (note, b""), (b"a-3", b""))]
    found = _read_rows(_write(tmp_path, "a.csv", header, *rows))
    assert [bool(row.hint) for row in found] == [False, True, False]
    assert "the file is not UTF-8, probably Windows-1252 or Latin-1: `iconv -f WINDOWS-1252" in found[1].hint
    (line,) = read_applications(_write(tmp_path, "a.jsonl", b'{"application_id":"' + note + b'"}'))
    assert "`iconv -f WINDOWS-1252" in line.hint


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_json_lines_with_a_mark_lose_no_row(tmp_path: Path, end: bytes) -> None:
    """The first row of a file with a byte-order mark used to be rejected, and that of each file joined to it."""
    mark, line = b"\xef\xbb\xbf", b'{"application_id":"a","note":"\xef\xbb\xbf"}'
    path = tmp_path / "a.jsonl"
    path.write_bytes(mark + line + end + line + end + mark + mark + line + end)
    assert _read_rows(path) == [Row(number, line, None) for number in (1, 2, 3)]
    path.write_bytes((line + end + line + end).decode().encode("utf-16"))
    assert _read_rows(path) == [Row(number, line, None) for number in (1, 2)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '[{"age":1},\n{"age":2}]', "line 1: begins a JSON array, but one JSON object per line is required"),
        ("a.jsonl", "\n[]", "line 2: begins a JSON array"),
        ("a.json", '{\n  "age": 1\n}', "line 1: begins a JSON object that continues on the next line"),
        ("a.jsonl", f"{HEADER}\n{CODED}", "line 1: is the header of a CSV file: name the file .csv"),
        ("a.jsonl", f"{HEADER}\n{CODED}".replace(",", ";"), "line 1: is the header of a CSV file"),
        ("a.csv", '{"age":1,"home":"rent"}', "line 1: is JSON, not CSV: name the file .jsonl"),
        ("a.csv", '\ufeff{"age":1,"home":"rent"}', "line 1: is JSON, not CSV"),
        ("a.csv", "sep=;\n", "has no header line"),
        ("a.csv", "\ufeff", "is empty"),
        ("a.csv", CODED, "line 1: the header lacks seniority, home"),
        (
            "a.csv",
            f"{HEADER}\n{CODED},50",
            "line 2: has 15 cells but the header has 14; is there an unquoted comma in a cell (a",
        ),
        ("a.csv", f"{HEADER}\n1", "line 2: has 1 cell but the header has 14"),
        ("a.csv", f'{HEADER}\n"{CODED}', "line 2: is not CSV: the quoting is invalid"),
        ("a.csv", f'{HEADER}\n"1"x,2', "line 2: is not CSV: the quoting is invalid"),
        ("a.csv", f'{HEADER}\n"' + "1\n" * 200_000, "line 2: is not CSV: a cell or row is longer than"),
        ("a.csv", f"{HEADER}\n" + '"1\n",' * 2_000_000, "line 2: is not CSV: a cell or row is longer than"),
        ("a.csv", f"{HEADER}\n" + "1" * (9 << 20), "line 2 has more than 8,388,608 bytes"),
        ("a.jsonl", '{"age":' + "1" * (9 << 20), "line 1 has more than 8,388,608 bytes"),
    ],
)
def test_what_a_file_is_instead(tmp_path: Path, name: str, text: str, message: str) -> None:
    """One sentence says what the file is and on which line it shows, in no words of Python's."""
    path = _write(tmp_path, name, text)
    error = _error_of(path)
    assert error.startswith(str(path))
    assert message in error
    for words in ("expected after", "newline", "field larger", "unexpected end", "delimiter ", "codec", "None"):
        assert words not in error


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.csv.gz", "a.xlsx"])
def test_a_packed_file_is_named_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    """Gzip by any name, with the command that unpacks it."""
    path = tmp_path / name
    path.write_bytes(gzip.compress(f"{HEADER}\n{CODED}".encode()))
    assert f"{path}: is compressed with gzip, not text; `gzip -dc < {path} > " in _error_of(path)


def test_a_header_that_lacks_columns_is_refused(tmp_path: Path) -> None:
    """All lacking columns are named at once, with the line and what is accepted; optional ones are not asked for."""
    message = _error_of(_write(tmp_path, "a.csv", "Seniority,Home,Time", "1,2,3"))
    assert "a.csv, line 1: the header lacks age, records, job, expenses, amount, price." in message
    assert "optional: application_id, marital, income, assets, debt, status" in message


def test_a_header_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    """Of two columns with one name nobody can tell which is meant."""
    assert "names age twice" in _error_of(_write(tmp_path, "a.csv", HEADER + ",AGE", CODED + ",31"))


@pytest.mark.parametrize("row", [CODED + ",1", CODED.removesuffix(",1490"), "   "])
def test_a_row_with_more_or_fewer_cells_is_refused(tmp_path: Path, row: str) -> None:
    """A row that does not fit the header stops the reading at its line: its cells may stand for anything."""
    rows = read_applications(_write(tmp_path, "a.csv", HEADER, CODED, row, CODED))
    assert next(rows).line == 2
    with pytest.raises(ApplicationsFileError, match=r"a\.csv, line 3: has \d+ cells? but the header has 14"):
        next(rows)


def test_broken_quoting_is_refused_with_its_line(tmp_path: Path) -> None:
    """A quote that is never closed names the line on which its row begins."""
    assert "a.csv, line 3: is not CSV" in _error_of(_write(tmp_path, "a.csv", HEADER, CODED, '"' + CODED))


def test_files_that_cannot_be_read_are_refused_by_name(tmp_path: Path) -> None:
    """A file that is missing, a folder, empty or of an unknown kind is named, with what is the matter."""
    (tmp_path / "folder.csv").mkdir()
    assert "none.csv: file not found" in _error_of(tmp_path / "none.csv")
    assert "folder.csv: is a folder" in _error_of(tmp_path / "folder.csv")
    assert "a.csv: is empty" in _error_of(_write(tmp_path, "a.csv"))
    assert "a.xlsx: unknown suffix" in _error_of(_write(tmp_path, "a.xlsx", "x"))
    assert "cannot be read: File name too long" in _error_of(tmp_path / ("x" * 300 + ".csv"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused_by_name(tmp_path: Path) -> None:
    """A file that this user may not read is named, with what the system says."""
    path = _write(tmp_path, "a.csv", HEADER, CODED)
    path.chmod(0)
    assert "a.csv: cannot be read: Permission denied" in _error_of(path)


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".JSONL"])
def test_json_lines_are_untouched(tmp_path: Path, suffix: str) -> None:
    """A line with an id, and one that is no JSON object at all, comes out byte for byte; blank lines are skipped."""
    lines: Iterable[bytes] = (b'{ "application_id": "x",  "age":1}', b" ", b'[{"a":1}]', b"\xff", b'{"cut":', b"", b"7")
    rows = _read_rows(_write(tmp_path, "a" + suffix, *lines))
    assert [row[:3] for row in rows] == [(n, line, None) for n, line in enumerate(lines, 1) if line.strip()]


def test_json_lines_without_an_id_get_one(tmp_path: Path) -> None:
    """An object without an id gets one in front, and every other byte stays: repeated names, digits, line ends."""
    path = _write(tmp_path, "a.jsonl", '{"age":30.0,"age":31}\r', " {}", '{"application_id":null}')
    assert [row.value for row in read_applications(path)] == [
        b'{"application_id":"a.jsonl:1-723b96ec","age":30.0,"age":31}',
        b' {"application_id":"a.jsonl:2-a178deae"}',
        b'{"application_id":null}',
    ]


def test_json_lines_may_say_what_became_of_the_loan(tmp_path: Path) -> None:
    """As text or as a number; true may mean either."""
    statuses = ['"default"', '"OK"', "1", "2.0", '"2"', "0", "null", '""', '["ok"]', '"paid"', "true", "3", "1e999"]
    path = _write(tmp_path, "a.jsonl", *(f'{{"status":{status}}}' for status in statuses), "{}")
    readable = ["default", "ok", "ok", "default", "default", None, None, None]
    assert [row.status for row in read_applications(path)] == [*readable, *["unreadable"] * 5, None]


def test_codes_that_a_program_made_floats_read_as_names(tmp_path: Path) -> None:
    """A table in which a number is missing is written with `1.0` for 1, and each such row was rejected."""
    row, unknown = ",".join(f"{cell}.0" for cell in CODED.split(",")), "99999999.0"
    path = _write(tmp_path, "a.csv", HEADER, row, row.replace("182.0", unknown), row.replace("182.0", "9.9999999e+07"))
    rows = _read_rows(path)
    assert [(row.status, json.loads(row.value)["income"]) for row in rows] == [("ok", 182), ("ok", None), ("ok", None)]
    assert json.loads(rows[0].value) == {"application_id": "a.csv:2-32aa2bf1", **APPLICATION}


def test_what_cannot_be_seen_in_a_category_is_named(tmp_path: Path) -> None:
    """The message about an unknown category lists the very name that the cell seems to hold."""
    (row,) = read_applications(_write(tmp_path, "a.csv", HEADER, SPELLED_OUT.replace("rent", "rent\u200b")))
    assert row.hint == "home has an invisible character: remove it"


def test_json_that_is_nested_too_deep_is_a_row_like_any_other(tmp_path: Path) -> None:
    """A line that Python's parser gives up on is handed on for the contract to refuse."""
    deep = b'{"a":' + b"[" * 100_000
    assert _read_rows(_write(tmp_path, "a.jsonl", deep)) == [Row(1, deep, None)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"\n{HEADER}\n{CODED}\n", {"application_id": "stdin:3-c381eb8b", **APPLICATION}),
        ('\n \n{"age":1}\n', {"application_id": "stdin:3-bbf35e03", "age": 1}),
        ('{"application_id":"x"}', {"application_id": "x"}),
        ('\ufeff{"application_id":"x"}', {"application_id": "x"}),
        (f"\ufeff{HEADER}\r{CODED}\r".replace(",", ";"), {"application_id": "stdin:2-c381eb8b", **APPLICATION}),
    ],
)
def test_the_standard_input_is_sniffed(monkeypatch: pytest.MonkeyPatch, text: str, value: dict[str, object]) -> None:
    """On "-" a first brace means JSON lines and anything else CSV, and lines count from the first, blank or not."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    assert _read_one("-") == value


def test_an_empty_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing on the standard input is not a file of applications."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"\n\n")))
    assert "standard input: is empty" in _error_of("-")


def test_rows_come_before_the_file_ends(tmp_path: Path) -> None:
    """A row is handed out as soon as it is read: the file, here a pipe that stays open, is never held."""
    pipe = tmp_path / "a.csv"
    os.mkfifo(pipe)
    sink = os.open(pipe, os.O_RDWR)
    try:
        rows = read_applications(pipe)
        for line, text in enumerate([f"{HEADER}\n{CODED}\n", f"{CODED}\n"], 2):
            os.write(sink, text.encode())
            assert next(rows).line == line
    finally:
        os.close(sink)


def test_dump_application_is_compact_and_in_the_contracts_order() -> None:
    """Fields come in the contract's order, the publisher's own after them, as UTF-8 without spaces."""
    assert dump_application({"note": "é", "age": 30, "application_id": "x"}) == (
        '{"application_id":"x","age":30,"note":"é"}'.encode()
    )
    for refused in (float("nan"), "\ud800"):
        with pytest.raises(ValueError):  # noqa: PT011
            dump_application({"age": refused})
    with pytest.raises(TypeError):
        dump_application({"age": object()})


def test_the_real_data_reads_whole() -> None:
    """Every row of the course's file is an application that the contract accepts."""
    rows = _read_rows(real_data.file())
    assert len(rows) > 1000
    for row in rows:
        CreditApplication.model_validate_json(row.value)
