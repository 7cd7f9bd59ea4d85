"""`scorer score`: the worker's bytes for every row of a file, and no row lost unseen."""

import csv
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scorer.cli import csv_output
from scorer.core.score import score_batch
from scorer.store.store import BundleStore
from tests.fakes import FakeRecord
from tests.unit.bundle.making import write_loans
from tests.unit.cli.conftest import Run

pytestmark = pytest.mark.slow

HEADER = "Status,Seniority,Home,Time,Age,Marital,Records,Job,Expenses,Income,Assets,Debt,Amount,Price"
GOOD = "1,7,1,48,41,2,1,3,55,150,0,0,950,1111"
BAD = "1,7,s3cret,48,41,2,1,3,55,150,0,0,950,1111"


def _write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def _record(topic: str, offset: int, value: bytes) -> FakeRecord:
    return FakeRecord((0, offset), value, topic_name=topic)


def test_the_decisions_are_the_workers_bytes(tmp_path: Path, run: Run) -> None:
    """A line is what a worker would publish for that record, to the byte, whatever the batch."""
    application = (
        '{"application_id":"a-1","seniority":7,"home":"rent","time":48,"age":41,"records":"no","job":"freelance",'
        '"expenses":55,"income":150,"assets":0,"debt":0,"amount":950,"price":1111}'
    )
    (tmp_path / "in.jsonl").write_text(application + "\n")
    ended = run("score", "in.jsonl", "--topic", "credit.applications")
    bundle = BundleStore(tmp_path).open("credit-risk:1.1.1")
    record = _record("credit.applications", 1, application.encode())
    assert ended.code == 0
    assert ended.out.encode() == b"".join(
        outcome + b"\n" for outcome in score_batch([record], bundle, 65_536).results if isinstance(outcome, bytes)
    )


def test_one_decision_a_row_in_the_files_order(tmp_path: Path, run: Run) -> None:
    """The source is the file's name, made safe for a topic, its digest, and the line; the id tells the row."""
    file = write_loans(tmp_path / "my loans (1).csv", rows=50)
    ended = run("score", file)
    decisions = [json.loads(line) for line in ended.out.splitlines()]
    assert [d["source"]["offset"] for d in decisions] == list(range(2, 52))
    assert {d["source"]["topic"] for d in decisions} == {
        f"my-loans--1-.csv-{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    }
    assert {d["source"]["partition"] for d in decisions} == {0}
    assert len({d["decision_id"] for d in decisions}) == 50
    assert {d["bundle"]["version"] for d in decisions} == {"1.1.1"}


def test_a_csv_file_comes_back_with_its_decisions(tmp_path: Path, run: Run) -> None:
    """A data scientist has a table; each row is as it was, in order, and a rejected one says why."""
    file = tmp_path / "loans.csv"
    file.write_text(f'{HEADER},Note\n{GOOD},"a, b"\n,,,,,,,,,,,,,,\n{BAD},c\n'.replace(",", ";"), encoding="utf-8")
    lines = run("score", "loans.csv", "--topic", "t").out.splitlines()
    table = run("score", "loans.csv", "--topic", "t", "--output", "csv")
    header, good, bad = table.out.splitlines()
    decision = json.loads(lines[0])
    before = file.read_text(encoding="utf-8").splitlines()
    assert header == f"{before[0]};decision;probability_of_default;reasons;rejection"
    codes = " ".join(decision.get("reasons", ()))
    assert good == f"{before[1]};{decision['decision']};{decision['probability_of_default']!r};{codes};"
    assert bad.startswith(f"{before[3]};;;;unknown_category: home: ")
    assert "s3cret" not in bad.removeprefix(before[3])
    assert table.code == 1


def test_no_cell_of_the_csv_file_is_evaluated_as_a_formula(tmp_path: Path, run: Run) -> None:
    """Applicants choose texts, and reviewers open decisions in a spreadsheet; numbers stay numbers."""
    cells = ["=1+1", "+1+1", "-1+1|cmd", "@SUM(1)", " =1+1", "-1", "+1.5", "-1,490.50", "-1e-9", "a=1", "1-2"]
    columns = ",".join(f"note{number}" for number in range(len(cells)))
    quoted = ",".join(f'"{cell}"' for cell in cells)
    (tmp_path / "loans.csv").write_text(f"{HEADER},{columns}\n{GOOD},{quoted}\n", encoding="utf-8")
    out = run("score", "loans.csv", "--output", "csv").out
    (row,) = csv.DictReader(io.StringIO(out))
    expected = ["'=1+1", "'+1+1", "'-1+1|cmd", "'@SUM(1)", "' =1+1", *cells[5:]]
    assert [row[f"note{number}"] for number in range(len(cells))] == expected


def test_a_csv_file_that_changes_meanwhile(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read twice, in step: a row that is gone was a traceback, and a pipe blocked."""
    _write(tmp_path / "loans.csv", GOOD, GOOD)
    (tmp_path / "shorter.csv").write_text(f"{HEADER}\n{GOOD}\n", encoding="utf-8")
    read = csv_output._read
    monkeypatch.setattr(csv_output, "_read", lambda _, contract: read("shorter.csv", contract))
    ended = run("score", "loans.csv", "--output", "csv")
    assert (ended.code, "loans.csv: was changed while it was read" in ended.err) == (2, True)
    os.mkfifo(tmp_path / "pipe.csv")
    ended = run("score", "pipe.csv", "--output", "csv")
    assert (ended.code, "reads pipe.csv twice" in ended.err) == (2, True)


def test_a_csv_file_without_rows_comes_back_with_its_header(tmp_path: Path, run: Run) -> None:
    """So that a program that reads it finds the columns."""
    _write(tmp_path / "loans.csv")
    header = f"{HEADER},decision,probability_of_default"
    assert run("score", "loans.csv", "--output", "csv").out == f"{header},reasons,rejection\n"
    without = run("score", "loans.csv", "--output", "csv", "--bundle", "credit-risk:1.1.0")
    assert without.out == f"{header},rejection\n"
    (tmp_path / "empty.csv").write_text("\n")
    empty = run("score", "empty.csv", "--output", "csv")
    assert (empty.code, empty.out) == (2, "")


@pytest.mark.parametrize("twice", [False, True])
def test_what_cannot_come_back_as_csv(tmp_path: Path, run: Run, twice: bool) -> None:
    """A file of another format, and one that has a decision already."""
    (tmp_path / "in.jsonl").write_text("{}\n", encoding="utf-8")
    (tmp_path / "in.csv").write_text(f"{HEADER},decision\n{GOOD},APPROVED\n", encoding="utf-8")
    ended = run("score", "in.csv" if twice else "in.jsonl", "--output", "csv")
    assert ended.code == 2
    assert ("already has the column decision" if twice else "adds columns to a .csv or .tsv file") in ended.err


@pytest.mark.parametrize("names", [("a/loans.csv", "b/loans.csv"), ("январь.csv", "февраль.csv")])
def test_files_share_no_decision_id(tmp_path: Path, run: Run, names: tuple[str, str]) -> None:
    """Files of one name in two folders, or whose names differ in letters that Kafka does not allow, had the same."""
    ids = []
    for name, row in zip(names, (GOOD, GOOD.replace("1111", "1112")), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        ids.append(json.loads(run("score", _write(tmp_path / name, row)).out)["decision_id"])
    assert ids[0] != ids[1]
    assert json.loads(run("score", tmp_path / names[0]).out)["decision_id"] == ids[0]


def test_a_file_of_several_batches(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a batch ends cannot be seen in what comes out."""
    file = write_loans(tmp_path / "loans.csv", rows=50)
    whole = run("score", file)
    monkeypatch.setattr("scorer.settings.BATCH_RECORDS_DEFAULT", 7)
    assert run("score", file) == whole


def test_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads it, CSV here; the source is called stdin."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{HEADER}\n{GOOD}\n".encode())))
    ended = run("score", "-", "--bundle", "credit-risk:1.0.0")
    assert json.loads(ended.out)["source"] == {"topic": "stdin", "partition": 0, "offset": 2}
    assert json.loads(ended.out)["bundle"]["version"] == "1.0.0"


def test_rejections_set_the_exit_code_unless_they_are_saved(tmp_path: Path, run: Run) -> None:
    """Without --rejects they are counted and the code is 1; with it they are in the file and the code is 0."""
    file = _write(tmp_path / "loans.csv", GOOD, BAD, GOOD)
    ended = run("score", file)
    assert ended.code == 1
    assert len(ended.out.splitlines()) == 2
    assert "3 rows: 2 decided" in ended.err
    assert "1 rejected (1 unknown_category)" in ended.err
    with_rejects = run("score", file, "--rejects", "rejects.jsonl")
    assert with_rejects.code == 0
    assert with_rejects.out == ended.out
    (reject,) = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert (reject["line"], reject["code"]) == (3, "unknown_category")
    assert reject["reason"].startswith("home: unknown category")


def test_no_value_of_a_row_is_shown(tmp_path: Path, run: Run) -> None:
    """Neither in the summary nor among the rejects."""
    ended = run("score", _write(tmp_path / "loans.csv", BAD), "--rejects", "rejects.jsonl")
    assert "s3cret" not in ended.out + ended.err + (tmp_path / "rejects.jsonl").read_text()


def test_unused_columns_are_listed_once(tmp_path: Path, run: Run) -> None:
    """A misspelt column was dropped without a word; a note beside the fields is said and not a fault."""
    (tmp_path / "loans.csv").write_text(f"{HEADER},note\n{GOOD},x\n{GOOD},y\n")
    ended = run("score", "loans.csv")
    assert (ended.code, ended.err.splitlines()[1:]) == (0, ['line 1: ignored columns: "note"'])


def test_the_summary_alone(tmp_path: Path, run: Run) -> None:
    """--summary prints it where the decisions would have been, and with --json as an object."""
    file = write_loans(tmp_path / "loans.csv", rows=50)
    text = run("score", file, "--summary")
    assert text.out.startswith("50 rows: 50 decided by credit-risk:1.1.1@")
    assert text.err == ""
    report = json.loads(run("score", file, "--summary", "--json").out)
    assert report["rows"] == sum(report["decisions"].values()) == 50
    assert report["rejections"] == {}
    assert report["bundle"]["version"] == "1.1.1"


@pytest.mark.parametrize("name", ["loans.csv.gz", "loans.xlsx"])
def test_a_packed_file_is_named_by_its_format(tmp_path: Path, run: Run, name: str) -> None:
    """The advice was to name it .csv, because its suffix was checked before its content."""
    (tmp_path / name).write_bytes(gzip.compress(f"{HEADER}\n{GOOD}\n".encode()))
    ended = run("score", name)
    assert (ended.code, f"scorer: {name}: is compressed with gzip, not text; " in ended.err) == (2, True)


def test_the_summary_as_json_with_the_decisions(tmp_path: Path, run: Run) -> None:
    """--json alone leaves the decisions where they are and puts the object on standard error."""
    ended = run("score", write_loans(tmp_path / "loans.csv", rows=5), "--json")
    assert len(ended.out.splitlines()) == 5
    assert json.loads(ended.err)["rows"] == 5


def test_a_file_with_no_rows(tmp_path: Path, run: Run) -> None:
    """Nothing to decide is no fault."""
    ended = run("score", _write(tmp_path / "loans.csv"))
    assert (ended.code, ended.out) == (0, "")
    assert "0 rows: 0 decided" in ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere.csv"], 2, "scorer: nowhere.csv: file not found"),
        (["nowhere.csv", "--bundle", "no-such:1.0.0"], 2, "scorer: nowhere.csv: file not found"),
        (["notes.txt"], 2, "unknown suffix"),
        (["good.csv", "--bundle", "credit-risk:7.0.0"], 1, "Available: credit-risk:1.0.0, credit-risk:1.1.0, credit-"),
        (["good.csv", "--topic", "a b"], 2, "--topic a b: invalid topic name"),
        (["good.csv", "--rejects", "good.csv"], 2, "is the input file"),
        (["good.csv", "--rejects", "no/folder.jsonl"], 2, "--rejects no/folder.jsonl: cannot be written"),
        (["good.csv", "--set", "record_bytes_max=1"], 2, "record_bytes_max"),
        (["broken.csv"], 2, "broken.csv, line 3: has 2 cells but the header has 14"),
        ([], 2, "Missing argument"),
    ],
)
def test_errors_are_one_message(tmp_path: Path, run: Run, arguments: list[str], code: int, message: str) -> None:
    """What is wrong and how to mend it, without a traceback, and the input is untouched."""
    file = _write(tmp_path / "good.csv", GOOD)
    _write(tmp_path / "broken.csv", GOOD, "1,2")
    (tmp_path / "notes.txt").touch()
    before = file.read_bytes()
    ended = run("score", *arguments)
    assert ended.code == code
    assert message in ended.err
    assert file.read_bytes() == before


def test_rejects_do_not_go_to_the_file_that_is_the_standard_input(tmp_path: Path, run: Run) -> None:
    """`scorer score - --rejects loans.csv < loans.csv` emptied the file."""
    file = _write(tmp_path / "loans.csv", BAD)
    before, own = file.read_bytes(), os.dup(0)
    with file.open("rb") as source:
        os.dup2(source.fileno(), 0)
        try:
            ended = run("score", "-", "--rejects", "loans.csv")
        finally:
            os.dup2(own, 0)
            os.close(own)
    assert ended.code == 2
    assert "is the input file" in ended.err
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda row: row.replace("1111", '"1111,25"'), "line 2: price has a comma"),
        (lambda row: row.replace("1111", "s3cret"), "line 2: price is not a plain number"),
        (lambda row: row.replace(",1,", ", rent ,", 1), "line 2: home has spaces around it"),
        (lambda row: row.replace(",1,", ",r\udce9nt,", 1), "line 2: the file is not UTF-8, probably Windows-1252"),
    ],
)
def test_rejected_rows_say_what_to_change_in_the_file(
    tmp_path: Path, run: Run, change: Callable[[str], str], hint: str
) -> None:
    """`1 wrong_type` was all that was said of a file with decimal commas. The hint is given once, without a value."""
    rows = [GOOD, *[change(GOOD)] * 3]
    path = tmp_path / "loans.csv"
    path.write_bytes("\n".join([HEADER, *reversed(rows)]).encode("utf-8", "surrogateescape"))
    for arguments in (("score", path), ("bundle", "diff", "credit-risk:1.0.0", "credit-risk:1.1.0", "--on", path)):
        ended = run(*arguments)
        assert ended.err.count(hint) == 1
        assert ended.err.count("line ") == 1 + ended.err.count("line's")
        assert "s3cret" not in ended.err
        assert "1111" not in ended.err


@pytest.mark.parametrize(
    ("delimiter", "end", "encoding"),
    [
        (",", "\r\n", "utf-8-sig"),
        (",", "\r", "utf-16"),
        (";", "\r\n", "utf-16"),
        (";", "\n", "utf-8-sig"),
        ("\t", "\n", "utf-16"),
        ("\t", "\r", "utf-8-sig"),
    ],
)
def test_a_spreadsheets_file_is_scored(tmp_path: Path, run: Run, encoding: str, end: str, delimiter: str) -> None:
    """However a spreadsheet saved the rows, their decisions are the same."""
    text = f"{HEADER}\n{GOOD}\n{GOOD}\n"
    (tmp_path / "loans.csv").write_text(text)
    plain = run("score", "loans.csv", "--topic", "loans")
    assert plain.out.count("\n") == 2
    (tmp_path / "loans.csv").write_bytes(text.replace(",", delimiter).replace("\n", end).encode(encoding))
    assert run("score", "loans.csv", "--topic", "loans") == plain


def test_a_longer_record_is_rejected(tmp_path: Path, run: Run) -> None:
    """`record_bytes_max` holds here as it does for a worker."""
    (tmp_path / "in.jsonl").write_text('{"x":"' + "a" * 2_000 + '"}\n')
    assert "too_large" in run("score", "in.jsonl", "--set", "record_bytes_max=1024").err


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    """`scorer score … | head -1` prints no traceback, and ends as programs in a pipeline do: with 128 + SIGPIPE."""
    file = write_loans(tmp_path / "loans.csv", rows=2_000)
    command = [sys.executable, "-c", "from scorer.cli import main; main()", "score", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"{")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


@pytest.mark.parametrize(("target", "fault"), [("nowhere/x", "No such file or directory"), (".", "Is a directory")])
@pytest.mark.parametrize(
    "command",
    [
        ("score", "FILE", "--bundle", "no-such:1.0.0", "--rejects"),
        ("explain", "--file", "FILE", "--bundle", "no-such:1.0.0", "--html"),
        ("policy", "simulate", "--bundle", "no-such:1.0.0", "--html"),
    ],
    ids=lambda command: command[0],
)
def test_a_target_is_checked_before_the_work(
    run: Run, tmp_path: Path, command: tuple[str, ...], target: str, fault: str
) -> None:
    """The bundle was opened and the file scored before it was found that the result has no place."""
    (tmp_path / "file.jsonl").write_text("{}\n")
    ended = run(*("file.jsonl" if word == "FILE" else word for word in command), target)
    assert ended.code == 2
    assert f"{command[-1]} {target}: cannot be written: {fault}" in ended.err
