"""Files of applications: every row comes out for the contract to judge; every broken file is refused by name."""

import gzip
import json
import os
from pathlib import Path

import pytest

from schemas.application import CreditApplication
from schemas.contract_parser import parse_contract
from schemas.contracts import shipped_contract
from schemas.files import dump_application, read_applications
from schemas.rows import ApplicationsFileError, OutcomeColumn, plain_code
from schemas.tables import read_cell
from tests import real_data
from tests.unit.schemas.made_files import (
    APPLICATION,
    CODED,
    HEADER,
    SPELLED_OUT,
    error_of,
    faults_of,
    read_one,
    read_rows,
    write,
)


def test_the_codes_of_the_course_read_as_names(tmp_path: Path) -> None:
    """The course's numeric codes become the contract's categories, and the row says what became of the loan."""
    (row,) = read_applications(write(tmp_path, "a.csv", HEADER, CODED), shipped_contract())
    assert row.status == "ok"
    assert json.loads(row.value) == {"application_id": "a.csv:2-20b22178", **APPLICATION}


def test_codes_and_names_read_the_same(tmp_path: Path) -> None:
    """The same file with the categories spelled out gives the same bytes, row for row."""
    coded = read_rows(write(tmp_path, "a.csv", HEADER, CODED))
    assert read_rows(write(tmp_path, "a.csv", HEADER, SPELLED_OUT)) == coded


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
    values = [row.value for row in read_applications(write(tmp_path, "a.csv", HEADER, *rows), shipped_contract())]
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
    (row,) = read_applications(write(tmp_path, "a.csv", HEADER, cell + CODED[1:]), shipped_contract())
    assert row.status == status
    assert b"status" not in row.value


def test_columns_in_any_order_and_case(tmp_path: Path) -> None:
    """Columns are found by name, whatever their order and letter case, and others are left out."""
    header, row = ",".join(reversed(HEADER.upper().split(","))), ",".join(reversed(CODED.split(",")))
    path = write(tmp_path, "a.csv", header + ",Note", row + ",x")
    assert read_one(path) == {"application_id": "a.csv:2-20b22178", **APPLICATION}


def test_99999999_is_missing_where_it_may_be(tmp_path: Path) -> None:
    """The data's sentinel reads as null in income, assets and debt; elsewhere it stays and the contract refuses it."""
    missing = "99999999"
    (row,) = read_applications(
        write(tmp_path, "a.csv", HEADER, f"1,9,1,60,30,2,1,3,61,{missing},{missing},{missing},{missing},1490"),
        shipped_contract(),
    )
    read = json.loads(row.value)
    assert (read["income"], read["assets"], read["debt"]) == (None, None, None)
    assert faults_of(row.value) == [("amount", "less_than_equal")]


def test_an_empty_cell_is_absent(tmp_path: Path) -> None:
    """An empty cell is a field that is not there: fine where the contract allows it, missing elsewhere."""
    (row,) = read_applications(
        write(tmp_path, "a.csv", HEADER, "1,9,1,60,,2,1,3,61,,0,0,1150,1490"), shipped_contract()
    )
    assert "income" not in json.loads(row.value)
    assert faults_of(row.value) == [("age", "missing")]


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
    first, second = read_applications(write(tmp_path, "a.csv", HEADER, ",".join(cells), CODED), shipped_contract())
    assert faults_of(first.value) == [(column.lower(), kind)]
    CreditApplication.model_validate_json(second.value)


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    """A number is written as it stands in the cell, so that reading it changes no bit of it."""
    (row,) = read_applications(
        write(tmp_path, "a.csv", HEADER, "1,9.50,1,60,30,2,1,3,61,1.29e2,0,0,1150.10,1490"), shipped_contract()
    )
    assert b'"seniority":9.50,' in row.value
    assert b'"income":1.29e2,' in row.value
    assert b'"amount":1150.10,' in row.value


@pytest.mark.parametrize("end", ["\x1a", "\x1a\r\n", "\n\x1a", "\n\x1a\x1a\n"])
@pytest.mark.parametrize("chunk_bytes", [1, 65_536])
def test_a_ctrl_z_ends_a_file(tmp_path: Path, end: str, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of DOS write it; it was a row with one cell. Elsewhere it is a character like any other."""
    monkeypatch.setattr("schemas.text._CHUNK_BYTES", chunk_bytes)
    (tmp_path / "a.csv").write_text(f"{HEADER},Note\n{CODED},a\x1a\n{CODED},b{end}")
    rows = read_rows(tmp_path / "a.csv")
    assert [json.loads(row.value)["price"] for row in rows] == [1490, 1490]
    (tmp_path / "a.jsonl").write_text('{"application_id":"a"}' + end)
    assert [row.value for row in read_applications(tmp_path / "a.jsonl", shipped_contract())] == [
        b'{"application_id":"a"}'
    ]


@pytest.mark.parametrize("after", ["", f"{CODED}\n"])
@pytest.mark.parametrize("nuls", [3, 200_000])
def test_nuls_where_a_line_begins_are_not_passed_over(tmp_path: Path, after: str, nuls: int) -> None:
    """A file system fills up with them what was never written; the row after them kept its place in silence."""
    (tmp_path / "a.csv").write_text(f"{HEADER}\n" + f"{CODED}\n" * 2_000 + "\0" * nuls + after)
    assert "a.csv: line 2002 begins with NUL bytes: was the file cut off" in error_of(tmp_path / "a.csv")
    assert "`tr -d '\\000' < " in error_of(tmp_path / "a.csv")


def test_a_document_is_not_called_json(tmp_path: Path) -> None:
    """RTF begins with a brace, and the advice was to name it .jsonl."""
    path = write(tmp_path, "a.csv", "{\\rtf1\\ansi x}")
    assert "a.csv: is a document in RTF, not text; save it as CSV in UTF-8" in error_of(path)


def test_rows_that_bring_an_id_keep_it(tmp_path: Path) -> None:
    """An application_id of the file's own is kept; an empty one is replaced by the file's name and line."""
    path = write(tmp_path, "a.csv", f"Application_ID,{HEADER}", f'"a ""1"", é",{CODED}', f",{CODED}")
    assert [json.loads(row.value)["application_id"] for row in read_applications(path, shipped_contract())] == [
        'a "1", é',
        "a.csv:3-20b22178",
    ]


def test_made_up_ids_fit_the_contract(tmp_path: Path) -> None:
    """The id of a row without one keeps to 64 characters and keeps its line number, however long the file's name."""
    value = read_one(write(tmp_path, "é" * 100 + ".csv", HEADER, CODED))
    assert value["application_id"] == "é" * 53 + ":2-2030cebd"
    CreditApplication.model_validate_json(json.dumps(value))


@pytest.mark.parametrize(
    "other",
    [("m2/a.csv", CODED.replace("1490", "1491")), ("m1/a.jsonl.csv", CODED), ("x" * 70 + "2.csv", CODED)],
)
def test_made_up_ids_of_two_files_differ(tmp_path: Path, other: tuple[str, str]) -> None:
    """They were the file's name, cut, and the line: applications of two folders or months had one id."""
    name, row = other
    first = write(tmp_path, "m1/a.csv" if len(name) < 60 else "x" * 70 + "1.csv", HEADER, CODED)
    ids = [read_one(path)["application_id"] for path in (first, write(tmp_path, name, HEADER, row), first)]
    assert ids[0] != ids[1]
    assert ids[0] == ids[2]


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    """Blank lines and cells with line breaks count as the lines that they are in the file."""
    path = write(tmp_path, "a.csv", "", HEADER + ",Note", CODED + ',"two\r\nlines"', "", CODED + ",\r", CODED + ",")
    assert [row.line for row in read_applications(path, shipped_contract())] == [3, 6, 7]


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
    path = write(tmp_path, name, text)
    error = error_of(path)
    assert error.startswith(str(path))
    assert message in error
    for words in ("expected after", "newline", "field larger", "unexpected end", "delimiter ", "codec", "None"):
        assert words not in error


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.csv.gz", "a.xlsx"])
def test_a_packed_file_is_named_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    """Gzip by any name, with the command that unpacks it."""
    path = tmp_path / name
    path.write_bytes(gzip.compress(f"{HEADER}\n{CODED}".encode()))
    assert f"{path}: is compressed with gzip, not text; `gzip -dc < {path} > " in error_of(path)


def test_a_header_that_lacks_columns_is_refused(tmp_path: Path) -> None:
    """All lacking columns are named at once, with the line and what is accepted; optional ones are not asked for."""
    message = error_of(write(tmp_path, "a.csv", "Seniority,Home,Time", "1,2,3"))
    assert "a.csv, line 1: the header lacks age, records, job, expenses, amount, price." in message
    assert "optional: application_id, marital, income, assets, debt, status" in message
    assert "Required columns of the contract credit-application:1.0.0" in message


def test_a_header_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    """Of two columns with one name nobody can tell which is meant."""
    assert "names age twice" in error_of(write(tmp_path, "a.csv", HEADER + ",AGE", CODED + ",31"))


@pytest.mark.parametrize("row", [CODED + ",1", CODED.removesuffix(",1490"), "   "])
def test_a_row_with_more_or_fewer_cells_is_refused(tmp_path: Path, row: str) -> None:
    """A row that does not fit the header stops the reading at its line: its cells may stand for anything."""
    rows = read_applications(write(tmp_path, "a.csv", HEADER, CODED, row, CODED), shipped_contract())
    assert next(rows).line == 2
    with pytest.raises(ApplicationsFileError, match=r"a\.csv, line 3: has \d+ cells? but the header has 14"):
        next(rows)


def test_broken_quoting_is_refused_with_its_line(tmp_path: Path) -> None:
    """A quote that is never closed names the line on which its row begins."""
    assert "a.csv, line 3: is not CSV" in error_of(write(tmp_path, "a.csv", HEADER, CODED, '"' + CODED))


def test_files_that_cannot_be_read_are_refused_by_name(tmp_path: Path) -> None:
    """A file that is missing, a folder, empty or of an unknown kind is named, with what is the matter."""
    (tmp_path / "folder.csv").mkdir()
    assert "none.csv: file not found" in error_of(tmp_path / "none.csv")
    assert "folder.csv: is a folder" in error_of(tmp_path / "folder.csv")
    assert "a.csv: is empty" in error_of(write(tmp_path, "a.csv"))
    assert "a.xlsx: unknown suffix" in error_of(write(tmp_path, "a.xlsx", "x"))
    assert "cannot be read: File name too long" in error_of(tmp_path / ("x" * 300 + ".csv"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused_by_name(tmp_path: Path) -> None:
    """A file that this user may not read is named, with what the system says."""
    path = write(tmp_path, "a.csv", HEADER, CODED)
    path.chmod(0)
    assert "a.csv: cannot be read: Permission denied" in error_of(path)


def test_codes_that_a_program_made_floats_read_as_names(tmp_path: Path) -> None:
    """A table in which a number is missing is written with `1.0` for 1, and each such row was rejected."""
    row, unknown = ",".join(f"{cell}.0" for cell in CODED.split(",")), "99999999.0"
    path = write(tmp_path, "a.csv", HEADER, row, row.replace("182.0", unknown), row.replace("182.0", "9.9999999e+07"))
    rows = read_rows(path)
    assert [(row.status, json.loads(row.value)["income"]) for row in rows] == [("ok", 182), ("ok", None), ("ok", None)]
    assert json.loads(rows[0].value) == {"application_id": "a.csv:2-32aa2bf1", **APPLICATION}


@pytest.mark.parametrize(("value", "cells"), [("10", ["10", "10.0", " 10 "]), ("-1", ["-1", "-1.00"]), ("1.0", ["1"])])
def test_an_outcome_of_several_digits_that_a_program_made_a_float(tmp_path: Path, value: str, cells: list[str]) -> None:
    """`10.0` was not taken for 10, so that no loan was a default; JSON lines are read with floats alone."""
    outcome = OutcomeColumn("late", {plain_code(value): "default"}, others="ok")
    path = write(tmp_path, "a.csv", f"{HEADER},late", *(f"{CODED},{cell}" for cell in [*cells, "100", "0"]))
    statuses = [row.status for row in read_applications(path, shipped_contract(), outcome=outcome)]
    assert statuses == ["default"] * len(cells) + ["ok", "ok"]
    lines = [json.dumps({"late": json.loads(cell)}) for cell in (value, "100")]
    path = write(tmp_path, "a.jsonl", *lines)
    statuses = [row.status for row in read_applications(path, shipped_contract(), outcome=outcome)]
    assert statuses == ["default", "ok"]


def test_codes_of_several_digits_that_a_program_made_floats() -> None:
    """As those of one digit; a code that is written with a fraction in the contract is found as it is written."""
    home = {"type": "string", "enum": ["rent", "owner"], "x-codes": {"10": "rent", "11.0": "owner"}}
    document = {"title": "Loan", "type": "object", "properties": {"id": {"type": "string", "x-id": True}, "home": home}}
    field = parse_contract(json.dumps({**document, "required": ["id"]})).fields["home"]
    read = [read_cell(field, cell, ",")[0] for cell in ("10", "10.0", "11.0", "11")]
    assert read == ['"rent"', '"rent"', '"owner"', '"11"']


def test_what_cannot_be_seen_in_a_category_is_named(tmp_path: Path) -> None:
    """The message about an unknown category lists the very name that the cell seems to hold."""
    (row,) = read_applications(
        write(tmp_path, "a.csv", HEADER, SPELLED_OUT.replace("rent", "rent\u200b")), shipped_contract()
    )
    assert row.hint == "home has an invisible character: remove it"


def test_dump_application_is_compact_and_in_the_contracts_order() -> None:
    """Fields come in the contract's order, the publisher's own after them, as UTF-8 without spaces."""
    assert dump_application({"note": "é", "age": 30, "application_id": "x"}, shipped_contract()) == (
        '{"application_id":"x","age":30,"note":"é"}'.encode()
    )
    for refused in (float("nan"), "\ud800"):
        with pytest.raises(ValueError):  # noqa: PT011
            dump_application({"age": refused}, shipped_contract())
    with pytest.raises(TypeError):
        dump_application({"age": object()}, shipped_contract())


def test_the_real_data_reads_whole() -> None:
    """Every row of the course's file is an application that the contract accepts."""
    rows = read_rows(real_data.file())
    assert len(rows) > 1000
    for row in rows:
        CreditApplication.model_validate_json(row.value)
