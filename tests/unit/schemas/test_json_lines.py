"""Files of JSON lines, and the standard input: values are passed on unchanged."""

import io
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

from schemas.contracts import shipped_contract
from schemas.files import read_applications
from schemas.rows import Hints, Row
from tests.unit.schemas.made_files import (
    APPLICATION,
    CODED,
    HEADER,
    error_of,
    read_one,
    read_rows,
    write,
)


def test_fields_of_json_lines_that_nothing_reads_are_named_once(tmp_path: Path) -> None:
    """A misspelt optional field was dropped without a word."""
    line = json.dumps({"application_id": "a", "status": "ok", "Income": 1, "note": 2})
    path, hints = write(tmp_path, "a.jsonl", line, line, '{"application_id":"b","income":1,"Income":2}'), Hints()
    assert len(list(read_applications(path, shipped_contract(), hints))) == 3
    assert hints.texts() == ['line 1: ignored fields: "Income" (income?), "note"']


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_json_lines_with_a_mark_lose_no_row(tmp_path: Path, end: bytes) -> None:
    """The first row of a file with a byte-order mark used to be rejected, and that of each file joined to it."""
    mark, line = b"\xef\xbb\xbf", b'{"application_id":"a","note":"\xef\xbb\xbf"}'
    path = tmp_path / "a.jsonl"
    path.write_bytes(mark + line + end + line + end + mark + mark + line + end)
    assert read_rows(path) == [Row(number, line, None) for number in (1, 2, 3)]
    path.write_bytes((line + end + line + end).decode().encode("utf-16"))
    assert read_rows(path) == [Row(number, line, None) for number in (1, 2)]


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".JSONL"])
def test_json_lines_are_untouched(tmp_path: Path, suffix: str) -> None:
    """A line with an id, and one that is no JSON object at all, comes out byte for byte; blank lines are skipped."""
    lines: Iterable[bytes] = (b'{ "application_id": "x",  "age":1}', b" ", b'[{"a":1}]', b"\xff", b'{"cut":', b"", b"7")
    rows = read_rows(write(tmp_path, "a" + suffix, *lines))
    assert [row[:3] for row in rows] == [(n, line, None) for n, line in enumerate(lines, 1) if line.strip()]


def test_json_lines_without_an_id_get_one(tmp_path: Path) -> None:
    """An object without an id gets one in front, and every other byte stays: repeated names, digits, line ends."""
    path = write(tmp_path, "a.jsonl", '{"age":30.0,"age":31}\r', " {}", '{"application_id":null}')
    assert [row.value for row in read_applications(path, shipped_contract())] == [
        b'{"application_id":"a.jsonl:1-723b96ec","age":30.0,"age":31}',
        b' {"application_id":"a.jsonl:2-a178deae"}',
        b'{"application_id":null}',
    ]


def test_json_lines_may_contain_the_outcome_of_the_loan(tmp_path: Path) -> None:
    """As text or as a number; true may mean either."""
    statuses = ['"default"', '"OK"', "1", "2.0", '"2"', "0", "null", '""', '["ok"]', '"paid"', "true", "3", "1e999"]
    path = write(tmp_path, "a.jsonl", *(f'{{"status":{status}}}' for status in statuses), "{}")
    readable = ["default", "ok", "ok", "default", "default", None, None, None]
    assert [row.status for row in read_applications(path, shipped_contract())] == [*readable, *["unreadable"] * 5, None]


def test_json_that_is_nested_too_deep_is_a_row_like_any_other(tmp_path: Path) -> None:
    """A line that Python's parser gives up on is handed on for the contract to refuse."""
    deep = b'{"a":' + b"[" * 100_000
    assert read_rows(write(tmp_path, "a.jsonl", deep)) == [Row(1, deep, None)]


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
    assert read_one("-") == value


def test_an_empty_standard_input_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing on the standard input is not a file of applications."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"\n\n")))
    assert "standard input: is empty" in error_of("-")


def test_rows_come_before_the_file_ends(tmp_path: Path) -> None:
    """A row is handed out as soon as it is read: the file, here a pipe that stays open, is never held."""
    pipe = tmp_path / "a.csv"
    os.mkfifo(pipe)
    sink = os.open(pipe, os.O_RDWR)
    try:
        rows = read_applications(pipe, shipped_contract())
        for line, text in enumerate([f"{HEADER}\n{CODED}\n", f"{CODED}\n"], 2):
            os.write(sink, text.encode())
            assert next(rows).line == line
    finally:
        os.close(sink)
