"""The manifest's section `reasons`: optional since version 3, with a limit on everything."""

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.contract import Contract
from schemas.contract_parser import parse_contract
from scorer.bundle.load import load_bundle
from scorer.bundle.manifest import parse_manifest
from scorer.core.catalogue import Reasons, check_fields
from scorer.core.expressions import parse_number
from scorer.errors import BundleError
from tests.unit.bundle.contracts import CAR_LOAN, car_loan_bundle
from tests.unit.bundle.making import PLAIN, remake

SALARY: dict[str, Any] = {"code": "SALARY", "fields": ["salary"], "text": {"en": "The salary is low."}}
RULE: dict[str, Any] = {"code": "RULE_7", "fields": [], "text": {"en": "Rule 7 applies.", "pt-BR": "Regra 7."}}


def _reasons(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"method": "tree-path-dependent", "catalogue": list(entries)}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The manifest of a bundle with a contract of its own and without reasons."""
    folder = car_loan_bundle(tmp_path_factory.mktemp("plain") / "bundle")
    content: dict[str, Any] = json.loads((folder / "bundle.json").read_bytes())
    return content


def _parse(content: dict[str, Any]) -> Any:
    return parse_manifest(json.dumps(content).encode())


def test_a_manifest_without_reasons_is_as_before(raw: dict[str, Any]) -> None:
    """The section is not written if it is absent, so digests of existing bundles do not change."""
    manifest = _parse(raw)
    assert manifest.reasons is None
    assert "reasons" not in json.loads(manifest.canonical)


def test_reasons_are_digested(raw: dict[str, Any]) -> None:
    """The catalogue is part of the bundle: each change of it gives another digest, and it is read back unchanged."""
    first = _parse({**raw, "reasons": _reasons(SALARY, RULE)})
    second = _parse({**raw, "reasons": _reasons(RULE, SALARY)})
    assert len({first.digest, second.digest, _parse(raw).digest}) == 3
    assert json.loads(first.canonical)["reasons"] == _reasons(SALARY, RULE)
    assert _parse(json.loads(first.model_dump_json())) == first
    assert first.reasons.codes == ("SALARY", "RULE_7")


@pytest.mark.parametrize(
    ("reasons", "message"),
    [
        (None, "reasons is null: leave it out instead"),
        ({**_reasons(SALARY), "method": "interventional"}, "reasons.method"),
        (_reasons(), "reasons: the catalogue has no entries"),
        (_reasons(SALARY, {**RULE, "code": "SALARY"}), "the code SALARY is in the catalogue twice"),
        (_reasons(SALARY, {**RULE, "fields": ["salary"]}), "the field salary is in two places, SALARY and RULE_7"),
        (_reasons({**SALARY, "fields": ["salary", "salary"]}), "the field salary is in two places, SALARY and SALARY"),
        (_reasons({**SALARY, "code": "salary"}), "reasons.catalogue.0.code"),
        (_reasons({**SALARY, "code": "LOW-SALARY"}), "reasons.catalogue.0.code"),
        (_reasons({**SALARY, "code": "S" * 65}), "reasons.catalogue.0.code"),
        (_reasons({**SALARY, "code": ""}), "reasons.catalogue.0.code"),
        (_reasons({**SALARY, "text": {}}), "reasons.catalogue.0.text"),
        (_reasons({**SALARY, "text": {"en": ""}}), "reasons.catalogue.0.text.en"),
        (_reasons({**SALARY, "text": {"en": "x" * 1_001}}), "reasons.catalogue.0.text.en"),
        (_reasons({**SALARY, "text": {"en": "a\nb"}}), "reasons.catalogue.0.text.en: contains a control character"),
        (_reasons({**SALARY, "text": {"English": "Low."}}), "reasons.catalogue.0.text.English"),
        (_reasons({**SALARY, "weight": 1}), "reasons.catalogue.0.weight"),
        (_reasons({"code": "SALARY", "fields": ["salary"]}), "reasons.catalogue.0.text"),
        (_reasons(*({**RULE, "code": f"R{n}"} for n in range(201))), "reasons.catalogue"),
    ],
)
def test_an_invalid_catalogue_is_one_message(raw: dict[str, Any], reasons: object, message: str) -> None:
    """Whatever is wrong with a catalogue is said once, with its place."""
    with pytest.raises(BundleError) as raised:
        _parse({**raw, "reasons": reasons})
    assert message in str(raised.value)
    assert "; " not in str(raised.value)


def test_the_limits_themselves_are_valid(raw: dict[str, Any]) -> None:
    """200 entries, codes of 64 characters and texts of 1,000 are allowed."""
    entries = [{**RULE, "code": f"R{n:063}", "text": {"en": "x" * 1_000}} for n in range(200)]
    assert len(_parse({**raw, "reasons": _reasons(*entries)}).reasons.catalogue) == 200


def test_older_manifests_have_no_reasons() -> None:
    """A bundle of version 1 or 2 stays what it was."""
    content = json.loads((PLAIN / "bundle.json").read_bytes())
    with pytest.raises(BundleError, match="reasons is not allowed in manifests before version 3"):
        _parse({**content, "reasons": _reasons(SALARY)})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("debt", "LOW is about debt, which is neither an input of the contract nor a derived column"),
        ("id", "LOW is about id, which is neither an input of the contract nor a derived column"),
        ("home=rent", "LOW is about home=rent, which is neither an input of the contract nor a derived column"),
    ],
)
def test_an_entry_is_about_fields_that_exist(tmp_path: Path, name: str, message: str) -> None:
    """A misspelt field, the id and a column that is not a field are found when the bundle is opened."""
    _expect(_with(tmp_path, {"code": "LOW", "fields": [name], "text": {"en": "Low."}}), message)


def test_a_prohibited_basis_is_never_a_reason(tmp_path: Path) -> None:
    """An entry must not be about a field that the contract marks."""
    marked = json.loads(CAR_LOAN.canonical)
    marked["properties"]["salary"]["x-prohibited"] = "income from public assistance"
    folder = _with(tmp_path, SALARY, contract=parse_contract(json.dumps(marked)))
    _expect(folder, "SALARY is about salary, which is a prohibited basis (income from public assistance)")


def test_nor_is_a_column_that_is_computed_from_one() -> None:
    """A derived column over a marked field would name the basis in other words."""
    marked = json.loads(CAR_LOAN.canonical)
    marked["properties"]["salary"]["x-prohibited"] = "income from public assistance"
    contract = parse_contract(json.dumps(marked))
    derived = {"monthly": parse_number("salary / 12", contract)}
    reasons = Reasons.model_validate_json(json.dumps(_reasons({**SALARY, "fields": ["monthly"]})))
    with pytest.raises(ValueError, match="SALARY is about monthly, which is a prohibited basis"):
        check_fields(reasons, contract, derived)
    check_fields(reasons, CAR_LOAN, {"monthly": parse_number("salary / 12", CAR_LOAN)})


def _with(tmp_path: Path, *entries: dict[str, Any], contract: Contract = CAR_LOAN) -> Path:
    def add(manifest: dict[str, Any]) -> None:
        manifest["reasons"] = _reasons(*entries)

    return remake(car_loan_bundle(tmp_path / "bundle", contract=contract), add)


def _expect(folder: Path, message: str) -> None:
    with pytest.raises(BundleError) as raised:
        load_bundle(folder)
    assert message in str(raised.value)
