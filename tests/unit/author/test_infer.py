"""Contracts inferred from data files: what is proposed, and what a person is asked to check."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from schemas.contract_parser import parse_contract
from scorer.author.data_file import profile_file
from scorer.author.infer import Inferred, infer_contract
from scorer.errors import InputFileError, MisuseError

pytestmark = pytest.mark.quick


def write_csv(path: Path, columns: Mapping[str, Sequence[object]], delimiter: str = ",") -> Path:
    """A CSV file with these columns."""
    lines = [columns, *zip(*columns.values(), strict=True)]
    path.write_text("".join(delimiter.join(map(str, line)) + "\n" for line in lines), encoding="utf-8")
    return path


def infer(path: Path, id_column: str | None = "id", target: str | None = None, dropped: Sequence[str] = ()) -> Inferred:
    """The proposal for a file; it is a contract."""
    inferred = infer_contract(profile_file(path), path.stem, id_column, target, dropped)
    parse_contract(json.dumps(inferred.document))
    return inferred


def propose(tmp_path: Path, values: Sequence[object], name: str = "a") -> tuple[dict[str, Any], list[str], bool]:
    """What is proposed for a column: its schema without comment, its notes, and whether it is required."""
    ids = [f"L-{number}" for number in range(len(values))]
    inferred = infer(write_csv(tmp_path / "loans.csv", {"id": ids, name: values}, delimiter=";"))
    schema = inferred.document["properties"][name]
    notes = [note.removeprefix(f"{name}: ") for note in inferred.notes if note.startswith(f"{name}: ")]
    assert schema.pop("$comment", "") == (f"Check: {'; '.join(notes)}" if notes else "")
    return schema, notes, name in inferred.document["required"]


@pytest.mark.parametrize(
    ("values", "schema"),
    [
        ([18, 75, *range(20, 40)], {"type": "integer", "minimum": 10, "maximum": 100}),
        ([100, 1000, *range(300, 320)], {"type": "integer", "minimum": 100, "maximum": 1000}),
        ([0.21, 0.73], {"type": "number", "minimum": 0.2, "maximum": 1}),
        ([0.002, 6.5], {"type": "number", "minimum": 0, "maximum": 10}),
        ([-37.5, -3], {"type": "number", "minimum": -50, "maximum": -2}),
        (["39811.0", "52000.0"], {"type": "number", "minimum": 20_000, "maximum": 100_000}),
        (["1e3", "2E+3"], {"type": "number", "minimum": 1000, "maximum": 2000}),
        (["True", "False"], {"type": "boolean"}),
        (["rent", "own"] * 4, {"type": "string", "enum": ["own", "rent"]}),
        (["40% €", "a, b: c"] * 4, {"type": "string", "enum": ["40% €", "a, b: c"]}),
        (["0012", "0013"] * 4, {"type": "string", "enum": ["0012", "0013"]}),
        (["2024-02-29", "2023-01-01"], {"type": "string", "format": "date"}),
        (["2024-02-29T10:00:00Z"], {"type": "string", "format": "date-time"}),
    ],
)
def test_kinds_and_limits(tmp_path: Path, values: Sequence[object], schema: dict[str, Any]) -> None:
    """Kinds follow from the cells; limits are rounded outward to 1, 2 or 5 × 10^n; nothing is unsure."""
    assert propose(tmp_path, values) == (schema, [], True)


@pytest.mark.parametrize(
    ("values", "schema", "note"),
    [
        (["Ann", "Bob", "Cyd"], {"type": "string", "maxLength": 5}, "a text, which models do not use"),
        (["1,5", "2.000,5"], {"type": "number"}, "the file has decimal commas"),
        (["29.02.2024"], {"type": "string", "format": "date"}, "not written as YYYY-MM-DD"),
        (["2018-01-01 00:00:00.000"], {"type": "string", "format": "date-time"}, "must be RFC 3339 with an offset"),
        ([1, 2] * 9, {"type": "integer", "minimum": 1, "maximum": 2}, "only 2 different whole numbers"),
        (["x", "y"] * 3 + ["z"] + ["x"], {"type": "string", "enum": ["x", "y", "z"]}, "values that occur once: 1 of 3"),
        (["1", "2", "n"] * 3, {"type": "string", "enum": ["1", "2", "n"]}, "6 of 9 values are numbers"),
        ([10, 11, 12, 5000, 5000], {"type": "integer", "minimum": 10, "maximum": 5000}, "a number repeats far above"),
    ],
)
def test_what_is_unsure_is_noted(tmp_path: Path, values: Sequence[object], schema: dict[str, Any], note: str) -> None:
    """A proposal that a person has to decide has a note, which is in the file, too."""
    proposed, notes, _ = propose(tmp_path, values)
    assert proposed == schema
    assert any(note in text for text in notes)


@pytest.mark.parametrize(
    ("values", "codes", "limits"),
    [
        ([0, 80, 959, 99999999, 99999999], [99999999], (0, 1000)),
        ([0, 10, 80, -9, -9], [-9], (0, 100)),
        ([5.5, 10, -8, -8, -9, -9, 999, 999], [-9, -8, 999], (5, 10)),
        ([10, 50, 95, 99, 99], None, (10, 100)),
        ([0, 30, 99999999], None, (0, 100_000_000)),
        ([-50, -9, -9, 20], None, (-50, 20)),
        ([1, 2, 3, 9, 9], None, (1, 10)),
        ([88, 88, 700], None, (50, 1000)),
    ],
)
def test_codes_for_unknown(
    tmp_path: Path, values: Sequence[float], codes: list[float] | None, limits: tuple[float, float]
) -> None:
    """Repeated digits far outside all other numbers that occur twice are unknown; ages of 99 and single values not."""
    schema, notes, _ = propose(tmp_path, values)
    assert schema.get("x-unknown") == codes
    assert (schema["minimum"], schema["maximum"]) == limits
    assert any("does it mean unknown?" in note for note in notes) == (codes is not None)


@pytest.mark.parametrize("value", ["2018-01-01 00:00:00.000", "29.02.2024"])
def test_what_the_file_cannot_be_read_with_may_be_left_out(tmp_path: Path, value: str) -> None:
    """The field would reject each row of its own file, so the note says both ways out."""
    _, (note,), _ = propose(tmp_path, [value])
    assert note.endswith("convert them, or leave the column out with --drop")


def test_empty_cells_make_a_field_nullable_and_optional(tmp_path: Path) -> None:
    """Files have no null: an empty cell is an absent field. Words for missing values become codes of files."""
    assert propose(tmp_path, [1, "", 30]) == ({"type": ["integer", "null"], "minimum": 1, "maximum": 50}, [], False)
    schema, _, required = propose(tmp_path, ["x", "x", "y", "y", ""])
    assert (schema["enum"], required) == (["x", "y", None], False)
    schema, notes, required = propose(tmp_path, [1, "NA", 30])
    assert (schema["x-codes"], required) == ({"NA": None}, False)
    assert notes == ["NA in the file is read as unknown"]
    schema, notes, _ = propose(tmp_path, ["true", "false", "NA"])
    assert "x-codes" not in schema
    assert notes == ["NA in the file is not a value of this kind: leave such cells empty"]


@pytest.mark.parametrize(
    ("name", "bases"),
    [
        ("personal_status_and_sex", "marital status, sex"),
        ("foreign_worker", "national origin"),
        ("age_in_years", "age"),
        ("MaritalStatus", "marital status"),
        ("dateOfBirth", "age"),
        ("mortgage", None),
    ],
)
def test_prohibited_bases_by_name(tmp_path: Path, name: str, bases: str | None) -> None:
    """The name of a column indicates a prohibited basis, which is annotated and noted."""
    schema, notes, _ = propose(tmp_path, ["x", "y"] * 3, name)
    assert schema.get("x-prohibited") == bases
    assert any("prohibited basis" in note for note in notes) == (bases is not None)


def test_target_and_dropped_columns_are_left_out(tmp_path: Path) -> None:
    """In any letter case; a column that does not exist is an error that suggests the nearest one."""
    path = write_csv(tmp_path / "l.csv", {"id": ["a", "b"], "Status": [1, 2], "y_pred": [0, 1], "n": [1, 9]})
    inferred = infer(path, target="status", dropped=["y_pred"])
    assert list(inferred.document["properties"]) == ["id", "n"]
    assert not any("--target" in note for note in inferred.notes)
    assert any("no --target" in note for note in infer(path).notes)
    with pytest.raises(MisuseError, match=r'--drop y_prod: no such column. Did you mean "y_pred"\?'):
        infer(path, dropped=["y_prod"])
    with pytest.raises(MisuseError, match="--id key: no such column"):
        infer(path, id_column="key")


def test_the_id_is_found_or_added(tmp_path: Path) -> None:
    """A column with id in its name and no value twice is the id; without one, application_id is added."""
    path = write_csv(tmp_path / "Car Loans.csv", {"kind_id": [1, 1], "loanId": [7, 8]})
    found = infer(path, id_column=None)
    assert found.document["x-name"] == "car-loans"
    assert found.document["properties"]["loanId"]["x-id"] is True
    assert "loanId: contains numbers; on the topic the id is a string" in found.notes
    added = infer(path, id_column=None, dropped=["loanId"])
    assert list(added.document["properties"]) == ["application_id", "kind_id"]
    assert any(note.startswith("no column identifies applications") for note in added.notes)
    chosen = infer(write_csv(tmp_path / "l.csv", {"key": ["a", "a", ""], "b": [1, 2, 3]}), id_column="key")
    assert "key: some values occur more than once; an id identifies one application" in chosen.notes
    assert "key: is missing in some rows; every application needs an id" in chosen.notes
    assert "key" in chosen.document["required"]


def test_json_lines_keep_types_and_nested_objects(tmp_path: Path) -> None:
    """Strings of digits are no numbers, objects are nested, absent and null objects optional and nullable."""
    path = tmp_path / "loans.jsonl"
    rows: list[dict[str, Any]] = [
        {"id": "a", "n": 5, "code": "1", "ok": True, "job": {"since": "2024-02-29", "x": None}, "tags": [1]},
        {"id": "b", "n": 2.5, "code": "1", "ok": False, "job": None},
        {"id": "c", "n": 7, "code": "2", "ok": True, "new": {"y": 1}},
        {"id": "d", "n": 7, "code": "2", "ok": True, "new": 3},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    inferred = infer(path)
    assert inferred.document["properties"] == {
        "id": {"type": "string", "minLength": 1, "maxLength": 64, "x-id": True},
        "n": {"type": "number", "minimum": 2, "maximum": 10},
        "code": {"type": "string", "enum": ["1", "2"]},
        "ok": {"type": "boolean"},
        "job": {
            "type": ["object", "null"],
            "properties": {"since": {"type": "string", "format": "date"}},
            "required": ["since"],
        },
        "new": {
            "type": ["object", "null"],
            "properties": {"y": {"type": "integer", "minimum": 1, "maximum": 1}},
            "required": ["y"],
        },
    }
    assert inferred.document["required"] == ["id", "n", "code", "ok"]
    assert "job.x: left out: has no values" in inferred.notes
    assert any(note.startswith("tags: left out: contains lists") for note in inferred.notes)
    assert any(note.startswith("new: left out where it is not an object") for note in inferred.notes)


def test_no_value_of_a_text_is_shown(tmp_path: Path) -> None:
    """Names of people are in no note and not in the proposal: a column of texts is described by its length."""
    path = write_csv(tmp_path / "l.csv", {"id": ["a", "b", "c"], "name": ["Ann Ash", "Bob Birch", "Cyd Cedar"]})
    inferred = infer(path)
    assert not any(name in json.dumps(inferred.document) + str(inferred.notes) for name in ("Ash", "Birch", "Cedar"))


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("l.txt", b"a\n1\n", "unknown suffix '.txt'"),
        ("l.csv", b"", "is empty; a header line is required"),
        ("l.csv", b"a,b\n", "has no rows"),
        ("l.csv", b"a,b,a\n1,2,3\n", 'the header names "a" twice'),
        ("l.csv", b"a,b\n1\n", "line 2: has 1 cell but the header has 2"),
        ("l.csv", b'a,b\n"1,2\n', "the quoting is invalid|a closing quote missing"),
        ("l.csv", b"a,b\n1,\xff\n", "is not UTF-8, probably Windows-1252"),
        ("l.csv", b"PK\x03\x04[Content_Types].xml", "is a spreadsheet"),
        ("l.jsonl", b"", "has no rows"),
        ("l.jsonl", b'{"a": 1}\n[1]\n', "line 2: is not a JSON object"),
        ("l.jsonl", b'{"a": "\xff"}\n', "line 1: is not UTF-8"),
        ("l.jsonl", json.dumps({str(n): 1 for n in range(1001)}).encode(), "more than 1,000 fields"),
    ],
)
def test_what_is_not_a_data_file(tmp_path: Path, name: str, content: bytes, fault: str) -> None:
    """Each file that cannot be read is one message that names it."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=fault) as caught:
        profile_file(path)
    assert str(path) in str(caught.value)


def test_columns_of_which_no_contract_can_be_made(tmp_path: Path) -> None:
    """A name that a contract does not allow is named; nothing is renamed silently."""
    path = write_csv(tmp_path / "l.csv", {"id": ["a"], "a=b": [1]})
    with pytest.raises(MisuseError, match=r"a=b: a property's name must not contain =.*--drop columns"):
        infer(path)


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow the message says how to install it; with it, rows are read as objects, batch by batch."""
    path = tmp_path / "l.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputFileError, match="pip install pyarrow"):
        profile_file(path)

    class Batch:
        def to_pylist(self) -> list[dict[str, Any]]:
            return [{"id": "a", "n": 1}, {"id": "b", "n": 5}]

    class ParquetFile:
        def __init__(self, file: object) -> None:
            self.file = file

        def iter_batches(self) -> list[Batch]:
            return [Batch()]

    module, parquet = ModuleType("pyarrow"), ModuleType("pyarrow.parquet")
    vars(module).update(ArrowException=ValueError, parquet=parquet)
    vars(parquet)["ParquetFile"] = ParquetFile
    monkeypatch.setitem(sys.modules, "pyarrow", module)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", parquet)
    assert infer(path).document["properties"]["n"] == {"type": "integer", "minimum": 1, "maximum": 5}
