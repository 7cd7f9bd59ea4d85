"""The review of a catalogue names what has no reason, and sentences that do not explain a decision."""

import json
from typing import Any

import numpy as np
import pytest

from schemas.contract_parser import parse_contract
from scorer.author.finding import Finding
from scorer.author.reasons_check import check_reasons
from scorer.core.catalogue import Reasons
from scorer.core.expressions import parse_number
from scorer.core.features import FeatureEncoding
from scorer.core.policy import Policy, Rule

CONTRACT = parse_contract(
    json.dumps(
        {
            "x-name": "loans",
            "x-version": "1.0.0",
            "type": "object",
            "properties": {
                "id": {"type": "string", "x-id": True},
                "earnings": {"type": "number"},
                "persons": {"type": "number"},
                "sex": {"type": "string", "enum": ["f", "m"], "x-prohibited": "sex"},
            },
            "required": ["id"],
        }
    )
)
DERIVED = {"earnings_per_person": "earnings / persons", "is_female": "is_null(sex)"}
ENCODING = FeatureEncoding(CONTRACT, ("earnings", "persons", "earnings_per_person", "sex=f", "is_female"), 0.0, DERIVED)
FIELDS = ["earnings", "persons", "earnings_per_person"]
SENTENCE = "The earnings are low for the requested amount."


def _entry(text: str, code: str = "EARNINGS", language: str = "en", fields: list[str] = FIELDS) -> dict[str, Any]:
    return {"code": code, "fields": fields, "text": {language: text}}


def _check(*entries: dict[str, Any], policy: Policy | None = None) -> list[Finding]:
    method = "tree-path-dependent"
    reasons = Reasons.model_validate_json(json.dumps({"method": method, "catalogue": entries}))
    is_used = np.array([bool(entry.fields) for entry in reasons.catalogue])
    return list(check_reasons(reasons, policy or Policy(), ENCODING, is_used))


def test_a_clear_catalogue_has_no_findings() -> None:
    """Prohibited bases, and what is computed from them, need no entry; English may be missing."""
    assert {parse_number(text, CONTRACT).fields for text in DERIVED.values()} == {("earnings", "persons"), ("sex",)}
    assert not _check(_entry(SENTENCE))
    assert not _check(_entry("Das Einkommen ist niedrig.", language="de"))


def test_a_field_without_an_entry() -> None:
    """Each one that the model uses is named."""
    findings = _check(_entry(SENTENCE, fields=["earnings"]))
    assert [(f.severity, f.rule, f.where) for f in findings] == [
        ("warning", "reasons", "features: persons"),
        ("warning", "reasons", "features: earnings_per_person"),
    ]


def test_a_code_that_nothing_gives() -> None:
    """Neither the model nor a rule; a rule's own code is in use."""
    unused = _entry("An earlier loan was not repaid.", code="EARLIER", fields=[])
    (finding,) = _check(_entry(SENTENCE), unused)
    assert (finding.severity, finding.rule, finding.where) == ("warning", "reasons", "reasons: EARLIER")
    rule = Rule(id="earlier", when="earnings < 1", label="DECLINED", reason="EARLIER")
    assert not _check(_entry(SENTENCE), unused, policy=Policy(rules=(rule,)))


@pytest.mark.parametrize(
    "text",
    [
        "Other",
        "Low income",
        "Other.",
        "You did not meet our standards.",
        "This was declined because of our internal policy.",
        "The credit score is too low.",
        "The application has an insufficient score.",
        "You did not achieve a qualifying score.",
        "Your score was below the limit.",
    ],
)
def test_a_vague_sentence(text: str) -> None:
    """Regulation B calls such statements insufficient."""
    (finding,) = _check(_entry(text))
    assert (finding.severity, finding.rule, finding.where) == ("warning", "wording", "reasons: EARNINGS.text.en")
    assert "12 CFR 1002.9(b)(2)" in finding.what
    assert text not in finding.what


@pytest.mark.parametrize(
    "text",
    [
        "Length of residence",
        "Delinquent past or present credit obligations with others",
        "The insurance policy has ended.",
        "Payments on other loans are late.",
        "Earnings: the value in the application raised the estimated risk of default.",
    ],
)
def test_a_specific_sentence(text: str) -> None:
    """Those of Regulation B's sample form, drafts, and sentences that only share a word with vague ones."""
    assert not _check(_entry(text))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The number earnings_per_person is low.", "en"),
        ("Der Wert earnings_per_person ist niedrig.", "de"),
        ("The reason is EARNINGS, which are low.", "en"),
        ("The answer sex=f is in the application.", "de"),
    ],
)
def test_a_technical_name(text: str, language: str) -> None:
    """In any language."""
    (finding,) = _check(_entry(text, language=language))
    assert (finding.severity, finding.rule) == ("warning", "wording")
    assert finding.where == f"reasons: EARNINGS.text.{language}"
    assert "the name of a field" in finding.what


def test_a_prohibited_basis_in_a_sentence() -> None:
    """An error, in English; the words of other languages are not in the list."""
    (finding,) = _check(_entry("The applicant's marital status counted against the application."))
    assert (finding.severity, finding.rule, finding.where) == ("error", "basis", "reasons: EARNINGS.text.en")
    assert "marital status (12 CFR 1002.2(z))" in finding.what
    assert not _check(_entry("El color del coche no es habitual.", language="es"))
