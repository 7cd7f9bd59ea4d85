"""A draft of the catalogue of reasons is made from a contract's titles; an edited one is read back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from schemas.contract import Contract
from schemas.contract_parser import parse_contract
from schemas.contracts import shipped_contract
from scorer.author.draft_reasons import choose_reasons, draft_reasons, read_reasons, write_reasons
from scorer.author.model_input import ModelInput
from scorer.bundle.manifest import Features
from scorer.bundle.runners import GuardedModel, open_model
from scorer.core.catalogue import Reasons
from scorer.core.expressions import parse_number
from scorer.errors import MisuseError


def _contract(**properties: dict[str, Any]) -> Contract:
    document = {
        "x-name": "loans",
        "x-version": "1.0.0",
        "type": "object",
        "properties": {"id": {"type": "string", "x-id": True}, **properties},
        "required": ["id"],
    }
    return parse_contract(json.dumps(document))


NUMBER: dict[str, Any] = {"type": "number"}
CONTRACT = _contract(
    monthlyIncome={**NUMBER, "title": "Monthly income"},
    sex={"enum": ["f", "m"], "type": "string", "x-prohibited": "sex"},
    debt=NUMBER,
    applicant={"type": "object", "properties": {"müll-fee": {**NUMBER, "title": "Fee:"}}},
)


def _texts(reasons: Reasons | None) -> dict[str, str]:
    assert reasons is not None
    return {entry.code: entry.text["en"] for entry in reasons.catalogue}


def test_codes_and_sentences_come_from_names_and_titles() -> None:
    """In the contract's order; prohibited bases have no entry."""
    outcome = "the value in the application raised the estimated risk of default."
    assert _texts(draft_reasons(CONTRACT, CONTRACT.inputs)) == {
        "MONTHLY_INCOME": f"Monthly income: {outcome}",
        "DEBT": f"Debt: {outcome}",
        "APPLICANT_MULL_FEE": f"Fee: {outcome}",
    }
    assert list(_texts(draft_reasons(CONTRACT, ["debt"]))) == ["DEBT"]
    assert draft_reasons(CONTRACT, ["sex"]) is None


def test_a_derived_column_has_an_entry_of_its_own() -> None:
    """Its sentence names what it is computed from; one that is computed from a prohibited basis has none."""
    derived = {
        "debt_share": parse_number("debt / monthlyIncome", CONTRACT),
        "is_female": parse_number("is_null(sex)", CONTRACT),
    }
    assert _texts(draft_reasons(CONTRACT, derived, derived)) == {
        "DEBT_SHARE": "Debt share: the value calculated from Debt and Monthly income raised the estimated risk of "
        "default."
    }


def test_codes_are_unique_and_within_their_limit() -> None:
    """Names that differ in punctuation only, or after 64 characters, get numbers; one without letters is a reason."""
    names = ["a.b", "a_b", "A b", "ж", *(f"{'x' * 70}{number}" for number in range(2))]
    contract = _contract(a={"type": "object", "properties": {"b": NUMBER}}, **dict.fromkeys(names[1:], NUMBER))
    codes = list(_texts(draft_reasons(contract, contract.inputs)))
    assert codes == ["A_B", "A_B_2", "A_B_3", "REASON", "X" * 64, f"{'X' * 60}_2"]


def test_at_most_two_hundred() -> None:
    """As many as a catalogue may have."""
    contract = _contract(**{f"n{number}": NUMBER for number in range(300)})
    assert len(_texts(draft_reasons(contract, contract.inputs))) == 200


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_a_draft_is_read_back(tmp_path: Path, suffix: str) -> None:
    """Also after editing: other languages, quotes and line separators in JSON's escapes."""
    drafted = draft_reasons(CONTRACT, CONTRACT.inputs)
    assert drafted is not None
    document = drafted.model_dump()
    document["catalogue"][0]["text"] |= {"pt-BR": 'A "renda" é baixa \\ \N{GRINNING FACE}'}
    edited = Reasons.model_validate(document)
    path = tmp_path / f"reasons.{suffix}"
    path.write_text(edited.model_dump_json() if suffix == "json" else write_reasons(edited), encoding="utf-8")
    assert read_reasons(path) == edited


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r.toml", "catalogue = [", "is not TOML"),
        ("r.json", "[]", "is not a JSON object"),
        ("r.json", "{", "is not JSON"),
        ("r.toml", 'method = "other"\ncatalogue = []', "method: "),
        ("r.toml", "entries = []", "catalogue: is missing"),
        ("r.toml", '[[catalogue]]\ncode = "low"\nfields = []\ntext.en = "x"', "catalogue.0.code: "),
        ("r.toml", "[[catalogue]]\ncode = 2026-01-01", "a date or time is not part of a catalogue"),
    ],
)
def test_a_bad_catalogue_is_one_message(tmp_path: Path, name: str, text: str, message: str) -> None:
    """With the file and the place in it."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(MisuseError) as raised:
        read_reasons(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)
    with pytest.raises(MisuseError, match=r"none\.toml: cannot be read: No such file"):
        read_reasons(tmp_path / "none.toml")


def _model(columns: tuple[str, ...], depth: int = 2) -> GuardedModel:
    generator = np.random.default_rng(1)
    matrix = generator.normal(size=(2_000, len(columns))).astype(np.float32)
    learnt = xgboost.DMatrix(matrix, generator.integers(0, 2, 2_000), feature_names=list(columns))
    parameters = {"objective": "binary:logistic", "max_depth": depth, "min_child_weight": 0, "nthread": 1}
    raw = bytes(xgboost.train(parameters, learnt, 2).save_raw("ubj"))
    return open_model("xgboost", "model.ubj", raw, columns)


def test_what_nobody_asked_for() -> None:
    """Bundles of the shipped contract stay what they were; others get a draft, if there are tables for their model."""
    own = ModelInput(CONTRACT, Features(columns=("debt",), missing=0))
    shipped = ModelInput(shipped_contract(), Features(columns=("income",), missing=0))
    drafted = draft_reasons(CONTRACT, ["debt"])
    model, deep = _model(("debt",)), _model(("debt",), depth=12)
    assert choose_reasons(None, own, model) == drafted
    assert choose_reasons(None, own, deep) is None
    assert choose_reasons("draft", own, deep) == drafted
    assert choose_reasons(None, shipped, _model(("income",))) is None
    assert choose_reasons("none", own, model) is None
    assert list(_texts(choose_reasons("draft", shipped, _model(("income",))))) == ["INCOME"]
    assert choose_reasons(drafted, shipped, model) is drafted


def test_a_model_of_prohibited_bases_alone_has_no_draft() -> None:
    """Nothing that it reads may be a reason; that is lint's business."""
    inputs = ModelInput(CONTRACT, Features(columns=("sex=f",), missing=0))
    assert choose_reasons(None, inputs, _model(("sex=f",))) is None
