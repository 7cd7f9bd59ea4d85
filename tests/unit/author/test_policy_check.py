"""The static review of a policy: what is certain, what is possible, and nothing of what is fine."""

import json
from typing import Any

import numpy as np
import pytest

from schemas.contract import Contract
from schemas.contract_parser import parse_contract
from scorer.author.finding import Finding
from scorer.author.policy_cells import join_points, make_cells, points_of
from scorer.author.policy_check import check_policy
from scorer.core.decide import Decider
from scorer.core.expressions import parse_condition
from scorer.core.policy import Policy

CONTRACT = parse_contract(
    json.dumps(
        {
            "type": "object",
            "properties": {
                "id": {"type": "string", "x-id": True},
                "income": {"type": ["number", "null"], "minimum": 0},
                "amount": {"type": "number", "exclusiveMinimum": 0, "maximum": 100_000},
                "children": {"type": "integer", "minimum": 0, "maximum": 20, "x-unknown": [1]},
                "owner": {"type": "boolean"},
                "purpose": {"type": "string", "enum": ["car", "house", "other"]},
                "status": {"type": "string", "enum": ["a", "b"], "x-prohibited": "marital status"},
                "years": {"type": "integer", "minimum": 18, "maximum": 120, "x-prohibited": "age"},
                "born": {"type": "string", "format": "date"},
            },
            "required": ["id", "income", "amount", "children", "owner", "purpose", "status", "years", "born"],
        }
    )
)


def _check(*rules: str, contract: Contract = CONTRACT, **parts: Any) -> list[Finding]:
    """Rules as `condition -> LABEL`, named r1, r2 …; MAYBE without a label."""
    written = [
        {"id": f"r{i}", "when": rule.partition(" -> ")[0], "label": rule.partition(" -> ")[2] or "MAYBE"}
        for i, rule in enumerate(rules, 1)
    ]
    policy = Policy.model_validate(parts | ({"rules": written} if written else {}))
    return check_policy(Decider(policy, contract), contract)


def _told(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.severity, finding.rule, finding.where) for finding in findings]


def test_a_policy_without_problems_has_no_findings() -> None:
    """Overlapping rules are fine, if each decides something."""
    assert _check() == []
    assert _check("income < 1000", 'purpose == "car" and income < 2000', "amount > 50000", "is_null(income)") == []


@pytest.mark.parametrize(
    "condition",
    [
        "amount > 100000", "amount <= 0", "children == 2.5", "children > 3 and children < 4", "is_null(amount)",
        "income < 5 and income > 5", 'purpose == "car" and purpose == "house"', "owner and not owner",
        "1e9 < days(born)", "children == 1", "income < 1 and not (income < 2)", "years in (1, 2, 3)",
    ],
)  # fmt: skip
def test_a_rule_that_no_valid_application_satisfies_never_fires(condition: str) -> None:
    """By the contract's limits, by contradiction, and because some numbers mean unknown."""
    findings = [one for one in _check(condition) if one.rule != "age"]
    assert _told(findings) == [("error", "never", "rule r1")]


@pytest.mark.parametrize(
    "condition",
    [
        "amount >= 100000", "amount <= 1e-300", "children == 2", "children > 2 and children < 4", "is_null(income)",
        "is_null(children)", "income <= 5 and income >= 5", "0 < children <= 2", "years == 120", "days(born) == 0",
    ],
)  # fmt: skip
def test_a_rule_at_the_limits_fires(condition: str) -> None:
    """The limits belong to the contract, or not, as it says."""
    assert [one for one in _check(condition) if one.rule != "age"] == []


def test_a_rule_that_an_earlier_one_covers_is_shadowed() -> None:
    """By one rule, or only by several together; an unknown value is covered by none of them."""
    assert _told(_check("income < 1000", "income < 500 and amount > 10")) == [("error", "shadowed", "rule r2")]
    together = _check("income < 1000", "income > 500", "income in (3, 7000)")
    assert _told(together) == [("error", "shadowed", "rule r3")]
    assert "r1 and r2 before it" in together[0].what
    assert _check("income < 1000", "income >= 1000", "is_null(income)")[0].rule == "labels"


def test_what_is_only_drawn_is_possible() -> None:
    """Of rules that compare fields with each other it is said as a possibility, with a warning."""
    findings = _check("amount > 5 * income", "amount > 10 * income")
    assert _told(findings) == [("warning", "shadowed", "rule r2")]
    assert findings[0].what.startswith("possibly")
    assert _told(_check("amount * amount < -1")) == [("warning", "never", "rule r1")]


def test_a_prohibited_basis_in_a_rule_or_segment_is_an_error() -> None:
    """Whether the model uses it or not; an age needs a justification."""
    segments = {"field": "status", "values": {"a": {"maybe_above": 0.1, "declined_above": 0.2}}}
    assert _told(_check('status == "a"')) == [("error", "basis", "rule r1")]
    assert _told(_check(segments=segments)) == [("error", "basis", "policy.segments")]
    assert _told(_check("years < 25")) == [("warning", "age", "rule r1")]


def test_the_condition_for_a_second_reviewer() -> None:
    """It is reviewed like a rule's: whether it ever holds, for certain or as far as drawn, and by which fields."""
    where = "policy.second_review_when"
    assert _check(second_review_when="amount > 20000") == []
    assert _check(second_review_when="amount > 5 * income") == []
    assert _told(_check(second_review_when="amount > 100000")) == [("error", "never", where)]
    assert _told(_check(second_review_when="amount * amount < -1")) == [("warning", "never", where)]
    assert _told(_check(second_review_when='status == "a"')) == [("error", "basis", where)]
    assert _told(_check(second_review_when="years < 25")) == [("warning", "age", where)]
    assert _check("income < 10", second_review_when="income < 5") == [], "a rule that decides first shadows nothing"


def test_a_label_that_nothing_gives_is_named() -> None:
    """Neither thresholds nor rules; and rules that leave nothing to the thresholds are noted."""
    told = _check("income < 10 -> DECLINED", maybe_above=0.5, declined_above=0.5)
    assert ("warning", "labels", "policy") in _told(told)
    assert "no application can become MAYBE" in told[-1].what
    everything = _check("income >= 0 -> APPROVED", "is_null(income) -> MAYBE")
    assert [finding.what.partition(":")[0] for finding in everything] == [
        "the rules decide every application",
        "no application can become DECLINED",
    ]


def test_thresholds_of_segments_are_reviewed_like_the_general_ones() -> None:
    """And general ones that are never used are noted."""
    values = {value: {"maybe_above": 0.2, "declined_above": 0.2} for value in ("car", "house", "other")}
    told = _told(_check(segments={"field": "purpose", "values": values}))
    assert told == [
        ("warning", "thresholds", "policy.segments: car"),
        ("warning", "thresholds", "policy.segments: house"),
        ("warning", "thresholds", "policy.segments: other"),
        ("note", "thresholds", "policy.segments"),
    ]


def test_cells_stand_for_all_applications() -> None:
    """Each drawn application gives the simple conditions the values that they have in some cell."""
    texts = ("income < 10", "children in (0, 3)", 'purpose != "car"', "owner", "not is_null(income) and children > 2")
    conditions = [parse_condition(text, CONTRACT) for text in texts]
    points = [points_of(condition.program) for condition in conditions]
    assert all(points)
    cells = make_cells(CONTRACT, join_points(one for one in points if one), len(conditions))
    assert cells is not None
    in_cells = set(zip(*(condition.evaluate(cells).tolist() for condition in conditions), strict=True))
    generator = np.random.default_rng(3)
    drawn = {
        "income": np.where(generator.random(5_000) < 0.1, np.nan, generator.uniform(0, 30, 5_000)),
        "children": generator.choice([*np.arange(21.0)[[0, *range(2, 21)]], np.nan], 5_000),
        "purpose": generator.integers(0, 3, 5_000),
        "owner": generator.integers(0, 2, 5_000).astype(np.float64),
    }
    assert set(zip(*(condition.evaluate(drawn).tolist() for condition in conditions), strict=True)) == in_cells
