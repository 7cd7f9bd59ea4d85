"""`scorer contract`: contracts are checked, shown, compared, exported and made."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from schemas.contract_parser import parse_contract
from tests.unit.cli.conftest import Run

pytestmark = pytest.mark.quick

DOCUMENT: dict[str, Any] = {
    "x-name": "car-loan",
    "x-version": "1.0.0",
    "type": "object",
    "properties": {
        "id": {"type": "string", "maxLength": 40, "x-id": True},
        "amount": {"type": "number", "exclusiveMinimum": 0, "x-unit": "EUR"},
        "home": {"type": ["string", "null"], "enum": ["rent", "own", None], "default": "rent"},
        "employer": {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]},
    },
    "required": ["id", "amount"],
}


def write(path: Path, document: object) -> Path:
    """A file with this document."""
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def changed(version: str, **properties: object) -> dict[str, Any]:
    """The document with other fields."""
    return DOCUMENT | {"x-version": version, "properties": DOCUMENT["properties"] | properties}


def test_check_says_what_a_contract_is(tmp_path: Path, run: Run) -> None:
    """Name, version, number of fields and id; exit 0."""
    file = write(tmp_path / "c.json", DOCUMENT)
    ended = run("contract", "check", file)
    assert (ended.code, ended.out) == (0, "car-loan:1.0.0: 4 fields, id id\n")
    described = json.loads(run("contract", "check", file, "--json").out)
    assert (described["ok"], described["field_count"], described["faults"]) == (True, 4, [])


def test_check_lists_every_fault(tmp_path: Path, run: Run) -> None:
    """Each fault is a line with its place, and the exit code is 1; what is not text is a usage error."""
    file = write(tmp_path / "c.json", changed("x", amount={"type": "number", "pattern": "x"}))
    ended = run("contract", "check", file)
    assert ended.code == 1
    assert [line.partition(":")[0] for line in ended.out.splitlines()] == ["amount.pattern", "x-version", "faults"]
    described = json.loads(run("contract", "check", file, "--json").out)
    assert (described["ok"], len(described["faults"])) == (False, 2)
    missing = run("contract", "check", tmp_path / "none.json")
    assert (missing.code, missing.out) == (2, "")
    assert "none.json: cannot be read" in missing.err


def test_show_describes_each_field(tmp_path: Path, run: Run) -> None:
    """Kind, rule, presence, default, unit; columns without content are left out of the table."""
    file = write(tmp_path / "c.json", DOCUMENT)
    lines = [" ".join(line.split()) for line in run("contract", "show", file).out.splitlines()]
    for line in (
        "car-loan car-loan:1.0.0",
        "field kind rule presence default unit",
        "id id 1 to 40 characters required",
        "amount number above 0 required EUR",
        'home category rent | own, or null optional "rent"',
        "employer.age integer any number required in employer",
    ):
        assert line in lines
    fields = json.loads(run("contract", "show", file, "--json").out)["fields"]
    assert [field["field"] for field in fields] == ["id", "amount", "home", "employer.age"]


def test_diff_lists_breaking_differences_first(tmp_path: Path, run: Run) -> None:
    """Exit 1 if the new contract may reject what the old one accepts, else 0."""
    old = write(tmp_path / "old.json", DOCUMENT)
    new = write(tmp_path / "new.json", changed("2.0.0", amount={"type": "number", "minimum": 1}))
    ended = run("contract", "diff", old, new)
    assert ended.code == 1
    assert ended.out.splitlines() == [
        "breaking    amount: exclusive minimum 0 → minimum 1",
        "compatible  version 1.0.0 → 2.0.0",
        "compatible  amount: unit EUR → none",
        "NEW (car-loan:2.0.0) may reject applications that OLD (car-loan:1.0.0) accepts",
    ]
    described = json.loads(run("contract", "diff", new, old, "--json").out)
    assert described["compatible"] is True
    assert described["old"]["version"] == "2.0.0"
    assert {"field": "", "what": "version 2.0.0 → 1.0.0", "breaking": False} in described["differences"]
    same = run("contract", "diff", old, old)
    assert (same.code, len(same.out.splitlines())) == (0, 1)
    assert "accepts every application that" in same.out


def test_diff_needs_two_contracts(tmp_path: Path, run: Run) -> None:
    """A file that is not a contract is a usage error that names it, not a breaking difference."""
    old = write(tmp_path / "old.json", DOCUMENT)
    ended = run("contract", "diff", old, write(tmp_path / "new.json", []))
    assert ended.code == 2
    assert "new.json: the document is not an object" in ended.err


def test_export_writes_plain_json_schema(tmp_path: Path, run: Run) -> None:
    """To standard output or to a new file, which is not overwritten."""
    file, output = write(tmp_path / "c.json", DOCUMENT), tmp_path / "plain.json"
    exported = run("contract", "export", file, "--json-schema").out
    assert "x-" not in exported
    assert json.loads(exported)["required"] == ["id", "amount"]
    ended = run("contract", "export", file, "--output", output)
    assert (ended.code, ended.out, output.read_text(encoding="utf-8")) == (0, "", exported)
    again = run("contract", "export", file, "--output", output)
    assert again.code == 2
    assert "exists already; name a new file" in again.err
    nowhere = run("contract", "export", file, "--output", tmp_path / "no" / "plain.json")
    assert (nowhere.code, "cannot be written" in nowhere.err) == (1, True)


def test_from_pydantic_writes_a_contract(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract goes to standard output, what it does not contain to standard error."""
    monkeypatch.setattr("sys.path", ["/nowhere"])
    (tmp_path / "models_of_cli_test.py").write_text(
        "from uuid import UUID\nfrom pydantic import BaseModel\n"
        "class CarLoan(BaseModel):\n    id: UUID\n    n: float\n",
        encoding="utf-8",
    )
    ended = run("contract", "from-pydantic", "models_of_cli_test:CarLoan", "--id", "id")
    contract = parse_contract(ended.out)
    assert (str(contract), list(contract.fields)) == ("car-loan:1.0.0", ["id", "n"])
    assert ended.err == "note: id: format uuid is not checked: it is a text\n"
    assert run("contract", "from-pydantic", "models_of_cli_test:CarLoan").code == 2


def test_the_example_in_the_documentation_is_a_contract() -> None:
    """What docs/contract.md shows as a contract is one."""
    page = (Path(__file__).parents[3] / "docs" / "contract.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert str(parse_contract(example)) == "car-loan:1.0.0"


def test_infer_writes_a_contract(tmp_path: Path, run: Run) -> None:
    """The proposal is a contract, and the notes are on standard error."""
    (tmp_path / "loans.csv").write_text("id,age,status\na,20,ok\nb,71,default\n", encoding="utf-8")
    ended = run("contract", "infer", "loans.csv", "--target", "status", "--output", "c.json")
    assert (ended.code, ended.out) == (0, "")
    assert "note: age: its name indicates a prohibited basis (age); is it one?" in ended.err.splitlines()
    assert list(parse_contract((tmp_path / "c.json").read_bytes()).fields) == ["id", "age"]
    assert run("contract", "check", "c.json").code == 0


def test_export_as_asyncapi(tmp_path: Path, run: Run) -> None:
    """The document has the contract's own fields; two formats at once are a usage error."""
    file = write(tmp_path / "c.json", DOCUMENT)
    document = json.loads(run("contract", "export", file, "--asyncapi").out)
    assert list(document["components"]["schemas"]["CarLoanApplication"]["properties"]) == list(DOCUMENT["properties"])
    ended = run("contract", "export", file, "--asyncapi", "--json-schema")
    assert (ended.code, ended.out) == (2, "")
    assert "--json-schema and --asyncapi: give one of them" in ended.err
