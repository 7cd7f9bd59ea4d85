"""Segments and rules: which thresholds count, which rule decides, and what is not a policy of the contract."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from scorer.core.decide import Decider
from scorer.core.policy import LABELS, RULES_MAX, Policy
from tests.fakes import CONTRACT, application, columns_of_values

SEGMENTS = {"field": "home", "values": {"rent": {"maybe_above": 0.1, "declined_above": 0.2}}}


def _policy(**parts: object) -> Policy:
    return Policy.model_validate({"maybe_above": 0.25, "declined_above": 0.5, **parts})


def _rules(**conditions: str) -> list[dict[str, str]]:
    """Rules by id that give DECLINED."""
    return [{"id": name, "when": when, "label": "DECLINED"} for name, when in conditions.items()]


def _decide(policy: Policy, probability: float, **fields: object) -> tuple[str, int]:
    columns = columns_of_values([application(**fields)])  # type: ignore[arg-type]
    decided = Decider(policy, CONTRACT).decide(np.array([probability], dtype=np.float32), columns.values)
    return LABELS[decided.labels[0]], int(decided.rules[0])


def test_a_segment_has_its_own_thresholds() -> None:
    """A value without an entry, and an unknown one, has the general thresholds."""
    policy = _policy(segments=SEGMENTS)
    assert _decide(policy, 0.15, home="rent") == ("MAYBE", -1)
    assert _decide(policy, 0.3, home="rent") == ("DECLINED", -1)
    assert _decide(policy, 0.15, home="owner") == ("APPROVED", -1)
    decided = Decider(policy, CONTRACT).decide(np.array([0.15], np.float32), {"home": np.array([-1])})
    assert decided.labels.tolist() == [0]


def test_the_first_rule_that_holds_replaces_the_models_label() -> None:
    """Whatever the model says, stricter or milder; a rule about an unknown value does not hold."""
    rules = [
        {"id": "poor", "when": "income < 20", "label": "DECLINED"},
        {"id": "owner", "when": 'home == "owner" or income < 30', "label": "APPROVED"},
    ]
    policy = _policy(rules=rules)
    assert _decide(policy, 0.0, income=10, home="owner") == ("DECLINED", 0)
    assert _decide(policy, 1.0, income=25, home="rent") == ("APPROVED", 1)
    assert _decide(policy, 1.0, income=100, home="owner") == ("APPROVED", 1)
    assert _decide(policy, 1.0, income=None, home="rent") == ("DECLINED", -1)


def test_an_application_has_the_same_label_in_every_batch() -> None:
    """Alone and among others."""
    policy = _policy(segments=SEGMENTS, rules=_rules(poor="income < 20"))
    columns = columns_of_values([application(income=income) for income in range(0, 60, 3)])
    probabilities = np.linspace(0, 1, 20, dtype=np.float32)
    together = Decider(policy, CONTRACT).decide(probabilities, columns.values)
    alone = [
        Decider(policy, CONTRACT).decide(probabilities[i : i + 1], columns.take(np.array([i])).values)
        for i in range(20)
    ]
    assert [int(one.labels[0]) for one in alone] == together.labels.tolist()
    assert [int(one.rules[0]) for one in alone] == together.rules.tolist()


def test_a_policy_names_the_fields_that_it_uses() -> None:
    """Those of its rules and segments, sorted."""
    assert Decider(_policy(segments=SEGMENTS, rules=_rules(poor="income < 20")), CONTRACT).fields == ("home", "income")
    assert Decider(_policy(), CONTRACT).fields == ()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"rules": _rules(a="income <")}, "rule a: .*column"),
        ({"rules": _rules(a="salary < 3")}, "rule a: .*unknown field salary"),
        ({"rules": _rules(a="home < 3")}, "rule a: .*a category has no order"),
        ({"rules": _rules(a="home == 3")}, "rule a: .*a category is compared with its values"),
        ({"rules": _rules(a='home == "castle"')}, "rule a: .*castle is not a value of home"),
        ({"segments": SEGMENTS | {"field": "income"}}, "segments: income is not a category"),
        ({"segments": SEGMENTS | {"field": "salary"}}, "segments: salary is not in the contract"),
        ({"segments": {"field": "job", "values": SEGMENTS["values"]}}, "segments: rent is not a value of job"),
    ],
)
def test_a_policy_that_does_not_fit_the_contract_is_one_clear_message(parts: dict[str, Any], message: str) -> None:
    """It names the rule or the segments, and what is wrong."""
    with pytest.raises(ValueError, match=message):
        Decider(_policy(**parts), CONTRACT)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"rules": _rules(a="income < 1") * 2}, "rules: more than one has the id a"),
        ({"rules": []}, "at least 1"),
        ({"rules": _rules(**{f"r{i}": "income < 1" for i in range(RULES_MAX + 1)})}, f"at most {RULES_MAX}"),
        ({"rules": _rules(A="income < 1")}, "should match pattern"),
        ({"rules": [{"id": "a", "when": "income < 1", "label": "REFUSED"}]}, "APPROVED"),
        ({"rules": [{"id": "a", "when": "income < 1", "label": "MAYBE", "reason": "lower case"}]}, "match pattern"),
        ({"segments": {"field": "home", "values": {}}}, "at least 1"),
        (
            {"segments": {"field": "home", "values": {"rent": {"maybe_above": 0.5, "declined_above": 0.2}}}},
            r"maybe_above \(0.5\) must not be greater than declined_above \(0.2\)",
        ),
    ],
)
def test_a_policy_that_makes_no_sense_is_invalid(parts: dict[str, Any], message: str) -> None:
    """Before anything is known of the contract."""
    with pytest.raises(ValidationError, match=message):
        _policy(**parts)


def test_a_policy_is_written_without_what_it_does_not_have() -> None:
    """So the digests of bundles without segments and rules stay what they were."""
    assert Policy().model_dump(mode="json") == {"maybe_above": 0.3, "declined_above": 0.5}
    policy = _policy(segments=SEGMENTS, rules=_rules(poor="income < 20"))
    assert Policy.model_validate_json(policy.model_dump_json()) == policy


def test_reasons_of_rules_are_those_of_the_catalogue() -> None:
    """A code is in it; with a catalogue, each rule that does not approve needs one; without one, none has a reason."""
    rule = {"id": "poor", "when": "income < 20", "label": "DECLINED"}
    _policy(rules=[rule]).check_reasons(())
    _policy(rules=[rule | {"reason": "LOW_INCOME"}]).check_reasons(["LOW_INCOME"])
    _policy(rules=[rule | {"label": "APPROVED"}]).check_reasons(["LOW_INCOME"])
    for parts, codes, message in (
        ({}, ["LOW_INCOME"], "rule poor: a rule that gives DECLINED needs a reason"),
        ({"reason": "OTHER"}, ["LOW_INCOME"], "rule poor: OTHER is not in the catalogue of reasons"),
        ({"reason": "OTHER"}, (), "rule poor: the bundle has no catalogue of reasons"),
    ):
        with pytest.raises(ValueError, match=message):
            _policy(rules=[rule | parts]).check_reasons(codes)
